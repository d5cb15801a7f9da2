use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use thiserror::Error;

/// A certificate and its private key.
pub(crate) type Identity = RustlsConfig;

/// Why two files do not make a certificate with its key.
#[derive(Debug, Error)]
pub(crate) enum IdentityError {
    #[error("{} cannot be read: {error}. Correct the path, or let this user read it", .path.display())]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{} holds no certificate in PEM. Name the file that begins with `-----BEGIN CERTIFICATE-----`", .0.display())]
    Certificate(PathBuf),
    #[error("{} holds no private key in PEM, or one with a passphrase. Name the key of the certificate, without a passphrase", .0.display())]
    Key(PathBuf),
    #[error("the certificate in {} does not go with the key in {}: {error}. Name two files that were made together", .certificate.display(), .key.display())]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        error: rustls::Error,
    },
}

/// Reads a certificate, with those it was signed with after it, and its private key.
pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Identity, IdentityError> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| match &*chain {
            [] => Err(pem::Error::NoItemsFound),
            _ => Ok(chain),
        })
        .map_err(|error| unreadable(error, certificate, IdentityError::Certificate))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| unreadable(error, key, IdentityError::Key))?;
    // The cryptography is named: another one in the same program would make the default a panic.
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, private)
        })
        .map(|config| RustlsConfig::from_config(Arc::new(config)))
        .map_err(|error| IdentityError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            error,
        })
}

fn unreadable(
    error: pem::Error,
    path: &Path,
    otherwise: fn(PathBuf) -> IdentityError,
) -> IdentityError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(error) => IdentityError::File { path, error },
        _ => otherwise(path),
    }
}
