//! Trust in the provider's certificate: additional authorities, and errors that say how to fix the
//! problem.

use std::{error::Error, fmt, io, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Certificates that are trusted in addition to the system's. Defaults to none.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct CaCertificates(Arc<[CertificateDer<'static>]>);

/// Error returned when a string is not a list of PEM certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CaCertificateError {
    Empty,
    /// The text has no `-----BEGIN` line.
    NotPem,
    PrivateKey,
    /// The PEM blocks are neither certificates nor private keys.
    NoCertificate,
    /// The certificate at this position, counted from 1, does not parse.
    Malformed(usize),
}

impl CaCertificates {
    /// Reads certificates from PEM; text between the blocks is ignored.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, CaCertificateError> {
        if pem.trim().is_empty() {
            return Err(CaCertificateError::Empty);
        }
        if !pem.contains("-----BEGIN ") {
            return Err(CaCertificateError::NotPem);
        }
        if pem.contains("PRIVATE KEY-----") {
            return Err(CaCertificateError::PrivateKey);
        }
        let (mut certificates, mut roots) = (Vec::new(), RootCertStore::empty());
        for (at, certificate) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
            let malformed = CaCertificateError::Malformed(at + 1);
            let certificate = certificate.map_err(|_| malformed)?;
            // The verifier would report a malformed certificate only at the first call.
            roots.add(certificate.clone()).map_err(|_| malformed)?;
            certificates.push(certificate);
        }
        if certificates.is_empty() {
            return Err(CaCertificateError::NoCertificate);
        }
        Ok(Self(certificates.into()))
    }

    pub(super) fn to_reqwest(&self) -> Result<Vec<reqwest::Certificate>, reqwest::Error> {
        let certificates = self.0.iter();
        certificates
            .map(|certificate| reqwest::Certificate::from_der(certificate))
            .collect()
    }
}

impl fmt::Debug for CaCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaCertificates({})", self.0.len())
    }
}

/// Error returned when a TLS handshake fails. `oten check` splits each message at the first `; `
/// into the problem and its fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(
        "the provider's certificate is from an authority that this machine does not trust; for a \
         private authority, set `ca_file` to the PEM file with the authority's certificate"
    )]
    UnknownIssuer,
    #[error(
        "the provider's certificate has expired; check that this machine's clock is right, and \
         report it to the provider"
    )]
    Expired,
    #[error(
        "the provider's certificate is not valid yet; check that this machine's clock is right"
    )]
    NotValidYet,
    #[error(
        "the provider's certificate is for another host name; check the host in `issuer`. If it \
         is right, suspect interception"
    )]
    WrongName,
    #[error("the provider's certificate has been revoked; report it to the provider")]
    Revoked,
    #[error(
        "the provider's certificate is not acceptable; it must be a server certificate signed by \
         a certificate authority, not the authority's own certificate"
    )]
    Unacceptable,
    #[error("the provider's server requires a client certificate; check the address")]
    ClientCertificate,
    #[error(
        "the server at the provider's address does not speak TLS; check the port, and that the \
         address should start with `https://`"
    )]
    NotTls,
}

impl TlsError {
    /// Returns the TLS error among the sources of `error`.
    pub(crate) fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Self::from_rustls(error);
        }
        // `Arc` forwards to the error that it wraps, and so skips it as a source.
        if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
            return Self::find(&**shared);
        }
        // `io::Error::source` skips the error that an I/O error wraps.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(wrapped) = wrapped
            && let Some(found) = Self::find(wrapped)
        {
            return Some(found);
        }
        Self::find(error.source()?)
    }

    fn from_rustls(error: &rustls::Error) -> Option<Self> {
        use CertificateError as Cause;
        match error {
            rustls::Error::InvalidCertificate(cause) => Some(match cause {
                // Two authorities of one name, such as the old and the new one of a company, show
                // as a bad signature.
                Cause::UnknownIssuer | Cause::BadSignature => Self::UnknownIssuer,
                Cause::Expired | Cause::ExpiredContext { .. } => Self::Expired,
                Cause::NotValidYet | Cause::NotValidYetContext { .. } => Self::NotValidYet,
                Cause::NotValidForName | Cause::NotValidForNameContext { .. } => Self::WrongName,
                Cause::Revoked => Self::Revoked,
                _ => Self::Unacceptable,
            }),
            rustls::Error::InvalidMessage(_) => Some(Self::NotTls),
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                Some(Self::ClientCertificate)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_is_found_under_its_wrappers() {
        let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::other(error));
        assert_eq!(TlsError::find(&wrapped), Some(TlsError::UnknownIssuer));

        let error = rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
        assert_eq!(TlsError::find(&error), Some(TlsError::Unacceptable));
        assert_eq!(TlsError::find(&rustls::Error::HandshakeNotComplete), None);
        assert_eq!(TlsError::find(&io::Error::other("reset")), None);
    }
}
