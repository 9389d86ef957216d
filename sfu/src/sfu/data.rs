//! Messages of data channels: from participants to control, and from control to participants.

use std::collections::VecDeque;

use pointsman_wire::clock::Now;

use super::{Sfu, push_bounded};
use crate::data::{DataConfig, DataEvent, Delivery, PayloadBudget};
use crate::directory::Place;
use crate::{DropReason, Egress, Event};

/// What waits to be given out, and what is left of this turn.
#[derive(Debug)]
pub(super) struct Desk {
    /// Each with the place of the next of its receivers.
    deliveries: VecDeque<(Delivery, usize)>,
    bytes_left: usize,
    datagrams_left: usize,
    /// Of messages that control has not dealt with.
    budget: PayloadBudget,
}

impl Desk {
    pub fn new(config: &DataConfig) -> Self {
        Self {
            deliveries: VecDeque::new(),
            bytes_left: config.delivered_bytes_per_turn_max,
            datagrams_left: config.datagrams_per_turn_max,
            budget: PayloadBudget::new(config.events_bytes_max),
        }
    }

    pub fn begin_turn(&mut self, config: &DataConfig) {
        self.bytes_left = config.delivered_bytes_per_turn_max;
        self.datagrams_left = config.datagrams_per_turn_max;
    }

    pub fn is_idle(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// `false`: this turn has taken as many as it may.
    pub fn take_datagram(&mut self) -> bool {
        let more = self.datagrams_left > 0;
        self.datagrams_left = self.datagrams_left.saturating_sub(1);
        more
    }
}

impl Sfu {
    pub(super) fn deliver(&mut self, now: Now, delivery: Delivery, out: &mut impl Egress) -> Result<(), DropReason> {
        if self.data.deliveries.len() >= self.config.transport.data.deliveries_max {
            return Err(DropReason::DataBusy);
        }
        self.data.deliveries.push_back((delivery, 0));
        self.take_deliveries(now, out);
        Ok(())
    }

    /// Gives messages out, in the order in which they came, as far as this turn goes.
    pub(super) fn take_deliveries(&mut self, now: Now, out: &mut impl Egress) {
        while self.data.bytes_left > 0
            && let Some((delivery, next)) = self.data.deliveries.front_mut()
        {
            let Some(&to) = delivery.to.get(*next) else {
                self.data.deliveries.pop_front();
                continue;
            };
            *next += 1;
            // Every shard has the message; each looks after its own.
            let Some(&Place::Here(index)) = self.directory.place(to) else { continue };
            let message = delivery.message.clone();
            let len = message.payload.bytes().len();
            self.data.bytes_left = self.data.bytes_left.saturating_sub(len + 64);
            let Some(participant) = self.participants.get_mut(index as usize) else { continue };
            let sent = participant.transport.send_data(&message).and_then(|()| {
                self.stats.data_out += 1;
                self.stats.data_bytes_out += len as u64;
                participant.transport.send_data_packets(now, out)
            });
            if let Err(reason) = sent {
                self.stats.drops.count(reason);
            }
            self.drain_transport(now, index);
        }
    }

    /// Hands on what happened on a participant's channels.
    pub(super) fn drain_data(&mut self, now: Now, index: u32) {
        let Self { participants, data, events, config, stats, .. } = self;
        let Some(participant) = participants.get_mut(index as usize) else { return };
        let id = participant.id;
        loop {
            let event = participant.transport.poll_data(now, &data.budget, &mut |reason| stats.drops.count(reason));
            let event = match event {
                None => return,
                Some(DataEvent::Channels(open)) => Event::DataChannels { participant: id, open },
                Some(DataEvent::Lost(messages)) => Event::DataLost { participant: id, messages },
                Some(DataEvent::Message(message)) => {
                    stats.data_in += 1;
                    stats.data_bytes_in += message.payload.bytes().len() as u64;
                    Event::Data { participant: id, message }
                }
            };
            push_bounded(events, config, stats, event);
        }
    }
}
