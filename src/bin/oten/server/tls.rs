use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use crate::error::Error;

/// Reads a certificate, followed by its intermediate certificates, and its private key.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Error> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| match &*chain {
            [] => Err(pem::Error::NoItemsFound),
            _ => Ok(chain),
        })
        .map_err(|error| pem_error(error, certificate, Error::Certificate))?;
    let private_key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| pem_error(error, key, Error::PrivateKey))?;
    // The default provider panics if another crate of the program enables a second one.
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, private_key)
        })
        .map(|config| TlsAcceptor::from(Arc::new(config)))
        .map_err(|error| Error::TlsIdentity {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            error,
        })
}

fn pem_error(error: pem::Error, path: &Path, otherwise: fn(PathBuf) -> Error) -> Error {
    match error {
        pem::Error::Io(error) => Error::read_file(path)(error),
        _ => otherwise(path.to_owned()),
    }
}
