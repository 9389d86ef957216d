//! Reads a database's address: words `name=value` as libpq and coturn have them, or a URI. Total: every text is read or refused.

use super::error::AddressError;

/// Settings in their order, names as written.
pub(super) type Settings = Vec<(String, String)>;

/// `host=db dbname=turn password='two words'`: libpq's rules, with spaces around `=`, quotes and backslashes.
pub(super) fn quoted_words(text: &str) -> Result<Settings, AddressError> {
    let mut settings = Settings::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let wrong = AddressError::Syntax(settings.len() + 1);
        let (name, after) = rest.split_once('=').ok_or(wrong.clone())?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong);
        }
        let (value, after) = value(after.trim_start_matches(' ')).ok_or(wrong)?;
        settings.push((name.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(settings)
}

/// `host=db dbname=turn password=secret`: coturn's rules for the other databases, where nothing is special but spaces.
pub(super) fn plain_words(text: &str) -> Result<Settings, AddressError> {
    let words = text.split_whitespace().enumerate().map(|(at, word)| word.split_once('=').ok_or(AddressError::Syntax(at + 1)));
    words.map(|word| word.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

/// A value up to a space, or in quotes. `None`: a quote that does not end, or something right behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let (text, quoted) = text.strip_prefix('\'').map_or((text, false), |text| (text, true));
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '\'' if quoted => {
                let rest = &text[at + 1..];
                return (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some((value, rest));
            }
            c if !quoted && c.is_whitespace() => return Some((value, &text[at..])),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

/// `scheme://user:password@host:port/dbname?name=value&…`, percent-encoded; `rest` is what stands behind `//`.
pub(super) fn uri(rest: &str) -> Result<Settings, AddressError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (who, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = who.split_once(':').unwrap_or((who, ""));
    let (host, port) = match place.strip_prefix('[').and_then(|place| place.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let mut settings = Settings::new();
    for (name, value) in [("user", user), ("password", password), ("host", host), ("port", port), ("dbname", path)] {
        if !value.is_empty() {
            settings.push((name.to_owned(), percent_decoded(value).ok_or(AddressError::Value(name_of_part(name)))?));
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(AddressError::Syntax(settings.len() + 1))?;
        settings.push((name.to_owned(), percent_decoded(value).ok_or(AddressError::Value("a parameter"))?));
    }
    Ok(settings)
}

fn name_of_part(name: &str) -> &'static str {
    match name {
        "user" => "user",
        "password" => "password",
        "host" => "host",
        "port" => "port",
        _ => "dbname",
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(bytes).ok()
}
