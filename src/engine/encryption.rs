//! How a client's connection is encrypted, in the names that OpenSSL gives to versions and suites: operators know them by those.

use rtc_dtls::cipher_suite::CipherSuiteId;
use rustls::{CipherSuite, ProtocolVersion, ServerConnection};

/// What a handshake came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// `TLSv1.3`, for example.
    pub version: &'static str,
    /// `ECDHE-RSA-AES256-GCM-SHA384`, for example.
    pub cipher: &'static str,
}

/// Of what this has no name for.
const UNKNOWN: &str = "UNKNOWN";

impl Encryption {
    /// Of a connection whose handshake is done.
    pub(super) fn of_tls(connection: &ServerConnection) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => UNKNOWN,
        };
        Self { version, cipher: connection.negotiated_cipher_suite().map_or(UNKNOWN, |suite| tls_name(suite.suite())) }
    }

    /// DTLS is spoken in version 1.2 alone.
    pub(super) fn of_dtls(suite: CipherSuiteId) -> Self {
        Self { version: "DTLSv1.2", cipher: dtls_name(suite) }
    }
}

fn tls_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => UNKNOWN,
    }
}

fn dtls_name(suite: CipherSuiteId) -> &'static str {
    match suite {
        CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuiteId::Tls_Ecdhe_Rsa_With_ChaCha20_Poly1305_Sha256 => "ECDHE-RSA-CHACHA20-POLY1305",
        CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_256_Cbc_Sha => "ECDHE-RSA-AES256-SHA",
        CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_256_Cbc_Sha => "ECDHE-ECDSA-AES256-SHA",
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_the_library_has_a_name() {
        for suite in rustls::crypto::aws_lc_rs::default_provider().cipher_suites {
            assert_ne!(tls_name(suite.suite()), UNKNOWN, "{suite:?}");
        }
    }
}
