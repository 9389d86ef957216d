//! [`Description`] to text.

use std::fmt::Write;
use std::net::IpAddr;

use super::{Description, Media, SsrcGroup, Transport};

pub(super) fn write(description: &Description) -> String {
    let mut out = Out(String::with_capacity(512 + 2048 * description.media.len()));
    out.session(description);
    for media in &description.media {
        out.media(media);
    }
    out.0
}

struct Out(String);

/// One line. Writing to a `String` cannot fail.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {{
        let _ = write!($out.0, $($text)*);
        $out.0.push_str("\r\n");
    }};
}

impl Out {
    fn session(&mut self, description: &Description) {
        let Description { session_id, version, bundle, ice_lite, extmap_allow_mixed, transport, direction, media: _ } = description;
        line!(self, "v=0");
        // RFC 8829 section 5.2.1: a meaningless address, so that none leaks.
        line!(self, "o=- {session_id} {version} IN IP4 0.0.0.0");
        line!(self, "s=-");
        line!(self, "t=0 0");
        if let Some(mids) = bundle {
            let mut group = String::from("a=group:BUNDLE");
            for mid in mids {
                let _ = write!(group, " {mid}");
            }
            line!(self, "{group}");
        }
        if *extmap_allow_mixed {
            line!(self, "a=extmap-allow-mixed");
        }
        // The draft that became RFC 8830 wanted this line; old clients still look for it.
        line!(self, "a=msid-semantic:WMS *");
        if *ice_lite {
            line!(self, "a=ice-lite");
        }
        self.transport(transport);
        if let Some(direction) = direction {
            line!(self, "a={}", direction.as_str());
        }
    }

    fn media(&mut self, media: &Media) {
        let mut formats = String::new();
        for format in &media.formats {
            let _ = write!(formats, " {format}");
        }
        line!(self, "m={} {} {}{formats}", media.kind.as_str(), media.port, media.protocol);
        match media.connection {
            None => {}
            Some(IpAddr::V4(address)) => line!(self, "c=IN IP4 {address}"),
            Some(IpAddr::V6(address)) => line!(self, "c=IN IP6 {address}"),
        }
        for candidate in &media.candidates {
            line!(self, "a={candidate}");
        }
        if media.end_of_candidates {
            line!(self, "a=end-of-candidates");
        }
        self.transport(&media.transport);
        if let Some(mid) = &media.mid {
            line!(self, "a=mid:{mid}");
        }
        if let Some(direction) = media.direction {
            line!(self, "a={}", direction.as_str());
        }
        self.streams(media);
        for (set, name) in [
            (media.bundle_only, "bundle-only"),
            (media.rtcp_mux, "rtcp-mux"),
            (media.rtcp_mux_only, "rtcp-mux-only"),
            (media.rtcp_rsize, "rtcp-rsize"),
            (media.extmap_allow_mixed, "extmap-allow-mixed"),
        ] {
            if set {
                line!(self, "a={name}");
            }
        }
        for extension in &media.extensions {
            line!(self, "a=extmap:{} {}", extension.id, extension.uri);
        }
        if let Some(port) = media.sctp_port {
            line!(self, "a=sctp-port:{port}");
        }
        if let Some(bytes) = media.max_message_size {
            line!(self, "a=max-message-size:{bytes}");
        }
        self.codecs(media);
        self.simulcast(media);
    }

    fn transport(&mut self, transport: &Transport) {
        let Transport { ufrag, pwd, ice_options, setup, fingerprints, other_fingerprints } = transport;
        if let Some(ufrag) = ufrag {
            line!(self, "a=ice-ufrag:{ufrag}");
        }
        if let Some(pwd) = pwd {
            line!(self, "a=ice-pwd:{pwd}");
        }
        if !ice_options.is_empty() {
            line!(self, "a=ice-options:{}", ice_options.join(" "));
        }
        for fingerprint in fingerprints {
            let mut hex = String::with_capacity(96);
            for byte in fingerprint.0 {
                let _ = write!(hex, "{}{byte:02X}", if hex.is_empty() { "" } else { ":" });
            }
            line!(self, "a=fingerprint:sha-256 {hex}");
        }
        if *other_fingerprints {
            // Only descriptions that were read have this; the digest itself was skipped.
            line!(self, "a=fingerprint:unknown 00");
        }
        if let Some(setup) = setup {
            line!(self, "a=setup:{}", setup.as_str());
        }
    }

    fn codecs(&mut self, media: &Media) {
        for format in &media.codecs {
            let payload_type = format.payload_type;
            if !format.name.is_empty() {
                match format.channels {
                    Some(channels) => line!(self, "a=rtpmap:{payload_type} {}/{}/{channels}", format.name, format.clock_rate),
                    None => line!(self, "a=rtpmap:{payload_type} {}/{}", format.name, format.clock_rate),
                }
            }
            if let Some(parameters) = &format.parameters {
                line!(self, "a=fmtp:{payload_type} {parameters}");
            }
        }
        for feedback in &media.feedback {
            match feedback.payload_type {
                Some(payload_type) => line!(self, "a=rtcp-fb:{payload_type} {}", feedback.kind),
                None => line!(self, "a=rtcp-fb:* {}", feedback.kind),
            }
        }
    }

    fn streams(&mut self, media: &Media) {
        match &media.msid {
            Some((stream, Some(track))) => line!(self, "a=msid:{stream} {track}"),
            Some((stream, None)) => line!(self, "a=msid:{stream}"),
            None => {}
        }
        for SsrcGroup { semantics, ssrcs } in &media.ssrc_groups {
            let mut group = format!("a=ssrc-group:{semantics}");
            for ssrc in ssrcs {
                let _ = write!(group, " {ssrc}");
            }
            line!(self, "{group}");
        }
        for attribute in &media.ssrcs {
            match &attribute.value {
                Some(value) => line!(self, "a=ssrc:{} {}:{value}", attribute.ssrc, attribute.name),
                None => line!(self, "a=ssrc:{} {}", attribute.ssrc, attribute.name),
            }
        }
    }

    fn simulcast(&mut self, media: &Media) {
        for rid in &media.rids {
            line!(self, "a=rid:{} {}", rid.id, rid.direction.as_str());
        }
        let Some(simulcast) = &media.simulcast else { return };
        let mut text = String::new();
        for (direction, streams) in [("send", &simulcast.send), ("recv", &simulcast.recv)] {
            if !streams.is_empty() {
                let _ = write!(text, "{}{direction} {}", if text.is_empty() { "" } else { " " }, streams.join(";"));
            }
        }
        line!(self, "a=simulcast:{text}");
    }
}
