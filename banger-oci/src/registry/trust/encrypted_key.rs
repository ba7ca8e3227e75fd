//! Private keys as cosign encrypts them: a JSON document in PEM, with a key that scrypt makes of the password and the
//! secretbox of NaCl.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use serde::Deserialize;

use crate::one_line::one_line;

/// The labels of these keys; cosign wrote the second one before version 2.
pub(super) const ENCRYPTED_LABELS: [&str; 2] =
    ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];

/// The most memory that the key derivation may take: four times as much as cosign asks for.
const MAX_MEMORY_BYTES: u64 = 256 << 20;
/// The most passes; cosign asks for one.
const MAX_PASSES: u32 = 4;

/// Why a key was not opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    /// The password does not fit.
    Password,
    /// The document is malformed, or asks for more than is given.
    Format(String),
}

#[derive(Deserialize)]
struct EncryptedKey {
    kdf: Derivation,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Derivation {
    name: String,
    params: ScryptParams,
    salt: String,
}

#[derive(Deserialize)]
struct ScryptParams {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Returns the PKCS #8 key in `document`.
pub(super) fn open_encrypted(document: &[u8], password: &[u8]) -> Result<Vec<u8>, OpenError> {
    let format = |reason: String| OpenError::Format(reason);
    let EncryptedKey { kdf, cipher, ciphertext } = serde_json::from_slice(document)
        .map_err(|error| format(one_line(&format!("its document cannot be read: {error}"))))?;
    for (name, known) in [(&kdf.name, "scrypt"), (&cipher.name, "nacl/secretbox")] {
        if name != known {
            return Err(format(format!("it needs {}, and only {known} is supported", one_line(name))));
        }
    }
    let decode = |text: &str, what: &str| {
        STANDARD.decode(text).map_err(|_| format(format!("its {what} is not base64")))
    };
    let (salt, nonce) = (decode(&kdf.salt, "salt")?, decode(&cipher.nonce, "nonce")?);
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| format("its nonce has not 24 bytes".to_owned()))?;
    let mut key = [0; 32];
    scrypt::scrypt(password, &salt, &kdf.params.checked().map_err(format)?, &mut key)
        .map_err(|error| format(format!("its key cannot be derived: {error}")))?;
    open_box(&key, &nonce, &decode(&ciphertext, "content")?).ok_or(OpenError::Password)
}

/// Opens a secretbox of NaCl: XSalsa20, whose first 32 bytes are the key of the Poly1305 tag before the content.
fn open_box(key: &[u8; 32], nonce: &[u8; 24], sealed: &[u8]) -> Option<Vec<u8>> {
    let (tag, ciphertext) = sealed.split_at_checked(16)?;
    let mut cipher = XSalsa20::new(key.into(), nonce.into());
    let mut tag_key = [0; 32];
    cipher.apply_keystream(&mut tag_key);
    // Nobody else can ask how long this comparison takes.
    if Poly1305::new(&tag_key.into()).compute_unpadded(ciphertext).as_slice() != tag {
        return None;
    }
    let mut content = ciphertext.to_vec();
    cipher.apply_keystream(&mut content);
    Some(content)
}

impl ScryptParams {
    fn checked(&self) -> Result<scrypt::Params, String> {
        let Self { n, r, p } = *self;
        let memory = n.saturating_mul(u64::from(r)).saturating_mul(128);
        if !n.is_power_of_two() || memory > MAX_MEMORY_BYTES || p > MAX_PASSES {
            return Err(format!("the cost of its password is not supported: N={n}, r={r}, p={p}"));
        }
        let log_n = u8::try_from(n.ilog2()).unwrap_or(u8::MAX);
        scrypt::Params::new(log_n, r, p)
            .map_err(|_| format!("N={n}, r={r}, p={p} are no parameters of scrypt"))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use camino::Utf8PathBuf;

    use super::super::key::PublicKey;
    use super::super::signing_key::SigningKey;
    use super::*;

    fn vector(name: &str) -> Vec<u8> {
        std::fs::read(Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cosign").join(name)).unwrap()
    }

    fn code(pem: &[u8], password: Option<&[u8]>) -> Option<(u32, String)> {
        SigningKey::parse(pem, "k", password).err().map(|error| (error.code(), error.to_string()))
    }

    #[test]
    fn the_password_opens_a_key_and_no_other_does() {
        let pem = vector("encrypted.key");
        let key = SigningKey::parse(&pem, "k", Some(b"correct horse")).unwrap();
        let public = PublicKey::parse(&vector("encrypted.pub"), "k").unwrap();
        assert_eq!(key.public_key(), &public);
        let signature = key.sign(b"message").unwrap();
        assert!(public.verifies(b"message", &signature) && !public.verifies(b"Message", &signature));
        for password in [None, Some(&b""[..]), Some(b"correct hors")] {
            assert_eq!(code(&pem, password).map(|(code, _)| code), Some(1311), "{password:?}");
        }
        let old = String::from_utf8(pem).unwrap().replace("SIGSTORE", "COSIGN");
        assert_eq!(code(old.as_bytes(), Some(b"correct horse")), None);
        assert!(!format!("{key:?}").contains("pair"));
    }

    #[test]
    fn a_document_that_asks_for_too_much_is_refused() {
        let document = |n: u64, r: u32, p: u32, kdf: &str, cipher: &str, nonce: &str| {
            let text = serde_json::json!({
                "kdf": { "name": kdf, "params": { "N": n, "r": r, "p": p }, "salt": "AAAA" },
                "cipher": { "name": cipher, "nonce": nonce }, "ciphertext": "AAAA",
            });
            let body = STANDARD.encode(text.to_string());
            let label = ENCRYPTED_LABELS[0];
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes()
        };
        let nonce = STANDARD.encode([0; 24]);
        let (kdf, cipher) = ("scrypt", "nacl/secretbox");
        for (pem, expected) in [
            (document(1 << 30, 8, 1, kdf, cipher, &nonce), "cost"),
            (document(1 << 63, 1 << 31, 1, kdf, cipher, &nonce), "cost"),
            (document(1000, 8, 1, kdf, cipher, &nonce), "cost"),
            (document(0, 8, 1, kdf, cipher, &nonce), "cost"),
            (document(1 << 14, 8, 5, kdf, cipher, &nonce), "cost"),
            (document(1 << 14, 0, 1, kdf, cipher, &nonce), "no parameters"),
            (document(1 << 14, 8, 1, "argon2", cipher, &nonce), "needs argon2"),
            (document(1 << 14, 8, 1, kdf, "aes", &nonce), "needs aes"),
            (document(1 << 14, 8, 1, kdf, cipher, "AAAA"), "24 bytes"),
            (document(1 << 14, 8, 1, kdf, cipher, "?"), "base64"),
        ] {
            let (code, message) = code(&pem, Some(b"x")).unwrap();
            assert!(code == 1310 && message.contains(expected), "{expected}: {message}");
        }
        let short = code(&document(1 << 4, 8, 1, kdf, cipher, &nonce), Some(b"x"));
        assert_eq!(short.map(|(code, _)| code), Some(1311));
    }
}
