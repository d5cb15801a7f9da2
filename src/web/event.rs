//! One structured event for everything that somebody may want to know about later, under the target
//! `axum_oten`.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{error::Error, visit::Visit};
use crate::{secret::random_bytes, session::User};

/// How users are named in events.
pub(super) struct Events {
    /// No key: subjects are named as they are.
    key: Option<Zeroizing<[u8; 32]>>,
}

impl Events {
    pub(super) fn new(log_subjects: bool) -> Self {
        Self {
            key: (!log_subjects).then(random_bytes),
        }
    }

    /// The subject, or 16 hexadecimal digits that are the same for the same user until the process
    /// ends and tell nothing to anybody who does not have the key.
    fn subject(&self, user: &User) -> String {
        let Some(key) = &self.key else {
            return user.subject().to_owned();
        };
        // The key is of the hash's length, so that a prefix is as good as HMAC's two passes, and
        // only 64 bits of the state are shown, so that nothing can be appended to it.
        let hash = Sha256::new()
            .chain_update(key.as_ref())
            .chain_update(user.issuer())
            .chain_update([0])
            .chain_update(user.subject())
            .finalize();
        hex(&hash[..8])
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
        text
    })
}

pub(super) fn signed_in(visit: &Visit, user: &User) {
    tracing::info!(
        target: "axum_oten",
        event = "signed_in",
        correlation_id = visit.correlation_id(),
        subject = visit.inner().events.subject(user),
        "a user signed in"
    );
}

pub(super) fn signed_out(visit: &Visit, user: &User) {
    tracing::info!(
        target: "axum_oten",
        event = "signed_out",
        correlation_id = visit.correlation_id(),
        subject = visit.inner().events.subject(user),
        "a user signed out"
    );
}

/// A request did not get what it wanted. What is the site's or the provider's fault is an error,
/// what only happens is a warning or less.
pub(super) fn refused(visit: &Visit, error: &Error) {
    let meaning = error.meaning();
    let (correlation_id, reason) = (visit.correlation_id(), meaning.reason);
    let (status, cause) = (meaning.status.as_u16(), error.cause());
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(
                target: "axum_oten",
                event = "refused",
                correlation_id,
                reason,
                status,
                cause,
                "a request was refused"
            )
        };
    }
    match error {
        Error::NotSignedIn => event!(debug),
        _ if meaning.status.is_server_error() => event!(error),
        _ => event!(warn),
    }
}
