//! What the operator may set. Plain fields; each says why its default.

use crate::token::Keys;

#[derive(Clone, Debug)]
pub struct Config {
    /// API keys whose tokens are taken. Without any, nobody can join.
    pub keys: Keys,
    /// `POST /dev/token` mints a token for whoever asks. Only for `serve --dev`.
    pub dev_tokens: bool,
    pub rooms_max: usize,
    /// Everyone in all rooms, WHIP publishers and WHEP players included.
    pub participants_max: usize,
    /// A room's participants. Presence is told to everyone, so its cost grows with the square.
    pub participants_per_room_max: usize,
    /// Tracks that one participant publishes: camera, microphone, screen with sound, and room for a few more.
    pub publications_per_participant_max: usize,
    /// Tracks that one participant receives. A browser shows no more at once with pleasure.
    pub subscriptions_per_participant_max: usize,
    /// A track's name, in bytes.
    pub track_name_bytes_max: usize,
    /// One SDP text. Chromium's offer with 30 video m-lines has about 150 KB.
    pub sdp_bytes_max: usize,
    /// One WebSocket message: an SDP text with JSON's escapes.
    pub message_bytes_max: usize,
    /// Messages from one WebSocket client per second, sustained; above that it is read more slowly.
    pub messages_per_s: u32,
    /// Messages that may come at once.
    pub messages_burst: u32,
    /// A client that keeps flooding for this long while it is slowed down is dropped.
    pub flood_s_max: u32,
    /// Messages waiting for a client that reads slowly; when they are that many it is closed.
    pub out_queue_max: usize,
    /// A WebSocket client must join within this time.
    pub join_timeout_s: u32,
    /// Pause between keepalive pings; two without an answer close the connection. Proxies commonly cut after 60 s of silence.
    pub ping_interval_s: u32,
    /// WebSocket connections, joined or not.
    pub connections_max: usize,
    /// How long a room that an operator opened stays when nobody is in it, unless it is opened with another time.
    pub empty_timeout_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            dev_tokens: false,
            rooms_max: 10_000,
            participants_max: 20_000,
            participants_per_room_max: 1_000,
            publications_per_participant_max: 8,
            subscriptions_per_participant_max: 256,
            track_name_bytes_max: 128,
            sdp_bytes_max: 256 * 1024,
            message_bytes_max: 320 * 1024,
            messages_per_s: 50,
            messages_burst: 200,
            flood_s_max: 10,
            out_queue_max: 512,
            join_timeout_s: 10,
            ping_interval_s: 15,
            connections_max: 20_000,
            empty_timeout_s: 300,
        }
    }
}
