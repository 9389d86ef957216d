//! What we show to DTLS clients: the certificate of the TLS listeners, which may be exchanged while the server runs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::providers::AwsLcRsProvider;
use rtc_dtls::crypto_provider::{CryptoError, RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::error::Error;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::cookie::COOKIE_LEN;

/// Longest datagram of a handshake: fits IPv6's least MTU.
const DATAGRAM_LEN_MAX: usize = 1200;
/// The library does not back off and gives up after seven.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(700);

/// The key is of a kind that DTLS is not served with here: RSA and ECDSA on P-256 are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedKey;

impl fmt::Display for UnsupportedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DTLS needs an RSA key or an ECDSA key on P-256")
    }
}

impl std::error::Error for UnsupportedKey {}

/// The certificate in force, shared by all shards. New handshakes take what was set last; associations keep what they have.
pub struct DtlsCertificate {
    current: RwLock<Arc<Material>>,
    generation: AtomicU64,
}

struct Material {
    chain: Vec<CertificateDer<'static>>,
    scheme: SignatureScheme,
    /// PKCS #8.
    key: Vec<u8>,
    /// Asks clients for a certificate and judges it.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl DtlsCertificate {
    /// A chain, the server's own certificate first, and its key. With `clients` only clients with a certificate that it accepts are
    /// served.
    ///
    /// # Errors
    /// For keys other than RSA and ECDSA on P-256.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Self, UnsupportedKey> {
        let material = Material::new(chain, key, clients)?;
        Ok(Self { current: RwLock::new(Arc::new(material)), generation: AtomicU64::new(1) })
    }

    /// Exchanges everything for later handshakes.
    ///
    /// # Errors
    /// As [`Self::new`]; what is in force stays.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<(), UnsupportedKey> {
        let material = Arc::new(Material::new(chain, key, clients)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = material;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Changes whenever the certificate does.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What the library needs, made for one shard. `cookie` is what it will take for its own.
    pub(super) fn handshake_config(&self, cookie: &Arc<CookieSeat>) -> Option<Arc<HandshakeConfig>> {
        let material = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let provider: Arc<dyn RTCCryptoProvider> =
            Arc::new(SeatedProvider { provider: AwsLcRsProvider::new(), random: SeatedRandom { seat: Arc::clone(cookie) } });
        let key = provider.crypto().import_signing_key(material.scheme, &material.key).ok()?;
        let mut builder = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(vec![Certificate::from_signing_key(material.chain.clone(), key)])
            .with_insecure_skip_verify(true)
            .with_cipher_suites(vec![
                CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
                CipherSuiteId::Tls_Ecdhe_Rsa_With_ChaCha20_Poly1305_Sha256,
                CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_256_Cbc_Sha,
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_256_Cbc_Sha,
            ])
            // Nobody wants SRTP here, but a client that offers it would be refused without.
            .with_srtp_protection_profiles(vec![
                SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
                SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
            ])
            .with_extended_master_secret(ExtendedMasterSecretType::Request)
            .with_flight_interval(FLIGHT_INTERVAL)
            .with_mtu(DATAGRAM_LEN_MAX)
            .with_server_name("pointsman".to_owned());
        if let Some(clients) = material.clients.clone() {
            // The library checks the signature and leaves the certificate to the callback.
            builder = builder
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                .with_verify_peer_certificate(Some(Arc::new(move |chain, _| judge(&*clients, chain))));
        }
        builder.build(false, None).ok().map(Arc::new)
    }
}

impl fmt::Debug for DtlsCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtlsCertificate").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Material {
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Self, UnsupportedKey> {
        let key = pkcs8(key).ok_or(UnsupportedKey)?;
        let crypto = AwsLcRsProvider::new();
        let schemes = [SignatureScheme::RsaPkcs1Sha256, SignatureScheme::EcdsaP256Sha256];
        let scheme = schemes.into_iter().find(|scheme| crypto.crypto().import_signing_key(*scheme, &key).is_ok()).ok_or(UnsupportedKey)?;
        Ok(Self { chain, scheme, key, clients })
    }
}

/// The library reads keys as PKCS #8 alone.
fn pkcs8(key: &PrivateKeyDer<'_>) -> Option<Vec<u8>> {
    match key {
        PrivateKeyDer::Pkcs8(key) => Some(key.secret_pkcs8_der().to_vec()),
        PrivateKeyDer::Pkcs1(key) => {
            let pair = aws_lc_rs::rsa::KeyPair::from_der(key.secret_pkcs1_der()).ok()?;
            let der: Pkcs8V1Der<'static> = pair.as_der().ok()?;
            Some(der.as_ref().to_vec())
        }
        PrivateKeyDer::Sec1(key) => {
            let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_sec1_der()).ok()?;
            Some(pair.to_pkcs8v1().ok()?.as_ref().to_vec())
        }
        _ => None,
    }
}

fn judge(clients: &dyn ClientCertVerifier, chain: &[Vec<u8>]) -> Result<(), Error> {
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let (own, others) = chain.split_first().ok_or(Error::ErrClientCertificateRequired)?;
    clients.verify_client_cert(own, others, UnixTime::now()).map(|_| ()).map_err(|_| Error::ErrClientCertificateNotVerified)
}

/// The cookie that the library's next association will ask its client for. The library draws its cookie at random and would ask on its
/// own; since we have asked already, it is dealt the cookie that the client came back with.
#[derive(Default)]
pub(super) struct CookieSeat(Mutex<Option<[u8; COOKIE_LEN]>>);

impl CookieSeat {
    pub(super) fn set(&self, cookie: Option<[u8; COOKIE_LEN]>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cookie;
    }

    fn take(&self) -> Option<[u8; COOKIE_LEN]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

struct SeatedProvider {
    provider: AwsLcRsProvider,
    random: SeatedRandom,
}

impl RTCCryptoProvider for SeatedProvider {
    fn name(&self) -> &'static str {
        self.provider.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self.provider.crypto()
    }

    fn random(&self) -> &dyn RTCRandom {
        &self.random
    }
}

struct SeatedRandom {
    seat: Arc<CookieSeat>,
}

impl RTCRandom for SeatedRandom {
    fn fill(&self, output: &mut [u8]) -> Result<(), CryptoError> {
        // A cookie is the first thing that a new association draws, and nothing else that it draws is as long.
        if output.len() == COOKIE_LEN
            && let Some(cookie) = self.seat.take()
        {
            output.copy_from_slice(&cookie);
            return Ok(());
        }
        aws_lc_rs::rand::fill(output).map_err(|_| CryptoError::RandomnessFailed)
    }
}
