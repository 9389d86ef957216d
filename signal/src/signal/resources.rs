//! What WHIP and WHEP made, and what may be done to it.

use std::collections::HashMap;
use std::time::Instant;

use axum::http::{HeaderMap, StatusCode};
use foldhash::fast::RandomState;

use super::{Signal, State};
use crate::bucket::Bucket;
use crate::media::{IceServer, Media, ParticipantId, Trickled, Waiting};
use crate::message::LeaveReason;
use crate::people::{Plan, Ticket};
use crate::problem::Problem;
use crate::room::Refusal;
use crate::whip::Precondition;

/// By which of the two a resource was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Whip,
    Whep,
}

/// A publisher or player that came in through HTTP.
#[derive(Debug)]
struct Resource {
    participant: ParticipantId,
    room: String,
    identity: String,
    door: Door,
    /// Of the present ICE; another after each restart (RFC 9725 section 4.3.1).
    entity_tag: String,
    /// We made the offer, and it has no answer yet.
    unanswered: bool,
    patches: Bucket,
    made: Instant,
}

/// All of them, by the unguessable end of their URL.
#[derive(Default)]
pub(super) struct Resources {
    by_id: HashMap<String, Resource, RandomState>,
    of: HashMap<ParticipantId, String, RandomState>,
}

impl Resources {
    pub(super) fn remove(&mut self, participant: ParticipantId) {
        if let Some(id) = self.of.remove(&participant) {
            self.by_id.remove(&id);
        }
    }

    fn get(&mut self, id: &str) -> Result<&mut Resource, Problem> {
        self.by_id.get_mut(id).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no such resource, or it has ended"))
    }
}

/// What a WHIP or WHEP POST made.
pub(crate) struct Created {
    pub resource: String,
    pub entity_tag: String,
    /// Our answer, or our offer.
    pub sdp: String,
    pub ice_servers: Vec<IceServer>,
}

/// What a PATCH did.
pub(crate) enum Patched {
    Candidates,
    Restarted { fragment: String, entity_tag: String },
}

impl Signal {
    pub(crate) fn publish(&self, ticket: Ticket, offer: &str) -> Result<Created, Refusal> {
        self.create(ticket, Door::Whip, false, |state, ticket, media| state.rooms.join_publisher(ticket, offer, media))
    }

    pub(crate) fn play(&self, ticket: Ticket, plan: Plan, offer: &str) -> Result<Created, Refusal> {
        self.create(ticket, Door::Whep, false, |state, ticket, media| state.rooms.join_player(ticket, plan, offer, media))
    }

    /// Lets a player in whose offer is none that we could answer: it is offered `lines` instead.
    pub(crate) fn offer_to(&self, ticket: Ticket, plan: Plan, lines: Waiting) -> Result<Created, Refusal> {
        self.create(ticket, Door::Whep, true, |state, ticket, media| state.rooms.offer_to_player(ticket, plan, lines, media))
    }

    fn create(
        &self,
        ticket: Ticket,
        door: Door,
        unanswered: bool,
        join: impl FnOnce(&mut State, Ticket, &dyn Media) -> Result<(ParticipantId, String), Refusal>,
    ) -> Result<Created, Refusal> {
        let (room, identity) = (ticket.room.clone(), ticket.identity.clone());
        let config = &self.config().whip;
        let patches = Bucket::new(config.patches_per_s, config.patches_burst, 0);
        self.act(|state, media| {
            let (participant, sdp) = join(state, ticket, media)?;
            let (resource, entity_tag) = (state.random_hex::<16>(), state.random_hex::<8>());
            let ice_servers = media.ice_servers(&identity);
            let (entity_tag_kept, made) = (entity_tag.clone(), Instant::now());
            let kept = Resource { participant, room, identity, door, entity_tag: entity_tag_kept, unanswered, patches, made };
            state.resources.of.insert(participant, resource.clone());
            state.resources.by_id.insert(resource.clone(), kept);
            Ok(Created { resource, entity_tag, sdp, ice_servers })
        })
    }

    /// How many offers may come is bounded over all clients.
    pub(crate) fn permit_offer(&self) -> Result<(), Problem> {
        self.act(|state, _| {
            let now_ms = elapsed_ms(state.started);
            state.offers.take_if_free(now_ms).map_err(|_| Problem::busy("too many new clients at once"))
        })
    }

    /// Whether somebody publishes who could be played.
    pub(crate) fn is_live(&self, room: &str, first: Option<&str>) -> bool {
        self.act(|state, _| state.rooms.is_live(room, first))
    }

    pub(crate) fn ice_servers(&self, identity: &str) -> Vec<IceServer> {
        self.act(|_, media| media.ice_servers(identity))
    }

    /// The participant behind a resource, for who may change it: the one whose token made it, or an admin of its room.
    pub(crate) fn owned_resource(&self, headers: &HeaderMap, id: &str) -> Result<ParticipantId, Problem> {
        let (ticket, _) = self.ticket(headers, None)?;
        self.act(|state, _| {
            let resource = state.resources.get(id)?;
            if ticket.room == resource.room && (ticket.identity == resource.identity || ticket.admin) {
                return Ok(resource.participant);
            }
            Err(Problem::forbidden("the token is not the one that made this resource"))
        })
    }

    pub(crate) fn door_of(&self, id: &str) -> Result<Door, Problem> {
        self.act(|state, _| Ok(state.resources.get(id)?.door))
    }

    pub(crate) fn permit_patch(&self, id: &str) -> Result<(), Problem> {
        self.act(|state, _| {
            let resource = state.resources.get(id)?;
            let now_ms = elapsed_ms(resource.made);
            resource.patches.take_if_free(now_ms).map_err(Problem::too_many)
        })
    }

    pub(crate) fn check_precondition(&self, id: &str, precondition: &Precondition) -> Result<(), Problem> {
        self.act(|state, _| precondition.check(&state.resources.get(id)?.entity_tag))
    }

    /// Takes an ICE fragment. The precondition is looked at again: another PATCH may have come between.
    pub(crate) fn trickle(&self, id: &str, precondition: &Precondition, fragment: &str) -> Result<Patched, Problem> {
        self.act(|state, media| {
            let entity_tag = state.random_hex::<8>();
            let resource = state.resources.get(id)?;
            precondition.check(&resource.entity_tag)?;
            if resource.unanswered {
                return Err(Problem::new(StatusCode::CONFLICT, "the offer must be answered first, as application/sdp"));
            }
            match media.trickle(resource.participant, fragment).map_err(Refusal::from)? {
                Trickled::Candidates => Ok(Patched::Candidates),
                Trickled::Restarted { fragment } => {
                    resource.entity_tag.clone_from(&entity_tag);
                    Ok(Patched::Restarted { fragment, entity_tag })
                }
            }
        })
    }

    /// Takes the answer to an offer of ours; the entity tag comes back.
    pub(crate) fn take_answer(&self, id: &str, answer: &str) -> Result<String, Problem> {
        self.act(|state, media| {
            let resource = state.resources.get(id)?;
            if !resource.unanswered {
                return Err(Problem::new(StatusCode::CONFLICT, "there is no offer that waits for an answer"));
            }
            let (participant, entity_tag) = (resource.participant, resource.entity_tag.clone());
            state.rooms.take_players_answer(participant, answer, media)?;
            state.resources.get(id)?.unanswered = false;
            Ok(entity_tag)
        })
    }

    /// Ends a player that has not answered our offer.
    pub(crate) fn end_unanswered(&self, id: &str) {
        self.act(|state, media| {
            if let Ok(&mut Resource { participant, unanswered: true, .. }) = state.resources.get(id) {
                state.rooms.leave(participant, LeaveReason::Left, media);
            }
        });
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
