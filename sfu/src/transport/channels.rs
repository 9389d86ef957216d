//! Data channels over the DTLS association: packets out and in, messages in and out.

use pointsman_wire::clock::Now;

use super::{Dtls, Transport};
use crate::data::{Data, DataEvent, DataMessage, DataSpec, PayloadBudget};
use crate::{DropReason, Egress};

impl Transport {
    /// Whether DTLS that comes now is data, and no handshake.
    pub const fn has_data(&self) -> bool {
        self.data.is_some() && self.is_connected()
    }

    /// Puts a message on its way to the client. [`Transport::send_data_packets`] sends it.
    pub fn send_data(&mut self, message: &DataMessage) -> Result<(), DropReason> {
        self.data.as_mut().ok_or(DropReason::DataNoChannel)?.send(message)
    }

    /// Sends what waits, so much of it as one turn may.
    pub fn send_data_packets(&mut self, now: Now, out: &mut impl Egress) -> Result<(), DropReason> {
        for _ in 0..self.config.data.packets_per_turn_max {
            let (Some(data), Dtls::Running(association)) = (&mut self.data, &mut self.dtls) else { return Ok(()) };
            let Some(packet) = data.poll_packet(now.mono) else { return Ok(()) };
            if association.send(now.mono, &packet).is_err() {
                return self.fail(now);
            }
            // A packet that found no room in the arena is sent again by SCTP.
            self.drain(now, out)?;
        }
        if let Some(data) = &mut self.data {
            data.go_on_at(now.mono);
        }
        Ok(())
    }

    /// What happened on the channels.
    pub fn poll_data(&mut self, now: Now, budget: &PayloadBudget, count: &mut impl FnMut(DropReason)) -> Option<DataEvent> {
        self.data.as_mut()?.poll_event(now.mono, budget, count)
    }

    pub(super) fn data_due(&mut self, now: Now, out: &mut impl Egress) -> Result<(), DropReason> {
        let Some(data) = &mut self.data else { return Ok(()) };
        if data.poll_timeout().is_none_or(|due| due > now.mono) {
            return Ok(());
        }
        data.handle_timeout(now.mono);
        self.send_data_packets(now, out)
    }

    /// The description has changed: it may want data channels now, or no longer.
    pub(super) fn update_data(&mut self, spec: Option<DataSpec>) {
        self.data_spec = spec;
        match (&mut self.data, spec) {
            (Some(data), Some(spec)) if !data.is_ended() => data.update(spec),
            // Another association: what was told of the first is told of this one.
            (data @ Some(_), Some(_)) => *data = None,
            (Some(data), None) => data.stop(),
            // It begins with the next DTLS datagram.
            (None, _) => {}
        }
    }

    /// Makes the association once there are keys and the client wants one.
    pub(super) fn begin_data(&mut self, now: Now) {
        let none = self.data.is_none() && self.is_connected() && matches!(self.dtls, Dtls::Running(_));
        if let (true, Some(spec)) = (none, self.data_spec) {
            self.data = Some(Box::new(Data::new(&self.config.data, spec, self.role, now.mono)));
        }
    }
}
