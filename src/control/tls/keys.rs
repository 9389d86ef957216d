//! Private keys from PEM files, also those that a password opens.
//!
//! ```text
//! PRIVATE KEY, RSA PRIVATE KEY, EC PRIVATE KEY ─▶ as they stand
//! ENCRYPTED PRIVATE KEY ── PKCS #8 with PBES2 (RFC 8018 section 6.2): PBKDF2 makes the key, AES-CBC opens
//! Proc-Type: 4,ENCRYPTED ─ what OpenSSL wrote before: MD5 makes the key, AES-CBC opens
//! ```

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::{iv, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{EncryptionScheme as Cipher, Kdf, Parameters, Pbkdf2Params, Pbkdf2Prf};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

use crate::config::Secret;

/// Beyond it a start takes minutes. OpenSSL writes 2,048.
const ITERATIONS_MAX: u32 = 10_000_000;
const IV_LEN: usize = 16;
/// Of the initialization vector, for the older form's key (OpenSSL's `EVP_BytesToKey`).
const SALT_LEN: usize = 8;

const NO_KEY: &str = "holds no private key that can be read (PEM with PKCS #8, PKCS #1 or SEC 1)";
const NO_PASSWORD: &str = "is encrypted, and no password is given: `key_password` in [tls], pkey-pwd in turnserver.conf";
const NOT_OPENED: &str = "does not open with the password that is given";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Reads the first key of a PEM file.
///
/// # Errors
/// What is wrong with it. Shows neither key nor password.
pub fn read(pem: &[u8], password: Option<&Secret>) -> Result<PrivateKeyDer<'static>, String> {
    let text = String::from_utf8_lossy(pem);
    let Some(block) = Block::find(&text) else {
        return PrivateKeyDer::from_pem_slice(pem).map_err(|_| NO_KEY.to_owned());
    };
    let password = password.ok_or(NO_PASSWORD)?;
    let sealed = BASE64.decode(&block.base64).map_err(|_| NO_KEY)?;
    match block.sealed_by {
        None => open_pkcs8(&sealed, password),
        Some((cipher, iv)) => open_older(block.label, sealed, cipher, iv, password),
    }
}

/// An encrypted key's lines.
struct Block<'a> {
    label: &'a str,
    /// The older form's cipher and initialization vector.
    sealed_by: Option<(&'a str, &'a str)>,
    base64: String,
}

impl<'a> Block<'a> {
    /// The first key, if it is an encrypted one.
    fn find(text: &'a str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let label = lines.find_map(|line| {
            let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            label.ends_with("PRIVATE KEY").then_some(label)
        })?;
        let mut block = Self { label, sealed_by: None, base64: String::new() };
        for line in lines.take_while(|line| !line.starts_with("-----END ")) {
            match line.split_once(": ") {
                Some(("DEK-Info", how)) => block.sealed_by = how.split_once(','),
                Some(_) => {}
                None => block.base64.push_str(line),
            }
        }
        (label == ENCRYPTED || block.sealed_by.is_some()).then_some(block)
    }
}

/// RFC 8018 section 6.2.2.
fn open_pkcs8(sealed: &[u8], password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    const OTHER_WAY: &str = "is encrypted in a way that is not read here: only PBES2 with PBKDF2 and AES-CBC is \
                             (`openssl pkcs8 -topk8 -v2 aes256 -in FILE -out NEW`)";
    let info = EncryptedPrivateKeyInfoRef::try_from(sealed).map_err(|_| OTHER_WAY)?;
    let EncryptionScheme::Pbes2(Parameters { kdf: Kdf::Pbkdf2(kdf), encryption }) = &info.encryption_algorithm else {
        return Err(OTHER_WAY.to_owned());
    };
    let (cipher, iv) = match encryption {
        Cipher::Aes128Cbc { iv } => (&AES_128, iv),
        Cipher::Aes192Cbc { iv } => (&AES_192, iv),
        Cipher::Aes256Cbc { iv } => (&AES_256, iv),
        _ => return Err(OTHER_WAY.to_owned()),
    };
    let key = stretched(kdf, key_len(cipher), password).ok_or(OTHER_WAY)?;
    let plain = decrypt(cipher, &key, *iv, info.encrypted_data.as_bytes().to_vec())?;
    // A wrong password leaves junk, whose padding may look right by chance.
    if plain.first() != Some(&DER_SEQUENCE) {
        return Err(NOT_OPENED.to_owned());
    }
    Ok(PrivatePkcs8KeyDer::from(plain).into())
}

/// The tag that every key's structure begins with.
const DER_SEQUENCE: u8 = 0x30;

fn stretched(kdf: &Pbkdf2Params, len: usize, password: &Secret) -> Option<Vec<u8>> {
    let algorithm = match kdf.prf {
        Pbkdf2Prf::HmacWithSha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Pbkdf2Prf::HmacWithSha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Pbkdf2Prf::HmacWithSha384 => pbkdf2::PBKDF2_HMAC_SHA384,
        Pbkdf2Prf::HmacWithSha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => return None,
    };
    let iterations = NonZeroU32::new(kdf.iteration_count).filter(|count| count.get() <= ITERATIONS_MAX)?;
    if kdf.key_length.is_some_and(|wanted| usize::from(wanted) != len) {
        return None;
    }
    let mut key = vec![0; len];
    pbkdf2::derive(algorithm, iterations, kdf.salt.as_ref(), password.expose().as_bytes(), &mut key);
    Some(key)
}

fn open_older(label: &str, sealed: Vec<u8>, cipher: &str, iv: &str, password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let algorithm = match cipher {
        "AES-128-CBC" => &AES_128,
        "AES-192-CBC" => &AES_192,
        "AES-256-CBC" => &AES_256,
        _ => {
            let cipher: String = cipher.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(24).collect();
            return Err(format!("is encrypted with {cipher}, which is not read here: AES is (`openssl pkey -aes256 -in FILE -out NEW`)"));
        }
    };
    let iv = hex(iv).ok_or(NO_KEY)?;
    let key = hashed(&iv, key_len(algorithm), password);
    let plain = decrypt(algorithm, &key, iv, sealed)?;
    if plain.first() != Some(&DER_SEQUENCE) {
        return Err(NOT_OPENED.to_owned());
    }
    match label {
        "RSA PRIVATE KEY" => Ok(PrivatePkcs1KeyDer::from(plain).into()),
        "EC PRIVATE KEY" => Ok(PrivateSec1KeyDer::from(plain).into()),
        _ => Err(NO_KEY.to_owned()),
    }
}

/// Each piece is MD5 of the one before, the password and the salt.
fn hashed(iv: &[u8; IV_LEN], len: usize, password: &Secret) -> Vec<u8> {
    let mut key = Vec::new();
    let mut piece: Vec<u8> = Vec::new();
    while key.len() < len {
        piece = Md5::new().chain_update(&piece).chain_update(password.expose()).chain_update(&iv[..SALT_LEN]).finalize().to_vec();
        key.extend_from_slice(&piece);
    }
    key.truncate(len);
    key
}

fn key_len(cipher: &Algorithm) -> usize {
    match cipher {
        cipher if *cipher == AES_128 => 16,
        cipher if *cipher == AES_192 => 24,
        _ => 32,
    }
}

fn decrypt(cipher: &'static Algorithm, key: &[u8], iv: [u8; IV_LEN], mut bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let key = UnboundCipherKey::new(cipher, key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7).map_err(|_| NOT_OPENED)?;
    let len = key.decrypt(&mut bytes, DecryptionContext::Iv128(iv::FixedLength::from(iv))).map_err(|_| NOT_OPENED)?.len();
    bytes.truncate(len);
    Ok(bytes)
}

fn hex(text: &str) -> Option<[u8; IV_LEN]> {
    let mut bytes = [0; IV_LEN];
    if text.len() != 2 * IV_LEN || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    fn openssl(folder: &Path, words: &str) {
        let mut command = Command::new("openssl");
        command.args(words.split(' ')).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().expect("openssl; tests/run installs it").success(), "openssl {words}");
    }

    #[test]
    fn what_openssl_encrypts_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let read_file = |name: &str, password: Option<&str>| {
            let pem = std::fs::read(folder.path().join(name)).unwrap();
            read(&pem, password.map(Secret::new).as_ref())
        };
        openssl(folder.path(), "genrsa -out rsa.pem 2048");
        openssl(folder.path(), "ecparam -name prime256v1 -genkey -noout -out ec.pem");
        for kind in ["rsa", "ec"] {
            let plain = rustls::crypto::aws_lc_rs::sign::any_supported_type(&read_file(&format!("{kind}.pem"), None).unwrap()).unwrap();
            let public = |key: PrivateKeyDer<'static>| {
                let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
                key.public_key().map(|public| public.as_ref().to_vec())
            };
            for (how, words) in [
                ("aes256", "pkcs8 -topk8 -v2 aes-256-cbc"),
                ("aes192", "pkcs8 -topk8 -v2 aes-192-cbc"),
                ("aes128", "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA512"),
                ("sha1", "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA1 -iter 5000"),
                ("older", if kind == "rsa" { "rsa -aes256 -traditional" } else { "ec -aes128" }),
            ] {
                let file = format!("{kind}-{how}.pem");
                openssl(folder.path(), &format!("{words} -in {kind}.pem -out {file} -passout pass:sesame"));
                let opened = read_file(&file, Some("sesame")).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert_eq!(public(opened), plain.public_key().map(|public| public.as_ref().to_vec()), "{file}");
                assert_eq!(read_file(&file, None).unwrap_err(), NO_PASSWORD, "{file}");
                assert_eq!(read_file(&file, Some("salami")).unwrap_err(), NOT_OPENED, "{file}");
            }
        }
        openssl(folder.path(), "rsa -des3 -traditional -in rsa.pem -out des.pem -passout pass:sesame");
        assert!(read_file("des.pem", Some("sesame")).unwrap_err().contains("DES-EDE3-CBC"));
        openssl(folder.path(), "pkcs8 -topk8 -v2 des3 -in rsa.pem -out des8.pem -passout pass:sesame");
        assert!(read_file("des8.pem", Some("sesame")).unwrap_err().contains("not read here"));
        // A password that nothing needs does no harm.
        assert!(read_file("rsa.pem", Some("sesame")).is_ok());
    }

    #[test]
    fn what_is_no_key_is_told() {
        let read = |pem: &str| read(pem.as_bytes(), Some(&Secret::new("sesame"))).unwrap_err();
        for junk in [
            "",
            "junk",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n!\n",
            "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-256-CBC,00\n\nAAAA\n",
        ] {
            assert_eq!(read(junk), NO_KEY, "{junk}");
        }
        assert!(read("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n").contains("not read here"));
    }
}
