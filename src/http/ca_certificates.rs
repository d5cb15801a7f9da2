use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Certificates that are trusted in addition to the system's. None by default.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct CaCertificates(Arc<[CertificateDer<'static>]>);

/// Why a text is no list of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoCertificates {
    /// Nothing in it.
    Empty,
    /// No `-----BEGIN`.
    NotPem,
    /// A key that nobody else should have.
    PrivateKey,
    /// PEM of another kind.
    None,
    /// The certificate at this place, from 1 on, is cut off or not one.
    Broken(usize),
}

impl CaCertificates {
    /// Reads PEM, with comments around it or without.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, NoCertificates> {
        if pem.trim().is_empty() {
            return Err(NoCertificates::Empty);
        }
        if !pem.contains("-----BEGIN ") {
            return Err(NoCertificates::NotPem);
        }
        if pem.contains("PRIVATE KEY-----") {
            return Err(NoCertificates::PrivateKey);
        }
        let (mut certificates, mut known) = (Vec::new(), RootCertStore::empty());
        for (at, certificate) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
            let broken = NoCertificates::Broken(at + 1);
            let certificate = certificate.map_err(|_| broken)?;
            // As the verifier does, which would tell it at the first call only.
            known.add(certificate.clone()).map_err(|_| broken)?;
            certificates.push(certificate);
        }
        if certificates.is_empty() {
            return Err(NoCertificates::None);
        }
        Ok(Self(certificates.into()))
    }

    /// As the client takes them.
    pub(super) fn for_client(&self) -> Result<Vec<reqwest::Certificate>, reqwest::Error> {
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
