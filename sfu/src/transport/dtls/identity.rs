//! Our certificate: one for the process, self-signed, known to peers by its fingerprint alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::providers::AwsLcRsProvider;
use rtc_dtls::crypto_provider::{RTCCryptoProvider, SignatureScheme};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;

use super::{DATAGRAM_LEN_MAX, fingerprint};
use crate::{DtlsRole, Fingerprint};

/// An ECDSA P-256 certificate with its key, and what the DTLS libraries make of it, shared by all transports.
pub struct DtlsIdentity {
    pub(super) certificate: ::dimpl::DtlsCertificate,
    pub(super) dimpl: Arc<::dimpl::Config>,
    rtc_server: Arc<HandshakeConfig>,
    rtc_client: Arc<HandshakeConfig>,
    fingerprint: Fingerprint,
}

/// The certificate could not be made, or a library refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityError;

/// First retransmission of a flight. Real round trips are below it; dimpl doubles it each time.
const FLIGHT_RTO: Duration = Duration::from_millis(300);
/// 300 ms doubled six times: 38 s, beyond every handshake's limit.
const FLIGHT_RETRIES: usize = 6;
/// rtc-dtls does not back off and gives up after seven.
const RTC_FLIGHT_INTERVAL: Duration = Duration::from_millis(700);

impl DtlsIdentity {
    /// Makes a key and a certificate from the operating system's randomness. Once at the start of the process, by control.
    pub fn generate() -> Result<Self, IdentityError> {
        let certificate = ::dimpl::certificate::generate_self_signed_certificate().map_err(|_| IdentityError)?;
        Self::from_der(certificate.certificate, certificate.private_key)
    }

    /// From a DER certificate and its PKCS #8 key (ECDSA P-256).
    pub fn from_der(certificate: Vec<u8>, private_key: Vec<u8>) -> Result<Self, IdentityError> {
        let dimpl = ::dimpl::Config::builder()
            .mtu(DATAGRAM_LEN_MAX)
            .flight_start_rto(FLIGHT_RTO)
            .flight_retries(FLIGHT_RETRIES)
            // The connectivity check has shown already that the peer's address is its own.
            .use_server_cookie(false)
            .build()
            .map_err(|_| IdentityError)?;
        let fingerprint = fingerprint(&certificate);
        Ok(Self {
            rtc_server: rtc_config(&certificate, &private_key, SignatureScheme::EcdsaP256Sha256, DtlsRole::Server)?,
            rtc_client: rtc_config(&certificate, &private_key, SignatureScheme::EcdsaP256Sha256, DtlsRole::Client)?,
            certificate: ::dimpl::DtlsCertificate { certificate, private_key },
            dimpl: Arc::new(dimpl),
            fingerprint,
        })
    }

    /// For `a=fingerprint:sha-256` of every description we write.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn rtc(&self, role: DtlsRole) -> Arc<HandshakeConfig> {
        match role {
            DtlsRole::Server => Arc::clone(&self.rtc_server),
            DtlsRole::Client => Arc::clone(&self.rtc_client),
        }
    }
}

impl fmt::Debug for DtlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtlsIdentity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

pub(super) fn rtc_config(
    certificate: &[u8],
    private_key: &[u8],
    scheme: SignatureScheme,
    role: DtlsRole,
) -> Result<Arc<HandshakeConfig>, IdentityError> {
    let provider: Arc<dyn RTCCryptoProvider> = Arc::new(AwsLcRsProvider::new());
    let key = provider.crypto().import_signing_key(scheme, private_key).map_err(|_| IdentityError)?;
    let config = ConfigBuilder::default()
        .with_crypto_provider(provider)
        .with_certificates(vec![Certificate::from_signing_key(vec![certificate.to_vec().into()], key)])
        .with_srtp_protection_profiles(vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ])
        // Any certificate, so long as it signs: its fingerprint is what counts, and is compared before the keys are used.
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_insecure_skip_verify(true)
        .with_extended_master_secret(ExtendedMasterSecretType::Request)
        .with_flight_interval(RTC_FLIGHT_INTERVAL)
        .with_mtu(DATAGRAM_LEN_MAX)
        .with_server_name("pointsman".to_owned())
        .build(role == DtlsRole::Client, None)
        .map_err(|_| IdentityError)?;
    Ok(Arc::new(config))
}
