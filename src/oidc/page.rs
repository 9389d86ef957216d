//! The page for what went wrong on the way.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::error::{ProviderError, Trouble};
use super::person::NotAllowed;

/// The page's own style sheet and icon, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Status, heading, and what to do.
fn words(trouble: &Trouble) -> (StatusCode, &'static str, &'static str) {
    match trouble {
        Trouble::Elsewhere => (
            StatusCode::BAD_REQUEST,
            "This link leads elsewhere",
            "After signing in it would leave this site. Begin on the call page instead.",
        ),
        Trouble::NotBegun => (
            StatusCode::BAD_REQUEST,
            "Please sign in again",
            "This sign-in took too long, or it began in another browser or in another tab.",
        ),
        Trouble::Declined => (StatusCode::FORBIDDEN, "You were not signed in", "Signing in was cancelled, or your account was refused."),
        Trouble::NotAllowed(NotAllowed::NoEmail) => (
            StatusCode::FORBIDDEN,
            "You cannot come in with this account",
            "It has no confirmed e-mail address, and this server lets in only those of some organisations.",
        ),
        Trouble::NotAllowed(NotAllowed::Domain) => (
            StatusCode::FORBIDDEN,
            "You cannot come in with this account",
            "This server lets in only e-mail addresses of some organisations, and yours is of another.",
        ),
        Trouble::Provider(ProviderError::Busy) => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many people sign in at the moment", "Try again in a few seconds.")
        }
        Trouble::Provider(ProviderError::Unreachable(_) | ProviderError::Status { .. } | ProviderError::Answer(_)) => (
            StatusCode::BAD_GATEWAY,
            "Signing in does not work at the moment",
            "The sign-in service does not answer as it should. Try again in a moment; calls that are on go on.",
        ),
        Trouble::Provider(ProviderError::Refused(_) | ProviderError::IdToken(_)) => {
            (StatusCode::BAD_GATEWAY, "You were not signed in", "The sign-in service's answer was not accepted. Please sign in again.")
        }
        Trouble::Ours => (StatusCode::INTERNAL_SERVER_ERROR, "Signing in does not work at the moment", "Try again in a moment."),
    }
}

/// `then`: where they wanted to go.
pub fn trouble(trouble: &Trouble, then: &str) -> Response {
    let (status, heading, text) = words(trouble);
    // Percent-encoding leaves nothing that HTML could misread.
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("then", then).finish();
    let body = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{heading} · Pointsman</title>
<link rel="icon" href="/page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/page/page.css">
</head>
<body data-view="waiting">
<main class="held">
<div class="card narrow">
<img src="/page/icon.svg" alt="" width="36" height="36">
<h1>{heading}</h1>
<p>{text}</p>
<a class="primary" href="/oidc/login?{query}">Sign in again</a>
<a href="/">To the call page</a>
</div>
</main>
</body>
</html>
"#
    );
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)], body).into_response()
}
