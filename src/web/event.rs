//! What there is to tell of a request's way through this room.

use super::{error::Error, visit::Visit};
use crate::{
    audit::{Event, Kind, Level, Trail},
    session::User,
};

pub(super) fn signed_in(visit: &Visit, user: &User) {
    let event = new(visit, Kind::SignedIn);
    record(visit, &event.about(name(visit, user)));
}

pub(super) fn signed_out(visit: &Visit, user: &User) {
    let event = new(visit, Kind::SignedOut);
    record(visit, &event.about(name(visit, user)));
}

/// The provider ended sessions; `subject` is known unless it named a session that is not there.
pub(super) fn back_channel_logout(visit: &Visit, subject: Option<String>, sessions: usize) {
    let event = new(visit, Kind::BackChannelLogout);
    record(visit, &event.about(subject).ended(sessions));
}

/// A callback that no open attempt waits for: harmless, or somebody tries something.
pub(super) fn fresh_start(visit: &Visit) {
    record(visit, &new(visit, Kind::FreshStart));
}

/// A request did not get what it wanted. What is the site's or the provider's fault is an error,
/// what only happens is a warning or less.
pub(super) fn refused(visit: &Visit, error: &Error) {
    let meaning = error.meaning();
    let level = match error {
        Error::NotSignedIn => Level::Debug,
        // It came through the browser, which can say what it likes.
        Error::Callback(_) => Level::Warn,
        _ if meaning.status.is_server_error() => Level::Error,
        _ => Level::Warn,
    };
    let event = new(visit, Kind::Refused)
        .refusal(level, meaning.reason, meaning.status.as_u16())
        .because(error.cause());
    record(visit, &event);
}

/// The same for a request that did not come through the layer.
pub(super) fn refused_without_layer(error: &Error) {
    let meaning = error.meaning();
    Trail::refusal_without_layer(meaning.reason, meaning.status.as_u16(), error.cause());
}

/// What every event of a request says.
fn new(visit: &Visit, kind: Kind) -> Event {
    let event = visit.inner().trail.event(kind);
    event
        .of_request(visit.correlation_id())
        .sent_from(visit.client_address())
}

fn record(visit: &Visit, event: &Event) {
    visit.inner().trail.record(event);
}

fn name(visit: &Visit, user: &User) -> String {
    visit.inner().subjects.name(user)
}
