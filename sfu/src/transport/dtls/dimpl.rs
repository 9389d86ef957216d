//! The first choice: DTLS 1.2 and 1.3 with ECDSA certificates.

use std::sync::Arc;
use std::time::Instant;

use ::dimpl::{Dtls, SrtpProfile};

use super::{Association, DtlsIdentity, Failed, Output, fingerprint};
use crate::DtlsRole;
use crate::srtp::{Keys, Profile};

/// Space for what the library gives out at once; certificates may need more, up to [`SPACE_MAX`].
const SPACE: usize = 2048;
const SPACE_MAX: usize = 16 * 1024;

pub(in super::super) struct Dimpl {
    dtls: Dtls,
    role: DtlsRole,
    due: Option<Instant>,
    connected: bool,
    keyed: bool,
    failed: bool,
}

impl Dimpl {
    /// Senses the version. As client the ClientHello is due with the next [`Association::drain`].
    pub(in super::super) fn new(identity: &DtlsIdentity, role: DtlsRole, now: Instant) -> Self {
        let mut dtls = Dtls::new_auto(Arc::clone(&identity.dimpl), identity.certificate.clone(), now);
        dtls.set_active(role == DtlsRole::Client);
        Self { dtls, role, due: Some(now), connected: false, keyed: false, failed: false }
    }

    /// A peer that knows DTLS 1.2 only.
    #[cfg(test)]
    pub(in super::super) fn new_1_2(identity: &DtlsIdentity, role: DtlsRole, now: Instant) -> Self {
        let mut dtls = Dtls::new_12(Arc::clone(&identity.dimpl), identity.certificate.clone(), now);
        dtls.set_active(role == DtlsRole::Client);
        Self { dtls, role, due: Some(now), connected: false, keyed: false, failed: false }
    }

    fn note(&mut self, result: Result<(), ::dimpl::Error>) -> Result<(), Failed> {
        result.map_err(|_| {
            self.failed = true;
            Failed
        })
    }
}

impl Association for Dimpl {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Failed> {
        self.handle_timeout(now)?;
        let result = self.dtls.handle_packet(datagram);
        self.note(result)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Failed> {
        if self.failed {
            return Err(Failed);
        }
        let result = self.dtls.handle_timeout(now);
        self.note(result)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    fn drain(&mut self, take: &mut dyn FnMut(Output<'_>)) {
        let mut space = [0; SPACE];
        let mut larger = Vec::new();
        loop {
            let space = if larger.is_empty() { &mut space[..] } else { &mut larger[..] };
            match self.dtls.poll_output(space) {
                ::dimpl::Output::Packet(datagram) => take(Output::Datagram(datagram)),
                ::dimpl::Output::BufferTooSmall { needed } if needed <= SPACE_MAX => larger.resize(needed, 0),
                ::dimpl::Output::PeerCert(der) => take(Output::Certificate(fingerprint(der))),
                ::dimpl::Output::KeyingMaterial(material, profile) => {
                    if let Some((profile, keys)) = keys(profile, &material, self.role) {
                        self.keyed = true;
                        take(Output::Keys(profile, keys));
                    }
                }
                ::dimpl::Output::Connected => self.connected = true,
                ::dimpl::Output::ApplicationData(data) => take(Output::ApplicationData(data)),
                ::dimpl::Output::CloseNotify => take(Output::Closed),
                ::dimpl::Output::Timeout(due) => {
                    self.due = Some(due);
                    break;
                }
                // Nothing that we ask for: the library may only ever add to its outputs, or want more space than a flight takes.
                _ => {
                    self.failed = true;
                    break;
                }
            }
        }
        if self.connected && !self.keyed {
            self.keyed = true;
            take(Output::NoKeys);
        }
    }

    fn send(&mut self, now: Instant, data: &[u8]) -> Result<(), Failed> {
        self.handle_timeout(now)?;
        let result = self.dtls.send_application_data(data).map(|_| ());
        self.note(result)
    }

    fn close(&mut self, _now: Instant) {
        // Failing to say goodbye changes nothing: the object goes next.
        let _ = self.dtls.close();
    }
}

fn keys(profile: SrtpProfile, material: &[u8], role: DtlsRole) -> Option<(Profile, Keys)> {
    let profile = match profile {
        SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
        SrtpProfile::AES128_CM_SHA1_80 => Profile::AesCm128HmacSha1_80,
        _ => return None,
    };
    Some((profile, Keys::from_exporter(profile, material, role).ok()?))
}
