//! A downtrack among the packets of a publication: what goes out, and under which numbers.

use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;

use super::super::{Downtrack, Planned};
use crate::facts::{Descriptors, Frame};
use crate::gathered::{Chain, Gathered};
use crate::publication::Publication;
use crate::{
    Carried, Codec, CodecSpec, Config, ExtensionIds, Facts, Kind, LayerId, PacketPool, PacketRef, Preferences, PublicationId, SenderSpec,
    Span,
};

struct Desk {
    now: Now,
    config: Config,
    pool: PacketPool,
    gathered: Gathered,
    publication: Publication,
    downtrack: Downtrack,
    descriptors: [Descriptors; 3],
    sequences: [u64; 3],
    /// What went out.
    out: Vec<(Planned, Facts)>,
    /// Streams of which a keyframe was asked for.
    asked: Vec<u8>,
}

/// One packet of a publisher.
#[derive(Clone, Default)]
struct Sent {
    stream: u8,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
    descriptor: Vec<u8>,
}

impl Desk {
    fn new(codec: Codec) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for a virtual clock")]
        let now = Now { mono: Instant::now() + Duration::from_secs(100), unix: Duration::from_secs(1_800_000_000) };
        let config = Config::default();
        let format = CodecSpec {
            payload_type: 96,
            codec,
            clock_rate: 90_000,
            rtx: Some(97),
            nack: true,
            pli: true,
            fir: false,
            transport_cc: false,
            ccfb: false,
            remb: false,
        };
        let spec = SenderSpec {
            mid: "a".into(),
            kind: Kind::Video,
            ssrc: 1,
            rtx_ssrc: 2,
            cname: "c".into(),
            codecs: vec![format],
            extensions: ExtensionIds::default(),
            source: None,
            preferences: Preferences::default(),
        };
        Self {
            downtrack: Downtrack::new(&config, spec, 0x1234_5678_9ABC, now.mono),
            publication: Publication::new(PublicationId(1)),
            gathered: Gathered::new(config.gathered_max),
            pool: PacketPool::new(2048),
            now,
            config,
            descriptors: Default::default(),
            sequences: [1000, 2000, 3000],
            out: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn pass(&mut self, ms: u64) {
        let by = Duration::from_millis(ms);
        self.now = Now { mono: self.now.mono + by, unix: self.now.unix + by };
        self.publication.look(self.now.mono, &self.config);
    }

    /// One turn: the packets come in and what is for the subscriber goes out.
    fn turn(&mut self, packets: &[Sent]) {
        self.publication.fresh = Chain::EMPTY;
        self.gathered.clear();
        for packet in packets {
            let (facts, bytes) = self.read(packet);
            let _ = self.publication.gather(self.now, &self.config, &mut self.gathered, packet.stream, facts, bytes);
        }
        let publication = &self.publication;
        for (_, fresh) in self.gathered.of(publication.fresh) {
            if let Some(planned) = self.downtrack.plan(self.now, publication, fresh).unwrap() {
                self.out.push((planned, fresh.facts));
            }
        }
        self.asked.extend(self.downtrack.keyframe_wanted(self.now.mono, publication, &self.config));
        while let Some((layer, facts, packet)) = self.downtrack.next_cached(self.now.mono, publication) {
            let at = self.gathered.push_alone(layer, *facts, PacketRef::clone(packet)).unwrap();
            let fresh = self.gathered.get(at).unwrap();
            if let Some(planned) = self.downtrack.plan_next(self.now, publication, fresh).unwrap() {
                self.out.push((planned, fresh.facts));
            }
        }
    }

    fn read(&mut self, packet: &Sent) -> (Facts, PacketRef) {
        let stream = usize::from(packet.stream);
        let (payload_len, descriptor_len) = (packet.payload.len(), packet.descriptor.len());
        let bytes = self.pool.take(|space| {
            space.space()[..payload_len].copy_from_slice(&packet.payload);
            space.space()[payload_len..payload_len + descriptor_len].copy_from_slice(&packet.descriptor);
            Some(payload_len + descriptor_len)
        });
        let bytes = bytes.unwrap();
        let (codec, _) = self.downtrack.format.unwrap_or((self.downtrack.spec.codecs[0].codec, None));
        let mut facts = Facts {
            codec,
            sequence: self.sequences[stream],
            timestamp: packet.timestamp,
            marker: packet.marker,
            entry: false,
            payload: Span { at: 0, len: payload_len as u16 },
            carried: Carried { dependency_descriptor: Span { at: payload_len as u16, len: descriptor_len as u16 }, ..Carried::NONE },
            allocation: Span::NONE,
            picture_id: None,
            tl0_index: None,
            frame: Frame::WHOLE,
        };
        self.sequences[stream] += 1;
        facts.read_payload(bytes.bytes(), &mut self.descriptors[stream]).unwrap();
        (facts, bytes)
    }

    /// Asserts that numbers have no gap, and time never goes back; takes what went out. The last stays, for the next time.
    fn take(&mut self) -> Vec<(Planned, Facts)> {
        for pair in self.out.windows(2) {
            let [(before, _), (after, _)] = pair else { unreachable!() };
            assert_eq!(after.numbers.sequence, before.numbers.sequence + 1);
            let step = after.numbers.timestamp.wrapping_sub(before.numbers.timestamp);
            assert!(step < 1 << 20, "time goes on, not by {step}");
        }
        let kept = self.out.last().copied().into_iter().collect();
        std::mem::replace(&mut self.out, kept)
    }
}

/// Pictures of VP8 wrap around soon after this one.
const FIRST: u16 = 32_740;

/// A VP8 picture in `packets` packets.
fn vp8(stream: u8, picture: u16, tl0: u8, temporal: u8, sync: bool, key: bool, packets: usize) -> Vec<Sent> {
    let packet = |at: usize| {
        let [high, low] = (0x8000 | picture).to_be_bytes();
        let tid = temporal << 6 | u8::from(sync) << 5;
        let mut payload = vec![0x80 | if at == 0 { 0x10 } else { 0 }, 0xE0, high, low, tl0, tid, if key { 0 } else { 1 }];
        payload.extend([0, 0, 0x9D, 1, 0x2A, 0x80, 2, 0x68, 1]);
        payload.resize(800, 0);
        Sent {
            stream,
            timestamp: u32::from(picture.wrapping_sub(FIRST) & 0x7FFF) * 3000,
            marker: at + 1 == packets,
            payload,
            descriptor: Vec::new(),
        }
    };
    (0..packets).map(packet).collect()
}

#[test]
fn the_frame_rate_changes_without_a_gap() {
    let mut desk = Desk::new(Codec::Vp8);
    // T0 T2 T1 T2, all but the second T2 in sync.
    let pattern = [(0, false), (2, true), (1, true), (2, false)];
    let mut tl0 = 9;
    let mut sent = 0;
    for picture in 0..60_u16 {
        if picture == 20 {
            desk.downtrack.set_target(Some(LayerId::new(0, 0)));
        }
        if picture == 41 {
            desk.downtrack.set_target(Some(LayerId::HIGHEST));
        }
        let (temporal, sync) = pattern[usize::from(picture % 4)];
        tl0 += u8::from(temporal == 0);
        desk.turn(&vp8(0, (FIRST + picture) & 0x7FFF, tl0, temporal, sync && picture > 0, picture == 0, 2));
        desk.pass(33);
        sent = desk.out.len();
    }
    let out = desk.take();
    assert_eq!(out.len(), sent);
    for pair in out.chunks(2) {
        assert_eq!(pair[0].0.numbers.picture_id, pair[1].0.numbers.picture_id);
    }
    let pictures: Vec<_> = out.chunks(2).map(|pair| (pair[0].0.numbers.picture_id, pair[0].1.frame.temporal)).collect();
    for pair in pictures.windows(2) {
        assert_eq!(pair[1].0, (pair[0].0 + 1) & 0x7FFF, "receivers wait for pictures that seem to be missing");
    }
    let temporals: Vec<u8> = pictures.iter().map(|it| it.1).collect();
    assert_eq!(temporals[..20], [0, 2, 1, 2].repeat(5));
    assert_eq!(temporals[20..26], [0; 6], "pictures 20, 24 … 40");
    assert_eq!(temporals[26..30], [1, 0, 2, 1], "the layer between comes first");
    assert_eq!(desk.asked, [], "no keyframe was needed");
    assert_eq!(desk.publication.size(0), Some((640, 360)));
    let rates = desk.publication.rates();
    let of = |temporal| rates.of(LayerId::new(0, temporal)).unwrap();
    assert!(of(0) < of(1) && of(1) < of(2) && rates.of(LayerId::new(1, 0)).is_none());
    // Two packets of 800 bytes in each of 30 pictures a second.
    assert!((370_000..400_000).contains(&of(2)), "{}", of(2));
}

/// A VP9 picture of three spatial layers in non-flexible mode, two packets each; `alone`: layers do without those below.
fn vp9(picture: u16, key: bool, alone: bool) -> Vec<Sent> {
    let packet = |spatial: u8, at: usize| {
        let [high, low] = (0x8000 | picture).to_be_bytes();
        let inter_picture = if key { 0 } else { 0x40 };
        let ends = if at == 0 { 0x08 } else { 0x04 };
        let inter_layer = u8::from(spatial > 0 && !alone);
        let payload = vec![0xA0 | inter_picture | ends | u8::from(alone), high, low, spatial << 1 | inter_layer, 7, 0xAA, 0xBB];
        let marker = spatial == 2 && at == 1;
        Sent { stream: 0, timestamp: u32::from(picture) * 3000, marker, payload, descriptor: Vec::new() }
    };
    (0..3).flat_map(|spatial| (0..2).map(move |at| packet(spatial, at))).collect()
}

fn spatials(out: &[(Planned, Facts)]) -> Vec<u8> {
    out.iter().map(|(_, facts)| facts.frame.spatial).collect()
}

#[test]
fn a_picture_ends_with_its_highest_layer() {
    let mut desk = Desk::new(Codec::Vp9 { profile: 0 });
    desk.config.replay_age_max = Duration::ZERO;
    desk.turn(&vp9(5, true, false));
    desk.pass(33);
    assert_eq!(spatials(&desk.out), [0, 0, 1, 1, 2, 2]);
    desk.downtrack.set_target(Some(LayerId::new(1, 3)));
    desk.turn(&vp9(6, false, false));
    desk.downtrack.set_target(Some(LayerId::HIGHEST));
    desk.turn(&vp9(7, false, false));
    let out = desk.take();
    assert_eq!(spatials(&out), [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 0, 0, 1, 1]);
    let markers: Vec<bool> = out.iter().map(|it| it.0.numbers.marker).collect();
    let ends = |last: usize| (0..14).map(|at| at == 5 || at == 9 || at == last).collect::<Vec<_>>();
    assert_eq!(markers, ends(13), "a decoder waits for the end of the picture");
    let pictures: Vec<u16> = out.iter().step_by(2).map(|it| it.0.numbers.picture_id).collect();
    assert_eq!(pictures, [5, 5, 5, 6, 6, 7, 7]);
}

#[test]
fn key_svc_leaves_lower_layers_out() {
    let mut desk = Desk::new(Codec::Vp9 { profile: 0 });
    desk.config.replay_age_max = Duration::ZERO;
    desk.turn(&vp9(5, true, false));
    desk.turn(&vp9(6, false, true));
    assert_eq!(spatials(&desk.take()), [0, 0, 1, 1, 2, 2, 2, 2]);
    desk.downtrack.set_target(Some(LayerId::new(1, 0)));
    desk.pass(100);
    desk.turn(&vp9(7, false, true));
    assert_eq!(desk.asked, [0], "what the lower layer needs was left out");
    desk.turn(&vp9(8, true, false));
    desk.turn(&vp9(9, false, true));
    let out = desk.take();
    assert_eq!(spatials(&out[1..]), [2, 2, 0, 0, 1, 1, 1, 1]);
    assert!(out.last().unwrap().0.numbers.marker);
}

/// A dependency descriptor, field by field.
fn bits(fields: &[(u32, u32)]) -> Vec<u8> {
    let (mut bytes, mut count) = (Vec::new(), 0);
    for &(width, value) in fields {
        for bit in (0..width).rev() {
            if usize::is_multiple_of(count, 8) {
                bytes.push(0);
            }
            *bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (7 - count % 8);
            count += 1;
        }
    }
    bytes
}

/// AV1 in two spatial layers of two temporal ones, with a decode target for each.
fn av1(frame: u16, template: u32, key: bool) -> Sent {
    let mut fields = vec![(1, 1), (1, 1), (6, template), (16, u32::from(frame))];
    if key {
        fields.extend([(5, 0b10000), (6, 0), (5, 3), (2, 0), (2, 1), (2, 2), (2, 1), (2, 3)]);
        // S0T0 of a keyframe, S0T0, S0T1, S1T0, S1T1 to a target of each layer: 0 not present, 1 discardable, 2 switch, 3 required.
        let indications = [[2, 2, 2, 2], [2, 2, 3, 3], [0, 1, 0, 3], [0, 0, 2, 2], [0, 0, 0, 1]];
        fields.extend(indications.iter().flatten().map(|it| (2, *it)));
        fields.extend([(1, 0); 5]);
        fields.extend([(2, 0), (1, 1), (16, 319), (16, 179), (16, 639), (16, 359)]);
    }
    let payload = vec![if key { 0x18 } else { 0x10 }, 0x32, 0];
    let picture = u32::from(frame / 2);
    Sent { stream: 0, timestamp: picture * 3000, marker: frame % 2 == 1, payload, descriptor: bits(&fields) }
}

#[test]
fn decode_targets_decide() {
    let mut desk = Desk::new(Codec::Av1 { profile: 0 });
    desk.config.replay_age_max = Duration::ZERO;
    // A picture of the base frame rate, then one above it.
    let picture = |desk: &mut Desk, number: u16, key: bool| {
        let (base, above) = if number.is_multiple_of(2) { (u32::from(!key), 3) } else { (2, 4) };
        desk.turn(&[av1(2 * number, base, key), av1(2 * number + 1, above, false)]);
    };
    picture(&mut desk, 0, true);
    picture(&mut desk, 1, false);
    let place = |out: &[(Planned, Facts)]| out.iter().map(|it| (it.1.frame.spatial, it.1.frame.temporal)).collect::<Vec<_>>();
    assert_eq!(place(&desk.take()), [(0, 0), (1, 0), (0, 1), (1, 1)]);
    assert_eq!(desk.downtrack.current(), Some(LayerId::new(1, 1)));
    desk.downtrack.set_target(Some(LayerId::new(1, 0)));
    picture(&mut desk, 2, false);
    picture(&mut desk, 3, false);
    desk.downtrack.set_target(Some(LayerId::new(0, 1)));
    picture(&mut desk, 4, false);
    picture(&mut desk, 5, false);
    let out = desk.take();
    assert_eq!(place(&out[1..]), [(0, 0), (1, 0), (0, 0), (0, 1)]);
    assert!(out[1..].iter().zip([false, true, true, true]).all(|(it, ends)| it.0.numbers.marker == ends));
    let frames: Vec<u16> = out.iter().map(|it| it.0.numbers.frame_number).collect();
    assert_eq!(frames, [3, 4, 5, 8, 10], "frames refer to each other by their distance, so it stays");
    desk.downtrack.set_target(Some(LayerId::HIGHEST));
    desk.pass(1000);
    picture(&mut desk, 6, false);
    assert!(desk.downtrack.awaits_keyframe());
    assert_eq!(desk.asked, [0]);
    picture(&mut desk, 8, true);
    picture(&mut desk, 9, false);
    assert_eq!(desk.downtrack.current(), Some(LayerId::new(1, 1)));
}

#[test]
fn a_pause_ends_with_the_pictures_since_the_last_keyframe() {
    let mut desk = Desk::new(Codec::Vp8);
    for picture in 0..10_u16 {
        desk.turn(&vp8(0, picture, 0, 0, false, picture == 0, 2));
        desk.pass(33);
    }
    assert_eq!(desk.take().len(), 20);
    desk.downtrack.set_target(None);
    for picture in 10..20_u16 {
        desk.turn(&vp8(0, picture, 0, 0, false, false, 2));
        desk.pass(33);
    }
    assert_eq!(desk.out.len(), 1, "nothing is sent");
    assert_eq!((desk.downtrack.current(), desk.downtrack.target()), (None, None));
    desk.downtrack.set_target(Some(LayerId::HIGHEST));
    for picture in 20..24_u16 {
        desk.turn(&vp8(0, picture, 0, 0, false, false, 2));
        if picture == 20 {
            assert!((5..=8).contains(&desk.out.len()), "a few at a time, not {}", desk.out.len() - 1);
        }
        while desk.downtrack.catches_up() {
            desk.pass(5);
            desk.downtrack.catch_up();
            desk.turn(&[]);
        }
        desk.pass(13);
    }
    let out = desk.take();
    assert_eq!(out.len(), 1 + 2 * 24, "everything since the keyframe, once");
    assert!(out[1].1.entry);
    assert_eq!(desk.asked, []);
    let behind = out[47].0.numbers.timestamp.wrapping_sub(out[0].0.numbers.timestamp);
    assert!((30_000..45_000).contains(&behind), "the live picture is shown when it would be without a pause, not at {behind}");
}

#[test]
fn an_old_or_long_cache_is_not_sent() {
    for (pictures, step) in [(90_u16, 33), (80, 5)] {
        let mut desk = Desk::new(Codec::Vp8);
        desk.downtrack.set_target(None);
        for picture in 0..pictures {
            desk.turn(&vp8(0, picture, 0, 0, false, picture == 0, 2));
            desk.pass(step);
        }
        desk.downtrack.set_target(Some(LayerId::HIGHEST));
        desk.turn(&vp8(0, pictures, 0, 0, false, false, 2));
        assert!(desk.out.is_empty() && !desk.downtrack.catches_up());
        assert_eq!(desk.asked, [0]);
    }
}

#[test]
fn a_frame_is_finished_before_another_stream_begins() {
    let mut desk = Desk::new(Codec::Vp8);
    desk.turn(&vp8(0, 1, 0, 0, false, true, 1));
    let (mut low, high) = (vp8(0, 2, 0, 0, false, false, 3), vp8(1, 77, 0, 0, false, true, 2));
    let rest = low.split_off(1);
    desk.turn(&low);
    desk.turn(&high);
    desk.turn(&rest);
    desk.turn(&vp8(1, 78, 0, 0, false, false, 1));
    desk.turn(&vp8(0, 3, 0, 0, false, false, 1));
    let out = desk.take();
    let pictures: Vec<u16> = out.iter().map(|it| it.0.numbers.picture_id).collect();
    assert_eq!(pictures, [1, 2, 2, 2, 3, 3, 4]);
    let markers: Vec<bool> = out.iter().map(|it| it.0.numbers.marker).collect();
    assert_eq!(markers, [true, false, false, true, false, true, true]);
}

#[test]
fn a_frame_whose_end_is_lost_holds_nothing_up() {
    let mut desk = Desk::new(Codec::Vp8);
    desk.turn(&vp8(0, 1, 0, 0, false, true, 1));
    desk.turn(&vp8(0, 2, 0, 0, false, false, 3)[..1]);
    desk.turn(&vp8(1, 77, 0, 0, false, true, 2));
    desk.pass(60);
    desk.turn(&vp8(1, 78, 0, 0, false, false, 1));
    assert_eq!(desk.downtrack.current(), Some(LayerId::new(1, 0)));
    assert_eq!(desk.take().len(), 5);
}

#[test]
fn a_layer_goes_and_comes_back() {
    let mut desk = Desk::new(Codec::Vp8);
    let mut gaps = Vec::new();
    let mut seen = 0;
    for picture in 0..300_u16 {
        let mut packets = vp8(0, picture, 0, 0, false, picture % 60 == 0, 1);
        // The better layer is silent for two seconds and begins again with a keyframe.
        if !(100..160).contains(&picture) {
            packets.extend(vp8(1, picture + 5000, 0, 0, false, picture == 0 || picture == 160, 2));
        }
        desk.turn(&packets);
        if desk.downtrack.catches_up() {
            desk.downtrack.catch_up();
        }
        gaps.push(desk.out.len() == seen);
        seen = desk.out.len();
        desk.pass(33);
    }
    let longest = gaps.split(|gap| !gap).map(<[bool]>::len).max().unwrap();
    assert!(longest <= 32, "silence is noticed after a second; then the cache has a keyframe: {longest} pictures");
    assert_eq!(desk.downtrack.current(), Some(LayerId::new(1, 0)));
    desk.take();
}

/// VP9 in two spatial layers: the frames of a picture of temporal layer `temporal`, `up` with its switching point.
fn vp9_temporal(picture: u16, temporal: u8, up: bool, key: bool) -> Vec<Sent> {
    let frame = |spatial: u8| {
        let [high, low] = (0x8000 | picture).to_be_bytes();
        let first = 0xA0 | if key { 0 } else { 0x40 } | 0x0C | u8::from(spatial == 1);
        let payload = vec![first, high, low, temporal << 5 | u8::from(up) << 4 | spatial << 1 | u8::from(spatial > 0), 7, 0xAA];
        Sent { stream: 0, timestamp: u32::from(picture) * 3000, marker: spatial == 1, payload, descriptor: Vec::new() }
    };
    vec![frame(0), frame(1)]
}

#[test]
fn vp9s_switching_point_is_one_of_frame_rate_alone() {
    let mut desk = Desk::new(Codec::Vp9 { profile: 0 });
    desk.config.replay_age_max = Duration::ZERO;
    let places = |desk: &mut Desk| -> Vec<(u8, u8)> {
        let out = desk.take();
        desk.out.clear();
        out.iter().map(|it| (it.1.frame.spatial, it.1.frame.temporal)).collect()
    };
    desk.downtrack.set_target(Some(LayerId::new(0, 0)));
    desk.turn(&vp9_temporal(1, 0, true, true));
    desk.turn(&vp9_temporal(2, 1, true, false));
    assert_eq!(places(&mut desk), [(0, 0)]);
    desk.downtrack.set_target(Some(LayerId::HIGHEST));
    desk.pass(33);
    desk.turn(&vp9_temporal(3, 1, true, false));
    assert_eq!(places(&mut desk), [], "a switching point in a layer that is not sent yet: it may need the frame before");
    desk.turn(&vp9_temporal(4, 0, false, false));
    desk.turn(&vp9_temporal(5, 1, false, false));
    assert_eq!(places(&mut desk), [(0, 0)]);
    desk.turn(&vp9_temporal(6, 0, true, false));
    desk.turn(&vp9_temporal(7, 1, false, false));
    assert_eq!(places(&mut desk), [(0, 0), (0, 1)], "the frame rate rises; the larger picture needs a keyframe");
    assert!(desk.downtrack.awaits_keyframe());
    desk.turn(&vp9_temporal(8, 0, true, true));
    desk.turn(&vp9_temporal(9, 1, true, false));
    assert_eq!(places(&mut desk), [(0, 0), (1, 0), (0, 1), (1, 1)]);
}

#[test]
fn pictures_of_h264_that_nothing_refers_to_are_a_temporal_layer() {
    let codec = Codec::H264 { profile_idc: 0x42, profile_iop: 0xE0, packetization_mode: 1 };
    let mut desk = Desk::new(codec);
    let picture = |number: u32, units: &[&[u8]]| -> Vec<Sent> {
        let last = units.len() - 1;
        let sent =
            |(at, unit): (usize, &&[u8])| Sent { timestamp: number * 3000, marker: at == last, payload: unit.to_vec(), ..Sent::default() };
        units.iter().enumerate().map(sent).collect()
    };
    let key: &[&[u8]] = &[&[0x67, 0x42], &[0x68, 0xCE], &[0x65, 0x88]];
    let (needed, alone): (&[&[u8]], &[&[u8]]) = (&[&[0x41, 0x9A]], &[&[0x1C, 0x81, 0x9A], &[0x1C, 0x41, 0x9A]]);
    desk.turn(&picture(1, key));
    desk.turn(&picture(2, alone));
    desk.turn(&picture(3, needed));
    assert_eq!(desk.take().len(), 6);
    assert_eq!(desk.downtrack.current(), Some(LayerId::new(0, 1)));
    desk.downtrack.set_target(Some(LayerId::new(0, 0)));
    desk.turn(&picture(4, alone));
    desk.turn(&picture(5, needed));
    desk.turn(&picture(6, alone));
    assert_eq!(desk.take().len(), 1 + 1, "half the frame rate, and no gap in the numbers");
    desk.downtrack.set_target(Some(LayerId::HIGHEST));
    desk.turn(&picture(7, needed));
    desk.turn(&picture(8, alone));
    assert_eq!(desk.take().len(), 1 + 3, "they can be taken up at any time");
    // Where a delimiter comes alone, nobody knows to which kind of picture it belongs.
    desk.downtrack.set_target(Some(LayerId::new(0, 0)));
    desk.turn(&picture(9, &[&[0x09, 0x10], &[0x01, 0x9A]]));
    assert_eq!(desk.take().len(), 1 + 2);
}

#[test]
fn a_picture_of_h264_that_its_descriptor_calls_no_keyframe_is_none_to_switch_at() {
    let mut desk = Desk::new(Codec::H264 { profile_idc: 0x42, profile_iop: 0xE0, packetization_mode: 1 });
    let (key, delta) = (av1(0, 0, true).descriptor, av1(1, 1, false).descriptor);
    let idr = |stream: u8, timestamp: u32, descriptor: &[u8]| Sent {
        stream,
        timestamp,
        marker: true,
        payload: vec![0x65, 0x88, 0x84],
        descriptor: descriptor.to_vec(),
    };
    desk.downtrack.set_target(Some(LayerId::HIGHEST));
    desk.turn(&[idr(0, 0, &key), idr(1, 0, &delta)]);
    assert_eq!((desk.take().len(), desk.downtrack.current()), (1, Some(LayerId::new(0, 0))));
    desk.pass(66);
    desk.turn(&[idr(0, 6000, &delta), idr(1, 6000, &delta)]);
    assert_eq!(
        (desk.take().len(), desk.downtrack.current()),
        (1 + 1, Some(LayerId::new(0, 0))),
        "who goes by descriptors could not follow"
    );
    assert!(desk.asked.contains(&1), "a keyframe is asked for");
    desk.pass(66);
    desk.turn(&[idr(0, 12_000, &delta), idr(1, 12_000, &key)]);
    desk.take();
    assert_eq!(desk.downtrack.current(), Some(LayerId::new(1, 0)));
}

#[test]
fn layers_of_av1_have_the_sizes_that_its_structure_names() {
    let mut desk = Desk::new(Codec::Av1 { profile: 0 });
    desk.turn(&[av1(0, 0, true), av1(1, 3, false)]);
    assert_eq!([0, 1, 2].map(|spatial| desk.publication.size(spatial)), [Some((320, 180)), Some((640, 360)), None]);
}
