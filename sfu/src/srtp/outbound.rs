//! What we send the peer.

use std::fmt;

use super::SrtpError;
use super::cipher::{Cipher, Cm, Gcm};
use super::inbound::roll_overs;
use super::keys::{MasterKey, Use};

/// Protects the packets of one transport. The roll-over counter of each of our SSRCs is the caller's, who counts it anyway.
pub struct Outbound {
    rtp: Cipher,
    rtcp: Cipher,
    rtcp_index: u32,
}

const RTP_HEADER_LEN: usize = 12;
const RTCP_HEADER_LEN: usize = 8;
const RTCP_INDEX_LEN: usize = 4;
const RTCP_ENCRYPTED: u32 = 1 << 31;

impl Outbound {
    pub fn new(master: &MasterKey) -> Result<Self, SrtpError> {
        Ok(Self { rtp: Cipher::new(master, Use::Rtp)?, rtcp: Cipher::new(master, Use::Rtcp)?, rtcp_index: 0 })
    }

    /// What protection adds to an RTP packet, in bytes.
    pub const fn rtp_overhead(&self) -> usize {
        self.rtp.tag_len()
    }

    /// What protection adds to a compound RTCP packet, in bytes.
    pub const fn rtcp_overhead(&self) -> usize {
        self.rtcp.tag_len() + RTCP_INDEX_LEN
    }

    /// Seals one RTP packet in `out` and returns its length on the wire.
    ///
    /// The header with its extensions already stands in `out[..header_len]`. The payload is `head` (rewritten descriptor bytes,
    /// may be empty), then `body` (read from the shared packet), then `padding` bytes of RTP padding, zeros and the count
    /// (RFC 3550 section 5.1), for which the caller has set the P bit. `roc` is the roll-over counter of the header's SSRC.
    /// A pair of SSRC and extended sequence number must never come twice with different content.
    pub fn protect_rtp(
        &self,
        roc: u32,
        out: &mut [u8],
        header_len: usize,
        head: &[u8],
        body: &[u8],
        padding: u8,
    ) -> Result<usize, SrtpError> {
        if header_len < RTP_HEADER_LEN {
            return Err(SrtpError::Truncated);
        }
        let plain_len = header_len + head.len() + body.len() + usize::from(padding);
        let len = plain_len + self.rtp.tag_len();
        let out = out.get_mut(..len).ok_or(SrtpError::NoSpace)?;
        let sequence = u16::from_be_bytes([out[2], out[3]]);
        let ssrc = u32::from_be_bytes([out[8], out[9], out[10], out[11]]);
        let index = u64::from(roc) << 16 | u64::from(sequence);
        match &self.rtp {
            Cipher::Gcm(gcm) => {
                let nonce = gcm.rtp_nonce(ssrc, index);
                let (header, sealed) = out.split_at_mut(header_len);
                if head.is_empty() && padding == 0 {
                    gcm.seal(nonce, header, body, sealed)?;
                } else {
                    gather(&mut sealed[..plain_len - header_len], head, body, padding);
                    gcm.seal_in_place(nonce, header, sealed)?;
                }
            }
            Cipher::Cm(cm) => {
                let (message, tag) = out.split_at_mut(plain_len);
                gather(&mut message[header_len..], head, body, padding);
                cm.apply_keystream(ssrc, index, &mut message[header_len..])?;
                tag.copy_from_slice(&cm.tag(message, &roll_overs(index)));
            }
        }
        Ok(len)
    }

    /// Seals a compound RTCP packet into `out` and returns its length on the wire. Always encrypted; counts the SRTCP index.
    pub fn protect_rtcp(&mut self, packet: &[u8], out: &mut [u8]) -> Result<usize, SrtpError> {
        let Some(&[_, _, _, _, s0, s1, s2, s3]) = packet.first_chunk::<RTCP_HEADER_LEN>() else { return Err(SrtpError::Truncated) };
        if self.rtcp_index >= RTCP_ENCRYPTED {
            return Err(SrtpError::Exhausted);
        }
        let len = packet.len() + self.rtcp_overhead();
        let out = out.get_mut(..len).ok_or(SrtpError::NoSpace)?;
        let (ssrc, index) = (u32::from_be_bytes([s0, s1, s2, s3]), self.rtcp_index);
        let word = (index | RTCP_ENCRYPTED).to_be_bytes();
        out[..RTCP_HEADER_LEN].copy_from_slice(&packet[..RTCP_HEADER_LEN]);
        match &self.rtcp {
            // Ciphertext, tag, index (RFC 7714 section 9.2).
            Cipher::Gcm(gcm) => {
                let mut aad = [0; RTCP_HEADER_LEN + RTCP_INDEX_LEN];
                aad[..RTCP_HEADER_LEN].copy_from_slice(&packet[..RTCP_HEADER_LEN]);
                aad[RTCP_HEADER_LEN..].copy_from_slice(&word);
                let sealed_end = packet.len() + Gcm::TAG_LEN;
                gcm.seal(gcm.rtcp_nonce(ssrc, index), &aad, &packet[RTCP_HEADER_LEN..], &mut out[RTCP_HEADER_LEN..sealed_end])?;
                out[sealed_end..].copy_from_slice(&word);
            }
            // Ciphertext, index, tag (RFC 3711 section 3.4).
            Cipher::Cm(cm) => {
                let (message, tag) = out.split_at_mut(len - Cm::TAG_LEN);
                let payload = &mut message[RTCP_HEADER_LEN..packet.len()];
                payload.copy_from_slice(&packet[RTCP_HEADER_LEN..]);
                cm.apply_keystream(ssrc, u64::from(index), payload)?;
                message[packet.len()..].copy_from_slice(&word);
                tag.copy_from_slice(&cm.tag(message, &[]));
            }
        }
        self.rtcp_index += 1;
        Ok(len)
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("rtcp_index", &self.rtcp_index).finish_non_exhaustive()
    }
}

/// Writes the payload's pieces one after another; `out` is exactly as long as they are.
fn gather(out: &mut [u8], head: &[u8], body: &[u8], padding: u8) {
    let (head_out, rest) = out.split_at_mut(head.len());
    head_out.copy_from_slice(head);
    let (body_out, padding_out) = rest.split_at_mut(body.len());
    body_out.copy_from_slice(body);
    padding_out.fill(0);
    if let Some(count) = padding_out.last_mut() {
        *count = padding;
    }
}
