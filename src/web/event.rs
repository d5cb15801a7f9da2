//! What there is to tell of a request's way through this room.

use super::{error::Error, request_context::RequestContext};
use crate::{
    audit::{AuditTrail, Event, EventKind, Level},
    clock::Clock,
    metric,
    session::User,
};

pub(super) fn signed_in(context: &RequestContext, user: &User) {
    let event = new(context, EventKind::SignedIn);
    record(context, &event.with_subject(name(context, user)));
}

pub(super) fn signed_out(context: &RequestContext, user: &User) {
    let event = new(context, EventKind::SignedOut);
    record(context, &event.with_subject(name(context, user)));
}

/// The provider ended sessions; `subject` is known unless it named a session that is not there.
pub(super) fn back_channel_logout(
    context: &RequestContext,
    subject: Option<String>,
    sessions: usize,
) {
    let event = new(context, EventKind::BackChannelLogout);
    record(
        context,
        &event.with_subject(subject).with_sessions(sessions),
    );
}

/// A callback that no open attempt waits for: harmless, or somebody tries something.
pub(super) fn fresh_start(context: &RequestContext) {
    record(context, &new(context, EventKind::FreshStart));
}

/// A request did not get what it wanted. What is the site's or the provider's fault is an error,
/// what only happens is a warning or less.
pub(super) fn refused(context: &RequestContext, error: &Error) {
    let description = error.description();
    let level = match error {
        Error::NotSignedIn => Level::Debug,
        // It came through the browser, which can say what it likes.
        Error::Callback(_) => Level::Warn,
        _ if description.status.is_server_error() => Level::Error,
        _ => Level::Warn,
    };
    let event = new(context, EventKind::Refused)
        .with_refusal(level, description.reason, description.status.as_u16())
        .with_cause(error.cause());
    record(context, &event);
}

/// The same for a request that did not come through the layer.
pub(super) fn refused_without_layer(error: &Error) {
    let description = error.description();
    let trail = AuditTrail::new(Clock::system(), metric::count_event);
    let event = trail
        .event(EventKind::Refused)
        .with_refusal(
            Level::Error,
            description.reason,
            description.status.as_u16(),
        )
        .with_cause(error.cause());
    trail.record(&event);
}

/// What every event of a request says.
fn new(context: &RequestContext, kind: EventKind) -> Event {
    let event = context.inner().trail.event(kind);
    event
        .with_correlation_id(context.correlation_id())
        .with_client_address(context.client_address())
}

fn record(context: &RequestContext, event: &Event) {
    context.inner().trail.record(event);
}

fn name(context: &RequestContext, user: &User) -> String {
    context
        .inner()
        .trail
        .pseudonym(user.issuer(), user.subject())
}
