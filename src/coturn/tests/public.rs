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
    let text = "listening-port=3478\nfingerprint\nuse-auth-secret\nstatic-auth-secret=a long secret\nrealm=cloud.example.org\n\
                total-quota=0\nbps-capacity=0\nstale-nonce\nno-multicast-peers\nno-loopback-peers\n";
    let (collector, errors, passed) = judged(text);
    assert!(errors.is_empty(), "{errors:?}");
    assert!(passed.len() == 1 && passed[0].contains("no-loopback-peers"), "{passed:?}");
    assert_eq!((collector.settings.listening_port, collector.settings.realm.as_deref()), (3478, Some("cloud.example.org")));
}

#[test]
fn matrix_synapse() {
    let text = "use-auth-secret\nstatic-auth-secret=another secret\nrealm=turn.matrix.example.org\nno-tcp-relay\n\
                denied-peer-ip=10.0.0.0-10.255.255.255\ndenied-peer-ip=192.168.0.0-192.168.255.255\ndenied-peer-ip=172.16.0.0-172.31.255.255\n\
                no-multicast-peers\ndenied-peer-ip=::1\nallowed-peer-ip=10.0.0.1\nuser-quota=12 # streams of one call\ntotal-quota=1200\n\
                external-ip=203.0.113.7\nexternal-ip=2001:db8::7\n";
    let (collector, errors, passed) = judged(text);
    assert!(errors.is_empty() && passed.is_empty(), "{errors:?} {passed:?}");
    assert_eq!((collector.settings.denied_peers.len(), collector.settings.externals.len()), (4, 2));
}

#[test]
fn jitsi() {
    let text = "use-auth-secret\nkeep-address-family\nstatic-auth-secret=generated\nrealm=meet.example.org\ncert=/etc/jitsi/meet.crt\n\
                pkey=/etc/jitsi/meet.key\nno-multicast-peers\nno-cli\nno-loopback-peers\nno-tcp-relay\nno-tcp\nlistening-port=3478\n\
                tls-listening-port=5349\nno-tlsv1\nno-tlsv1_1\n\
                cipher-list=ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256\ndenied-peer-ip=0.0.0.0-0.255.255.255\nsyslog\n";
    let (collector, errors, passed) = judged(text);
    assert!(errors.is_empty(), "{errors:?}");
    assert!(passed.iter().all(|notice| notice.contains("no-loopback-peers")), "{passed:?}");
    assert_eq!(collector.settings.denied_peers.len(), 1);
}

#[test]
fn bigbluebutton() {
    let text = "listening-port=3478\ntls-listening-port=443\nlistening-ip=192.0.2.10\nrelay-ip=192.0.2.10\nmin-port=32769\nmax-port=65535\n\
                verbose\nfingerprint\nlt-cred-mech\nuse-auth-secret\nstatic-auth-secret=shared\nrealm=turn.example.org\n\
                cert=/etc/turnserver/fullchain.pem\npkey=/etc/turnserver/privkey.pem\ncipher-list=\"ECDHE-RSA-AES256-GCM-SHA384\"\n\
                dh-file=/etc/turnserver/dhp.pem\nkeep-address-family\nno-cli\nno-tlsv1\nno-tlsv1_1\nlog-file=/var/log/turnserver/coturn.log\n";
    let (collector, errors, passed) = judged(text);
    assert!(errors.is_empty() && passed.is_empty(), "{errors:?} {passed:?}");
    assert_eq!(collector.settings.realm.as_deref(), Some("turn.example.org"));
}
