use ed25519_dalek::{
    SECRET_KEY_LENGTH, SigningKey as DalekKey, VerifyingKey as DalekPublicKey,
    pkcs8::{
        ALGORITHM_OID, KeypairBytes, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument,
        spki::SubjectPublicKeyInfoRef,
    },
};
use zeroize::Zeroizing;

/// What a PEM block begins with (RFC 7468 section 2).
const BEGIN: &str = "-----BEGIN ";

/// Why a PEM text is not the wanted Ed25519 key. Nothing of the text is in it.
///
/// To be read after the name of the file or "the key".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// There is no text.
    #[error("is empty")]
    Empty,
    /// No PEM block begins in it.
    #[error("is not PEM")]
    NotPem,
    /// A PEM block begins and does not end.
    #[error("is cut off: its `-----END` line is missing")]
    CutOff,
    /// What stands between the lines is not what the first line says.
    #[error("is damaged: the text in its PEM block does not decode")]
    Damaged,
    /// More than one PEM block.
    #[error("holds more than one PEM block")]
    Several,
    /// A private key under a passphrase.
    #[error("is encrypted with a passphrase")]
    Encrypted,
    /// A public key where a private one is wanted.
    #[error("holds a public key where a private one is wanted")]
    PublicKey,
    /// A private key where a public one is wanted.
    #[error("holds a private key where a public one is wanted")]
    PrivateKey,
    /// A key of another algorithm, such as RSA or ECDSA.
    #[error("holds a key of another algorithm than Ed25519")]
    OtherAlgorithm,
    /// A certificate, a key in OpenSSH's own form, or something else.
    #[error("holds something else than a key in PKCS#8 or SPKI form")]
    OtherForm,
    /// One of the few public keys for which anybody can make a signature.
    #[error("holds a weak public key")]
    Weak,
}

/// The private key in a PKCS#8 document (RFC 8410 section 7).
pub(super) fn private_key(pem: &str) -> Result<DalekKey, PemError> {
    let document = decode(pem, "PRIVATE KEY")?;
    let info = PrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| PemError::Damaged)?;
    refuse_other_algorithms(info.algorithm.oid)?;
    // Only the private half is taken: a version 2 document also carries the public half, and
    // signing with a public half that does not belong to the key gives the key away.
    let bytes = KeypairBytes::try_from(info).map_err(|_| PemError::Damaged)?;
    let secret: Zeroizing<[u8; SECRET_KEY_LENGTH]> = Zeroizing::new(bytes.secret_key);
    Ok(DalekKey::from_bytes(&secret))
}

/// The public key in a `SubjectPublicKeyInfo` document (RFC 8410 section 4).
pub(super) fn public_key(pem: &str) -> Result<DalekPublicKey, PemError> {
    let document = decode(pem, "PUBLIC KEY")?;
    let info =
        SubjectPublicKeyInfoRef::try_from(document.as_bytes()).map_err(|_| PemError::Damaged)?;
    refuse_other_algorithms(info.algorithm.oid)?;
    let key = DalekPublicKey::try_from(info).map_err(|_| PemError::Damaged)?;
    if key.is_weak() {
        return Err(PemError::Weak);
    }
    Ok(key)
}

fn refuse_other_algorithms(algorithm: ObjectIdentifier) -> Result<(), PemError> {
    if algorithm == ALGORITHM_OID {
        Ok(())
    } else {
        Err(PemError::OtherAlgorithm)
    }
}

/// What the one block in the text holds, if it is of the wanted kind.
fn decode(pem: &str, wanted: &str) -> Result<SecretDocument, PemError> {
    let text = pem.trim();
    if text.is_empty() {
        return Err(PemError::Empty);
    }
    let (_, block) = text.split_once(BEGIN).ok_or(PemError::NotPem)?;
    let (label, _) = block.split_once("-----").ok_or(PemError::CutOff)?;
    if label != wanted {
        return Err(unwanted(label));
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

/// What to say of a block of another kind, by its label.
fn unwanted(label: &str) -> PemError {
    match label {
        "PUBLIC KEY" => PemError::PublicKey,
        "PRIVATE KEY" => PemError::PrivateKey,
        "ENCRYPTED PRIVATE KEY" => PemError::Encrypted,
        // RFC 7468 knows them no more; OpenSSL still writes them.
        "RSA PRIVATE KEY" | "RSA PUBLIC KEY" | "EC PRIVATE KEY" | "EC PARAMETERS"
        | "DSA PRIVATE KEY" => PemError::OtherAlgorithm,
        _ => PemError::OtherForm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Ed25519KeyPair, Ed25519PublicKey};

    /// Made with `openssl genpkey -algorithm x25519`: of the same size, for another algorithm.
    const X25519: &str = "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VuBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
         -----END PRIVATE KEY-----\n";

    fn block(label: &str) -> String {
        format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
    }

    #[test]
    fn each_unusable_private_key_is_told_apart() {
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
    fn each_unusable_public_key_is_told_apart() {
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
    fn line_breaks_of_another_system_are_read() {
        let pair = Ed25519KeyPair::generate();
        let pem = pair.to_pem().replace('\n', "\r\n");
        let read = Ed25519KeyPair::from_pem(&format!("\r\n{pem}\r\n")).unwrap();
        assert_eq!(read.key_id(), pair.key_id());
    }
}
