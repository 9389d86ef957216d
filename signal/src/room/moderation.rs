//! What hosts do to others: mute, ask, give and take roles and permissions. Each act is told to the log, who did what to whom.

use super::{JoinNumber, Refusal, Room, World};
use crate::media::{ParticipantId, PublicationId, Source};
use crate::message::{ErrorCode, PermissionWish, Role, ServerMessage, SettingsWish, TrackSource, publication_text};
use crate::people::{Participant, Publication};
use crate::room::{Settings, Standing};

impl Room {
    /// `mute`, of one's own or (as host) of others' publications.
    pub fn mute(&mut self, number: JoinNumber, id: PublicationId, muted: bool, world: &mut World) -> Result<(), Refusal> {
        let asking = self.people.get(&number).ok_or_else(Refusal::no_publication)?;
        if asking.publications.iter().any(|publication| publication.id == id) {
            return self.mute_own(number, id, muted, world);
        }
        let owner = self.people.values().find(|p| p.shown().any(|publication| publication.id == id));
        let owner = owner.ok_or_else(Refusal::no_publication)?.id;
        let owner = self.moderated(number, owner, "mute")?;
        self.mute_other(owner, id, muted, world);
        Ok(())
    }

    fn mute_own(&mut self, number: JoinNumber, id: PublicationId, muted: bool, world: &mut World) -> Result<(), Refusal> {
        let participant = self.people.get_mut(&number).ok_or_else(Refusal::no_publication)?;
        let is_host = participant.is_host();
        let publication = participant.publication_mut(id).ok_or_else(Refusal::no_publication)?;
        if publication.muted_by_server && !muted {
            if !is_host && !publication.unmute_asked {
                return Err(Refusal::new(ErrorCode::Forbidden, "muted by a host, who alone can lift it"));
            }
            publication.muted_by_server = false;
        }
        publication.unmute_asked = false;
        publication.muted = muted;
        self.enforce(number, id, world);
        if let Some(message) = self.muted_message(number, id) {
            self.tell_others(number, message, world);
        }
        Ok(())
    }

    pub(super) fn mute_other(&mut self, owner: JoinNumber, id: PublicationId, muted: bool, world: &mut World) {
        let Some(participant) = self.people.get_mut(&owner) else { return };
        let Some(publication) = participant.publication_mut(id) else { return };
        publication.muted_by_server = muted;
        publication.unmute_asked = false;
        self.enforce(owner, id, world);
        if let Some(message) = self.muted_message(owner, id) {
            self.tell_those(|_| true, message, world);
        }
    }

    /// The media side lets pass what may pass.
    fn enforce(&self, number: JoinNumber, id: PublicationId, world: &World) {
        let Some(participant) = self.people.get(&number) else { return };
        let Some(publication) = participant.publications.iter().find(|publication| publication.id == id) else { return };
        world.media.set_muted(participant.id, id, participant.stops(publication));
    }

    /// `None`: nobody knows of the publication.
    fn muted_message(&self, number: JoinNumber, id: PublicationId) -> Option<ServerMessage> {
        let participant = self.people.get(&number)?;
        let publication = participant.shown().find(|publication| publication.id == id)?;
        Some(ServerMessage::PublicationMuted {
            participant: participant.text(),
            publication: publication_text(id),
            muted: publication.muted || publication.muted_by_server,
            muted_by_server: publication.muted_by_server,
        })
    }

    /// `mute_all`: everyone's but the hosts'.
    pub fn mute_all(&mut self, number: JoinNumber, source: TrackSource, world: &mut World) -> Result<(), Refusal> {
        self.check_host(number)?;
        let of = |p: &Participant| p.shown().filter(|publication| publication.source == source).map(|p| p.id).collect::<Vec<_>>();
        let meant = self.people.iter().filter(|(other, p)| **other != number && !p.is_host());
        let meant: Vec<_> = meant.flat_map(|(other, p)| of(p).into_iter().map(|id| (*other, id))).collect();
        self.audit("mute_all", number, None);
        for (owner, id) in meant {
            self.mute_other(owner, id, true, world);
        }
        Ok(())
    }

    /// `ask_unmute`: the person decides.
    pub fn ask_unmute(&mut self, number: JoinNumber, whom: ParticipantId, source: TrackSource, world: &mut World) -> Result<(), Refusal> {
        let owner = self.moderated(number, whom, "ask_unmute")?;
        let by = self.people.get(&number).map(Participant::text).unwrap_or_default();
        let Some(participant) = self.people.get_mut(&owner) else { return Err(Refusal::no_participant()) };
        for publication in participant.publications.iter_mut().filter(|publication| publication.source == source) {
            publication.unmute_asked = true;
        }
        if participant.listens() {
            world.tell(whom, ServerMessage::UnmuteAsked { by, source });
        }
        Ok(())
    }

    /// `set_role`. Only hosts make and unmake hosts and co-hosts.
    pub fn set_role(&mut self, number: JoinNumber, whom: ParticipantId, role: Role, world: &mut World) -> Result<(), Refusal> {
        let owner = self.moderated(number, whom, "set_role")?;
        let asking = self.people.get(&number).ok_or_else(Refusal::no_participant)?.standing.role;
        let standing = self.people.get(&owner).ok_or_else(Refusal::no_participant)?.standing;
        if asking != Role::Host && (role.is_host() || standing.role.is_host()) {
            return Err(Refusal::new(ErrorCode::Forbidden, "only a host makes and unmakes hosts and co-hosts").of("role"));
        }
        self.set_standing(owner, standing.with_role(role), world)
    }

    pub fn set_permissions(
        &mut self,
        number: JoinNumber,
        whom: ParticipantId,
        wish: PermissionWish,
        world: &mut World,
    ) -> Result<(), Refusal> {
        let owner = self.moderated(number, whom, "set_permissions")?;
        let standing = self.people.get(&owner).ok_or_else(Refusal::no_participant)?.standing;
        self.set_standing(owner, standing.with_wish(wish), world)
    }

    /// What someone may do from now on, also when it comes again.
    pub(super) fn set_standing(&mut self, number: JoinNumber, standing: Standing, world: &mut World) -> Result<(), Refusal> {
        let participant = self.people.get_mut(&number).ok_or_else(Refusal::no_participant)?;
        let before = participant.standing;
        if before == standing {
            return Ok(());
        }
        let identity = participant.ticket.identity.clone();
        if !self.standings.contains_key(&identity) && self.standings.len() >= world.limits.room.standings_max {
            return Err(Refusal::new(ErrorCode::Full, "the room remembers no more roles"));
        }
        self.standings.insert(identity, standing);
        let shown: Vec<Publication> = participant.shown().cloned().collect();
        participant.standing = standing;
        let may_publish = standing.publish && participant.holds_identity() && !participant.ticket.hidden;
        world.media.grant(participant.id, may_publish, participant.may_subscribe());
        let sent: Vec<PublicationId> = participant.publications.iter().map(|publication| publication.id).collect();
        if before.publish && !standing.publish {
            self.hide_publications(number, &shown, world);
        }
        self.place_in_audience(number, world);
        self.tell_standing(number, world);
        for id in sent {
            self.enforce(number, id, world);
        }
        if !before.publish && standing.publish {
            self.show_all(number, world);
        }
        if before.subscribe != standing.subscribe {
            self.follow_subscribe(number, world);
        }
        Ok(())
    }

    fn tell_standing(&self, number: JoinNumber, world: &mut World) {
        let Some(participant) = self.people.get(&number) else { return };
        if participant.listens() {
            world.tell(participant.id, ServerMessage::YouUpdated { you: participant.you() });
            if participant.is_host() {
                world.tell(participant.id, self.bans_message());
                world.tell(participant.id, ServerMessage::WaitingRoom { waiting: self.waiting_info() });
            }
        }
        self.tell_others_of(number, world);
    }

    fn show_all(&mut self, number: JoinNumber, world: &mut World) {
        let Some(participant) = self.people.get(&number) else { return };
        let ids: Vec<PublicationId> = participant.shown().map(|publication| publication.id).collect();
        for id in ids {
            self.show_publication(number, id, world);
        }
    }

    /// Someone may receive now, or no longer.
    fn follow_subscribe(&mut self, number: JoinNumber, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        if participant.may_subscribe() {
            let auto = participant.auto_subscribes();
            let sources: Vec<Source> = if auto { self.sources_for(number).collect() } else { Vec::new() };
            for source in sources {
                self.receive(number, source, world);
            }
            self.refill(number, world);
            return;
        }
        participant.waiting = Default::default();
        participant.negotiate_due = false;
        for subscription in std::mem::take(&mut participant.subscriptions) {
            world.media.unsubscribe(participant.id, subscription.source.publication);
        }
    }

    /// `set_room`.
    pub fn set_room(&mut self, number: JoinNumber, wish: SettingsWish, world: &mut World) -> Result<Settings, Refusal> {
        self.check_host(number)?;
        let before = self.settings;
        if self.set_settings(wish, world) {
            self.audit("set_room", number, None);
            self.tell_updated_room(world);
        }
        Ok(before)
    }

    /// `true`: something has changed, and is to be told.
    pub(super) fn set_settings(&mut self, wish: SettingsWish, world: &mut World) -> bool {
        let before = self.settings;
        self.settings = before.with_wish(wish);
        if self.settings != before {
            self.follow_mode(before, world);
        }
        self.settings != before
    }

    pub(super) fn tell_updated_room(&self, world: &mut World) {
        let (options, metadata) = (self.settings.info(), self.options.metadata.clone());
        self.tell_those(|_| true, ServerMessage::RoomUpdated { options, metadata }, world);
    }

    /// Before someone is removed for good.
    pub fn ban(&mut self, identity: &str, world: &mut World) -> Result<(), Refusal> {
        if self.bans.len() >= world.limits.room.bans_max {
            return Err(Refusal::new(ErrorCode::Full, "the room remembers no more bans").of("ban"));
        }
        self.bans.insert(identity.to_owned());
        self.standings.remove(identity);
        self.tell_hosts(self.bans_message(), world);
        Ok(())
    }

    pub fn unban(&mut self, number: JoinNumber, identity: &str, world: &mut World) -> Result<(), Refusal> {
        self.check_host(number)?;
        self.lift_ban(identity, world)?;
        self.audit("unban", number, Some(identity));
        Ok(())
    }

    pub fn lift_ban(&mut self, identity: &str, world: &mut World) -> Result<(), Refusal> {
        if !self.bans.remove(identity) {
            return Err(Refusal::new(ErrorCode::NotFound, "this identity is not banned").of("identity"));
        }
        self.tell_hosts(self.bans_message(), world);
        Ok(())
    }

    pub fn bans(&self) -> impl Iterator<Item = &String> {
        self.bans.iter()
    }

    fn bans_message(&self) -> ServerMessage {
        ServerMessage::Bans { identities: self.bans().cloned().collect() }
    }

    pub fn is_banned(&self, identity: &str) -> bool {
        self.bans.contains(identity)
    }

    /// What the hosts have made of who comes in.
    pub fn standing_of(&self, identity: &str) -> Option<Standing> {
        self.standings.get(identity).copied()
    }

    pub fn check_host(&self, number: JoinNumber) -> Result<&Participant, Refusal> {
        self.people.get(&number).filter(|participant| participant.is_host()).ok_or_else(Refusal::no_host)
    }

    /// Whom a host acts on, after a look whether it may. A co-host has no power over hosts. The log is told.
    pub fn moderated(&self, number: JoinNumber, whom: ParticipantId, act: &'static str) -> Result<JoinNumber, Refusal> {
        let by = self.check_host(number)?;
        let whom = self.number_of(whom).and_then(|owner| Some((owner, self.people.get(&owner)?)));
        let Some((owner, participant)) = whom.filter(|(_, p)| p.holds_identity() && !p.ticket.hidden) else {
            return Err(Refusal::no_participant());
        };
        if participant.standing.role == Role::Host && by.standing.role != Role::Host {
            return Err(Refusal::new(ErrorCode::Forbidden, "a co-host cannot do that to a host").of("participant"));
        }
        self.audit(act, number, Some(&participant.ticket.identity));
        Ok(owner)
    }

    /// Who did what to whom, for whoever has to look into it later.
    pub fn audit(&self, act: &'static str, number: JoinNumber, whom: Option<&str>) {
        let by = self.people.get(&number).map_or("", |participant| &participant.ticket.identity);
        tracing::info!(target: "pointsman_signal::audit", room = %self.name, act, by, whom, "moderated");
    }
}
