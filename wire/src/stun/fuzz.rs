//! What must hold for any input.

use super::attribute::Type;
use super::{HEADER_LEN, Key, Message, Writer};

/// Parses, asks every question, writes the message anew and compares.
pub fn fuzz(input: &[u8]) {
    super::is_ice_check(input);
    let parsed = Message::parse(input);
    compare(input, parsed.as_ref().ok());
    let Ok(message) = parsed else { return };
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

/// The registry's parser must agree on what is a message and what is in it.
fn compare(input: &[u8], ours: Option<&Message<'_>>) {
    let mut theirs = stun::message::Message::new();
    let accepted = theirs.unmarshal_binary(input).is_ok();
    let Some(ours) = ours else {
        // It takes other first bits, bytes behind the message, and lengths that are no multiple of 4.
        let [first, _, l0, l1, ..] = input else { return };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let strict = first & 0xC0 == 0 && length % 4 == 0 && input.len() == HEADER_LEN + length;
        assert!(!(accepted && strict), "only the other parser takes it");
        return;
    };
    assert!(accepted, "only we take it");
    assert_eq!(theirs.transaction_id.0, ours.transaction_id().0);
    assert_eq!(theirs.typ.value(), super::encode_type(ours.class(), ours.method()));
    let seen: Vec<_> = ours.attributes().collect();
    assert!(seen.len() <= theirs.attributes.0.len());
    for (ours, theirs) in seen.iter().zip(&theirs.attributes.0) {
        // 0x8020 is an old number of XOR-MAPPED-ADDRESS that it translates.
        let kind = if ours.kind.0 == 0x8020 { Type::XOR_MAPPED_ADDRESS } else { ours.kind };
        assert_eq!((kind.0, ours.value), (theirs.typ.0, &theirs.value[..]));
    }
}
