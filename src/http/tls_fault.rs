use std::{error::Error, io};

use rustls::{CertificateError, Error as TlsError};

/// Why a connection was not trusted, with the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsFault {
    #[error(
        "the provider's certificate was issued by nobody this machine trusts; if it is from an \
         authority of your own, set `ca_file` to the PEM file with that authority's certificate"
    )]
    UnknownIssuer,
    #[error(
        "the provider's certificate has expired; have it renewed, and check that this machine's \
         clock is right"
    )]
    Expired,
    #[error(
        "the provider's certificate is not valid yet; check that this machine's clock is right"
    )]
    NotValidYet,
    #[error(
        "the provider's certificate is for another host name; check the host in the provider's \
         address, and that nothing stands between this machine and the provider"
    )]
    WrongName,
    #[error("the provider's certificate was revoked; have it replaced")]
    Revoked,
    #[error(
        "the provider's certificate is refused; it must be a server's certificate that a \
         certificate authority signed, not the authority's own"
    )]
    Refused,
    #[error(
        "no https is spoken at the provider's address; check its port, and that the address \
         should begin with `https://`"
    )]
    NotTls,
}

impl TlsFault {
    /// The fault among the causes of an error, if there is one.
    pub(super) fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(error) = error.downcast_ref::<TlsError>() {
            return Self::of(error);
        }
        // What an I/O error wraps is not among its sources.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(wrapped) = wrapped
            && let Some(fault) = Self::behind(wrapped)
        {
            return Some(fault);
        }
        Self::behind(error.source()?)
    }

    fn of(error: &TlsError) -> Option<Self> {
        use CertificateError as Reason;
        match error {
            TlsError::InvalidCertificate(reason) => Some(match reason {
                // A signature does not hold where two authorities have one name, such as an old and a
                // new one of a company's own.
                Reason::UnknownIssuer | Reason::BadSignature => Self::UnknownIssuer,
                Reason::Expired | Reason::ExpiredContext { .. } => Self::Expired,
                Reason::NotValidYet | Reason::NotValidYetContext { .. } => Self::NotValidYet,
                Reason::NotValidForName | Reason::NotValidForNameContext { .. } => Self::WrongName,
                Reason::Revoked => Self::Revoked,
                _ => Self::Refused,
            }),
            TlsError::InvalidMessage(_) => Some(Self::NotTls),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_found_under_whatever_wraps_it() {
        let error = TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::other(error));
        assert_eq!(TlsFault::behind(&wrapped), Some(TlsFault::UnknownIssuer));

        let error = TlsError::InvalidCertificate(CertificateError::BadEncoding);
        assert_eq!(TlsFault::behind(&error), Some(TlsFault::Refused));
        assert_eq!(TlsFault::behind(&TlsError::HandshakeNotComplete), None);
        assert_eq!(TlsFault::behind(&io::Error::other("reset")), None);
    }
}
