//! What a line is, and what a value is.

use std::net::IpAddr;

use proptest::prelude::*;

use super::super::lines::lines;
use super::super::value::{Number, endpoint, number, range, truth};
use super::ip;

#[test]
fn lines_have_a_name_and_perhaps_a_value() {
    let parted = |text: &str| lines(text).map(|line| (line.name.to_owned(), line.value.to_owned())).collect::<Vec<_>>();
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for (text, wanted) in [
        ("realm=a", pair("realm", "a")),
        ("realm a", pair("realm", "a")),
        ("realm = a", pair("realm", "a")),
        ("realm\t==  a b ", pair("realm", "a b")),
        ("realm", pair("realm", "")),
        ("realm=", pair("realm", "")),
        ("  realm=a\r", pair("realm", "a")),
        ("realm=\"a b\"", pair("realm", "a b")),
        ("realm=\"a b", pair("realm", "a b")),
        ("realm=a\"b\"", pair("realm", "a\"b\"")),
        ("realm=\"", pair("realm", "")),
        ("#realm=a", Vec::new()),
        ("  # realm=a", Vec::new()),
        ("   ", Vec::new()),
        ("", Vec::new()),
        ("=a", pair("", "a")),
        ("secret=a#b=c d", pair("secret", "a#b=c d")),
    ] {
        assert_eq!(parted(text), wanted, "{text:?}");
    }
    assert_eq!(lines("a\n\n#\nb;").map(|line| (line.number, line.semicolon)).collect::<Vec<_>>(), [(1, false), (4, true)]);
}

#[test]
fn numbers_are_read_as_c_reads_them() {
    for (text, wanted) in [
        ("12", Number::Whole(12)),
        (" 12 ", Number::Whole(12)),
        ("+12", Number::Whole(12)),
        ("12abc", Number::Beginning(12)),
        ("12 # four", Number::Beginning(12)),
        ("-3", Number::None),
        ("", Number::None),
        ("abc", Number::None),
        ("99999999999999999999999", Number::Whole(u64::MAX)),
    ] {
        assert_eq!(number(text), wanted, "{text:?}");
    }
}

#[test]
fn truth_has_many_words() {
    for (words, wanted) in [
        (&["", "1", "on", "ON", "yes", "true", "T", "y", "2"][..], Some(true)),
        (&["0", "off", "Off", "no", "false", "F", "n"][..], Some(false)),
        (&["perhaps", "oh", "-1", "enabled"][..], None),
    ] {
        for word in words {
            assert_eq!(truth(word), wanted, "{word:?}");
        }
    }
}

#[test]
fn endpoints_may_lack_the_port() {
    assert_eq!(endpoint("192.0.2.1:99", Some(3478)), Some("192.0.2.1:99".parse().unwrap()));
    assert_eq!(endpoint("192.0.2.1", Some(3478)), Some("192.0.2.1:3478".parse().unwrap()));
    assert_eq!(endpoint("2001:db8::1", Some(3478)), Some("[2001:db8::1]:3478".parse().unwrap()));
    assert_eq!(endpoint("[2001:db8::1]", Some(3478)), Some("[2001:db8::1]:3478".parse().unwrap()));
    assert_eq!(endpoint("[2001:db8::1]:7", None), Some("[2001:db8::1]:7".parse().unwrap()));
    assert_eq!(endpoint("192.0.2.1", None), None);
    assert_eq!(endpoint("turn.example.org", Some(3478)), None);
}

#[test]
fn ranges_are_pairs_or_networks() {
    let ends = |text: &str| range(text).map(|range| (*range.start(), *range.end()));
    assert_eq!(ends("10.0.0.1"), Some((ip("10.0.0.1"), ip("10.0.0.1"))));
    assert_eq!(ends("10.0.0.0-10.255.255.255"), Some((ip("10.0.0.0"), ip("10.255.255.255"))));
    assert_eq!(ends("fc00:: - fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ends("fc00::/7"));
    assert_eq!(ends("10.0.0.0/8"), ends("10.0.0.0-10.255.255.255"));
    assert_eq!(ends("0.0.0.0/0"), Some((ip("0.0.0.0"), ip("255.255.255.255"))));
    assert_eq!(ends("::/0"), Some((ip("::"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))));
    for wrong in ["10.0.0.1/8", "10.0.0.0/33", "::1/129", "10.0.0.2-10.0.0.1", "10.0.0.1-::1", "", "-", "/", "10.0.0.0/", "10.0.0.0/-1"] {
        assert_eq!(ends(wrong), None, "{wrong:?}");
    }
}

#[test]
fn seeds_of_the_fuzz_target_can_be_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/turnserver_conf");
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| super::super::fuzz(seed));
}

proptest! {
    #[test]
    fn a_network_holds_what_its_prefix_says(ip: u32, prefix in 0_u32..=32, other: u32) {
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        let network = std::net::Ipv4Addr::from(ip & mask);
        let range = range(&format!("{network}/{prefix}")).unwrap();
        prop_assert_eq!(range.contains(&IpAddr::from(std::net::Ipv4Addr::from(other))), other & mask == ip & mask);
    }

    #[test]
    fn anything_can_be_read(bytes: Vec<u8>) {
        super::super::fuzz(&bytes);
    }
}
