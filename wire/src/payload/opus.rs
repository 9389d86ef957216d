//! Opus (RFC 7587): every packet stands for itself.

/// Discontinuous transmission: nothing but a table-of-contents byte and at most one more, which the encoder sends now and then while it is
/// silent (RFC 6716 section 3.1, RFC 7587 section 3.1.3).
pub const fn is_dtx(payload: &[u8]) -> bool {
    matches!(payload.len(), 1 | 2)
}

/// The s bit of the table-of-contents byte.
pub fn is_stereo(payload: &[u8]) -> bool {
    payload.first().is_some_and(|toc| toc & 0x04 != 0)
}
