//! Values that a key can have beyond numbers, strings and addresses.

use std::fmt;
use std::net::IpAddr;

use pointsman_turn::config::DefaultFamily;
use pointsman_turn::{AddressRange, PeerDefault};
use toml::Spanned;
use toml::de::DeValue;

use super::setting::{Setting, Wrong, quote, wrong_type};
use crate::users::{AddressError, Database};

/// `public_ip`: "auto", an address, or a list of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PublicIp {
    /// The address that the routing table would send from.
    #[default]
    Auto,
    List(Vec<IpAddr>),
}

impl PublicIp {
    fn list(list: Vec<IpAddr>) -> Result<Self, String> {
        if list.is_empty() {
            return Err("the list is empty; write \"auto\" to ask the routing table".to_owned());
        }
        if let Some(wrong) = list.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(format!("{wrong} is no address that a client could reach"));
        }
        Ok(Self::List(list))
    }
}

impl Setting for PublicIp {
    fn takes() -> String {
        "\"auto\", an IP address, or a list of IP addresses".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let wrong = |why| Wrong { span: value.span(), why };
        match value.get_ref() {
            DeValue::String(text) => Self::from_text(text).map_err(wrong),
            DeValue::Array(_) => Self::list(Vec::from_toml(value)?).map_err(wrong),
            _ => Err(wrong_type::<Self>(value)),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            text if text.starts_with('[') || text.contains(',') => Self::list(Vec::from_text(text)?),
            text => match text.parse() {
                Ok(ip) => Self::list(vec![ip]),
                Err(_) => Err(format!("{text:?} is not {}", Self::takes())),
            },
        }
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Auto => Some(quote("auto")),
            Self::List(list) => list.show(),
        }
    }
}

/// `relay_ports`: an inclusive range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl Default for PortRange {
    /// The dynamic ports (RFC 6335 section 6), which RFC 8656 section 7.2 recommends for relayed addresses.
    fn default() -> Self {
        Self { first: 49_152, last: 65_535 }
    }
}

impl Setting for PortRange {
    fn takes() -> String {
        "a range of ports from 1 to 65535, as \"49152-65535\"".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let DeValue::String(text) = value.get_ref() else { return Err(wrong_type::<Self>(value)) };
        Self::from_text(text).map_err(|why| Wrong { span: value.span(), why })
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let ends = text.split_once('-').and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
        match ends {
            Some((first, last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err(format!("{text:?} is not {}", Self::takes())),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quote(&format!("{}-{}", self.first, self.last)))
    }
}

/// An IP network, as "10.0.0.0/8"; an address alone is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub ip: IpAddr,
    /// Leading bits that count.
    pub prefix: u8,
}

impl Network {
    pub const fn new(ip: IpAddr, prefix: u8) -> Self {
        Self { ip, prefix }
    }

    /// All its addresses.
    pub fn range(&self) -> Option<AddressRange> {
        AddressRange::network(self.ip, self.prefix)
    }

    fn parse(text: &str) -> Option<Self> {
        let (ip, prefix) = match text.trim().split_once('/') {
            Some((ip, prefix)) => (ip.parse().ok()?, Some(prefix.parse().ok()?)),
            None => (text.trim().parse().ok()?, None),
        };
        let bits = match ip {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let prefix = prefix.unwrap_or(bits);
        let network = Self { ip, prefix };
        (prefix <= bits && !network.has_host_bits()).then_some(network)
    }

    /// "10.1.2.3/8" is more likely a slip than a wish.
    fn has_host_bits(&self) -> bool {
        match self.ip {
            IpAddr::V4(ip) => u32::from(ip).checked_shl(u32::from(self.prefix)).unwrap_or(0) != 0,
            IpAddr::V6(ip) => u128::from(ip).checked_shl(u32::from(self.prefix)).unwrap_or(0) != 0,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl Setting for Network {
    fn takes() -> String {
        "a network, as \"10.0.0.0/8\" or \"2001:db8::/32\" (no bits set after the prefix), or an IP address".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let DeValue::String(text) = value.get_ref() else { return Err(wrong_type::<Self>(value)) };
        Self::from_text(text).map_err(|why| Wrong { span: value.span(), why })
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| format!("{text:?} is not {}", Self::takes()))
    }

    fn show(&self) -> Option<String> {
        Some(quote(&self.to_string()))
    }
}

/// `shared_secret_separator`: the character between time and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separator(pub char);

impl Setting for Separator {
    fn takes() -> String {
        "a single character that is no digit".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let DeValue::String(text) = value.get_ref() else { return Err(wrong_type::<Self>(value)) };
        Self::from_text(text).map_err(|why| Wrong { span: value.span(), why })
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(separator), None) if !separator.is_ascii_digit() => Ok(Self(separator)),
            _ => Err(format!("{text:?} is not {}", Self::takes())),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quote(&self.0.to_string()))
    }
}

/// `level`: one level for all, or per module as `tracing-subscriber` takes it ("info,pointsman::engine=debug").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(pub String);

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl Setting for LogFilter {
    fn takes() -> String {
        "error, warn, info, debug, trace or off, alone or per module as \"info,pointsman::engine=debug\"".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let DeValue::String(text) = value.get_ref() else { return Err(wrong_type::<Self>(value)) };
        Self::from_text(text).map_err(|why| Wrong { span: value.span(), why })
    }

    fn from_text(text: &str) -> Result<Self, String> {
        // A single unknown word would be taken for the name of a module.
        let word = ["error", "warn", "info", "debug", "trace", "off"].contains(&text) || text.contains(['=', ',']);
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) if word => Ok(Self(text.to_owned())),
            _ => Err(format!("{text:?} is not {}", Self::takes())),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quote(&self.0))
    }
}

impl Setting for Database {
    fn takes() -> String {
        "a database, as \"sqlite:/var/lib/turn/turndb\", \"postgresql://…\", \"mysql://…\" or \"redis://…\"".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let wrong = |why: String| Wrong { span: value.span(), why };
        // Never repeated in a message: it may hold a password.
        let DeValue::String(text) = value.get_ref() else { return Err(wrong(format!("this is not {}", Self::takes()))) };
        Self::from_text(text).map_err(wrong)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: AddressError| format!("this is not {}: {error}", Self::takes()))
    }

    fn show(&self) -> Option<String> {
        Some(quote(&self.to_string()))
    }
}

/// Words for the values of an enum.
macro_rules! words {
    ($name:ident { $($word:literal => $value:path),+ $(,)? }) => {
        impl Setting for $name {
            fn takes() -> String {
                [$(concat!("`\"", $word, "\"`")),+].join(" or ")
            }

            fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
                let DeValue::String(text) = value.get_ref() else { return Err(wrong_type::<Self>(value)) };
                Self::from_text(text).map_err(|why| Wrong { span: value.span(), why })
            }

            fn from_text(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self($value)),)+
                    _ => Err(format!("{text:?} is not {}", Self::takes())),
                }
            }

            fn show(&self) -> Option<String> {
                Some(quote(match self.0 { $($value => $word),+ }))
            }
        }
    };
}

/// The family of a relay whose client asks for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayFamily(pub DefaultFamily);

words!(RelayFamily { "ipv4" => DefaultFamily::V4, "ipv6" => DefaultFamily::V6, "keep" => DefaultFamily::Keep });

/// Whom relays may talk to where no list says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peers(pub PeerDefault);

words!(Peers { "own" => PeerDefault::OwnOnly, "public" => PeerDefault::Public, "coturn" => PeerDefault::Coturn });
