//! Sign-in with an OpenID Connect provider: authorization code flow with PKCE, state and nonce (RFC 6749, RFC 7636, OpenID Connect Core
//! and Discovery 1.0). Who signed in gets the same join tokens as everyone else.
//!
//! ```text
//!  browser ── /oidc/login ─────▶ cookie "login": state, nonce, verifier; on to the provider
//!    provider ── /oidc/callback ─▶ code ──▶ ID token, claims ──▶ cookie "person": who it is, until when
//!  page ────── /oidc/token?room=… ─▶ a join token, in the body of the answer
//!  dashboard ─ /oidc/operator ─────▶ an operator's token, for administrators
//! ```
//! Nothing is kept here of who comes by or signs in: it is in the browser's cookies, sealed ([`seal`]), so there is no table that
//! strangers could fill. Tokens never stand in an address, so neither logs nor `Referer` have them.

mod address;
mod client;
mod config;
mod cookies;
mod error;
mod id_token;
mod key_set;
mod page;
mod person;
mod provider;
mod routes;
mod seal;
#[cfg(test)]
mod tests;

pub use address::WebAddress;
pub use config::{Config, Rule};
pub use routes::{SignIn, check_files};
