//! Who asks: credentials are checked here before anything else, and requests wait here for a user's key.

use std::sync::Arc;

use pointsman_wire::clock::Now;
use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Message, Method};

use super::discovery::routed;
use super::reply::{Question, Rejection};
use super::{Server, Timer};
use crate::allocation::ReplyStyle;
use crate::auth::{Attempt, Auth, Full, Held, Proof, Refusal, User};
use crate::realms::Rules;
use crate::stats::DropReason;
use crate::verdict::{KeyAnswer, LookupId, Output, Verdict};

impl Server {
    /// The answer to an [`Output::LookupKey`]: requests that waited for it are answered in outputs. A lookup that was given up, or never
    /// made, is passed over.
    pub fn handle_key(&mut self, now: Now, lookup: LookupId, answer: KeyAnswer) {
        let Some(requests) = self.auth.lookups.answer(now.mono, lookup, answer) else { return };
        self.stats.lookups_waiting = self.auth.lookups.waiting() as u64;
        self.attempt = if answer == KeyAnswer::Unavailable { Attempt::Unavailable } else { Attempt::LookedUp };
        for request in requests {
            let decided = self.handle_stun(now, request.client, &request.bytes);
            self.queue_reply(decided);
        }
        self.attempt = Attempt::First;
    }

    /// From now on these rules hold, besides the configuration, instead of those of the last call. Allocations go on as they are;
    /// new permissions and channels, and allocations when their users next prove who they are, meet the new rules.
    pub fn update(&mut self, _now: Now, rules: &Arc<Rules>) {
        self.auth.update(&self.config, rules);
        self.peers.update(rules);
    }

    /// The proof of who asks. `holder` is the allocation that the request speaks of.
    pub(super) fn prove(&mut self, now: Now, client: FiveTuple, message: &Message<'_>, holder: Option<u32>) -> Result<Proof, Refusal> {
        let held = holder.and_then(|index| self.allocations.get(index as usize)).map(|allocation| Held {
            realm: &allocation.realm,
            username: &allocation.username,
            owner: &allocation.owner,
            key: allocation.key,
            until: allocation.until,
        });
        // A data connection's first request is made with the nonce of the connection that controls the allocation (RFC 6062
        // section 4.3): another challenge would cost a round trip and show nothing that the address does not.
        let control = holder.and_then(|index| self.allocations.get(index as usize)).map(|allocation| allocation.client.remote);
        let asked_from = match control {
            Some(control)
                if message.method() == Method::CONNECTION_BIND
                    && control.ip() == client.remote.ip()
                    && self.auth.knows_nonce(now.unix, control, message) =>
            {
                control
            }
            Some(_) | None => client.remote,
        };
        self.auth.check(now, asked_from, message, held.as_ref(), self.attempt)
    }

    /// What becomes of a request without proof.
    pub(super) fn refuse(&mut self, now: Now, client: FiveTuple, message: &Message<'_>, refusal: &Refusal) -> Result<Verdict, DropReason> {
        match refusal {
            Refusal::Unheard(user) => self.await_key(now, user, client, message),
            refusal => self.challenge(now, client, message, refusal),
        }
    }

    /// An allocation answers to those who made it (RFC 8656 section 5), from where they made it. What they prove with from now on is
    /// what they proved with last: a token may have taken another's place.
    pub(super) fn check_holder(&mut self, index: u32, message: &Message<'_>, proof: &Proof) -> Result<(), Rejection> {
        let allocation = self.allocations.get_mut(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        // A new token may be sealed with another key, which is what the name tells (RFC 7635 section 6.2); the account stays the same.
        let token_renewed = allocation.until.is_some() && proof.until.is_some();
        if !token_renewed && (allocation.username != proof.username || allocation.realm != proof.realm) {
            return Err(Rejection::WRONG_CREDENTIALS);
        }
        if self.config.check_origin && !Auth::keeps_origin(message, allocation.origin.as_deref()) {
            return Err(Rejection::WRONG_CREDENTIALS);
        }
        (allocation.key, allocation.until) = (proof.key, proof.until);
        if token_renewed {
            allocation.username.clone_from(&proof.username);
        }
        Ok(())
    }

    /// Where an allocation is made from, if that matters. An origin that selects a realm must be used with that realm.
    pub(super) fn origin_of(&self, message: &Message<'_>) -> Result<Option<Box<[u8]>>, Rejection> {
        if !self.config.check_origin {
            return Ok(None);
        }
        if message.realm().is_some_and(|realm| realm != self.auth.realm_for(message).0) {
            return Err(Rejection::WRONG_CREDENTIALS);
        }
        Ok(Auth::origin(message))
    }

    /// A Binding request where even that needs credentials.
    pub(super) fn handle_secure_binding(&mut self, now: Now, client: FiveTuple, message: &Message<'_>) -> Result<Verdict, DropReason> {
        let proof = match self.prove(now, client, message, None) {
            Ok(proof) => proof,
            Err(refusal) => return self.refuse(now, client, message, &refusal),
        };
        let style = ReplyStyle { integrity: proof.integrity, fingerprint: message.has_fingerprint() };
        let question = Question::new(client, message);
        let route = match self.secure_route(&client, message) {
            Ok(route) => route,
            Err(rejection) => {
                self.stats.binding_errors_total += 1;
                return self.reject(question, proof.key, style, &rejection);
            }
        };
        self.stats.bindings_total += 1;
        let reply = self.accept(question, proof.key, style, |writer| {
            writer.xor_address(Type::XOR_MAPPED_ADDRESS, client.remote);
            route.iter().for_each(|route| route.write(writer));
        })?;
        Ok(routed(client, route, reply))
    }

    fn await_key(&mut self, now: Now, user: &User, client: FiveTuple, message: &Message<'_>) -> Result<Verdict, DropReason> {
        match self.auth.lookups.wait(now.mono, user, client, message.bytes()) {
            Ok(Some(lookup)) => {
                self.stats.lookups_total += 1;
                self.stats.lookups_waiting = self.auth.lookups.waiting() as u64;
                let User { realm, name } = user.clone();
                self.outputs.push_back(Output::LookupKey { lookup, realm, username: name });
                self.arm_lookups();
                Ok(Verdict::Handled)
            }
            Ok(None) => Ok(Verdict::Handled),
            Err(Full) => Err(DropReason::LookupsFull),
        }
    }

    /// Lookups whose answer does not come.
    pub(super) fn lookups_due(&mut self, now: Now) {
        self.lookup_timer = false;
        while let Some(lookup) = self.auth.lookups.overdue(now.mono) {
            self.handle_key(now, lookup, KeyAnswer::Unavailable);
        }
        self.arm_lookups();
    }

    fn arm_lookups(&mut self) {
        if let Some(at) = self.auth.lookups.deadline().filter(|_| !self.lookup_timer) {
            self.lookup_timer = true;
            self.timers.insert(at, Timer::Lookups);
        }
    }
}
