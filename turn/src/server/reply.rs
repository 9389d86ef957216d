//! Answers, written into the server's scratch space.

use pointsman_wire::clock::Now;
use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun::attribute::{Malformed, Type};
use pointsman_wire::stun::{self, Class, Message, Method, OutOfSpace, TransactionId, Unknown, Writer};

use super::Server;
use crate::allocation::ReplyStyle;
use crate::auth::{Integrity, LongTermKey, OFFERED, Refusal};
use crate::config::Config;
use crate::ledger::QuotaError;
use crate::mobility::Ticket;
use crate::stats::DropReason;
use crate::verdict::{Output, Verdict};

/// What an answer is to: enough to address it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) client: FiveTuple,
    pub(super) method: Method,
    pub(super) id: TransactionId,
}

impl Question {
    pub(super) fn new(client: FiveTuple, message: &Message<'_>) -> Self {
        Self { client, method: message.method(), id: message.transaction_id() }
    }
}

/// An error answer to a client that has shown its credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) code: u16,
    pub(super) unknown: Unknown,
}

impl Rejection {
    pub(super) const BAD_REQUEST: Self = Self::new(400);
    pub(super) const FORBIDDEN: Self = Self::new(403);
    pub(super) const MOBILITY_FORBIDDEN: Self = Self::new(405);
    pub(super) const ALLOCATION_MISMATCH: Self = Self::new(437);
    pub(super) const FAMILY_NOT_SUPPORTED: Self = Self::new(440);
    pub(super) const WRONG_CREDENTIALS: Self = Self::new(441);
    pub(super) const UNSUPPORTED_TRANSPORT: Self = Self::new(442);
    pub(super) const PEER_FAMILY_MISMATCH: Self = Self::new(443);
    pub(super) const CONNECTION_EXISTS: Self = Self::new(446);
    pub(super) const CONNECTION_FAILED: Self = Self::new(447);
    pub(super) const QUOTA_REACHED: Self = Self::new(486);
    pub(super) const INSUFFICIENT_CAPACITY: Self = Self::new(508);

    const fn new(code: u16) -> Self {
        Self { code, unknown: Unknown::NONE }
    }

    /// 420 with the list.
    pub(super) fn unknown_attributes(unknown: Unknown) -> Self {
        Self { code: 420, unknown }
    }
}

impl From<Malformed> for Rejection {
    fn from(_: Malformed) -> Self {
        Self::BAD_REQUEST
    }
}

impl From<QuotaError> for Rejection {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::Total | QuotaError::User | QuotaError::Bandwidth => Self::QUOTA_REACHED,
        }
    }
}

impl Server {
    /// A success answer; `write` adds what it says.
    pub(super) fn accept(
        &mut self,
        question: Question,
        key: LongTermKey,
        style: ReplyStyle,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Verdict, DropReason> {
        let mut writer = Writer::new(&mut self.scratch[..], Class::Success, question.method, question.id);
        write(&mut writer);
        let written = close(&mut writer, &self.config, Some((key, style.integrity)), style.fingerprint);
        self.reply(question.client, written)
    }

    /// An error answer, protected like a success.
    pub(super) fn reject(
        &mut self,
        question: Question,
        key: LongTermKey,
        style: ReplyStyle,
        rejection: &Rejection,
    ) -> Result<Verdict, DropReason> {
        self.stats.count_error(rejection.code);
        let mut writer = Writer::new(&mut self.scratch[..], Class::Error, question.method, question.id);
        writer.error_code(rejection.code, reason(rejection.code));
        if !rejection.unknown.is_empty() {
            writer.unknown_attributes(rejection.unknown.types());
        }
        let written = close(&mut writer, &self.config, Some((key, style.integrity)), style.fingerprint);
        self.reply(question.client, written)
    }

    /// The answer to a request without valid credentials: small, and not too often.
    pub(super) fn challenge(
        &mut self,
        now: Now,
        client: FiveTuple,
        message: &Message<'_>,
        refusal: &Refusal,
    ) -> Result<Verdict, DropReason> {
        if *refusal == Refusal::Guessing {
            return Err(DropReason::Guessing);
        }
        self.stats.challenges_total += 1;
        self.stats.bad_credentials_total += u64::from(*refusal == Refusal::WrongCredentials);
        self.stats.users_unavailable_total += u64::from(*refusal == Refusal::Unavailable);
        if !self.limiter.take(now.mono, client.remote.ip()) {
            return Err(DropReason::RateLimited);
        }
        let (code, again) = match refusal {
            Refusal::Unauthenticated | Refusal::WrongCredentials => (401, true),
            Refusal::StaleNonce => (438, true),
            Refusal::Incomplete | Refusal::Guessing => (400, false),
            // RFC 8489 section 14.8: the client should try again later.
            Refusal::Unavailable | Refusal::Unheard(_) => (500, false),
        };
        self.stats.count_error(code);
        let mut writer = Writer::new(&mut self.scratch[..], Class::Error, message.method(), message.transaction_id());
        // No reason phrase: an answer to a spoofed source should not be much larger than the request.
        writer.error_code(code, "");
        if again {
            let (realm, features) = self.auth.realm_for(message);
            writer.attribute(Type::REALM, realm).attribute(Type::NONCE, self.auth.nonce(now.unix, client.remote, features).bytes());
            if features.password_algorithms {
                writer.attribute(Type::PASSWORD_ALGORITHMS, &OFFERED);
            }
            if let Some(server_name) = self.auth.third_party() {
                writer.attribute(Type::THIRD_PARTY_AUTHORIZATION, server_name);
            }
        }
        let written = close(&mut writer, &self.config, None, message.has_fingerprint());
        self.reply(client, written)
    }

    /// RFC 8489 section 6.3.1. Open to strangers, so the answer holds their address and nothing else.
    pub(super) fn handle_binding(&mut self, now: Now, client: FiveTuple, message: &Message<'_>) -> Result<Verdict, DropReason> {
        self.stats.binding_requests_total += 1;
        if !self.limiter.take(now.mono, client.remote.ip()) {
            return Err(DropReason::RateLimited);
        }
        let unknown = message.unknown_required(&BINDING_ATTRIBUTES);
        if unknown.is_empty() || self.discovers(&client) && message.unknown_required(&super::discovery::ATTRIBUTES).is_empty() {
            return self.answer_binding(client, message);
        }
        self.stats.binding_errors_total += 1;
        self.stats.count_error(420);
        let mut writer = Writer::new(&mut self.scratch[..], Class::Error, Method::BINDING, message.transaction_id());
        writer.error_code(420, "").unknown_attributes(unknown.types());
        let written = close(&mut writer, &self.config, None, message.has_fingerprint());
        self.reply(client, written)
    }

    /// Turns the answer in the scratch space into an output, for those that had to wait.
    pub(super) fn queue_reply(&mut self, decided: Result<Verdict, DropReason>) {
        match decided {
            Ok(Verdict::Reply { client }) => {
                let bytes = self.scratch().into();
                // The engine joins connections when the client has been told.
                let join = self.outputs.pop_back_if(|last| matches!(last, Output::Join { client: joined, .. } if *joined == client));
                self.outputs.push_back(Output::Reply { client, bytes });
                self.outputs.extend(join);
            }
            Ok(
                Verdict::ToPeer { .. }
                | Verdict::ToMedia { .. }
                | Verdict::ToClient { .. }
                | Verdict::Indication { .. }
                | Verdict::ReplyFrom { .. }
                | Verdict::Wait { .. }
                | Verdict::Handled
                | Verdict::Drop(_),
            ) => {}
            Err(reason) => self.stats.count_drop(reason),
        }
    }

    /// Tells of a refreshed allocation.
    pub(super) fn accept_refresh(
        &mut self,
        question: Question,
        key: LongTermKey,
        style: ReplyStyle,
        lifetime_s: u32,
        ticket: Option<Ticket>,
    ) -> Result<Verdict, DropReason> {
        self.accept(question, key, style, |writer| {
            writer.u32(Type::LIFETIME, lifetime_s);
            if let Some(ticket) = ticket {
                writer.attribute(Type::MOBILITY_TICKET, &ticket.text());
            }
        })
    }

    pub(super) fn reply(&mut self, client: FiveTuple, written: Result<usize, OutOfSpace>) -> Result<Verdict, DropReason> {
        self.scratch_len = written.map_err(|_| DropReason::ReplyTooLong)?;
        Ok(Verdict::Reply { client })
    }
}

/// Attributes that a Binding request may have. Credentials need no look: nothing here depends on them.
const BINDING_ATTRIBUTES: [Type; 3] = [Type::USERNAME, Type::REALM, Type::NONCE];

/// What stands last in every answer.
pub(super) fn close(
    writer: &mut Writer<'_>,
    config: &Config,
    key: Option<(LongTermKey, Integrity)>,
    asked_for_fingerprint: bool,
) -> Result<usize, OutOfSpace> {
    if !config.software.is_empty() {
        writer.attribute(Type::SOFTWARE, config.software.as_bytes());
    }
    match key {
        Some((key, Integrity::Sha1)) => _ = writer.integrity(&stun::Key::new(key.bytes())),
        Some((key, Integrity::Sha256)) => _ = writer.integrity_sha256(&stun::KeySha256::new(key.bytes())),
        Some((_, Integrity::Absent)) | None => {}
    }
    if config.fingerprint || asked_for_fingerprint {
        writer.fingerprint();
    }
    writer.finish()
}

/// RFC 8656 section 19's and RFC 8489 section 14.8's phrases.
fn reason(code: u16) -> &'static str {
    match code {
        400 => "Bad Request",
        403 => "Forbidden",
        405 => "Mobility Forbidden",
        420 => "Unknown Attribute",
        437 => "Allocation Mismatch",
        440 => "Address Family not Supported",
        441 => "Wrong Credentials",
        442 => "Unsupported Transport Protocol",
        443 => "Peer Address Family Mismatch",
        446 => "Connection Already Exists",
        447 => "Connection Timeout or Failure",
        486 => "Allocation Quota Reached",
        508 => "Insufficient Capacity",
        _ => "",
    }
}
