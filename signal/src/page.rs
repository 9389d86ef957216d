//! The web page and the JavaScript client, inside the binary.

use axum::Router;
use std::borrow::Cow;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::cors::any_origin;
use crate::signal::Signal;

/// Nothing from elsewhere, no inline script, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    media-src 'self' blob: mediastream:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file under `web/page` by its name, as the page asks for it.
macro_rules! page_files {
    ($($content_type:ident $name:literal),* $(,)?) => {
        [$((concat!("/page/", $name), $content_type, include_str!(concat!("../web/page/", $name)))),*]
    };
}

const FILES: &[(&str, &str, &str)] = &page_files![
    SCRIPT "board.js",
    SCRIPT "breakouts.js",
    SCRIPT "call.js",
    SCRIPT "chat.js",
    SCRIPT "devices.js",
    SCRIPT "gallery.js",
    SCRIPT "invite.js",
    SCRIPT "keys.js",
    SCRIPT "make.js",
    SCRIPT "menu.js",
    SCRIPT "moderation.js",
    SCRIPT "network.js",
    SCRIPT "notices.js",
    SCRIPT "others.js",
    SCRIPT "page.js",
    SCRIPT "panel.js",
    SCRIPT "people.js",
    SCRIPT "polls.js",
    SCRIPT "reactions.js",
    SCRIPT "ringing.js",
    SCRIPT "sharing.js",
    SCRIPT "signin.js",
    SCRIPT "standing.js",
    SCRIPT "statistics.js",
    SCRIPT "tile.js",
    SCRIPT "viewing.js",
    SCRIPT "waiting.js",
    STYLE "call.css",
    STYLE "page.css",
    STYLE "panel.css",
    STYLE "tiles.css",
    SVG "icon.svg",
];

pub fn routes() -> Router<Signal> {
    // The client is a module that pages of other origins import.
    let client = Router::new()
        .route("/client/pointsman.js", get(|| async { file(SCRIPT, include_str!("../web/client/pointsman.js")) }))
        .route("/client/stats.js", get(|| async { file(SCRIPT, include_str!("../web/client/stats.js")) }))
        .layer(middleware::from_fn(any_origin));
    let index = Router::new().route("/", get(|State(signal): State<Signal>| async move { file(HTML, index(signal.config().dev_tokens)) }));
    let page = |router: Router<Signal>, &(path, content_type, body): &(&'static str, &'static str, &'static str)| {
        router.route(path, get(move || async move { file(content_type, body) }))
    };
    FILES.iter().fold(index, page).merge(client)
}

/// The dashboard, for listeners that operators reach. It holds nothing itself: what it shows it asks of `/api/v1`, with its user's token.
pub fn admin_routes() -> Router<Signal> {
    Router::new()
        .route("/admin", get(|State(signal): State<Signal>| async move { file(HTML, admin(signal.config().dev_tokens)) }))
        .route("/admin/admin.js", get(|| async { file(SCRIPT, include_str!("../web/admin/admin.js")) }))
        .route("/admin/api.js", get(|| async { file(SCRIPT, include_str!("../web/admin/api.js")) }))
        .route("/admin/plot.js", get(|| async { file(SCRIPT, include_str!("../web/admin/plot.js")) }))
        .route("/admin/views.js", get(|| async { file(SCRIPT, include_str!("../web/admin/views.js")) }))
        .route("/admin/admin.css", get(|| async { file(STYLE, include_str!("../web/admin/admin.css")) }))
        .route("/admin/icon.svg", get(|| async { file(SVG, include_str!("../web/page/icon.svg")) }))
}

fn admin(dev_tokens: bool) -> Cow<'static, str> {
    let html = include_str!("../web/admin/index.html");
    if dev_tokens { html.replacen("data-dev=\"false\"", "data-dev=\"true\"", 1).into() } else { html.into() }
}

/// The page must know whether it may ask for tokens.
fn index(dev_tokens: bool) -> Cow<'static, str> {
    let html = include_str!("../web/index.html");
    if dev_tokens { html.replacen("data-dev=\"false\"", "data-dev=\"true\"", 1).into() } else { html.into() }
}

fn file(content_type: &'static str, body: impl Into<Cow<'static, str>>) -> impl IntoResponse {
    let headers: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, content_type),
        // Small, and a new binary must be seen at once.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address may hold a token.
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, body.into())
}
