//! What must hold for any input.

use super::attribute::Type;
use super::{HEADER_LEN, Key, Message, Writer};

/// Parses, asks every question, writes the message anew and compares.
pub fn fuzz(input: &[u8]) {
    super::is_ice_check(input);
    let Ok(message) = Message::parse(input) else { return };
    ask_everything(&message);
    let mut out = vec![0xEE; input.len()];
    let mut writer = Writer::new(&mut out, message.class(), message.method(), message.transaction_id());
    for attribute in message.attributes() {
        writer.attribute(attribute.kind, attribute.value);
    }
    let len = writer.finish().expect("no longer than what was read");
    let again = Message::parse(&out[..len]).expect("what we write is sound");
    assert_eq!((again.class(), again.method(), again.transaction_id()), (message.class(), message.method(), message.transaction_id()));
    assert!(again.attributes().eq(message.attributes()));
    assert!(len == message.attributes_end && len >= HEADER_LEN);
}

fn ask_everything(message: &Message<'_>) {
    let _ = (message.error_code(), message.mapped_address(), message.xor_mapped_address(), message.xor_relayed_address());
    let _ = (message.xor_peer_address(), message.lifetime(), message.channel_number(), message.requested_transport());
    let _ = (message.requested_address_family(), message.additional_address_family(), message.address_error_code(), message.even_port());
    let _ = (message.reservation_token(), message.priority(), message.ice_controlling(), message.ice_controlled(), message.ice_ufrags());
    assert!(message.unknown_required(&[]).types().len() <= super::UNKNOWN_MAX);
    assert!(message.xor_addresses(Type::XOR_PEER_ADDRESS).count() <= message.bytes().len() / 8);
    assert!(message.unknown_attributes().count() <= message.bytes().len() / 2);
    assert_eq!(message.data_range().and_then(|range| message.bytes().get(range)), message.data());
    assert!(!message.verify_integrity(&Key::new(b"a key that no input knows")));
    let _ = message.verify_fingerprint();
}
