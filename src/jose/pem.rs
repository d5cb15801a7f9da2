use ed25519_dalek::{
    SECRET_KEY_LENGTH, SigningKey as DalekKey, VerifyingKey as DalekPublicKey,
    pkcs8::{
        ALGORITHM_OID, KeypairBytes, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument,
        spki::SubjectPublicKeyInfoRef,
    },
};
use zeroize::Zeroizing;

/// The beginning of a PEM block (RFC 7468 section 2).
const BEGIN: &str = "-----BEGIN ";

/// Error returned when a PEM string is not the expected Ed25519 key. It never quotes the input.
///
/// The message follows the name of the file or "the key" in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text has no `-----BEGIN` line.
    #[error("is not PEM")]
    NotPem,
    /// A PEM block has no `-----END` line.
    #[error("is cut off: its `-----END` line is missing")]
    CutOff,
    /// The content of the PEM block does not match its label.
    #[error("is damaged: the text in its PEM block does not decode")]
    Damaged,
    /// The text has more than one PEM block.
    #[error("holds more than one PEM block")]
    Several,
    /// The private key is encrypted.
    #[error("is encrypted with a passphrase")]
    Encrypted,
    /// The text is a public key, and a private key is expected.
    #[error("holds a public key, not a private key")]
    PublicKey,
    /// The text is a private key, and a public key is expected.
    #[error("holds a private key, not a public key")]
    PrivateKey,
    /// The key is for another algorithm, such as RSA or ECDSA.
    #[error("holds a key of another algorithm, not Ed25519")]
    OtherAlgorithm,
    /// The text is a certificate, a key in the OpenSSH format, or another PEM block.
    #[error("holds a PEM block other than a key in PKCS#8 or SPKI format")]
    OtherForm,
    /// The public key is one of the few weak points for which signatures can be forged.
    #[error("holds a weak public key")]
    Weak,
}

/// Reads the private key of a PKCS#8 document (RFC 8410 section 7).
pub(super) fn private_key(pem: &str) -> Result<DalekKey, PemError> {
    let document = decode(pem, "PRIVATE KEY")?;
    let info = PrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| PemError::Damaged)?;
    require_ed25519(info.algorithm.oid)?;
    // The public key of a version 2 document is ignored: a signature made with a public key that
    // does not match reveals the private key.
    let bytes = KeypairBytes::try_from(info).map_err(|_| PemError::Damaged)?;
    let secret: Zeroizing<[u8; SECRET_KEY_LENGTH]> = Zeroizing::new(bytes.secret_key);
    Ok(DalekKey::from_bytes(&secret))
}

/// Reads the public key of a `SubjectPublicKeyInfo` document (RFC 8410 section 4).
pub(super) fn public_key(pem: &str) -> Result<DalekPublicKey, PemError> {
    let document = decode(pem, "PUBLIC KEY")?;
    let info =
        SubjectPublicKeyInfoRef::try_from(document.as_bytes()).map_err(|_| PemError::Damaged)?;
    require_ed25519(info.algorithm.oid)?;
    let key = DalekPublicKey::try_from(info).map_err(|_| PemError::Damaged)?;
    if key.is_weak() {
        return Err(PemError::Weak);
    }
    Ok(key)
}

fn require_ed25519(algorithm: ObjectIdentifier) -> Result<(), PemError> {
    if algorithm == ALGORITHM_OID {
        Ok(())
    } else {
        Err(PemError::OtherAlgorithm)
    }
}

/// Decodes the only PEM block of a text. Its label must be `expected`.
fn decode(pem: &str, expected: &str) -> Result<SecretDocument, PemError> {
    let text = pem.trim();
    if text.is_empty() {
        return Err(PemError::Empty);
    }
    let (_, block) = text.split_once(BEGIN).ok_or(PemError::NotPem)?;
    let (label, _) = block.split_once("-----").ok_or(PemError::CutOff)?;
    if label != expected {
        return Err(unexpected(label));
    }
    if !block.contains(&format!("-----END {label}-----")) {
        return Err(PemError::CutOff);
    }
    if block.contains(BEGIN) {
        return Err(PemError::Several);
    }
    match SecretDocument::from_pem(text) {
        Ok((_, document)) => Ok(document),
        Err(_) => Err(PemError::Damaged),
    }
}

/// The error for a block with another label.
fn unexpected(label: &str) -> PemError {
    match label {
        "PUBLIC KEY" => PemError::PublicKey,
        "PRIVATE KEY" => PemError::PrivateKey,
        "ENCRYPTED PRIVATE KEY" => PemError::Encrypted,
        // Labels that OpenSSL still writes, although RFC 7468 has dropped them.
        "RSA PRIVATE KEY" | "RSA PUBLIC KEY" | "EC PRIVATE KEY" | "EC PARAMETERS"
        | "DSA PRIVATE KEY" => PemError::OtherAlgorithm,
        _ => PemError::OtherForm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Ed25519KeyPair, Ed25519PublicKey};

    /// Made with `openssl genpkey -algorithm x25519`: the same size, another algorithm.
    const X25519: &str = "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VuBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
         -----END PRIVATE KEY-----\n";

    fn block(label: &str) -> String {
        format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
    }

    #[test]
    fn each_unusable_private_key_has_its_own_error() {
        let pair = Ed25519KeyPair::generate();
        let pem = pair.to_pem();
        let whole = pem.trim_end();
        let damaged = pem.replacen("MC4CAQ", "MC4C!Q", 1);
        let shortened = pem.replacen("MC4CAQ", "", 1);
        for (text, expected) in [
            ("", PemError::Empty),
            (" \r\n\t", PemError::Empty),
            ("not a key", PemError::NotPem),
            ("-----BEGIN PRIV", PemError::CutOff),
            (&pem[..40], PemError::CutOff),
            (&whole[..whole.len() - 1], PemError::CutOff),
            (&damaged, PemError::Damaged),
            (&shortened, PemError::Damaged),
            (&block("PRIVATE KEY"), PemError::Damaged),
            (&pem.repeat(2), PemError::Several),
            (&block("ENCRYPTED PRIVATE KEY"), PemError::Encrypted),
            (&pair.public_pem(), PemError::PublicKey),
            (&block("RSA PRIVATE KEY"), PemError::OtherAlgorithm),
            (&block("EC PRIVATE KEY"), PemError::OtherAlgorithm),
            (X25519, PemError::OtherAlgorithm),
            (&block("OPENSSH PRIVATE KEY"), PemError::OtherForm),
            (&block("CERTIFICATE"), PemError::OtherForm),
        ] {
            assert_eq!(
                Ed25519KeyPair::from_pem(text).unwrap_err(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn each_unusable_public_key_has_its_own_error() {
        let pair = Ed25519KeyPair::generate();
        // The point of order 1, RFC 8032 section 5.1.3: y = 1.
        let weak = "-----BEGIN PUBLIC KEY-----\n\
                    MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\
                    -----END PUBLIC KEY-----\n";
        for (text, expected) in [
            ("", PemError::Empty),
            (&*pair.to_pem(), PemError::PrivateKey),
            (&block("PUBLIC KEY"), PemError::Damaged),
            (weak, PemError::Weak),
            (&weak.replace("K2VwAy", "K2VuAy"), PemError::OtherAlgorithm),
            (&pair.public_pem()[..60], PemError::CutOff),
        ] {
            assert_eq!(
                Ed25519PublicKey::from_pem(text).unwrap_err(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn windows_line_breaks_are_accepted() {
        let pair = Ed25519KeyPair::generate();
        let pem = pair.to_pem().replace('\n', "\r\n");
        let read = Ed25519KeyPair::from_pem(&format!("\r\n{pem}\r\n")).unwrap();
        assert_eq!(read.key_id(), pair.key_id());
    }
}
