#![allow(clippy::disallowed_methods, reason = "a test needs some origin")]

use std::collections::BTreeMap;

use pointsman_wire::rtcp::{Packet, packets};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CONFIG: TwccConfig = TwccConfig { interval: Duration::from_millis(50), arrivals_max: 64, keep: Duration::from_millis(500) };

/// One feedback packet: its count, and each sequence number with its arrival in ticks.
type Told = (u8, Vec<(u16, Option<i64>)>);

fn feedback(recorder: &mut TwccRecorder, now: Instant) -> (Written, Option<Told>) {
    let mut space = [0; 1200];
    let mut writer = Writer::new(&mut space);
    let written = recorder.write(now, 1, 2, &CONFIG, &mut writer);
    let len = writer.len();
    let told = packets(&space[..len]).next().map(|packet| {
        let Ok(Packet::TransportCc(it)) = packet else { panic!("{packet:?}") };
        assert_eq!((it.sender, it.media), (1, 2));
        (it.feedback_count, it.arrivals().map(|it| (it.sequence, it.at_ticks)).collect())
    });
    (written, told)
}

#[test]
fn tells_arrivals_and_losses_once() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut recorder = TwccRecorder::new(start);
    assert_eq!(recorder.next_due(), None);
    assert_eq!(feedback(&mut recorder, start), (Written::Nothing, None));
    for (ms, sequence) in [(1, 65_534), (3, 0), (4, 65_535), (4, 2), (5, 2)] {
        recorder.received(at(ms), sequence, &CONFIG);
    }
    assert_eq!(recorder.next_due(), Some(at(51)));
    let told = vec![(65_534, Some(4)), (65_535, Some(16)), (0, Some(12)), (1, None), (2, Some(16))];
    assert_eq!(feedback(&mut recorder, at(51)), (Written::All, Some((0, told))));
    assert_eq!((recorder.next_due(), feedback(&mut recorder, at(60))), (None, (Written::Nothing, None)));
    // What was lost between two feedbacks is told by the second.
    recorder.received(at(70), 5, &CONFIG);
    assert_eq!(feedback(&mut recorder, at(120)), (Written::All, Some((1, vec![(3, None), (4, None), (5, Some(280))]))));
    // What comes late is told with all after it, which must not look lost.
    recorder.received(at(130), 1, &CONFIG);
    let told = vec![(1, Some(520)), (2, Some(16)), (3, None), (4, None), (5, Some(280))];
    assert_eq!(feedback(&mut recorder, at(180)), (Written::All, Some((2, told))));
}

#[test]
fn a_new_start_forgets_the_old_numbers() {
    let start = Instant::now();
    let mut recorder = TwccRecorder::new(start);
    recorder.received(start, 100, &CONFIG);
    recorder.received(start, 20_000, &CONFIG);
    recorder.received(start, 20_001, &CONFIG);
    let (written, told) = feedback(&mut recorder, start);
    assert_eq!((written, told.unwrap().1), (Written::All, vec![(20_000, Some(0)), (20_001, Some(0))]));
}

#[test]
fn a_burst_is_due_at_once_and_bounded() {
    let start = Instant::now();
    let mut recorder = TwccRecorder::new(start);
    for sequence in 0..1000 {
        recorder.received(start, sequence, &CONFIG);
        assert!(recorder.arrivals.len() <= CONFIG.arrivals_max);
    }
    assert_eq!(recorder.next_due(), Some(start));
    let (written, told) = feedback(&mut recorder, start);
    let told = told.unwrap().1;
    assert_eq!((written, told.len()), (Written::All, 1000));
    assert_eq!(told.iter().filter(|it| it.1.is_some()).count(), CONFIG.arrivals_max);
}

#[test]
fn what_is_old_is_let_go() {
    let start = Instant::now();
    let mut recorder = TwccRecorder::new(start);
    for second in 0..100u16 {
        let now = start + Duration::from_secs(u64::from(second));
        recorder.received(now, second, &CONFIG);
        // Seconds apart in one feedback would not fit a delta; one feedback each does.
        assert_eq!(feedback(&mut recorder, now).0, Written::All);
        assert!(recorder.arrivals.len() <= 1);
    }
}

proptest! {
    /// What the publisher puts together from all feedback is what happened.
    #[test]
    fn all_is_told(steps in vec((1..40u16, 0..30u64, 0..8usize, any::<bool>()), 1..200), first: u16) {
        let config = TwccConfig { arrivals_max: 1024, ..CONFIG };
        let start = Instant::now();
        // Sent with gaps, some a little late.
        let (mut sequence, mut sent) = (u64::from(first) + (1 << 16), Vec::new());
        for &(gap, _, _, jump) in &steps {
            sequence += if jump { u64::from(gap) } else { 1 };
            sent.push(sequence);
        }
        for (at, step) in steps.iter().enumerate() {
            let to = (at + step.2).min(sent.len() - 1);
            sent.swap(at, to);
        }
        let mut recorder = TwccRecorder::new(start);
        let (mut now, mut happened, mut told) = (start, BTreeMap::new(), BTreeMap::new());
        let mut space = [0; 1200];
        let mut tell = |recorder: &mut TwccRecorder, now, near: u64| loop {
            let mut writer = Writer::new(&mut space);
            let written = recorder.write(now, 1, 2, &config, &mut writer);
            let len = writer.len();
            for packet in packets(&space[..len]) {
                let Packet::TransportCc(feedback) = packet.unwrap() else { panic!() };
                for it in feedback.arrivals() {
                    let sequence = near.wrapping_add_signed(i64::from(sequence_distance(near as u16, it.sequence)));
                    if let Some(at) = it.at_ticks { told.insert(sequence, at); }
                }
            }
            if written != Written::More { break }
        };
        for (&sequence, step) in sent.iter().zip(&steps) {
            now += Duration::from_millis(step.1);
            if recorder.next_due().is_some_and(|due| due <= now) { tell(&mut recorder, now, sequence); }
            recorder.received(now, sequence as u16, &config);
            happened.insert(sequence, recorder.ticks(now));
        }
        tell(&mut recorder, now, sequence);
        prop_assert_eq!(told, happened);
        prop_assert!(recorder.next_due().is_none());
    }
}
