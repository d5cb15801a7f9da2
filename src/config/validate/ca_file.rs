use std::path::Path;

use super::refusal::{Refusal, refuse};
use crate::http::{CaCertificateError, CaCertificates};

/// The rule for what the file at `path` holds.
pub(super) fn certificates(pem: &str, path: &Path) -> Result<CaCertificates, Refusal> {
    let fault = match CaCertificates::from_pem(pem) {
        Ok(certificates) => return Ok(certificates),
        Err(fault) => fault,
    };
    let (message, help) = match fault {
        CaCertificateError::Empty => ("an empty file".to_owned(), EXPORT),
        CaCertificateError::NotPem => ("a file that is not PEM".to_owned(), CONVERT),
        CaCertificateError::PrivateKey => (
            "a file with a private key".to_owned(),
            "Name one with certificates only, and let nobody else have the key.",
        ),
        CaCertificateError::NoCertificate => ("a file without a certificate".to_owned(), EXPORT),
        CaCertificateError::Malformed(place) => (
            format!("a file whose certificate {place} is cut off or not a certificate"),
            EXPORT,
        ),
    };
    refuse(format!("names {message}: {}", path.display()), help)
}

const EXPORT: &str = "Have it written anew: each certificate from `-----BEGIN CERTIFICATE-----` to \
                      `-----END CERTIFICATE-----`.";

const CONVERT: &str = "Convert it, such as with `openssl x509 -inform der -in FILE -out FILE.pem`.";
