//! ICE for an agent that is lite and controlled, always (RFC 8445 sections 2.5 and 6.1.1): it answers checks and sends none.

use std::time::{Duration, Instant};

use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Message, Method, Writer};

use crate::stats::DropReason;
use crate::{Egress, IceCredentials};

/// What a check that was answered with success changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckOutcome {
    /// The path was not known before.
    pub new_path: bool,
    /// A path that gave way to it.
    pub dropped_path: Option<FiveTuple>,
    /// An ICE restart is done: a path was nominated with the new credentials, and those before are no longer valid.
    pub restarted: bool,
}

/// Credentials, the paths that passed a check, and which of them is selected.
pub(super) struct IceLite {
    current: Credentials,
    /// Those from before an ICE restart, until a path is nominated with the new ones: media goes on on the old path until then, and its
    /// checks keep consent fresh (RFC 8445 section 9, RFC 7675 section 5.1).
    previous: Option<Credentials>,
    paths: Vec<Path>,
    paths_max: usize,
    nominated: Option<FiveTuple>,
    heard: Option<Instant>,
}

struct Credentials {
    local: IceCredentials,
    remote_ufrag: String,
    key: Key,
}

/// A pair of addresses on which a check was authenticated.
struct Path {
    path: FiveTuple,
    /// What the client would give the pair (its PRIORITY, as the controlling agent orders by it first).
    priority: u32,
    heard: Instant,
    nominated: Option<Instant>,
}

/// A client that nominates aggressively puts USE-CANDIDATE into every check of a burst: within one, the higher priority wins.
/// Beyond it the latest nomination does, since the controlling agent repeats it only on the pair that it uses.
const NOMINATION_BURST: Duration = Duration::from_millis(500);

/// The comprehension-required attributes of a check, besides those that close a message.
const KNOWN: [Type; 3] = [Type::USERNAME, Type::PRIORITY, Type::USE_CANDIDATE];

const BAD_REQUEST: (u16, &str) = (400, "Bad Request");
const UNAUTHENTICATED: (u16, &str) = (401, "Unauthenticated");
const UNKNOWN_ATTRIBUTE: (u16, &str) = (420, "Unknown Attribute");
/// RFC 8445 section 16.2.
const ROLE_CONFLICT: (u16, &str) = (487, "Role Conflict");

/// Whether a check's user name and integrity are those of `local` and `remote_ufrag` (empty: not known yet).
pub(super) fn authenticate(local: &IceCredentials, remote_ufrag: &str, message: &Message<'_>) -> Result<(), DropReason> {
    let credentials = Credentials { local: local.clone(), remote_ufrag: remote_ufrag.to_owned(), key: Key::new(local.pwd.as_bytes()) };
    if credentials.names(message) && message.verify_integrity(&credentials.key) { Ok(()) } else { Err(DropReason::StunRefused) }
}

impl Credentials {
    fn new(local: &IceCredentials, remote: &IceCredentials) -> Self {
        Self { local: local.clone(), remote_ufrag: remote.ufrag.clone(), key: Key::new(local.pwd.as_bytes()) }
    }

    /// USERNAME is our fragment, a colon, theirs (RFC 8445 section 7.2.2). Theirs may be unknown still: its checks may overtake
    /// its description.
    fn names(&self, message: &Message<'_>) -> bool {
        message.ice_ufrags().is_some_and(|(local, remote)| {
            local == self.local.ufrag.as_bytes() && (self.remote_ufrag.is_empty() || remote == self.remote_ufrag.as_bytes())
        })
    }
}

impl IceLite {
    pub(super) fn new(local: &IceCredentials, remote: &IceCredentials, paths_max: usize) -> Self {
        Self { current: Credentials::new(local, remote), previous: None, paths: Vec::new(), paths_max, nominated: None, heard: None }
    }

    pub(super) fn set_credentials(&mut self, local: &IceCredentials, remote: &IceCredentials) {
        if self.current.local == *local {
            self.current.remote_ufrag.clone_from(&remote.ufrag);
        } else {
            let current = std::mem::replace(&mut self.current, Credentials::new(local, remote));
            // With a second restart before the first is done, the ones in use stay those before both.
            self.previous.get_or_insert(current);
        }
    }

    pub(super) fn ufrags(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.current).chain(&self.previous).map(|credentials| credentials.local.ufrag.as_str())
    }

    pub(super) fn knows(&self, path: &FiveTuple) -> bool {
        self.paths.iter().any(|known| known.path == *path)
    }

    /// The path has another name from now on.
    pub(super) fn rename(&mut self, from: &FiveTuple, to: FiveTuple) {
        let Some(at) = self.paths.iter().position(|known| known.path == *from) else { return };
        if self.knows(&to) {
            // A check under the new name came before the news.
            self.paths.remove(at);
        } else if let Some(known) = self.paths.get_mut(at) {
            known.path = to;
        }
        if self.nominated.as_ref() == Some(from) {
            self.nominated = Some(to);
        }
    }

    pub(super) const fn nominated(&self) -> Option<FiveTuple> {
        self.nominated
    }

    /// The nominated path, else the first that passed a check.
    pub(super) fn path(&self) -> Option<FiveTuple> {
        self.nominated.or_else(|| self.paths.first().map(|path| path.path))
    }

    /// When the last authenticated check came.
    pub(super) const fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// RFC 8445 section 7.3 and RFC 8489 section 9.1.3, in their order.
    pub(super) fn handle_check(
        &mut self,
        now: Instant,
        path: FiveTuple,
        message: &Message<'_>,
        out: &mut impl Egress,
    ) -> Result<CheckOutcome, DropReason> {
        if message.class() != Class::Request || message.method() != Method::BINDING {
            return Err(DropReason::StunRefused);
        }
        if message.has_fingerprint() && !message.verify_fingerprint() {
            return Err(DropReason::StunRefused);
        }
        if !message.has_integrity() || message.username().is_none() {
            refuse(&path, message, BAD_REQUEST, None, out);
            return Err(DropReason::StunRefused);
        }
        let Some(which) = self.authenticate(message) else {
            refuse(&path, message, UNAUTHENTICATED, None, out);
            return Err(DropReason::StunRefused);
        };
        let key = self.key_for(message).clone();
        if !message.unknown_required(&KNOWN).is_empty() {
            refuse(&path, message, UNKNOWN_ATTRIBUTE, Some(&key), out);
            return Err(DropReason::StunRefused);
        }
        // RFC 8445 section 7.3.1.1: we are controlled. A lite agent cannot take the other role, so the conflict is the client's to end.
        if message.has(Type::ICE_CONTROLLED) {
            refuse(&path, message, ROLE_CONFLICT, Some(&key), out);
            return Err(DropReason::StunRefused);
        }
        let Ok(priority) = message.priority() else {
            refuse(&path, message, BAD_REQUEST, Some(&key), out);
            return Err(DropReason::StunRefused);
        };
        let (new_path, dropped_path) = self.note(now, path, priority.unwrap_or(0))?;
        let restarted = message.has_use_candidate() && which == Which::Current && self.previous.is_some();
        if restarted {
            self.forget_previous();
        }
        if message.has_use_candidate() {
            self.nominate(now, path);
        }
        self.heard = Some(now);
        // Lost like any datagram when the arena is full: the client sends the check again.
        succeed(&path, message, &key, out).ok_or(DropReason::EgressFull)?;
        Ok(CheckOutcome { new_path, dropped_path, restarted })
    }

    fn authenticate(&self, message: &Message<'_>) -> Option<Which> {
        if self.current.names(message) {
            return message.verify_integrity(&self.current.key).then_some(Which::Current);
        }
        let previous = self.previous.as_ref().filter(|previous| previous.names(message))?;
        message.verify_integrity(&previous.key).then_some(Which::Previous)
    }

    /// Of an authenticated message.
    fn key_for(&self, message: &Message<'_>) -> &Key {
        match &self.previous {
            Some(previous) if !self.current.names(message) => &previous.key,
            Some(_) | None => &self.current.key,
        }
    }

    /// The restart is done: what was nominated before it does not outrank what is now.
    fn forget_previous(&mut self) {
        self.previous = None;
        for path in &mut self.paths {
            path.nominated = None;
        }
    }

    /// Remembers an authenticated check; a full table gives up its stalest path, but never the selected one.
    fn note(&mut self, now: Instant, path: FiveTuple, priority: u32) -> Result<(bool, Option<FiveTuple>), DropReason> {
        if let Some(known) = self.paths.iter_mut().find(|known| known.path == path) {
            known.heard = now;
            known.priority = priority;
            return Ok((false, None));
        }
        let mut dropped = None;
        if self.paths.len() >= self.paths_max {
            let selected = self.path();
            let others = self.paths.iter().enumerate().filter(|(_, known)| Some(known.path) != selected);
            let (stalest, _) = others.min_by_key(|(_, known)| known.heard).ok_or(DropReason::PathsMax)?;
            dropped = Some(self.paths.remove(stalest).path);
        }
        self.paths.push(Path { path, priority, heard: now, nominated: None });
        Ok((true, dropped))
    }

    /// A known path carried USE-CANDIDATE (RFC 8445 section 7.3.1.5).
    fn nominate(&mut self, now: Instant, path: FiveTuple) {
        let selected = self.paths.iter().find(|known| Some(known.path) == self.nominated);
        let keep = selected.map(|selected| (selected.priority, selected.nominated));
        let Some(known) = self.paths.iter_mut().find(|known| known.path == path) else { return };
        known.nominated = Some(now);
        let outranked = keep.is_some_and(|(priority, at)| {
            priority > known.priority && at.is_some_and(|at| now.saturating_duration_since(at) < NOMINATION_BURST)
        });
        if self.nominated == Some(path) || !outranked {
            self.nominated = Some(path);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Current,
    Previous,
}

/// The success response: XOR-MAPPED-ADDRESS, integrity, fingerprint. `None` when there is no space for it.
fn succeed(path: &FiveTuple, message: &Message<'_>, key: &Key, out: &mut impl Egress) -> Option<()> {
    let mut writer = Writer::new(out.slot(path)?, Class::Success, Method::BINDING, message.transaction_id());
    let len = writer.xor_address(Type::XOR_MAPPED_ADDRESS, path.remote).integrity(key).fingerprint().finish().ok()?;
    out.commit(len);
    Some(())
}

/// An error response: with integrity where the request was authenticated. Never longer than a check, and not worth a drop of its own
/// when there is no space for it, since the request is dropped already.
fn refuse(path: &FiveTuple, message: &Message<'_>, (code, reason): (u16, &str), key: Option<&Key>, out: &mut impl Egress) {
    let Some(space) = out.slot(path) else { return };
    let mut writer = Writer::new(space, Class::Error, Method::BINDING, message.transaction_id());
    writer.error_code(code, reason);
    if code == UNKNOWN_ATTRIBUTE.0 {
        writer.unknown_attributes(message.unknown_required(&KNOWN).types());
    }
    if let Some(key) = key {
        writer.integrity(key);
    }
    if let Ok(len) = writer.fingerprint().finish() {
        out.commit(len);
    }
}
