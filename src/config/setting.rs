//! How one value is read from TOML or from an environment variable, and shown.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::secret::Secret;

/// A value that cannot be taken: the bytes of the file that hold it, and why.
#[derive(Debug)]
pub struct Wrong {
    pub span: Range<usize>,
    pub why: String,
}

/// A type that a key can have.
pub trait Setting: Sized {
    /// What the key takes, for messages.
    fn takes() -> String;
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong>;
    /// From an environment variable: the text itself for strings, TOML for the rest.
    fn from_text(text: &str) -> Result<Self, String> {
        let value = DeValue::parse(text.trim()).map_err(|_| takes::<Self>(&format!("`{text}`")))?;
        Self::from_toml(&value).map_err(|wrong| wrong.why)
    }
    /// As TOML, secrets hidden; `None` for what is not set.
    fn show(&self) -> Option<String>;
}

fn takes<T: Setting>(got: &str) -> String {
    format!("{got} is not {}", T::takes())
}

pub(super) fn wrong_type<T: Setting>(value: &Spanned<DeValue<'_>>) -> Wrong {
    let got = match value.get_ref() {
        DeValue::String(text) => format!("the string {:?}", clip(text)),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(flag) => format!("`{flag}`"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    };
    Wrong { span: value.span(), why: takes::<T>(&got) }
}

/// Keeps messages readable when a whole file was pasted into a value.
fn clip(text: &str) -> String {
    if text.chars().count() > 60 { text.chars().take(60).chain("…".chars()).collect() } else { text.to_owned() }
}

/// Declares a [`Setting`] that is written as a string.
macro_rules! string_setting {
    ($type:ty, $takes:expr, $parse:expr, $show:expr) => {
        impl $crate::config::setting::Setting for $type {
            fn takes() -> String {
                $takes.to_owned()
            }
            fn from_toml(value: &toml::Spanned<toml::de::DeValue<'_>>) -> Result<Self, $crate::config::setting::Wrong> {
                let toml::de::DeValue::String(text) = value.get_ref() else {
                    return Err($crate::config::setting::wrong_type::<Self>(value));
                };
                Self::from_text(text).map_err(|why| $crate::config::setting::Wrong { span: value.span(), why })
            }
            fn from_text(text: &str) -> Result<Self, String> {
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(text).ok_or_else(|| $crate::config::setting::refusal::<Self>(text))
            }
            fn show(&self) -> Option<String> {
                let show: fn(&Self) -> String = $show;
                Some($crate::config::setting::quote(&show(self)))
            }
        }
    };
}
pub(super) use string_setting;

pub(super) fn refusal<T: Setting>(text: &str) -> String {
    takes::<T>(&format!("{:?}", clip(text)))
}

/// A TOML basic string. Rust's escapes of control characters differ from TOML's, so they are written out.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

string_setting!(String, "a string", |text| Some(text.to_owned()), |s| s.clone());
string_setting!(PathBuf, "a path", |text| (!text.is_empty()).then(|| text.into()), |path| path.display().to_string());
string_setting!(IpAddr, "an IP address", |text| text.trim().parse().ok(), |ip| ip.to_string());
string_setting!(SocketAddr, "an address with a port, as \"0.0.0.0:3478\" or \"[::]:3478\"", |text| text.trim().parse().ok(), |address| {
    address.to_string()
});

impl Setting for Secret {
    fn takes() -> String {
        "a string".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        match value.get_ref() {
            DeValue::String(text) => Ok(Self::new(text.as_ref())),
            // What stands there may be a secret all the same: it is not repeated in the message.
            _ => Err(Wrong { span: value.span(), why: "the secret must be a string".to_owned() }),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self::new(text))
    }

    fn show(&self) -> Option<String> {
        Some(quote(&self.to_string()))
    }
}

impl Setting for bool {
    fn takes() -> String {
        "true or false".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        value.get_ref().as_bool().ok_or_else(|| wrong_type::<Self>(value))
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl<T: Setting> Setting for Option<T> {
    fn takes() -> String {
        T::takes()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        T::from_toml(value).map(Some)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        T::from_text(text).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
}

/// A list; one value alone stands for a list of one.
impl<T: Setting> Setting for Vec<T> {
    fn takes() -> String {
        format!("{} or a list of them", T::takes())
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().map(T::from_toml).collect(),
            _ => Ok(vec![T::from_toml(value)?]),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('[') {
            // "[::]:3478" begins like a list, too.
            if let Ok(value) = DeValue::parse(text.trim()) {
                return Self::from_toml(&value).map_err(|wrong| wrong.why);
            }
        }
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::from_text).collect()
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(T::show).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

impl<T: Setting> Setting for BTreeMap<String, T> {
    fn takes() -> String {
        format!("a table of names, each with {}", T::takes())
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let DeValue::Table(table) = value.get_ref() else { return Err(wrong_type::<Self>(value)) };
        table.iter().map(|(name, value)| Ok((name.get_ref().to_string(), T::from_toml(value)?))).collect()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        // Not the default: the text holds secrets and must not be repeated.
        let value = DeValue::parse(text.trim()).map_err(|_| "not a table as `{ name = \"value\" }`".to_owned())?;
        Self::from_toml(&value).map_err(|wrong| wrong.why)
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(|(name, value)| Some(format!("{} = {}", show_key(name), value.show()?))).collect();
        Some(if items.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", items.join(", ")) })
    }
}

pub(super) fn show_key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { quote(name) }
}

/// A whole number, its bounds given by the key.
pub trait Number: Copy + PartialOrd + std::fmt::Display {
    fn from_u64(number: u64) -> Option<Self>;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn from_u64(number: u64) -> Option<Self> {
                Self::try_from(number).ok()
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64, usize);

/// A whole number within `allowed`.
pub(super) fn number_from_toml<N: Number>(value: &DeValue<'_>, min: N, max: N) -> Result<N, String> {
    let got = match value {
        DeValue::Integer(number) => number.to_string(),
        DeValue::String(text) => format!("the string {:?}", clip(text)),
        other => format!("a {}", other.type_str()),
    };
    let number = match value {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok().and_then(N::from_u64),
        _ => None,
    };
    number.filter(|number| (min..=max).contains(number)).ok_or_else(|| format!("{got} is not a whole number from {min} to {max}"))
}

pub(super) fn number_from_text<N: Number>(text: &str, min: N, max: N) -> Result<N, String> {
    let number = text.trim().parse().ok().and_then(N::from_u64);
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("`{}` is not a whole number from {min} to {max}", clip(text)))
}

/// The unit that a key's name ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
}

impl Unit {
    pub(super) fn duration(self, number: u64) -> Duration {
        match self {
            Self::Seconds => Duration::from_secs(number),
            Self::Milliseconds => Duration::from_millis(number),
            Self::Microseconds => Duration::from_micros(number),
        }
    }

    pub(super) fn number(self, duration: Duration) -> u128 {
        match self {
            Self::Seconds => u128::from(duration.as_secs()),
            Self::Milliseconds => duration.as_millis(),
            Self::Microseconds => duration.as_micros(),
        }
    }

    /// From the key's name: `idle_timeout_s`.
    pub(super) fn of(key: &str) -> Self {
        match key.rsplit_once('_').map(|(_, unit)| unit) {
            Some("ms") => Self::Milliseconds,
            Some("us") => Self::Microseconds,
            _ => Self::Seconds,
        }
    }
}
