//! `/oidc/…`: what browsers ask.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue, LOCATION, ORIGIN, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pointsman_signal::token::{Claims, Keys, ROOM_BYTES_MAX};
use pointsman_signal::{Bucket, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::address::WebAddress;
use super::client::Client;
use super::config::Config;
use super::cookies::Cookies;
use super::error::{ProviderError, Trouble};
use super::page;
use super::person::Person;
use super::provider::{Code, Provider};
use super::seal::{Purpose, Seal, random_text, same};
use crate::config::Secret;
use crate::failure::Failure;

const CALLBACK: &str = "/oidc/callback";
/// Where people go afterwards: a path with a room's name.
const THEN_BYTES_MAX: usize = 1_024;
/// Codes have a few dozen bytes, some providers' a thousand.
const CODE_BYTES_MAX: usize = 4_096;
/// One line in the log about a provider that does not work.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// Sign-in, and who signed in. Cheap to clone.
#[derive(Clone)]
pub struct SignIn(Arc<Inner>);

struct Inner {
    config: Config,
    provider: Provider,
    /// Where people reach us, as browsers write it.
    origin: String,
    cookies: Cookies,
    seal: Seal,
    keys: Keys,
    /// Signs tokens.
    key: String,
    complained: Mutex<Option<Instant>>,
    /// Codes that are exchanged, since then.
    pace: Mutex<Bucket>,
    started: Instant,
}

/// A sign-in that has begun, in the browser's keeping.
#[derive(Serialize, Deserialize)]
struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    then: String,
    begun_s: u64,
}

impl SignIn {
    /// `None` when no provider is configured. `key` of `keys` signs tokens, its secret also seals cookies. Asks nobody yet: a provider that
    /// is down keeps nothing from starting.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn new(config: &Config, url: Option<WebAddress>, keys: Keys, key: &str, secret: &Secret) -> Result<Option<Self>, Failure> {
        let (Some(issuer), Some(url)) = (config.issuer.clone(), url) else { return Ok(None) };
        let client_id = config.client_id.clone().unwrap_or_default();
        let provider = Provider::new(issuer, client_id, client_secret(config)?, config).map_err(Failure::Operator)?;
        let seal = Seal::new(secret.expose().as_bytes(), &decisive(config))
            .ok_or_else(|| Failure::Other("the crypto library makes no key for cookies".to_owned()))?;
        let (origin, cookies) = (url.origin(), Cookies::new(url.is_https()));
        let inner = Inner {
            config: config.clone(),
            provider,
            origin,
            cookies,
            seal,
            keys,
            key: key.to_owned(),
            complained: Mutex::default(),
            pace: Mutex::new(Bucket::new(config.sign_ins_per_s, config.sign_ins_burst, 0)),
            started: Instant::now(),
        };
        Ok(Some(Self(Arc::new(inner))))
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/oidc/login", get(login))
            .route(CALLBACK, get(callback))
            .route("/oidc/me", get(me))
            .route("/oidc/token", get(token))
            .route("/oidc/operator", get(operator))
            .route("/oidc/logout", post(logout))
            .layer(middleware::from_fn(private))
            .with_state(self.clone())
    }
}

/// Whose change signs everyone out: ranks are given when somebody signs in.
fn decisive(config: &Config) -> String {
    let Config {
        issuer,
        client_id,
        client_secret: _,
        client_secret_file: _,
        url: _,
        authorities: _,
        scopes: _,
        name_claims: _,
        admins,
        hosts,
        domains,
        unverified_emails,
        stay: _,
        token: _,
        login: _,
        timeout: _,
        requests_max: _,
        sign_ins_per_s: _,
        sign_ins_burst: _,
        end_at_provider: _,
    } = config;
    let issuer = issuer.as_ref().map(WebAddress::as_str);
    format!("{issuer:?} {client_id:?} {admins:?} {hosts:?} {domains:?} {unverified_emails}")
}

/// Reads the files that are configured, and forgets them.
///
/// # Errors
/// A file that cannot be used.
pub fn check_files(config: &Config) -> Result<(), Failure> {
    client_secret(config)?;
    Client::new(config).map(|_| ()).map_err(Failure::Operator)
}

fn client_secret(config: &Config) -> Result<Option<Secret>, Failure> {
    let Some(file) = &config.client_secret_file else { return Ok(config.client_secret.clone()) };
    let unusable = |why: String| Failure::Operator(format!("[oidc] `client_secret_file`: {}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    match text.trim() {
        "" => Err(unusable("is empty".to_owned())),
        secret => Ok(Some(Secret::new(secret))),
    }
}

/// Answers are for one browser, and addresses on the way hold codes.
async fn private(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[derive(Deserialize)]
struct Wish {
    #[serde(default = "root")]
    then: String,
}

fn root() -> String {
    "/".to_owned()
}

/// Sends people to the provider.
async fn login(State(sign_in): State<SignIn>, wish: Result<Query<Wish>, QueryRejection>) -> Response {
    let Some(then) = wish.ok().map(|Query(Wish { then })| then).filter(|then| is_own_path(then)) else {
        return page::trouble(&Trouble::Elsewhere, "/");
    };
    match sign_in.begin(&then).await {
        Ok(response) => response,
        Err(trouble) => sign_in.tell(&trouble, &then),
    }
}

/// What the provider sends back with people (RFC 6749 section 4.1.2, RFC 9207).
#[derive(Default, Deserialize)]
struct Brought {
    code: Option<String>,
    #[serde(default)]
    state: String,
    iss: Option<String>,
    error: Option<String>,
}

/// People come back from the provider.
async fn callback(State(sign_in): State<SignIn>, headers: HeaderMap, brought: Result<Query<Brought>, QueryRejection>) -> Response {
    let Query(brought) = brought.unwrap_or_default();
    let cookie = sign_in.0.cookies.read(&headers, Purpose::Login);
    let begun = cookie.and_then(|text| sign_in.0.seal.open::<Begun>(Purpose::Login, text));
    let is_fresh = |begun: &Begun| unix_s() < begun.begun_s.saturating_add(sign_in.0.config.login.as_secs());
    // RFC 6749 section 10.12: who brings another state did not begin here.
    let Some(begun) = begun.filter(|begun| is_fresh(begun) && same(&begun.state, &brought.state)) else {
        return page::trouble(&Trouble::NotBegun, "/");
    };
    let then = begun.then.clone();
    let mut response = match sign_in.finish(begun, brought).await {
        Ok(response) => response,
        Err(trouble) => sign_in.tell(&trouble, &then),
    };
    // A code and its state are for once.
    response.headers_mut().extend(sign_in.0.cookies.forget(Purpose::Login).map(|cookie| (SET_COOKIE, cookie)));
    response
}

/// Who asks: for the page, before it offers anything.
async fn me(State(sign_in): State<SignIn>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    must_be_own_page(&headers)?;
    Ok(Json(match sign_in.person(&headers) {
        Some(Person { identity, name, rank, until_s }) => {
            json!({ "signed_in": true, "identity": identity, "name": name, "rank": rank, "expires_s": until_s })
        }
        None => json!({ "signed_in": false }),
    }))
}

#[derive(Deserialize)]
struct Room {
    room: String,
}

/// A join token for whoever signed in.
async fn token(
    State(sign_in): State<SignIn>,
    headers: HeaderMap,
    room: Result<Query<Room>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    must_be_own_page(&headers)?;
    let person = sign_in.person(&headers).ok_or_else(not_signed_in)?;
    let room = room.map(|Query(Room { room })| room).unwrap_or_default();
    let room = room.trim();
    if room.is_empty() || room.len() > ROOM_BYTES_MAX {
        return Err(Problem::new(StatusCode::BAD_REQUEST, format!("room must have 1 to {ROOM_BYTES_MAX} bytes")));
    }
    let Inner { key, config, .. } = &*sign_in.0;
    sign_in.mint(&person.join(room, key, unix_s(), config.token.as_secs()))
}

/// An operator's token, for administrators.
async fn operator(State(sign_in): State<SignIn>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    must_be_own_page(&headers)?;
    let person = sign_in.person(&headers).ok_or_else(not_signed_in)?;
    let Inner { key, config, .. } = &*sign_in.0;
    let claims = person.operate(key, unix_s(), config.token.as_secs());
    let claims = claims.ok_or_else(|| Problem::new(StatusCode::FORBIDDEN, "you are not an administrator of this server"))?;
    tracing::info!(identity = person.identity, "an administrator's token");
    sign_in.mint(&claims)
}

/// Ends a sign-in here. Tokens that were made live until they expire.
async fn logout(State(sign_in): State<SignIn>, headers: HeaderMap) -> Result<Response, Problem> {
    // Browsers say with every POST whose page it comes from.
    let is_own = headers.get(ORIGIN).is_none_or(|origin| origin.as_bytes() == sign_in.0.origin.as_bytes());
    if !is_own {
        return Err(Problem::new(StatusCode::FORBIDDEN, "only this server's own pages sign people out"));
    }
    let person = sign_in.person(&headers);
    let then = match &person {
        Some(_) if sign_in.0.config.end_at_provider => sign_in.farewell().await,
        Some(_) | None => None,
    };
    if let Some(Person { identity, .. }) = person {
        tracing::info!(identity, "signed out");
    }
    let mut response = Json(json!({ "then": then })).into_response();
    response.headers_mut().extend(sign_in.0.cookies.forget(Purpose::Person).map(|cookie| (SET_COOKIE, cookie)));
    Ok(response)
}

impl SignIn {
    /// OpenID Connect Core section 3.1.2.1, RFC 7636 section 4.3.
    async fn begin(&self, then: &str) -> Result<Response, Trouble> {
        let Inner { config, provider, cookies, seal, .. } = &*self.0;
        let metadata = provider.metadata().await?;
        let random = || random_text().ok_or(Trouble::Ours);
        let begun = Begun { state: random()?, nonce: random()?, verifier: random()?, then: then.to_owned(), begun_s: unix_s() };
        let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, begun.verifier.as_bytes()));
        let to = metadata.authorization_endpoint.with(&[
            ("response_type", "code"),
            ("client_id", provider.client_id()),
            ("redirect_uri", &self.redirect_uri()),
            ("scope", &config.scopes.join(" ")),
            ("state", &begun.state),
            ("nonce", &begun.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let sealed = seal.close(Purpose::Login, &begun).ok_or(Trouble::Ours)?;
        go(&to, cookies.set(Purpose::Login, &sealed, config.login))
    }

    async fn finish(&self, begun: Begun, brought: Brought) -> Result<Response, Trouble> {
        let Inner { config, provider, origin, cookies, seal, .. } = &*self.0;
        let Begun { state: _, nonce, verifier, then, begun_s } = begun;
        let Brought { code, state: _, iss, error } = brought;
        let metadata = provider.metadata().await?;
        // RFC 9207 section 2.4: an answer of another provider.
        let is_the_providers = match &iss {
            Some(iss) => iss == provider.issuer(),
            None => !metadata.authorization_response_iss_parameter_supported,
        };
        if !is_the_providers {
            return Err(Trouble::NotBegun);
        }
        if error.is_some() {
            return Err(Trouble::Declined);
        }
        let code = code.filter(|code| !code.is_empty() && code.len() <= CODE_BYTES_MAX).ok_or(Trouble::NotBegun)?;
        let code = Code { code, verifier, redirect_uri: self.redirect_uri(), nonce: &nonce, begun_s };
        self.take_turn()?;
        let vouched = provider.redeem(code).await?;
        let person = Person::of(&vouched, config, unix_s()).map_err(Trouble::NotAllowed)?;
        let sealed = seal.close(Purpose::Person, &person).ok_or(Trouble::Ours)?;
        tracing::info!(identity = person.identity, rank = ?person.rank, "signed in");
        go(&format!("{origin}{then}"), cookies.set(Purpose::Person, &sealed, config.stay))
    }

    /// Not too many at once.
    fn take_turn(&self) -> Result<(), ProviderError> {
        let Inner { pace, started, .. } = &*self.0;
        let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        pace.lock().unwrap_or_else(PoisonError::into_inner).take_if_free(now_ms).map_err(|_| ProviderError::Busy)
    }

    /// OpenID Connect RP-Initiated Logout 1.0 section 2. Without an ID token to show, the provider asks people whether they mean it.
    async fn farewell(&self) -> Option<String> {
        let Inner { provider, origin, .. } = &*self.0;
        let metadata = provider.metadata().await.ok()?;
        let back = format!("{origin}/");
        Some(metadata.end_session_endpoint.as_ref()?.with(&[("client_id", provider.client_id()), ("post_logout_redirect_uri", &back)]))
    }

    fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.0.origin)
    }

    /// Who asks, if they signed in and are still.
    fn person(&self, headers: &HeaderMap) -> Option<Person> {
        let person: Person = self.0.seal.open(Purpose::Person, self.0.cookies.read(headers, Purpose::Person)?)?;
        (unix_s() < person.until_s).then_some(person)
    }

    fn mint(&self, claims: &Claims) -> Result<Json<Value>, Problem> {
        let token = self.0.keys.mint(claims).map_err(Problem::token)?;
        Ok(Json(json!({ "token": token, "expires_s": claims.exp })))
    }

    /// Tells people, and now and then the operator.
    fn tell(&self, trouble: &Trouble, then: &str) -> Response {
        if let Trouble::Provider(error) = trouble {
            self.complain(error);
        }
        page::trouble(trouble, then)
    }

    /// As if what the provider said had been said so much earlier.
    #[cfg(test)]
    pub(super) async fn age(&self, by: Duration) {
        self.0.provider.age(by).await;
    }

    fn complain(&self, error: &ProviderError) {
        let mut complained = self.0.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = complained.is_none_or(|at| at.elapsed() > COMPLAINT_PAUSE);
        if error.is_operators() && is_due {
            *complained = Some(Instant::now());
            tracing::warn!(%error, "sign-in does not work");
        } else {
            tracing::debug!(%error, "sign-in failed");
        }
    }
}

/// RFC 9110 section 15.4.4: to be fetched with GET, whatever this was.
fn go(to: &str, cookie: Option<HeaderValue>) -> Result<Response, Trouble> {
    let to = HeaderValue::from_str(to).map_err(|_| Trouble::Ours)?;
    let cookie = cookie.ok_or(Trouble::Ours)?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, to), (SET_COOKIE, cookie)]).into_response())
}

/// A path of this server, which no browser takes for another host's address, and not one that signs in again.
fn is_own_path(then: &str) -> bool {
    then.len() <= THEN_BYTES_MAX
        && then.starts_with('/')
        && !then.starts_with("//")
        && !then.starts_with("/oidc/")
        && then.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// Browsers say on whose behalf they ask (Fetch Metadata); others have no cookies of people.
fn must_be_own_page(headers: &HeaderMap) -> Result<(), Problem> {
    let is_own =
        headers.get("sec-fetch-site").is_none_or(|site| ["same-origin", "none"].iter().any(|own| site.as_bytes() == own.as_bytes()));
    if is_own { Ok(()) } else { Err(Problem::new(StatusCode::FORBIDDEN, "only this server's own pages may ask")) }
}

fn not_signed_in() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "sign in first: /oidc/login")
}

/// In seconds since 1970.
pub(super) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
