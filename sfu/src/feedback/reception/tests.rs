#![allow(clippy::disallowed_methods, reason = "a test needs some origin")]

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn counts_losses_over_a_roll_over() {
    let start = Instant::now();
    let mut reception = Reception::new(7, 90_000);
    assert_eq!(reception.report(start), None);
    // 65,530 to 65,549 with each fifth lost.
    for at in (0..20u64).filter(|at| at % 5 != 4) {
        reception.received(start + ms(at), 65_530 + at, at as u32 * 90);
    }
    let block = reception.report(start).unwrap();
    assert_eq!((block.ssrc, block.highest_sequence, block.cumulative_lost), (7, 65_548, 3));
    assert_eq!(block.fraction_lost, (3 * 256 / 19) as u8);
    // Nothing new: nothing lost since.
    assert_eq!(reception.report(start).unwrap().fraction_lost, 0);
    // What was late comes after all; one more is lost.
    reception.received(start, 65_534, 0);
    reception.received(start, 65_550, 0);
    let block = reception.report(start).unwrap();
    assert_eq!((block.cumulative_lost, block.fraction_lost), (3, 0));
}

#[test]
fn jitter_follows_the_difference_of_transit_times() {
    let start = Instant::now();
    let mut steady = Reception::new(1, 90_000);
    let mut uneven = Reception::new(1, 90_000);
    for frame in 0..200u64 {
        // Two packets a frame, 40 ms apart; every other frame comes 10 ms late.
        for packet in 0..2 {
            let sequence = frame * 2 + packet;
            steady.received(start + ms(frame * 40), sequence, frame as u32 * 3600);
            uneven.received(start + ms(frame * 40 + frame % 2 * 10), sequence, frame as u32 * 3600);
        }
    }
    assert_eq!(steady.report(start).unwrap().jitter, 0);
    let jitter = uneven.report(start).unwrap().jitter;
    assert!((890..=900).contains(&jitter), "10 ms are 900 units, not {jitter}");
}

#[test]
fn a_big_jump_starts_anew() {
    let start = Instant::now();
    let mut reception = Reception::new(1, 90_000);
    reception.received(start, 100_000, 0);
    reception.received(start, 104_000, 0);
    assert_eq!(reception.report(start).unwrap().cumulative_lost, 0);
    reception.received(start, 90_000, 0);
    reception.received(start, 90_002, 0);
    let block = reception.report(start).unwrap();
    assert_eq!((block.highest_sequence, block.cumulative_lost), (90_002, 1));
}

#[test]
fn tells_when_the_last_sender_report_came() {
    let start = Instant::now();
    let mut reception = Reception::new(1, 90_000);
    reception.received(start, 1, 0);
    let block = reception.report(start).unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0, 0));
    reception.sender_report(start + ms(500), NtpTime(0x1122_3344_5566_7788));
    let block = reception.report(start + ms(1000)).unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0x3344_5566, 32_768));
}

#[test]
fn round_trips() {
    let sent = Duration::new(1_900_000_000, 123_000_000);
    let block = |delay: Duration| ReportBlock {
        last_sr: NtpTime::from_unix(sent).middle(),
        delay_since_last_sr: short_ntp(delay),
        ..ReportBlock::default()
    };
    let measured = round_trip(sent + ms(750), &block(ms(700))).unwrap();
    assert!(measured.abs_diff(ms(50)) < Duration::from_micros(50), "{measured:?}");
    assert_eq!(round_trip(sent + ms(700), &block(ms(701))), Some(Duration::ZERO));
    assert_eq!(round_trip(sent + ms(700), &block(ms(9000))), None);
    assert_eq!(round_trip(sent + ms(90_000), &block(ms(0))), None);
    assert_eq!(round_trip(sent, &ReportBlock::default()), None);
}
