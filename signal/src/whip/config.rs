//! What the operator may set about WHIP and WHEP.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhipConfig {
    /// A WHEP player whose publisher is not there is told to ask again (409) instead of waiting with a connection that shows nothing.
    pub live_only: bool,
    /// POSTs with an offer that are taken per second, of all clients: each costs an SDP and a handshake. More are told to come again (503).
    pub offers_per_s: u32,
    /// How many of them may come at once after a pause: the viewers of a stream that starts.
    pub offers_burst: u32,
    /// PATCHes of one resource per second. A browser's candidates come in one or a few; more get 429.
    pub patches_per_s: u32,
    /// How many of them may come at once.
    pub patches_burst: u32,
    /// Body of a PATCH with an ICE fragment. A browser with many addresses writes some KB.
    pub fragment_bytes_max: usize,
}

impl Default for WhipConfig {
    fn default() -> Self {
        Self {
            live_only: false,
            offers_per_s: 200,
            offers_burst: 1_000,
            patches_per_s: 5,
            patches_burst: 30,
            fragment_bytes_max: 16 * 1024,
        }
    }
}
