//! What the operator may set. Plain fields; each says why its default.

use crate::token::Keys;
use crate::whip::WhipConfig;

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
    /// Bytes of one message between participants: reliable, …
    pub data_bytes_max: usize,
    /// … and lossy, which is lost whole when one of its packets is.
    pub data_lossy_bytes_max: usize,
    /// A topic, in bytes.
    pub data_topic_bytes_max: usize,
    /// Identities that one message names.
    pub data_recipients_max: usize,
    /// Bytes of such messages from one WebSocket client per second, sustained; above that it is read more slowly.
    pub data_bytes_per_s: u32,
    /// Bytes that may come at once.
    pub data_bytes_burst: u32,
    /// Messages waiting for a client that reads slowly; when they are that many it is closed.
    pub out_queue_max: usize,
    /// A WebSocket client must join within this time.
    pub join_timeout_s: u32,
    /// Pause between keepalive pings; two without an answer close the connection. Proxies commonly cut after 60 s of silence.
    pub ping_interval_s: u32,
    /// WebSocket connections, joined or not.
    pub connections_max: usize,
    pub whip: WhipConfig,
    pub room: RoomConfig,
    /// How long a room that an operator opened stays when nobody is in it, unless it is opened with another time.
    pub empty_timeout_s: u32,
}

/// What people do in a room, and how much of it is remembered.
#[derive(Clone, Debug)]
pub struct RoomConfig {
    /// Whose WebSocket is lost stays in the room for so long and may resume; 0: it leaves at once. Long enough for a phone to change networks.
    pub resume_grace_s: u32,
    /// Rooms begin with their waiting room on.
    pub waiting_room: bool,
    /// People held in one waiting room.
    pub waiting_max: usize,
    /// Identities that one room has banned.
    pub bans_max: usize,
    /// Identities whose role, permissions or admission one room remembers, beside those who are in it.
    pub standings_max: usize,
    /// One chat message, in bytes.
    pub chat_bytes_max: usize,
    /// Messages that one room remembers for who comes later; older ones are forgotten.
    pub chat_history_max: usize,
    /// Hands raised at a time.
    pub hands_max: usize,
    /// Polls that one room remembers, open and closed.
    pub polls_max: usize,
    /// Question and options of a poll, in bytes each.
    pub poll_text_bytes_max: usize,
    /// Boards of one room that are drawn on.
    pub boards_max: usize,
    /// Strokes of one board.
    pub strokes_max: usize,
    /// Coordinates of one board, two a point: what who comes later must be sent.
    pub board_coordinates_max: usize,
    /// Breakout rooms of one room.
    pub breakouts_max: usize,
    /// How long a call rings.
    pub ring_timeout_s: u32,
    /// Calls that ring or are connected, on the whole server.
    pub calls_max: usize,
    /// … and of one identity, so that nobody rings everybody.
    pub calls_per_identity_max: usize,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            resume_grace_s: 30,
            waiting_room: false,
            waiting_max: 200,
            bans_max: 1_000,
            standings_max: 4_000,
            chat_bytes_max: 4_096,
            chat_history_max: 500,
            hands_max: 200,
            polls_max: 50,
            poll_text_bytes_max: 512,
            boards_max: 8,
            strokes_max: 2_000,
            board_coordinates_max: 100_000,
            breakouts_max: 50,
            ring_timeout_s: 45,
            calls_max: 10_000,
            calls_per_identity_max: 16,
        }
    }
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
            data_bytes_max: 64 * 1024,
            data_lossy_bytes_max: 16 * 1024,
            data_topic_bytes_max: 128,
            data_recipients_max: 128,
            data_bytes_per_s: 256 * 1024,
            data_bytes_burst: 512 * 1024,
            out_queue_max: 512,
            join_timeout_s: 10,
            ping_interval_s: 15,
            connections_max: 20_000,
            whip: WhipConfig::default(),
            room: RoomConfig::default(),
            empty_timeout_s: 300,
        }
    }
}
