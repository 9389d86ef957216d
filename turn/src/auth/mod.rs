//! Long-term credentials (RFC 8489 section 9.2), without a byte of state for whoever has not shown any.
//!
//! ```text
//! integrity? ─► name, realm, nonce? ─► nonce good? ─┬─► token (RFC 7635)
//!    │no: 401        │no: 400             │no: 438  ├─► the key of the client's allocation
//!    └─► anonymous                                  └─► static user, shared secret, remembered key ─► look it up
//! ```
//! A login backend that computes keys is one file here that implements [`Backend`], and a line in [`Auth::known`].

mod key;
mod lookups;
mod nonce;
mod realms;
mod shared_secret;
mod static_users;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::stun::Message;
use pointsman_wire::stun::attribute::Type;

use crate::config::Config;
use crate::ledger::Quota;
use crate::limiter::Limiter;
use crate::realms::Rules;
use crate::rng::Rng;
pub(crate) use key::{Algorithm, Integrity, LongTermKey, OFFERED};
pub(crate) use lookups::{Full, Lookups, User};
use nonce::Nonces;
pub(crate) use nonce::{Features, Nonce};
use realms::{RealmState, Realms, canonical};
#[cfg(any(test, feature = "fuzz"))]
pub use token::fuzz as fuzz_token;
#[cfg(test)]
pub(crate) use token::tests as tokens;

/// Length limit of USERNAME: "fewer than 509 bytes" (RFC 8489 section 14.3).
const USERNAME_LEN_MAX: usize = 508;

/// Knows users, or can compute what their keys must be.
pub(crate) trait Backend {
    /// Offers every key that this user may have until `fits` says yes; true if it did.
    fn offer(&self, user: &Asked<'_>, fits: &mut dyn FnMut(LongTermKey) -> bool) -> bool;
}

/// Whose key is asked for.
pub(crate) struct Asked<'a> {
    pub(crate) username: &'a [u8],
    pub(crate) realm: &'a [u8],
    pub(crate) algorithm: Algorithm,
    pub(crate) unix: Duration,
}

/// The credentials that an allocation was made with.
pub(crate) struct Held<'a> {
    pub(crate) realm: &'a Arc<str>,
    pub(crate) username: &'a [u8],
    pub(crate) owner: &'a [u8],
    pub(crate) key: LongTermKey,
    /// See [`Proof::until`].
    pub(crate) until: Option<Duration>,
}

/// A request whose credentials fit.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Where the user belongs.
    pub(crate) realm: Arc<str>,
    /// As sent; empty where requests need no credentials.
    pub(crate) username: Box<[u8]>,
    /// Under which name it counts for quotas.
    pub(crate) owner: Box<[u8]>,
    pub(crate) key: LongTermKey,
    pub(crate) integrity: Integrity,
    /// When the credentials run out, since the epoch, if nothing that rests on them may live longer (RFC 7635 section 4.1.2).
    pub(crate) until: Option<Duration>,
}

impl Proof {
    /// A lifetime that does not outlast the credentials.
    pub(crate) fn bound(&self, unix: Duration, lifetime_s: u32) -> u32 {
        bound(self.until, unix, lifetime_s)
    }
}

/// At most what is left of the time `until`; a second at least, for 0 would mean that an allocation ends at once.
pub(crate) fn bound(until: Option<Duration>, unix: Duration, lifetime_s: u32) -> u32 {
    let left = until.map_or(u32::MAX, |until| u32::try_from(until.saturating_sub(unix).as_secs()).unwrap_or(u32::MAX));
    lifetime_s.min(left.max(1))
}

/// Why a request is refused before anyone looks at what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 401: no credentials (the first request of every client).
    Unauthenticated,
    /// 401 as well, so that nobody learns which it was: wrong password, or no such user.
    WrongCredentials,
    /// 400: an integrity without what belongs to it, or an algorithm that was not offered.
    Incomplete,
    /// 438: the nonce is old, or was not made for this client.
    StaleNonce,
    /// No answer: this source has guessed too often.
    Guessing,
    /// None yet: this user's key must be looked up.
    Unheard(User),
    /// 500: it could not be.
    Unavailable,
}

/// Has this request been checked before?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    First,
    /// Its user was looked up meanwhile.
    LookedUp,
    /// It could not be looked up: what is remembered counts, however old.
    Unavailable,
}

/// Checks requests.
pub(crate) struct Auth {
    seed: [u8; 32],
    realms: Realms,
    /// Of the configuration's, for when rules leave none at all.
    default_name: Arc<str>,
    nonces: Nonces,
    wrong: Limiter,
    pub(crate) lookups: Lookups,
    with_lookups: bool,
    anonymous: bool,
    strict_expiry: bool,
    oauth: bool,
    server_name: Box<[u8]>,
}

impl Auth {
    pub(crate) fn new(config: &Config, seed: &[u8; 32], now: Instant) -> Self {
        let mut rng = Rng::new(seed, b"tables of users");
        let [hash_wrong, hash_lookups] = [(); 2].map(|()| u64::from_be_bytes(rng.bytes()));
        let server_name = if config.oauth_server_name.is_empty() { &config.realm } else { &config.oauth_server_name };
        Self {
            seed: *seed,
            realms: Realms::new(config, &Rules::default(), seed),
            default_name: config.realm.as_str().into(),
            nonces: Nonces::new(seed, config.nonce_secret.as_ref(), config.nonce_lifetime_s),
            wrong: Limiter::new(now, config.wrong_credentials_per_s_max, config.wrong_credentials_burst_max, hash_wrong),
            lookups: Lookups::new(config, hash_lookups),
            with_lookups: config.lookups,
            anonymous: config.anonymous,
            strict_expiry: config.strict_expiry,
            oauth: config.oauth,
            server_name: server_name.as_bytes().into(),
        }
    }

    pub(crate) fn update(&mut self, config: &Config, rules: &Rules) {
        self.realms = Realms::new(config, rules, &self.seed);
    }

    /// The realm that a request without credentials is challenged for, and what the challenge offers.
    pub(crate) fn realm_for(&self, message: &Message<'_>) -> (&[u8], Features) {
        let realm = self.realms.of_origins(origins(message)).or_else(|| self.realms.default_realm());
        realm.map_or((self.default_name.as_bytes(), Features::default()), |realm| (realm.name.as_bytes(), realm.features))
    }

    /// A nonce for this client, good from now.
    pub(crate) fn nonce(&self, unix: Duration, client: SocketAddr, features: Features) -> Nonce {
        self.nonces.make(unix, client, features)
    }

    /// What challenges say about third-party authorization.
    pub(crate) fn third_party(&self) -> Option<&[u8]> {
        self.oauth.then_some(&self.server_name)
    }

    /// What one realm and its users may hold.
    pub(crate) fn quota(&self, realm: &str) -> Quota {
        let realm = self.realms.named(realm.as_bytes()).or_else(|| self.realms.default_realm());
        realm.map_or_else(Quota::default, |realm| realm.quota)
    }

    /// Does the message show a nonce that we made for this client?
    pub(crate) fn knows_nonce(&self, unix: Duration, client: SocketAddr, message: &Message<'_>) -> bool {
        message.nonce().is_some_and(|nonce| self.nonces.check(unix, client, nonce).is_some())
    }

    /// RFC 8489 section 9.2.4, in its order. `held` is what the client's allocation was made with.
    pub(crate) fn check(
        &mut self,
        now: Now,
        client: SocketAddr,
        message: &Message<'_>,
        held: Option<&Held<'_>>,
        attempt: Attempt,
    ) -> Result<Proof, Refusal> {
        if self.anonymous {
            return Ok(self.nobody(message));
        }
        let integrity = match (message.has_integrity(), message.has_integrity_sha256()) {
            // It covers what stands before it, the weaker one included.
            (_, true) => Integrity::Sha256,
            (true, false) => Integrity::Sha1,
            (false, false) => return Err(Refusal::Unauthenticated),
        };
        let hash = message.attribute(Type::USERHASH);
        let (Some(name), Some(realm), Some(nonce)) = (message.username().or(hash), message.realm(), message.nonce()) else {
            return Err(Refusal::Incomplete);
        };
        if name.len() > USERNAME_LEN_MAX {
            return Err(Refusal::Incomplete);
        }
        let features = self.nonces.check(now.unix, client, nonce).ok_or(Refusal::StaleNonce)?;
        let algorithm = algorithm(message, features)?;
        let asked = Question { message, integrity, algorithm, realm, name, is_hash: message.username().is_none(), attempt };
        let source = client.ip();
        // Whoever keeps guessing is not told whether a guess was right, either.
        if held.is_none() && attempt == Attempt::First && self.wrong.is_spent(now.mono, source) {
            return Err(Refusal::Guessing);
        }
        let found = self.find(now, &asked, held);
        match (&found, attempt) {
            (Err(Refusal::WrongCredentials), Attempt::First) => _ = self.wrong.take(now.mono, source),
            // A name that must be looked up counts as a guess until it turns out to be none: one source cannot keep the database busy.
            (Err(Refusal::Unheard(_)), _) if !self.wrong.take(now.mono, source) => return Err(Refusal::Guessing),
            (Ok(_), Attempt::LookedUp | Attempt::Unavailable) => self.wrong.give_back(source),
            (Ok(_) | Err(_), _) => {}
        }
        found
    }

    /// Does the request keep to the origin that an allocation was made from (`None`: from none)?
    pub(crate) fn keeps_origin(message: &Message<'_>, made_from: Option<&[u8]>) -> bool {
        match made_from {
            Some(made_from) => origins(message).any(|origin| *canonical(origin) == *made_from),
            None => origins(message).next().is_none(),
        }
    }

    /// The origin that an allocation is made from.
    pub(crate) fn origin(message: &Message<'_>) -> Option<Box<[u8]>> {
        origins(message).next().map(canonical)
    }

    fn nobody(&self, message: &Message<'_>) -> Proof {
        let realm = self.realms.of_origins(origins(message)).or_else(|| self.realms.default_realm());
        Proof {
            realm: Arc::clone(realm.map_or(&self.default_name, |realm| &realm.name)),
            username: Box::default(),
            owner: Box::default(),
            key: LongTermKey::NONE,
            integrity: Integrity::Absent,
            until: None,
        }
    }

    fn find(&self, now: Now, asked: &Question<'_>, held: Option<&Held<'_>>) -> Result<Proof, Refusal> {
        let realm = self.realms.named(asked.realm).ok_or(Refusal::WrongCredentials)?;
        let username = if asked.is_hash { realm.users.named_by(asked.name).ok_or(Refusal::WrongCredentials)? } else { asked.name };
        if self.oauth
            && let Some(token) = asked.message.attribute(Type::ACCESS_TOKEN)
        {
            return self.with_token(now, asked, realm, token);
        }
        if let Some(held) = held.filter(|held| held.username == username) {
            return self.with_held(now, asked, realm, held);
        }
        let key = self.known(now, asked, realm, username)?;
        Ok(Proof {
            realm: Arc::clone(&realm.name),
            username: username.into(),
            owner: realm.secrets.name_of(username).into(),
            key,
            integrity: asked.integrity,
            until: None,
        })
    }

    /// RFC 7635 section 4.1.2: USERNAME names the key that opens the token, and the token holds the key of the integrity.
    fn with_token(&self, now: Now, asked: &Question<'_>, realm: &RealmState, token: &[u8]) -> Result<Proof, Refusal> {
        let wrong = Refusal::WrongCredentials;
        let opener = self.realms.token_keys.get(asked.name).filter(|key| key.is_valid(now.unix)).ok_or(wrong.clone())?;
        let token = opener.open(token, &self.server_name).ok_or(wrong.clone())?;
        let delta = token::CLOCK_DELTA;
        if token.made > now.unix.saturating_add(delta) || token.ends().saturating_add(delta) <= now.unix {
            return Err(wrong);
        }
        // coturn and its tools key the HMAC with the first 16 bytes of the 20.
        let short = token.key.bytes().get(..16).and_then(LongTermKey::new);
        let key = [Some(token.key), short].into_iter().flatten().find(|key| asked.fits(*key)).ok_or(wrong)?;
        let counted_in = opener.realm.as_deref().and_then(|name| self.realms.named(name.as_bytes())).unwrap_or(realm);
        Ok(Proof {
            realm: Arc::clone(&counted_in.name),
            username: asked.name.into(),
            // Whose token it is the authorization server alone knows.
            owner: Box::default(),
            key,
            integrity: asked.integrity,
            until: Some(token.ends().saturating_add(delta)),
        })
    }

    /// With the key of the first request: a time-limited password may have run out meanwhile, and a database may be away.
    fn with_held(&self, now: Now, asked: &Question<'_>, realm: &RealmState, held: &Held<'_>) -> Result<Proof, Refusal> {
        let over = held.until.is_some_and(|until| until <= now.unix);
        let expired = self.strict_expiry && realm.secrets.has_expired(held.username, now.unix);
        if !asked.fits(held.key) || over || expired {
            return Err(Refusal::WrongCredentials);
        }
        Ok(Proof {
            realm: Arc::clone(held.realm),
            username: held.username.into(),
            owner: held.owner.into(),
            key: held.key,
            integrity: asked.integrity,
            until: held.until,
        })
    }

    /// The key of a user that we know, or have asked for.
    fn known(&self, now: Now, asked: &Question<'_>, realm: &RealmState, username: &[u8]) -> Result<LongTermKey, Refusal> {
        let user = Asked { username, realm: realm.name.as_bytes(), algorithm: asked.algorithm, unix: now.unix };
        let mut found = None;
        let mut fits = |key: LongTermKey| {
            let fits = asked.fits(key);
            if fits {
                found = Some(key);
            }
            fits
        };
        let known = realm.users.offer(&user, &mut fits) || realm.secrets.offer(&user, &mut fits);
        if let Some(key) = found.filter(|_| known) {
            return Ok(key);
        }
        let is_ours = realm.users.has(username) || realm.secrets.are_of(username);
        if !self.with_lookups || is_ours || asked.algorithm != Algorithm::Md5 {
            return Err(Refusal::WrongCredentials);
        }
        let user = User { realm: (&*realm.name).into(), name: username.into() };
        let unheard = |user| match asked.attempt {
            Attempt::First => Refusal::Unheard(user),
            Attempt::LookedUp | Attempt::Unavailable => Refusal::Unavailable,
        };
        match self.lookups.find(now.mono, &user) {
            lookups::Found::Key(key, age) => match (asked.fits(key), asked.attempt) {
                (true, Attempt::LookedUp | Attempt::Unavailable) => Ok(key),
                (true, Attempt::First) if self.lookups.is_fresh(age) => Ok(key),
                (true, Attempt::First) => Err(Refusal::Unheard(user)),
                // It may have been changed.
                (false, Attempt::First) if !self.lookups.is_new(age) => Err(Refusal::Unheard(user)),
                (false, _) => Err(Refusal::WrongCredentials),
            },
            // As much work as for somebody.
            lookups::Found::Nobody => {
                asked.fits(realm.users.nobody());
                Err(Refusal::WrongCredentials)
            }
            lookups::Found::Unheard => Err(unheard(user)),
        }
    }
}

/// A request and how it is protected.
struct Question<'a> {
    message: &'a Message<'a>,
    integrity: Integrity,
    algorithm: Algorithm,
    realm: &'a [u8],
    name: &'a [u8],
    /// USERHASH stands for USERNAME.
    is_hash: bool,
    attempt: Attempt,
}

impl Question<'_> {
    fn fits(&self, key: LongTermKey) -> bool {
        key.protects(self.message, self.integrity)
    }
}

/// How the client made its key (RFC 8489 section 9.2.4, the checks that begin with the nonce cookie).
fn algorithm(message: &Message<'_>, features: Features) -> Result<Algorithm, Refusal> {
    if !features.password_algorithms {
        return Ok(Algorithm::Md5);
    }
    match (message.attribute(Type::PASSWORD_ALGORITHMS), message.attribute(Type::PASSWORD_ALGORITHM)) {
        (None, None) => Ok(Algorithm::Md5),
        // What the client was offered is what we offer: nobody has changed it on the way.
        (Some(offered), Some(chosen)) if offered == OFFERED => Algorithm::read(chosen).ok_or(Refusal::Incomplete),
        (Some(_) | None, _) => Err(Refusal::Incomplete),
    }
}

fn origins<'a>(message: &Message<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    message.attributes().filter(|attribute| attribute.kind == Type::ORIGIN).map(|attribute| attribute.value)
}
