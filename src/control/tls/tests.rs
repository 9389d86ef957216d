use std::net::Ipv4Addr;

use super::*;

fn tls(certificate: &Path, key: &Path) -> Tls {
    Tls { certificate: Some(certificate.to_owned()), key: Some(key.to_owned()), ..Tls::default() }
}

/// Writes a certificate and its key as PEM files into a new folder.
fn files() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (folder, certificate, key)
}

#[test]
fn throw_away_certificate_is_made() {
    let certificate = Certificate::self_signed(&[Ipv4Addr::LOCALHOST.into()]).unwrap();
    assert!(!certificate.reload().unwrap(), "there is no file to read again");
}

#[test]
fn reload_takes_new_files_and_keeps_the_old_certificate_when_they_are_broken() {
    let (_folder, certificate, key) = files();
    let served = Certificate::from_files(&tls(&certificate, &key)).unwrap().unwrap();
    let before = served.current();

    std::fs::write(&certificate, "no certificate any more").unwrap();
    let error = served.reload().unwrap_err().to_string();
    assert!(error.contains("cert.pem") && error.contains("holds no certificate"), "{error}");
    assert!(Arc::ptr_eq(&before, &served.current()));

    let (_other, new_certificate, new_key) = files();
    std::fs::copy(new_certificate, &certificate).unwrap();
    std::fs::copy(new_key, &key).unwrap();
    assert!(served.reload().unwrap());
    assert!(!Arc::ptr_eq(&before, &served.current()));
}

#[test]
fn key_of_another_certificate_is_named() {
    let (_folder, certificate, _) = files();
    let (_other, _, key) = files();
    let error = Certificate::from_files(&tls(&certificate, &key)).unwrap_err().to_string();
    assert!(error.contains("key.pem: is not the key of"), "{error}");
}

#[test]
fn missing_file_is_named() {
    let (_folder, certificate, _) = files();
    let error = Certificate::from_files(&tls(&certificate, Path::new("/nowhere/key.pem"))).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/key.pem: cannot be read"), "{error}");
}

#[test]
fn an_encrypted_key_is_told_from_a_broken_one() {
    let (_folder, certificate, key) = files();
    for (text, word) in
        [("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", "is encrypted, and no password"), ("junk", "holds no private key")]
    {
        std::fs::write(&key, text).unwrap();
        let error = Certificate::from_files(&tls(&certificate, &key)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn versions_and_ciphers_are_those_configured() {
    let (_folder, certificate, key) = files();
    let offered = |ciphers: Option<&str>, only_tls_1_3| {
        let tls = Tls { ciphers: ciphers.map(str::to_owned), only_tls_1_3, ..tls(&certificate, &key) };
        let config = Certificate::from_files(&tls).unwrap().unwrap().current();
        config.crypto_provider().cipher_suites.len()
    };
    assert_eq!((offered(None, false), offered(Some("ECDHE-RSA-AES128-GCM-SHA256"), false), offered(None, true)), (9, 4, 9));
}
