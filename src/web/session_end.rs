use axum::extract::FromRequestParts;
use http::request::Parts;

use super::{
    context::RequestContext,
    rejection::{ErrorResponse, UserRejection},
};
use crate::session::SessionWatch;

/// Extractor for handlers with a long-lived response, such as a WebSocket or server-sent events: waits
/// for the end of the signed-in user's session.
///
/// The session ends when the user signs out, in any tab, when the provider signs the user out, and when
/// the session expires. If the same process ends it, [`ended`](Self::ended) returns at once; if another
/// process does, or if it expires, within 20 seconds, because the store is read that often for each open
/// connection. An open connection does not count as activity: it does not extend the session's idle time.
///
/// ```
/// use std::convert::Infallible;
///
/// use axum::response::sse::{Event, Sse};
/// use axum_oten::web::SessionEnd;
/// use futures_util::{Stream, StreamExt, stream};
///
/// // The stream ends with the session.
/// async fn feed(session: SessionEnd) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
///     let events = stream::pending(); // … the app's events
///     Sse::new(events.take_until(session.ended()))
/// }
/// ```
///
/// If no user is signed in, it rejects the request like [`User`](crate::User). A WebSocket handshake from
/// a page of another site is rejected with 403 by every extractor of the user and by
/// [`RequireLogin`](super::RequireLogin): browsers send the cookies with it (RFC 6455 section 10.2).
#[derive(Debug)]
pub struct SessionEnd(SessionWatch);

impl SessionEnd {
    /// Returns when the session has ended. While the store fails, the session counts as alive until the
    /// end of its lifetime.
    pub fn ended(self) -> impl Future<Output = ()> + Send + 'static {
        self.0.ended()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SessionEnd {
    type Rejection = UserRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, UserRejection> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        let watch = context.watch().await;
        let rejected = |error| ErrorResponse::new(&context, error).into();
        watch.map(Self).map_err(rejected)
    }
}
