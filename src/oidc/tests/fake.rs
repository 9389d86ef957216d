//! A provider on loopback, and a browser that comes by.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::body::{Body, to_bytes};
use axum::extract::{Form, State};
use axum::http::header::{AUTHORIZATION, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::config::Secret;
use crate::oidc::routes::unix_s;
use crate::oidc::{Config, SignIn};

pub const CLIENT_SECRET: &str = "s3cret/with+odd=letters";
pub const KEY_SECRET: &str = "a key secret of more than thirty-two characters";

/// A key of the provider.
#[derive(Clone)]
pub struct Signer {
    pub id: String,
    key: EncodingKey,
}

impl Signer {
    pub fn new(id: &str) -> Self {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self { id: id.to_owned(), key: EncodingKey::from_ec_der(document.as_ref()) }
    }

    pub fn jwk(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = self.id.clone().into();
        jwk["use"] = "sig".into();
        jwk
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// What the provider does; tests change it.
pub struct Manners {
    pub signer: Signer,
    pub keys: Vec<Value>,
    /// Added to every ID token, over what belongs there.
    pub id_claims: Value,
    pub user_info: Value,
    /// Takes the place of every ID token.
    pub id_token: Option<String>,
    /// Over its description of itself.
    pub metadata: Value,
    pub hangs: bool,
    /// Requests by path.
    pub asked: BTreeMap<&'static str, u32>,
    /// Nonce and challenge by code.
    codes: HashMap<String, (String, String)>,
}

#[derive(Clone)]
pub struct Fake {
    pub issuer: String,
    pub manners: Arc<Mutex<Manners>>,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let signer = Signer::new("first");
        let manners = Manners {
            keys: vec![signer.jwk()],
            signer,
            id_claims: json!({}),
            user_info: json!({ "sub": "ann", "name": "Ann Example", "email": "ann@example.org", "email_verified": true }),
            id_token: None,
            metadata: json!({}),
            hangs: false,
            asked: BTreeMap::new(),
            codes: HashMap::new(),
        };
        let fake = Self { issuer, manners: Arc::new(Mutex::new(manners)) };
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(user_info))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        fake
    }

    pub fn change(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.manners.lock().unwrap());
    }

    pub fn asked(&self, path: &'static str) -> u32 {
        self.manners.lock().unwrap().asked.get(path).copied().unwrap_or_default()
    }

    async fn hear(&self, path: &'static str) {
        let hangs = {
            let mut manners = self.manners.lock().unwrap();
            *manners.asked.entry(path).or_default() += 1;
            manners.hangs
        };
        if hangs {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    pub fn config(&self) -> Config {
        Config {
            issuer: Some(self.issuer.parse().unwrap()),
            client_id: Some("pointsman".to_owned()),
            client_secret: Some(Secret::new(CLIENT_SECRET)),
            timeout: Duration::from_secs(1),
            ..Config::default()
        }
    }

    pub fn sign_in(&self, config: &Config) -> SignIn {
        let keys = [("testkey", KEY_SECRET)].into_iter().collect();
        let url = "https://calls.example.org".parse().unwrap();
        SignIn::new(config, Some(url), keys, "testkey", &Secret::new(KEY_SECRET)).unwrap().unwrap()
    }

    /// Somebody types a password: the address that they are sent back to.
    pub fn consent(&self, to: &str) -> String {
        let query = parameters(to);
        assert!(to.starts_with(&format!("{}/authorize?", self.issuer)), "{to}");
        assert_eq!(
            [&query["response_type"], &query["client_id"], &query["scope"], &query["code_challenge_method"]],
            ["code", "pointsman", "openid profile email", "S256"]
        );
        assert_eq!(query["redirect_uri"], "https://calls.example.org/oidc/callback");
        let mut manners = self.manners.lock().unwrap();
        let code = format!("code-{}", manners.codes.len());
        manners.codes.insert(code.clone(), (query["nonce"].clone(), query["code_challenge"].clone()));
        format!("/oidc/callback?code={code}&state={}", query["state"])
    }
}

pub fn parameters(address: &str) -> HashMap<String, String> {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

async fn describe(State(fake): State<Fake>) -> Json<Value> {
    fake.hear("discovery").await;
    let at = |path: &str| format!("{}{path}", fake.issuer);
    let mut metadata = json!({
        "issuer": fake.issuer,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "jwks_uri": at("/keys"),
        "userinfo_endpoint": at("/userinfo"),
        "end_session_endpoint": at("/end"),
    });
    merge(&mut metadata, &fake.manners.lock().unwrap().metadata);
    Json(metadata)
}

async fn keys(State(fake): State<Fake>) -> Json<Value> {
    fake.hear("keys").await;
    Json(json!({ "keys": fake.manners.lock().unwrap().keys }))
}

async fn token(State(fake): State<Fake>, headers: HeaderMap, Form(form): Form<HashMap<String, String>>) -> Response {
    fake.hear("token").await;
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    let credentials = STANDARD.encode("pointsman:s3cret%2Fwith%2Bodd%3Dletters");
    if headers.get(AUTHORIZATION).is_none_or(|value| *value != format!("Basic {credentials}")) {
        return refused("invalid_client");
    }
    let mut manners = fake.manners.lock().unwrap();
    let Some((nonce, challenge)) = manners.codes.remove(&form["code"]) else { return refused("invalid_grant") };
    let verifier = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, form["code_verifier"].as_bytes()));
    if verifier != challenge || form["redirect_uri"] != "https://calls.example.org/oidc/callback" {
        return refused("invalid_grant");
    }
    let now = unix_s();
    let mut claims = json!({ "iss": fake.issuer, "sub": "ann", "aud": "pointsman", "iat": now, "exp": now + 300, "nonce": nonce });
    merge(&mut claims, &manners.id_claims);
    let id_token = manners.id_token.clone().unwrap_or_else(|| manners.signer.sign(&claims));
    Json(json!({ "id_token": id_token, "access_token": "access", "token_type": "Bearer" })).into_response()
}

async fn user_info(State(fake): State<Fake>, headers: HeaderMap) -> Json<Value> {
    fake.hear("userinfo").await;
    assert_eq!(headers[AUTHORIZATION], "Bearer access");
    Json(fake.manners.lock().unwrap().user_info.clone())
}

fn merge(into: &mut Value, from: &Value) {
    into.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
}

/// A browser, as far as cookies go.
#[derive(Default)]
pub struct Browser(pub BTreeMap<String, String>);

pub struct Seen {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.headers[LOCATION].to_str().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }
}

impl Browser {
    pub async fn get(&mut self, server: &SignIn, path: &str) -> Seen {
        self.ask(server, Method::GET, path, &[]).await
    }

    pub async fn ask(&mut self, server: &SignIn, method: Method, path: &str, headers: &[(&str, &str)]) -> Seen {
        let cookies = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let mut request = Request::builder().method(method).uri(path).header(COOKIE, cookies);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = server.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        for cookie in headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            for attribute in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"] {
                assert!(cookie.split("; ").any(|one| one == attribute), "{cookie}");
            }
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{cookie}");
            match cookie.contains("Max-Age=0;") {
                true => self.0.remove(name),
                false => self.0.insert(name.to_owned(), value.to_owned()),
            };
        }
        let body = String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap();
        Seen { status, headers, body }
    }

    /// The whole way; the answer to the callback.
    pub async fn sign_in(&mut self, server: &SignIn, fake: &Fake) -> Seen {
        let begun = self.get(server, "/oidc/login?then=/%3Froom%3Dstandup").await;
        let back = fake.consent(begun.location());
        self.get(server, &back).await
    }
}
