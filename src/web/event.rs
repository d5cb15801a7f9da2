//! One structured event for everything that somebody may want to know about later, under the target
//! `axum_oten`.

use super::{error::Error, visit::Visit};
use crate::session::User;

pub(super) fn signed_in(visit: &Visit, user: &User) {
    tracing::info!(
        target: "axum_oten",
        event = "signed_in",
        correlation_id = visit.correlation_id(),
        subject = visit.inner().subjects.name(user),
        "a user signed in"
    );
}

pub(super) fn signed_out(visit: &Visit, user: &User) {
    tracing::info!(
        target: "axum_oten",
        event = "signed_out",
        correlation_id = visit.correlation_id(),
        subject = visit.inner().subjects.name(user),
        "a user signed out"
    );
}

/// The provider ended sessions; `subject` is known unless it named a session that is not there.
pub(super) fn back_channel_logout(visit: &Visit, subject: Option<&str>, sessions: usize) {
    tracing::info!(
        target: "axum_oten",
        event = "back_channel_logout",
        correlation_id = visit.correlation_id(),
        subject,
        sessions,
        "the provider signed a user out"
    );
}

/// A callback that no open attempt waits for: harmless, or somebody tries something.
pub(super) fn fresh_start(visit: &Visit) {
    tracing::warn!(
        target: "axum_oten",
        event = "fresh_start",
        correlation_id = visit.correlation_id(),
        "a callback belongs to no sign-in of this browser; it is sent to sign in once more"
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
        // It came through the browser, which can say what it likes.
        Error::Callback(_) => event!(warn),
        _ if meaning.status.is_server_error() => event!(error),
        _ => event!(warn),
    }
}

/// The same for a request that did not come through the layer.
pub(super) fn refused_without_layer(error: &Error) {
    let meaning = error.meaning();
    tracing::error!(
        target: "axum_oten",
        event = "refused",
        reason = meaning.reason,
        status = meaning.status.as_u16(),
        cause = error.cause(),
        "a request was refused"
    );
}
