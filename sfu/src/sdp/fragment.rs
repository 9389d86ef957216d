//! Fragments that carry ICE alone: `application/trickle-ice-sdpfrag` (RFC 8840 section 9). Trickled candidates and ICE restarts come so
//! over HTTP (RFC 9725 section 4.3).

use std::fmt::Write;

use super::attribute::{Candidate, is_ice_credential, is_token, number, words};
use super::reader::split_line;
use super::{Limits, SyntaxError, SyntaxFault};
use crate::IceCredentials;

/// What a fragment says. Attributes that we do not act on are skipped, as RFC 8840 section 9.2 wants of unknown ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Of the client's present ICE; others than before ask for a restart.
    pub credentials: IceCredentials,
    pub ice_lite: bool,
    pub ice_options: Vec<String>,
    /// mids of the BUNDLE group.
    pub bundle: Vec<String>,
    pub media: Vec<FragmentMedia>,
}

/// A pseudo m-line with its candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentMedia {
    /// What stands on the m-line.
    pub line: String,
    pub mid: Option<String>,
    /// Those that could be read: what we do not understand is discarded in silence (RFC 9725 section 4.3.2).
    pub candidates: Vec<Candidate>,
    pub end_of_candidates: bool,
}

impl Fragment {
    /// Reads a fragment. Total: any text gives a value or an error.
    pub fn read(text: &str, limits: &Limits) -> Result<Self, SyntaxError> {
        let at = |line: usize| move |fault| SyntaxError { line, fault };
        if text.len() > limits.len_max {
            return Err(at(1)(SyntaxFault::TooLong));
        }
        let mut reader = Reader::new(limits);
        let mut last = 1;
        for (index, line) in text.split('\n').enumerate() {
            let line = line.strip_suffix('\r').unwrap_or(line).trim_end_matches(' ');
            last = index + 1;
            if !line.is_empty() {
                reader.line(line).map_err(at(last))?;
            }
        }
        reader.finish().map_err(at(last))
    }

    /// The text, lines ended by CRLF.
    pub fn write(&self) -> String {
        let Self { credentials: IceCredentials { ufrag, pwd }, ice_lite, ice_options, bundle, media } = self;
        let mut out = String::with_capacity(512);
        // Writing to a `String` cannot fail.
        let mut line = |text: std::fmt::Arguments<'_>| {
            let _ = out.write_fmt(text);
            out.push_str("\r\n");
        };
        if *ice_lite {
            line(format_args!("a=ice-lite"));
        }
        if !ice_options.is_empty() {
            line(format_args!("a=ice-options:{}", ice_options.join(" ")));
        }
        if !bundle.is_empty() {
            line(format_args!("a=group:BUNDLE {}", bundle.join(" ")));
        }
        if media.is_empty() {
            line(format_args!("a=ice-ufrag:{ufrag}"));
            line(format_args!("a=ice-pwd:{pwd}"));
        }
        for media in media {
            line(format_args!("m={}", media.line));
            if let Some(mid) = &media.mid {
                line(format_args!("a=mid:{mid}"));
            }
            line(format_args!("a=ice-ufrag:{ufrag}"));
            line(format_args!("a=ice-pwd:{pwd}"));
            for candidate in &media.candidates {
                line(format_args!("a={candidate}"));
            }
            if media.end_of_candidates {
                line(format_args!("a=end-of-candidates"));
            }
        }
        out
    }
}

struct Reader<'a> {
    limits: &'a Limits,
    /// Of the whole fragment.
    attributes: usize,
    ufrag: Option<String>,
    pwd: Option<String>,
    ice_lite: bool,
    ice_options: Vec<String>,
    bundle: Vec<String>,
    media: Vec<FragmentMedia>,
}

impl<'a> Reader<'a> {
    fn new(limits: &'a Limits) -> Self {
        let (ice_options, bundle, media) = (Vec::new(), Vec::new(), Vec::new());
        Self { limits, attributes: 0, ufrag: None, pwd: None, ice_lite: false, ice_options, bundle, media }
    }

    fn line(&mut self, line: &str) -> Result<(), SyntaxFault> {
        let (kind, value) = split_line(line, self.limits)?;
        match kind {
            "m" => self.media(value),
            "a" => self.attribute(value),
            _ => Ok(()),
        }
    }

    fn media(&mut self, value: &str) -> Result<(), SyntaxFault> {
        if self.media.len() >= self.limits.media_max {
            return Err(SyntaxFault::TooManyMedia);
        }
        let mut parts = value.split_ascii_whitespace();
        let whole = parts.next().is_some_and(is_token)
            && parts.next().is_some_and(|port| port.split('/').next().is_some_and(|port| number::<u16>(port).is_some()))
            && parts.next().is_some()
            && parts.next().is_some();
        if !whole {
            return Err(SyntaxFault::MediaLine);
        }
        self.media.push(FragmentMedia { line: words(value), mid: None, candidates: Vec::new(), end_of_candidates: false });
        Ok(())
    }

    fn attribute(&mut self, attribute: &str) -> Result<(), SyntaxFault> {
        self.attributes += 1;
        if self.attributes > self.limits.attributes_max {
            return Err(SyntaxFault::TooManyAttributes);
        }
        let (name, value) = attribute.split_once(':').map_or((attribute, ""), |(name, value)| (name, value.trim()));
        match (name, self.media.last_mut()) {
            ("ice-ufrag", _) => same(&mut self.ufrag, value, 4),
            ("ice-pwd", _) => same(&mut self.pwd, value, 22),
            ("ice-lite", None) => {
                self.ice_lite = true;
                Ok(())
            }
            ("ice-options", _) => {
                self.ice_options = value.split_ascii_whitespace().map(str::to_owned).collect();
                Ok(())
            }
            ("group", None) => {
                if let Some(mids) = value.strip_prefix("BUNDLE ") {
                    self.bundle = mids.split_ascii_whitespace().map(str::to_owned).collect();
                }
                Ok(())
            }
            ("mid", Some(media)) => {
                if !is_token(value) || value.len() > 255 {
                    return Err(SyntaxFault::Mid);
                }
                media.mid = Some(value.to_owned());
                Ok(())
            }
            ("candidate", Some(media)) => {
                media.candidates.extend(Candidate::read_value(value));
                Ok(())
            }
            ("end-of-candidates", Some(media)) => {
                media.end_of_candidates = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// RFC 8840 section 4.4: the credentials say which ICE it belongs to, so they are never missing.
    fn finish(self) -> Result<Fragment, SyntaxFault> {
        let Self { limits: _, attributes: _, ufrag, pwd, ice_lite, ice_options, bundle, media } = self;
        let (Some(ufrag), Some(pwd)) = (ufrag, pwd) else { return Err(SyntaxFault::NoIceCredentials) };
        Ok(Fragment { credentials: IceCredentials { ufrag, pwd }, ice_lite, ice_options, bundle, media })
    }
}

/// All m-lines share one transport, so all that name credentials name the same.
fn same(known: &mut Option<String>, value: &str, len_min: usize) -> Result<(), SyntaxFault> {
    if !is_ice_credential(value, len_min) {
        return Err(SyntaxFault::IceCredentials);
    }
    if known.as_ref().is_some_and(|known| known != value) {
        return Err(SyntaxFault::CredentialsDiffer);
    }
    *known = Some(value.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RFC 9725 section 4.3.2 shows it.
    const TRICKLED: &str = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
        a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
        a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw network-id 1\r\n\
        a=end-of-candidates\r\n";

    fn read(text: &str) -> Result<Fragment, SyntaxFault> {
        Fragment::read(text, &Limits::default()).map_err(|error| error.fault)
    }

    #[test]
    fn a_trickled_fragment_is_read_and_written() {
        let fragment = read(TRICKLED).unwrap();
        assert_eq!(fragment.credentials, IceCredentials { ufrag: "EsAw".into(), pwd: "P2uYro0UCOQ4zxjKXaWCBui1".into() });
        assert_eq!((fragment.bundle.join(" ").as_str(), fragment.media.len()), ("0 1", 1));
        let media = &fragment.media[0];
        assert_eq!((media.mid.as_deref(), media.candidates.len(), media.end_of_candidates), (Some("0"), 2, true));
        assert_eq!(read(&fragment.write()).unwrap(), fragment);
    }

    #[test]
    fn what_clients_send_is_read() {
        // whip-whep: credentials above the m-line; for a restart nothing else. Eyevinn's: component 0, which names nothing.
        let restart = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
        assert!(read(restart).unwrap().media.is_empty());
        let odd = format!("{restart}m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 0 udp 1 192.0.2.1 5 typ host\r\n");
        assert!(read(&odd).unwrap().media[0].candidates.is_empty());
        assert_eq!(read(&restart.replace("\r\n", "\n")).unwrap(), read(restart).unwrap(), "line ends of either kind");
        assert_eq!(read(&format!("{restart}a=something:new\r\nt=0 0\r\n")).unwrap(), read(restart).unwrap(), "unknown lines");
    }

    #[test]
    fn what_is_no_fragment_is_refused() {
        let pwd = "a=ice-pwd:0123456789012345678901\n";
        for (text, fault) in [
            ("", SyntaxFault::NoIceCredentials),
            ("a=ice-ufrag:abcd\n", SyntaxFault::NoIceCredentials),
            (pwd, SyntaxFault::NoIceCredentials),
            ("hello", SyntaxFault::NotALine),
            ("a=ice-ufrag:abc\n", SyntaxFault::IceCredentials),
            ("a=ice-ufrag:abcd\na=ice-ufrag:efgh\n", SyntaxFault::CredentialsDiffer),
            ("m=audio\n", SyntaxFault::MediaLine),
            ("m=audio x UDP/TLS/RTP/SAVPF 0\n", SyntaxFault::MediaLine),
            ("m=audio 9 RTP/AVP 0\na=mid:a b\n", SyntaxFault::Mid),
            ("a=x\u{1}\n", SyntaxFault::ControlCharacter),
        ] {
            assert_eq!(read(text), Err(fault), "{text:?}");
        }
        let limits = Limits { len_max: 4000, line_len_max: 100, media_max: 2, attributes_max: 5 };
        let limited = |text: &str| Fragment::read(text, &limits).map_err(|error| error.fault);
        assert_eq!(limited(&"x".repeat(4001)), Err(SyntaxFault::TooLong));
        assert_eq!(limited(&format!("a={}", "x".repeat(100))), Err(SyntaxFault::LineTooLong));
        assert_eq!(limited(&"m=audio 9 RTP/AVP 0\n".repeat(3)), Err(SyntaxFault::TooManyMedia));
        assert_eq!(limited(&"a=candidate:1 1 udp 1 192.0.2.1 5 typ host\n".repeat(6)), Err(SyntaxFault::TooManyAttributes));
    }

    #[test]
    fn seeds_of_the_fuzz_target() {
        pointsman_wire::corpus::replay("sdp_fragment", crate::sdp::fuzz_fragment);
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_value_or_an_error(text in "(a=ice-ufrag:[a-z]{0,6}\n|a=ice-pwd:[a-z]{20,24}\n|m=[a-z 0-9/]{0,20}\n|a=(mid|candidate|group):[ -~]{0,30}\n|[ -~]{0,10}\n){0,12}") {
            crate::sdp::fuzz_fragment(text.as_bytes());
        }
    }
}
