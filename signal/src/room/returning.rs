//! A WebSocket is lost and comes back: the participant stays meanwhile, and so does its media.

use super::{JoinNumber, Room, World};
use crate::message::{DataLimits, Entered, IceServerInfo, OnMid, ResumeInfo, ServerMessage, StateInfo, publication_text};
use crate::people::Participant;
use crate::time::Due;

impl Room {
    /// The WebSocket is lost. `false`: it is not waited for, and the participant goes.
    pub fn lose(&mut self, number: JoinNumber, world: &mut World) -> bool {
        let grace_s = world.limits.room.resume_grace_s;
        let Some(participant) = self.people.get_mut(&number) else { return false };
        if grace_s == 0 || participant.resume.is_empty() {
            return false;
        }
        let until_ms = world.now.in_s(grace_s);
        world.deadlines.set(until_ms, Due::Return(participant.id));
        if let Some(before_ms) = participant.lost_until_ms.replace(until_ms) {
            world.deadlines.cancel(before_ms, Due::Return(participant.id));
        }
        self.tell_others_of(number, world);
        true
    }

    /// Another WebSocket stands for it from now on.
    pub fn resume(&mut self, number: JoinNumber, request: u64, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        let lost = participant.lost_until_ms.take();
        if let Some(until_ms) = lost {
            world.deadlines.cancel(until_ms, Due::Return(participant.id));
        }
        participant.negotiate_due = false;
        for subscription in &mut participant.subscriptions {
            subscription.quality_told = None;
        }
        if let Some(message) = self.resumed(number, request, world) {
            let to = self.people.get(&number).map(|participant| participant.id);
            to.into_iter().for_each(|to| world.tell(to, message.clone()));
            self.tell_measures(number, world);
        }
        if lost.is_some() {
            self.tell_others_of(number, world);
        }
    }

    fn resumed(&self, number: JoinNumber, id: u64, world: &World) -> Option<ServerMessage> {
        let participant = self.people.get(&number)?;
        let published = participant.publications.iter();
        let published = published.map(|p| OnMid { publication: publication_text(p.id), mid: p.mid.clone() }).collect();
        Some(ServerMessage::Resumed {
            id,
            entered: Box::new(self.entered(number, world)?),
            connected: participant.connected,
            published,
            placed: placed(participant),
        })
    }

    /// What media events have said lately.
    fn tell_measures(&mut self, number: JoinNumber, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        let to = participant.id;
        for subscription in &mut participant.subscriptions {
            if let Some(quality) = subscription.quality {
                subscription.quality_told = Some(quality);
                let publication = publication_text(subscription.source.publication);
                world.tell(to, ServerMessage::Quality { publication, quality: quality.into() });
            }
        }
        for publication in &participant.publications {
            if let Some(spatial_max) = publication.wanted {
                world.tell(to, ServerMessage::LayersWanted { publication: publication_text(publication.id), spatial_max });
            }
            if publication.muted_by_server {
                world.tell(
                    to,
                    ServerMessage::PublicationMuted {
                        participant: participant.text(),
                        publication: publication_text(publication.id),
                        muted: true,
                        muted_by_server: true,
                    },
                );
            }
        }
        if let Some(estimate_bps) = participant.estimate_bps {
            world.tell(to, ServerMessage::Estimate { estimate_bps });
        }
        if let Some(speakers) = self.speakers() {
            world.tell(to, speakers);
        }
    }

    /// All that someone may know of the room.
    pub fn entered(&self, number: JoinNumber, world: &World) -> Option<Entered> {
        let own = self.people.get(&number)?;
        Some(Entered {
            room: self.name.clone(),
            metadata: self.options.metadata.clone(),
            you: own.you(),
            participants: self.people().filter(|p| p.id != own.id && p.visible()).map(Participant::info).collect(),
            ice_servers: world.media.ice_servers(&own.ticket.identity).into_iter().map(IceServerInfo::from).collect(),
            data: DataLimits { bytes_max: world.limits.data_bytes_max, lossy_bytes_max: world.limits.data_lossy_bytes_max },
            negotiate: own.waiting.into(),
            resume: ResumeInfo { token: own.resume.clone(), grace_s: world.limits.room.resume_grace_s },
            options: self.settings.info(),
            state: self.state_for(own),
        })
    }

    pub(super) fn state_for(&self, own: &Participant) -> StateInfo {
        StateInfo {
            chat: self.chat.newest(&own.ticket.identity),
            hands: self.hands_for(own),
            polls: self.polls_for(own),
            boards: self.board_names(),
            audience: self.audience_count(),
            breakouts: None,
            breakout: self.breakout(),
            waiting: if own.is_host() { self.waiting_info() } else { Vec::new() },
            bans: if own.is_host() { self.bans().cloned().collect() } else { Vec::new() },
        }
    }
}

pub(super) fn placed(participant: &Participant) -> Vec<OnMid> {
    let placed = participant.subscriptions.iter();
    placed.filter_map(|s| Some(OnMid { publication: publication_text(s.source.publication), mid: s.mid.clone()? })).collect()
}
