//! The HTTP side of a load client: what it offers by WHIP or WHEP, and what it needs of the answer.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// Bound on what a server may answer, in bytes.
const ANSWER_LEN_MAX: u64 = 256 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);

pub const AUDIO_PAYLOAD_TYPE: u8 = 111;
pub const VIDEO_PAYLOAD_TYPE: u8 = 96;
pub const VIDEO_RTX_PAYLOAD_TYPE: u8 = 97;
pub const TRANSPORT_CC_ID: u8 = 3;
pub const MID_ID: u8 = 4;

/// Makes WHIP and WHEP requests. One for all clients: connections are kept.
pub struct Front {
    agent: ureq::Agent,
}

/// A POST that was granted.
pub struct Resource {
    pub answer: Answer,
    location: Option<String>,
    token: Option<String>,
}

/// What a client needs of an answer (any server's, so read leniently).
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub ufrag: String,
    pub pwd: String,
    pub fingerprint: [u8; 32],
    /// UDP candidates, in the answer's order.
    pub candidates: Vec<SocketAddr>,
}

/// The offering client's own half.
pub struct Offer<'a> {
    pub ufrag: &'a str,
    pub pwd: &'a str,
    pub fingerprint: [u8; 32],
    /// A publisher's SSRCs (audio, video, video's RTX), or `None` for a player.
    pub publish: Option<Ssrcs>,
    /// Pairs of a video and an audio m-line.
    pub pairs: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Ssrcs {
    pub audio: u32,
    pub video: u32,
    pub video_rtx: u32,
}

impl Front {
    /// `insecure` accepts any TLS certificate.
    pub fn new(insecure: bool) -> Self {
        let tls = ureq::tls::TlsConfig::builder().disable_verification(insecure).build();
        let config = ureq::Agent::config_builder().tls_config(tls).timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        Self { agent: config.into() }
    }

    pub fn post(&self, url: &str, token: Option<&str>, offer: &Offer<'_>) -> Result<Resource, String> {
        let mut request = self.agent.post(url).header("content-type", "application/sdp");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.send(offer.to_sdp()).map_err(|error| format!("POST {url}: {error}"))?;
        let status = response.status();
        let location = response.headers().get("location").and_then(|value| value.to_str().ok()).map(|value| resolve(url, value));
        let body =
            response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_string().map_err(|error| format!("POST {url}: {error}"))?;
        if status != 201 {
            return Err(format!("POST {url}: {status}: {}", body.trim()));
        }
        let answer = Answer::read(&body).map_err(|missing| format!("POST {url}: the answer has no {missing}"))?;
        Ok(Resource { answer, location, token: token.map(str::to_owned) })
    }

    /// Ends a resource; a server that does not answer any more is no concern of a client that leaves.
    pub fn delete(&self, resource: &Resource) {
        let Some(location) = &resource.location else { return };
        let mut request = self.agent.delete(location);
        if let Some(token) = &resource.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let _ = request.call();
    }

    /// A page of text, such as a server's metrics.
    pub fn get(&self, url: &str) -> Result<String, String> {
        let mut response = self.agent.get(url).call().map_err(|error| format!("GET {url}: {error}"))?;
        response.body_mut().read_to_string().map_err(|error| format!("GET {url}: {error}"))
    }
}

/// `location` as an absolute address (RFC 3986 section 5.2, as far as servers use it).
fn resolve(base: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let origin_end = base.find("://").and_then(|at| base[at + 3..].find('/').map(|slash| at + 3 + slash)).unwrap_or(base.len());
    if location.starts_with('/') {
        return format!("{}{location}", &base[..origin_end]);
    }
    let directory_end = base.rfind('/').filter(|&at| at >= origin_end).map_or(base.len(), |at| at + 1);
    format!("{}{location}", &base[..directory_end])
}

impl Offer<'_> {
    fn to_sdp(&self) -> String {
        let mut sdp = String::from("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n");
        let lines = 2 * self.pairs;
        sdp.push_str("a=group:BUNDLE");
        for mid in 0..lines {
            let _ = write!(sdp, " {mid}");
        }
        sdp.push_str("\r\na=msid-semantic: WMS\r\n");
        for mid in 0..lines {
            if mid % 2 == 0 {
                self.video(&mut sdp, mid);
            } else {
                self.audio(&mut sdp, mid);
            }
        }
        sdp
    }

    fn transport(&self, sdp: &mut String, mid: usize) {
        let direction = if self.publish.is_some() { "sendonly" } else { "recvonly" };
        let fingerprint = self.fingerprint.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
        let _ = write!(
            sdp,
            "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n\
             a=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\na=extmap:{MID_ID} urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
            self.ufrag, self.pwd
        );
        // A player tells nothing of when packets came: load is what is wanted, not what fits.
        if self.publish.is_some() {
            let _ = write!(sdp, "a=extmap:{TRANSPORT_CC_ID} http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n");
        }
    }

    fn video(&self, sdp: &mut String, mid: usize) {
        let _ = write!(sdp, "m=video 9 UDP/TLS/RTP/SAVPF {VIDEO_PAYLOAD_TYPE} {VIDEO_RTX_PAYLOAD_TYPE}\r\n");
        self.transport(sdp, mid);
        let _ = write!(
            sdp,
            "a=rtpmap:{VIDEO_PAYLOAD_TYPE} VP8/90000\r\na=rtcp-fb:{VIDEO_PAYLOAD_TYPE} transport-cc\r\na=rtcp-fb:{VIDEO_PAYLOAD_TYPE} ccm fir\r\n\
             a=rtcp-fb:{VIDEO_PAYLOAD_TYPE} nack\r\na=rtcp-fb:{VIDEO_PAYLOAD_TYPE} nack pli\r\n\
             a=rtpmap:{VIDEO_RTX_PAYLOAD_TYPE} rtx/90000\r\na=fmtp:{VIDEO_RTX_PAYLOAD_TYPE} apt={VIDEO_PAYLOAD_TYPE}\r\n"
        );
        if let Some(Ssrcs { video, video_rtx, .. }) = self.publish {
            let _ = write!(
                sdp,
                "a=msid:load v{mid}\r\na=ssrc-group:FID {video} {video_rtx}\r\na=ssrc:{video} cname:load\r\na=ssrc:{video_rtx} cname:load\r\n"
            );
        }
    }

    fn audio(&self, sdp: &mut String, mid: usize) {
        let _ = write!(sdp, "m=audio 9 UDP/TLS/RTP/SAVPF {AUDIO_PAYLOAD_TYPE}\r\n");
        self.transport(sdp, mid);
        let _ = write!(
            sdp,
            "a=rtpmap:{AUDIO_PAYLOAD_TYPE} opus/48000/2\r\na=rtcp-fb:{AUDIO_PAYLOAD_TYPE} transport-cc\r\na=fmtp:{AUDIO_PAYLOAD_TYPE} minptime=10;useinbandfec=1\r\n"
        );
        if let Some(Ssrcs { audio, .. }) = self.publish {
            let _ = write!(sdp, "a=msid:load a{mid}\r\na=ssrc:{audio} cname:load\r\n");
        }
    }
}

impl Answer {
    /// `Err` names what is missing.
    fn read(sdp: &str) -> Result<Self, &'static str> {
        let value = |name: &str| sdp.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':').map(str::trim));
        let fingerprint = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=fingerprint:"))
            .find_map(|line| read_fingerprint(line.trim()))
            .ok_or("SHA-256 fingerprint")?;
        let candidates: Vec<SocketAddr> = sdp.lines().filter_map(|line| read_candidate(line.strip_prefix("a=candidate:")?)).collect();
        if candidates.is_empty() {
            return Err("UDP candidate");
        }
        Ok(Self {
            ufrag: value("ice-ufrag").ok_or("ice-ufrag")?.to_owned(),
            pwd: value("ice-pwd").ok_or("ice-pwd")?.to_owned(),
            fingerprint,
            candidates,
        })
    }
}

fn read_fingerprint(line: &str) -> Option<[u8; 32]> {
    let (hash, hex) = line.split_once(' ')?;
    if !hash.eq_ignore_ascii_case("sha-256") {
        return None;
    }
    let bytes: Option<Vec<u8>> = hex.split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// RFC 8839 section 5.1: `foundation component transport priority address port typ …`.
fn read_candidate(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let (transport, _priority, address, port) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if !transport.eq_ignore_ascii_case("udp") {
        return None;
    }
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests;
