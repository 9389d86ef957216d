//! ICE servers as `Link` headers (RFC 9725 section 4.6, RFC 8288).

use std::borrow::Cow;

use crate::media::IceServer;

/// One for each address.
pub(super) fn links(server: &IceServer) -> Vec<String> {
    let IceServer { urls, username, credential } = server;
    let login = if username.is_empty() {
        String::new()
    } else {
        let (username, credential) = (quoted(username), quoted(credential));
        format!("; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\"")
    };
    urls.iter().map(|url| format!("<{url}>; rel=\"ice-server\"{login}")).collect()
}

fn quoted(text: &str) -> Cow<'_, str> {
    if text.contains(['"', '\\']) { text.replace('\\', "\\\\").replace('"', "\\\"").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_in_credentials_are_escaped() {
        let server = IceServer { urls: vec!["turn:h".into()], username: r#"a"b\c"#.into(), credential: "d".into() };
        assert!(links(&server)[0].contains(r#"username="a\"b\\c""#));
    }
}
