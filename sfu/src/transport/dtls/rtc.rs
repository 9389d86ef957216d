//! The second choice: DTLS 1.2 for peers with RSA certificates.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;

use super::{Association, DtlsIdentity, Failed, Output, fingerprint};
use crate::DtlsRole;
use crate::srtp::{Keys, Profile};

/// The library keeps associations by address; ours is one, whatever path its datagrams take.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

pub(in super::super) struct Rtc {
    endpoint: Endpoint,
    role: DtlsRole,
    events: Vec<EndpointEvent>,
}

impl Rtc {
    pub(in super::super) fn new(identity: &DtlsIdentity, role: DtlsRole, now: Instant) -> Result<Self, Failed> {
        let config = identity.rtc(role);
        let endpoint = match role {
            DtlsRole::Server => Endpoint::new(PEER, TransportProtocol::UDP, Some(config)),
            DtlsRole::Client => {
                let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, None);
                endpoint.connect(now, PEER, config, None).map_err(|_| Failed)?;
                endpoint
            }
        };
        Ok(Self { endpoint, role, events: Vec::new() })
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
        self.events = self.endpoint.read(now, PEER, None, datagram.into()).map_err(|_| Failed)?;
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Failed> {
        if self.endpoint.get_connection_state(PEER).is_none() {
            return Ok(());
        }
        self.endpoint.handle_timeout(PEER, now).map_err(|_| Failed)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&PEER)
    }

    fn drain(&mut self, take: &mut dyn FnMut(Output<'_>)) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            take(Output::Datagram(&transmit.message));
        }
        for event in std::mem::take(&mut self.events) {
            match event {
                EndpointEvent::HandshakeComplete => self.hand_over(take),
                EndpointEvent::ApplicationData(_) => take(Output::ApplicationData),
                EndpointEvent::PeerClosed => take(Output::Closed),
                // The library's enum may grow; what it adds is nothing we asked for.
                _ => {}
            }
        }
    }

    fn close(&mut self, now: Instant) {
        self.endpoint.stop(now, PEER);
    }
}
