//! What the peer sends us.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use foldhash::fast::FixedState;

use super::SrtpError;
use super::cipher::{Cipher, Gcm};
use super::keys::{MasterKey, Use};
use super::window::Window;

/// Unprotects the packets of one transport. State is kept only for SSRCs that an authenticated packet has shown.
pub struct Inbound {
    rtp: Cipher,
    rtcp: Cipher,
    sources: HashMap<u32, Windows, FixedState>,
    sources_max: usize,
}

struct Windows {
    rtp: Window,
    rtcp: Window,
}

/// Fixed part of an RTP header, and of an RTCP packet up to the SSRC.
const RTP_HEADER_LEN: usize = 12;
const RTCP_HEADER_LEN: usize = 8;
/// The E flag and the SRTCP index (RFC 3711 section 3.4).
const RTCP_INDEX_LEN: usize = 4;
const RTCP_ENCRYPTED: u32 = 1 << 31;

impl Inbound {
    /// `sources_max` bounds the SSRCs for which state is kept; `seed` keys their table, since peers choose them.
    pub fn new(master: &MasterKey, sources_max: usize, seed: u64) -> Result<Self, SrtpError> {
        Ok(Self {
            rtp: Cipher::new(master, Use::Rtp)?,
            rtcp: Cipher::new(master, Use::Rtcp)?,
            sources: HashMap::with_hasher(FixedState::with_seed(seed)),
            sources_max,
        })
    }

    /// Decrypts an RTP packet into `out`: its header as it stands, then the plain payload (with RTP padding, if any).
    /// Returns the plain packet's length and its sequence number with roll-overs counted. `header_len`, `ssrc` and `sequence`
    /// are what the caller has read of `packet`'s header, extensions included. `out` must hold `packet.len()` less the tag.
    /// On error nothing in `out` counts.
    pub fn unprotect_rtp(
        &mut self,
        packet: &[u8],
        header_len: usize,
        ssrc: u32,
        sequence: u16,
        out: &mut [u8],
    ) -> Result<(usize, u64), SrtpError> {
        let plain_len = packet.len().checked_sub(self.rtp.tag_len()).ok_or(SrtpError::Truncated)?;
        if header_len < RTP_HEADER_LEN || header_len > plain_len {
            return Err(SrtpError::Truncated);
        }
        let out = out.get_mut(..plain_len).ok_or(SrtpError::NoSpace)?;
        let index = match self.sources.get(&ssrc) {
            Some(windows) => {
                let index = windows.rtp.estimate(sequence).ok_or(SrtpError::Replayed)?;
                if !windows.rtp.is_fresh(index) {
                    return Err(SrtpError::Replayed);
                }
                index
            }
            None if self.sources.len() >= self.sources_max => return Err(SrtpError::TooManySources),
            None => u64::from(sequence),
        };
        let (header, payload) = out.split_at_mut(header_len);
        match &self.rtp {
            Cipher::Gcm(gcm) => {
                gcm.open(gcm.rtp_nonce(ssrc, index), &packet[..header_len], &packet[header_len..], payload)?;
            }
            Cipher::Cm(cm) => {
                let (message, tag) = packet.split_at(plain_len);
                cm.verify(message, &roll_overs(index), tag)?;
                payload.copy_from_slice(&message[header_len..]);
                cm.apply_keystream(ssrc, index, payload)?;
            }
        }
        header.copy_from_slice(&packet[..header_len]);
        self.windows(ssrc)?.rtp.accept(index);
        Ok((plain_len, index))
    }

    /// Decrypts a compound RTCP packet into `out` and returns its plain length.
    pub fn unprotect_rtcp(&mut self, packet: &[u8], out: &mut [u8]) -> Result<usize, SrtpError> {
        let tag_len = self.rtcp.tag_len();
        let plain_len = packet.len().checked_sub(tag_len + RTCP_INDEX_LEN).ok_or(SrtpError::Truncated)?;
        let (Some(&[_, _, _, _, s0, s1, s2, s3]), true) = (packet.first_chunk::<RTCP_HEADER_LEN>(), plain_len >= RTCP_HEADER_LEN) else {
            return Err(SrtpError::Truncated);
        };
        let out = out.get_mut(..plain_len).ok_or(SrtpError::NoSpace)?;
        let ssrc = u32::from_be_bytes([s0, s1, s2, s3]);
        // GCM: ciphertext, tag, index (RFC 7714 section 9.2). Counter mode: ciphertext, index, tag (RFC 3711 section 3.4).
        let index_at = match &self.rtcp {
            Cipher::Gcm(_) => plain_len + tag_len,
            Cipher::Cm(_) => plain_len,
        };
        let word = packet.get(index_at..).and_then(|bytes| bytes.first_chunk::<RTCP_INDEX_LEN>()).ok_or(SrtpError::Truncated)?;
        let (word, word_bytes) = (u32::from_be_bytes(*word), *word);
        let (index, encrypted) = (word & !RTCP_ENCRYPTED, word & RTCP_ENCRYPTED != 0);
        match self.sources.get(&ssrc) {
            Some(windows) if !windows.rtcp.is_fresh(u64::from(index)) => return Err(SrtpError::Replayed),
            None if self.sources.len() >= self.sources_max => return Err(SrtpError::TooManySources),
            Some(_) | None => {}
        }
        match &self.rtcp {
            Cipher::Gcm(gcm) => open_rtcp(gcm, packet, ssrc, index, word_bytes, encrypted, out)?,
            Cipher::Cm(cm) => {
                let (message, tag) = packet.split_at(plain_len + RTCP_INDEX_LEN);
                cm.verify(message, &[], tag)?;
                out.copy_from_slice(&message[..plain_len]);
                if encrypted {
                    cm.apply_keystream(ssrc, u64::from(index), &mut out[RTCP_HEADER_LEN..])?;
                }
            }
        }
        self.windows(ssrc)?.rtcp.accept(u64::from(index));
        Ok(plain_len)
    }

    /// Forgets an SSRC whose stream has ended, so that its place may be taken by another.
    ///
    /// A packet of that SSRC recorded before would then be accepted again: call this only where the SSRC is refused elsewhere.
    pub fn forget(&mut self, ssrc: u32) {
        self.sources.remove(&ssrc);
    }

    /// How many SSRCs have state.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    fn windows(&mut self, ssrc: u32) -> Result<&mut Windows, SrtpError> {
        let sources = self.sources.len();
        match self.sources.entry(ssrc) {
            Entry::Occupied(windows) => Ok(windows.into_mut()),
            Entry::Vacant(_) if sources >= self.sources_max => Err(SrtpError::TooManySources),
            Entry::Vacant(place) => Ok(place.insert(Windows { rtp: Window::new(), rtcp: Window::new() })),
        }
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

/// The upper 32 bits of a 48-bit index, as authenticated (RFC 3711 section 4.2).
pub(super) fn roll_overs(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// AEAD for SRTCP: what is authenticated without being encrypted is the header and the index word when the E flag is set
/// (RFC 7714 section 9.2), and the whole packet and the index word when it is not (section 9.3).
fn open_rtcp(gcm: &Gcm, packet: &[u8], ssrc: u32, index: u32, word: [u8; 4], encrypted: bool, out: &mut [u8]) -> Result<(), SrtpError> {
    let nonce = gcm.rtcp_nonce(ssrc, index);
    let sealed = &packet[..packet.len() - RTCP_INDEX_LEN];
    if encrypted {
        let mut aad = [0; RTCP_HEADER_LEN + RTCP_INDEX_LEN];
        aad[..RTCP_HEADER_LEN].copy_from_slice(&packet[..RTCP_HEADER_LEN]);
        aad[RTCP_HEADER_LEN..].copy_from_slice(&word);
        let (header, payload) = out.split_at_mut(RTCP_HEADER_LEN);
        gcm.open(nonce, &aad, &sealed[RTCP_HEADER_LEN..], payload)?;
        header.copy_from_slice(&packet[..RTCP_HEADER_LEN]);
        return Ok(());
    }
    let (plain, tag) = sealed.split_at(out.len());
    let mut aad = [0; RTCP_PLAIN_LEN_MAX + RTCP_INDEX_LEN];
    let aad = aad.get_mut(..plain.len() + RTCP_INDEX_LEN).ok_or(SrtpError::NoSpace)?;
    aad[..plain.len()].copy_from_slice(plain);
    aad[plain.len()..].copy_from_slice(&word);
    gcm.open(nonce, aad, tag, &mut [])?;
    out.copy_from_slice(plain);
    Ok(())
}

/// Longest RTCP packet that may come authenticated but unencrypted, in bytes.
const RTCP_PLAIN_LEN_MAX: usize = crate::PACKET_LEN_MAX;
