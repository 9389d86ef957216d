//! HTTP errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::message::ErrorCode;
use crate::room::Refusal;
use crate::token::TokenError;

#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    /// What is wrong and what would be right, for the developer at the other end.
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// No token at all (RFC 6750 §3.1: then no error code).
    pub fn no_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "a token is needed: Authorization: Bearer …")
            .with(WWW_AUTHENTICATE, r#"Bearer realm="pointsman""#)
    }

    pub fn token(error: TokenError) -> Self {
        let challenge = format!(r#"Bearer realm="pointsman", error="invalid_token", error_description="{error}""#);
        Self::new(StatusCode::UNAUTHORIZED, error.to_string()).with(WWW_AUTHENTICATE, &challenge)
    }

    /// A good token that does not grant this.
    pub fn forbidden(detail: &str) -> Self {
        let challenge = format!(r#"Bearer realm="pointsman", error="insufficient_scope", error_description="{detail}""#);
        Self::new(StatusCode::FORBIDDEN, detail).with(WWW_AUTHENTICATE, &challenge)
    }

    pub fn method(allow: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("this address takes {allow}")).with(ALLOW, allow)
    }

    /// A body of another type than is taken (RFC 5789 section 2.2: PATCH says which is).
    pub fn media_type(detail: impl Into<String>, header: HeaderName, taken: &str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).with(header, taken)
    }

    /// RFC 6585 section 3.
    pub fn precondition_required() -> Self {
        Self::new(StatusCode::PRECONDITION_REQUIRED, "If-Match is needed: the last ETag, or * for an ICE restart")
    }

    pub fn precondition_failed() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "ICE was restarted since: If-Match is not the last ETag")
    }

    /// RFC 6585 section 4.
    pub fn too_many(wait_ms: u64) -> Self {
        let wait_s = wait_ms.div_ceil(1000).max(1).to_string();
        Self::new(StatusCode::TOO_MANY_REQUESTS, format!("too many requests for this resource; wait {wait_s} s")).with(RETRY_AFTER, &wait_s)
    }

    /// The WHEP draft, section 4.2: nobody publishes yet.
    pub fn not_live(retry_s: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "nobody publishes here at the moment").with(RETRY_AFTER, retry_s)
    }

    /// Whose secret to resume is not known, or no longer.
    pub fn too_late() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "it is too late to resume: join again").with(WWW_AUTHENTICATE, "Bearer")
    }

    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(RETRY_AFTER, "5")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, message, field: _ } = refusal;
        match code {
            ErrorCode::Malformed | ErrorCode::UnknownType | ErrorCode::BadSdp | ErrorCode::AlreadyJoined => {
                Self::new(StatusCode::BAD_REQUEST, message)
            }
            ErrorCode::UnacceptableSdp => Self::new(StatusCode::UNPROCESSABLE_ENTITY, message),
            ErrorCode::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, message),
            ErrorCode::Forbidden | ErrorCode::Banned | ErrorCode::Locked | ErrorCode::Waiting => Self::forbidden(&message),
            ErrorCode::NotFound => Self::new(StatusCode::NOT_FOUND, message),
            // The participant was gone before it was there: someone else took its identity meanwhile.
            ErrorCode::NotJoined | ErrorCode::Over => Self::new(StatusCode::CONFLICT, message),
            ErrorCode::Full | ErrorCode::Busy => Self::busy(message),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, detail, headers } = self;
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": detail,
        });
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().extend(headers);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
