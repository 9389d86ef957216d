use std::time::{Duration, Instant};

use super::{FrameMunger, PictureMunger, RtpMunger};
use pointsman_wire::payload::Number;

fn started(first: u64) -> (RtpMunger, Instant) {
    let now = Instant::now_for_test();
    let mut munger = RtpMunger::new(65_530, 1_000);
    munger.switch(first, 50_000, 1_000);
    (munger, now)
}

/// Tests own their clock; only its origin is the machine's.
trait Origin {
    fn now_for_test() -> Instant;
}

impl Origin for Instant {
    #[expect(clippy::disallowed_methods, reason = "an origin for a virtual clock")]
    fn now_for_test() -> Instant {
        Instant::now()
    }
}

#[test]
fn gaps_stay_and_late_packets_fit_in() {
    let (mut munger, now) = started(1_000);
    assert_eq!(munger.forward(now, 1_000, 50_000), Some((65_530, 1_000)));
    assert_eq!(munger.forward(now, 1_003, 53_000), Some((65_533, 4_000)));
    assert_eq!(munger.forward(now, 1_001, 50_000), Some((65_531, 1_000)));
    assert_eq!(munger.forward(now, 1_007, 53_000), Some((65_537, 4_000)), "the roll-over is counted");
    assert_eq!(munger.forward(now, 999, 49_000), None, "from before the stream");
}

#[test]
fn skipped_packets_leave_no_gap() {
    let (mut munger, now) = started(1_000);
    munger.forward(now, 1_000, 0);
    munger.skip(1_001);
    munger.skip(1_002);
    assert_eq!(munger.forward(now, 1_004, 0).map(|(s, _)| s), Some(65_532), "1003 is lost: its gap stays");
    assert_eq!(munger.forward(now, 1_003, 0).map(|(s, _)| s), Some(65_531));
    assert_eq!(munger.extend(65_532), Some(65_532));
    assert_eq!(munger.extend(65_533), None, "not sent yet");
    assert_eq!(munger.in_sequence(65_530), Some(1_000));
    assert_eq!(munger.in_sequence(65_531), Some(1_003));
    assert_eq!(munger.in_sequence(65_532), Some(1_004));
    munger.skip(1_003);
    assert_eq!(munger.forward(now, 1_005, 0).map(|(s, _)| s), Some(65_533), "a late skip changes nothing");
}

#[test]
fn a_switch_continues_after_the_last() {
    let (mut munger, now) = started(1_000);
    munger.forward(now, 1_000, 50_000);
    munger.forward(now, 1_001, 53_000);
    let later = now + Duration::from_millis(100);
    assert_eq!(munger.timestamp_by_arrival(later, 90_000), 4_000 + 9_000);
    munger.switch(77, 9, 4_000 + 9_000);
    assert_eq!(munger.forward(later, 77, 9), Some((65_532, 13_000)));
    munger.switch(500, 1, 13_000);
    assert_eq!(munger.forward(later, 500, 1), Some((65_533, 13_001)), "never at or before the last timestamp");
    assert_eq!(munger.in_sequence(65_532), None, "of an earlier stream");
}

#[test]
fn pictures_count_on() {
    let number = |value, bits| Some(Number { at: 0, bits, value });
    let mut munger = PictureMunger::default();
    munger.switch(number(32_766, 15), number(254, 8));
    assert_eq!(munger.forward(number(32_766, 15), number(254, 8)), (32_766, 254));
    assert_eq!(munger.forward(number(1, 15), number(255, 8)), (1, 255));
    assert_eq!(munger.forward(number(32_767, 15), number(255, 8)), (32_767, 255), "late");
    munger.switch(number(9_000, 15), number(3, 8));
    assert_eq!(munger.forward(number(9_000, 15), number(3, 8)), (2, 0));
    assert_eq!(munger.forward(number(9_001, 15), number(4, 8)), (3, 1));
    assert_eq!(munger.forward(None, None), (0, 0));
}

#[test]
fn what_comes_late_of_a_picture_that_was_left_out_is_known() {
    let number = |value| Some(Number { at: 2, bits: 15, value });
    let mut munger = PictureMunger::default();
    munger.switch(number(32_765), None);
    assert_eq!(munger.forward(number(32_765), None).0, 32_765);
    munger.skip(number(32_766));
    munger.skip(number(32_767));
    assert_eq!(munger.forward(number(0), None).0, 32_766);
    munger.skip(number(1));
    assert_eq!(munger.forward(number(2), None).0, 32_767);
    let left_out: Vec<u16> =
        [32_764, 32_765, 32_766, 32_767, 0, 1, 2, 3].into_iter().filter(|&it| munger.is_left_out(number(it))).collect();
    assert_eq!(left_out, [32_766, 32_767, 1]);
    assert!(!munger.is_left_out(None));
}

#[test]
fn frames_count_on() {
    let mut munger = FrameMunger::default();
    munger.switch(&[0x80, 0xff, 0xff]);
    assert_eq!(munger.forward(&[0x80, 0xff, 0xff]), 0xffff);
    munger.switch(&[0x80, 0x12, 0x34]);
    assert_eq!(munger.forward(&[0x80, 0x12, 0x34]), 0);
    assert_eq!(munger.forward(&[0x80, 0x12, 0x35]), 1);
    assert_eq!(munger.forward(&[0x80]), 0, "cut short");
}
