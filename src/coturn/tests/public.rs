//! Configurations as the documentation of well-known software has people write them: nothing in them stops the server, and what is
//! passed over is named.

use super::*;

/// What stops the server, and what is passed over, by its line.
fn judged(text: &str) -> (Collector, Vec<String>, Vec<String>) {
    let collector = read(text, "");
    let errors = told(&collector, Weight::Error);
    let passed = collector.notices.iter().filter(|notice| notice.weight == Weight::PassedOver).map(ToString::to_string).collect();
    (collector, errors, passed)
}

#[test]
fn nextcloud_talk() {
    let text = include_str!("samples/nextcloud_talk.conf");
    let (collector, errors, passed) = judged(text);
    assert!(errors.is_empty(), "{errors:?}");
    assert!(passed.len() == 1 && passed[0].contains("no-loopback-peers"), "{passed:?}");
    assert_eq!((collector.settings.listening_port, collector.settings.realm.as_deref()), (3478, Some("cloud.example.org")));
}

#[test]
fn matrix_synapse() {
    let text = include_str!("samples/matrix_synapse.conf");
    let (collector, errors, passed) = judged(text);
    assert!(errors.is_empty() && passed.is_empty(), "{errors:?} {passed:?}");
    assert_eq!((collector.settings.denied_peers.len(), collector.settings.externals.len()), (4, 2));
}

#[test]
fn jitsi() {
    let text = include_str!("samples/jitsi.conf");
    let (collector, errors, passed) = judged(text);
    assert!(errors.is_empty(), "{errors:?}");
    assert!(passed.iter().all(|notice| notice.contains("no-loopback-peers")), "{passed:?}");
    assert_eq!(collector.settings.denied_peers.len(), 1);
}

#[test]
fn bigbluebutton() {
    let text = include_str!("samples/bigbluebutton.conf");
    let (collector, errors, passed) = judged(text);
    assert!(errors.is_empty() && passed.is_empty(), "{errors:?} {passed:?}");
    assert_eq!(collector.settings.realm.as_deref(), Some("turn.example.org"));
}
