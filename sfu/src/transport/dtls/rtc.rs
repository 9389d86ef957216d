//! The second choice: DTLS 1.2 for peers with RSA certificates.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc_dtls::config::HandshakeConfig;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;

use super::{Association, DtlsIdentity, Failed, Output, fingerprint};
use crate::DtlsRole;
use crate::srtp::{Keys, Profile};

/// The library keeps associations by address; ours is one, whatever path its datagrams take.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// The library forgets its retransmission timer whenever a handshake message comes that does not complete a flight, the peer's
/// retransmissions among them; with the timer gone both ends would wait for ever. Then the last flight is sent once more here, byte by
/// byte: to the peer a late duplicate, of which it takes the records that it is missing.
struct Repeat {
    flight: Vec<Vec<u8>>,
    due: Vec<Vec<u8>>,
    at: Instant,
    count: u32,
}

const REPEAT_INTERVAL: Duration = Duration::from_millis(700);
/// 700 ms doubled five times: 44 s, beyond every handshake's limit.
const REPEATS_MAX: u32 = 6;

pub(in super::super) struct Rtc {
    endpoint: Endpoint,
    role: DtlsRole,
    events: Vec<EndpointEvent>,
    complete: bool,
    now: Instant,
    repeat: Repeat,
}

impl Rtc {
    pub(in super::super) fn new(identity: &DtlsIdentity, role: DtlsRole, now: Instant) -> Result<Self, Failed> {
        Self::with_config(identity.rtc(role), role, now)
    }

    /// A peer with an RSA certificate.
    #[cfg(test)]
    pub(in super::super) fn with_rsa(certificate: &[u8], private_key: &[u8], role: DtlsRole, now: Instant) -> Self {
        let scheme = rtc_dtls::crypto_provider::SignatureScheme::RsaPkcs1Sha256;
        let config = super::identity::rtc_config(certificate, private_key, scheme, role).expect("an RSA certificate");
        Self::with_config(config, role, now).expect("a ClientHello")
    }

    fn with_config(config: Arc<HandshakeConfig>, role: DtlsRole, now: Instant) -> Result<Self, Failed> {
        let endpoint = match role {
            DtlsRole::Server => Endpoint::new(PEER, TransportProtocol::UDP, Some(config)),
            DtlsRole::Client => {
                let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, None);
                endpoint.connect(now, PEER, config, None).map_err(|_| Failed)?;
                endpoint
            }
        };
        let repeat = Repeat { flight: Vec::new(), due: Vec::new(), at: now, count: 0 };
        Ok(Self { endpoint, role, events: Vec::new(), complete: false, now, repeat })
    }

    /// When the last flight is due once more, if the library does not know.
    fn repeats_at(&self) -> Option<Instant> {
        let stuck = !self.complete && !self.repeat.flight.is_empty() && self.endpoint.poll_timeout(&PEER).is_none();
        (stuck && self.repeat.count < REPEATS_MAX).then_some(self.repeat.at)
    }

    /// The handshake is complete: certificate and keys, or the lack of them.
    fn hand_over(&self, take: &mut dyn FnMut(Output<'_>)) {
        let Some(state) = self.endpoint.get_connection_state(PEER) else { return };
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Some(Profile::AeadAes128Gcm),
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => Some(Profile::AeadAes256Gcm),
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Some(Profile::AesCm128HmacSha1_80),
            _ => None,
        };
        let keys = profile.and_then(|profile| {
            let material = state.export_keying_material(EXPORTER_LABEL, &[], profile.material_len()).ok()?;
            Some((profile, Keys::from_exporter(profile, material.as_ref(), self.role).ok()?))
        });
        match (state.peer_certificates.first(), keys) {
            (Some(der), Some((profile, keys))) => {
                take(Output::Certificate(fingerprint(der)));
                take(Output::Keys(profile, keys));
            }
            _ => take(Output::NoKeys),
        }
    }
}

impl Association for Rtc {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Failed> {
        self.now = now;
        self.events = self.endpoint.read(now, PEER, None, datagram.into()).map_err(|_| Failed)?;
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Failed> {
        if self.endpoint.get_connection_state(PEER).is_none() {
            return Ok(());
        }
        self.now = now;
        if self.repeats_at().is_some_and(|at| at <= now) {
            self.repeat.count += 1;
            self.repeat.at = now + REPEAT_INTERVAL * (1 << self.repeat.count);
            self.repeat.due.clone_from(&self.repeat.flight);
        }
        self.endpoint.handle_timeout(PEER, now).map_err(|_| Failed)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&PEER).or_else(|| self.repeats_at())
    }

    fn drain(&mut self, take: &mut dyn FnMut(Output<'_>)) {
        for datagram in self.repeat.due.drain(..) {
            take(Output::Datagram(&datagram));
        }
        let mut first = true;
        while let Some(transmit) = self.endpoint.poll_transmit() {
            take(Output::Datagram(&transmit.message));
            if std::mem::take(&mut first) {
                self.repeat = Repeat { flight: Vec::new(), due: Vec::new(), at: self.now + REPEAT_INTERVAL, count: 0 };
            }
            if !self.complete {
                self.repeat.flight.push(transmit.message.to_vec());
            }
        }
        for event in std::mem::take(&mut self.events) {
            match event {
                EndpointEvent::HandshakeComplete => {
                    self.complete = true;
                    self.repeat.flight = Vec::new();
                    self.hand_over(take);
                }
                EndpointEvent::ApplicationData(data) => take(Output::ApplicationData(&data)),
                EndpointEvent::PeerClosed => take(Output::Closed),
                // The library's enum may grow; what it adds is nothing we asked for.
                _ => {}
            }
        }
    }

    fn send(&mut self, now: Instant, data: &[u8]) -> Result<(), Failed> {
        self.endpoint.write(now, PEER, data).map_err(|_| Failed)
    }

    fn close(&mut self, now: Instant) {
        self.endpoint.stop(now, PEER);
    }
}
