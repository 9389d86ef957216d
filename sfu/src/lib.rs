//! A selective forwarding unit as a state machine: datagrams, commands and the time come in; packets and events go out.
//!
//! [`Sfu`] is one shard's part: it owns the participants whose packets arrive there. [`Negotiation`] is the other half, kept by
//! control: it reads and writes SDP and turns it into one plain value, [`ParticipantSpec`], that is sent to every shard.

#![forbid(unsafe_code)]

mod bandwidth;
mod budget;
mod cache;
mod command;
mod config;
mod data;
mod directory;
mod downtrack;
mod egress;
mod facts;
pub mod feedback;
mod gathered;
mod layers;
mod layout;
mod munger;
mod negotiation;
mod pacer;
mod packet;
mod participant;
mod publication;
mod quality;
mod redundancy;
pub mod sdp;
mod selector;
mod sequencer;
mod sfu;
mod speakers;
pub mod srtp;
mod stats;
mod targets;
pub mod transport;

pub use bandwidth::{BandwidthConfig, Estimator};
pub use budget::BudgetConfig;
pub use command::{
    Claim, CloseReason, Codec, CodecSpec, Command, DtlsRole, Event, ExtensionIds, Fingerprint, Front, IceCredentials, Kind, ParticipantId,
    ParticipantSpec, PublicationId, ReceiverSpec, RoomId, SenderSpec, Source, SsrcSpec,
};
pub use config::Config;
#[cfg(any(test, feature = "fuzz"))]
pub use data::fuzz as fuzz_data_channel;
pub use data::{ChannelsOpen, DataConfig, DataMessage, DataSpec, Delivery, Payload, PayloadBudget};
pub use egress::{Egress, MeshMessage, MeshPacket, ReferenceTime};
pub use facts::{Carried, Facts, Frame, Span};
pub use layers::{LayerSet, Rates};
pub use layout::Layout;
pub use negotiation::{
    Negotiation, NegotiationConfig, Place, Placement, Refusal, RefusalCause, SdpError, SubscribeError, Trickled, Waiting,
};
pub use packet::{PACKET_LEN_MAX, PacketBuf, PacketPool, PacketRef};
pub use quality::{LayerId, Preferences, Quality, Reason};
pub use redundancy::RedundancyConfig;
pub use sfu::Sfu;
pub use speakers::{Levels, SpeakersConfig, VoiceLevel};
pub use stats::{DropReason, Drops, Stats};
