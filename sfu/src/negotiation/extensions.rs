//! Header extensions: which we take from clients and which we send to them.

use crate::sdp::ExtMap;
use crate::{ExtensionIds, Kind};

/// One extension that we know.
struct Extension {
    uri: &'static str,
    kinds: &'static [Kind],
    /// Understood when a client sends it.
    received: bool,
    /// Sent to clients: what only the first hop means (transport-cc's numbers) or only simulcast needs (rid) is not.
    sent: bool,
    id: fn(&mut ExtensionIds) -> &mut Option<u8>,
}

const BOTH: &[Kind] = &[Kind::Audio, Kind::Video];
const AUDIO: &[Kind] = &[Kind::Audio];
const VIDEO: &[Kind] = &[Kind::Video];

const EXTENSIONS: [Extension; 11] = [
    // RFC 9143 section 15.
    Extension { uri: "urn:ietf:params:rtp-hdrext:sdes:mid", kinds: BOTH, received: true, sent: true, id: |ids| &mut ids.mid },
    // RFC 8852 section 3.
    Extension { uri: "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", kinds: VIDEO, received: true, sent: false, id: |ids| &mut ids.rid },
    Extension {
        uri: "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        kinds: VIDEO,
        received: true,
        sent: false,
        id: |ids| &mut ids.repaired_rid,
    },
    // RFC 6464.
    Extension {
        uri: "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        kinds: AUDIO,
        received: true,
        sent: true,
        id: |ids| &mut ids.audio_level,
    },
    Extension {
        uri: "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        kinds: BOTH,
        received: true,
        sent: true,
        id: |ids| &mut ids.transport_cc,
    },
    Extension {
        uri: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        kinds: BOTH,
        received: true,
        sent: true,
        id: |ids| &mut ids.abs_send_time,
    },
    Extension { uri: "urn:3gpp:video-orientation", kinds: VIDEO, received: true, sent: true, id: |ids| &mut ids.video_orientation },
    Extension {
        uri: "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        kinds: VIDEO,
        received: true,
        sent: true,
        id: |ids| &mut ids.playout_delay,
    },
    Extension {
        uri: "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        kinds: BOTH,
        received: true,
        sent: true,
        id: |ids| &mut ids.abs_capture_time,
    },
    Extension {
        uri: "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        kinds: VIDEO,
        received: true,
        sent: true,
        id: |ids| &mut ids.dependency_descriptor,
    },
    Extension {
        uri: "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
        kinds: VIDEO,
        received: true,
        sent: false,
        id: |ids| &mut ids.video_layers_allocation,
    },
];

/// Ids of an m-line by what is done with them, and what a description of ours says.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    pub(super) received: ExtensionIds,
    pub(super) sent: ExtensionIds,
    pub(super) written: Vec<ExtMap>,
}

/// Keeps the client's ids (RFC 8285 section 5) of what we know, for an m-line on which it sends, receives or both.
pub(super) fn negotiate(offered: &[ExtMap], kind: Kind, we_receive: bool, we_send: bool) -> Extensions {
    let mut extensions = Extensions::default();
    for offer in offered {
        let Some(known) = EXTENSIONS.iter().find(|known| known.uri == offer.uri && known.kinds.contains(&kind)) else { continue };
        if extensions.written.iter().any(|written| written.id == offer.id || written.uri == offer.uri) {
            continue;
        }
        // Ids from 15 need the two-byte form, which costs each packet more than these are worth on the way out.
        let send = we_send && known.sent && offer.id < 15;
        let receive = we_receive && known.received && offer.id != 15;
        if receive {
            *(known.id)(&mut extensions.received) = Some(offer.id);
        }
        if send {
            *(known.id)(&mut extensions.sent) = Some(offer.id);
        }
        if send || receive {
            extensions.written.push(offer.clone());
        }
    }
    extensions
}

/// What an offer of ours lists for an m-line on which we send: the ids of `used` stay (one id means one extension on all bundled
/// m-lines, RFC 8285 section 6), others are the lowest free.
pub(super) fn offered(kind: Kind, used: Vec<ExtMap>) -> Vec<ExtMap> {
    let mut all = used;
    let mut offered = Vec::new();
    for known in EXTENSIONS.iter().filter(|known| known.sent && known.kinds.contains(&kind)) {
        let id = match all.iter().find(|used| used.uri == known.uri) {
            Some(used) => Some(used.id),
            None => (1..15).find(|id| !all.iter().any(|used| used.id == *id)),
        };
        let Some(id) = id else { continue };
        let extension = ExtMap { id, uri: known.uri.to_owned() };
        all.push(extension.clone());
        offered.push(extension);
    }
    offered
}
