use std::time::Duration;

use axum::{
    extract::RawQuery,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use tokio::time::timeout;
use url::{Url, form_urlencoded};

use super::{
    error::Error,
    event, page,
    rejection::Refusal,
    request_context::{RequestContext, redirect},
    same_origin::is_same_origin,
};
use crate::{protocol::LogoutRequest, secret::Secret, session::EndedSession};

/// Who signs out does not wait longer for the provider's endpoints to be known.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /logout`: a button for who is signed in, a farewell for who is not. Never acts, so that an
/// image or a link on another site signs nobody out.
pub(super) async fn get(
    context: RequestContext,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let comes_back = comes_back(&context, &headers, query.as_deref().unwrap_or_default());
    let mut response = match context.signed_in().await {
        Ok(Some(_)) => page::sign_out(context.oten()),
        Ok(None) if comes_back => page::signed_out_at_provider(context.oten()),
        Ok(None) => page::signed_out(context.oten()),
        Err(error) => return Refusal::new(&context, error).into_response(),
    };
    if comes_back {
        let gone = context.inner().cookies.no_logout();
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    response
}

/// Whether the browser comes back from the provider: with the `state` that it was sent away with.
fn comes_back(context: &RequestContext, headers: &HeaderMap, query: &str) -> bool {
    let mut given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
    let (Some((_, state)), None) = (given.next(), given.next()) else {
        return false;
    };
    let sent = context.inner().cookies.logout_state(headers);
    sent.is_some_and(|sent| sent == Secret::from(&*state))
}

/// `POST /logout`: ends the session on the server, then in the browser, then at the provider.
pub(super) async fn post(context: RequestContext, headers: HeaderMap) -> Response {
    match sign_out(&context, &headers).await {
        Ok(response) => response,
        Err(error) => Refusal::new(&context, error).into_response(),
    }
}

async fn sign_out(context: &RequestContext, headers: &HeaderMap) -> Result<Response, Error> {
    let inner = context.inner();
    if !is_same_origin(headers, &inner.config.origin()) {
        return Err(Error::CrossSite);
    }
    let signed_in = context.signed_in().await?;
    // All of them: if a neighbour set one, it must not be what the browser is left with.
    let named = context.session_cookies().all().to_vec();
    let ended = inner
        .sessions
        .sign_out(named, &inner.revoker, context.correlation_id())
        .await
        .map_err(Error::Store)?;
    context.settle();
    if let Some(signed_in) = signed_in {
        event::signed_out(context, signed_in.user());
    }
    let mut response = match end_session_endpoint(context).await {
        Some(endpoint) => to_provider(context, &endpoint, &ended),
        None => match inner.config.post_logout_redirect_uri() {
            Some(uri) => redirect(uri.as_str()),
            None => redirect(&context.oten().logout_path()),
        },
    };
    let gone = inner.cookies.no_session();
    response.headers_mut().append(header::SET_COOKIE, gone);
    Ok(response)
}

/// Where the provider signs browsers out, if that is known or can be known soon.
async fn end_session_endpoint(context: &RequestContext) -> Option<Url> {
    let inner = context.inner();
    if let Some(configured) = inner.config.end_session_endpoint() {
        return Some(configured.clone());
    }
    let metadata = timeout(PATIENCE, inner.provider.metadata()).await;
    metadata.ok()?.ok()?.end_session_endpoint().cloned()
}

/// Sends the browser to the provider. A guest goes there as well: after a second click on the button
/// it is the second answer that the browser follows.
fn to_provider(context: &RequestContext, endpoint: &Url, ended: &[EndedSession]) -> Response {
    let inner = context.inner();
    // Of two sessions one is somebody else's, and so would be the hint.
    let ended = match context.session_cookies().only() {
        Some(_) => ended.first(),
        None => None,
    };
    let id_token = ended.and_then(|session| session.tokens.as_ref()?.id_token.as_ref());
    let state = Secret::random();
    let back = inner.config.post_logout_redirect_uri();
    let request = LogoutRequest {
        client_id: inner.config.client().id(),
        id_token_hint: id_token.map(|stored| &stored.0),
        return_to: back.map(|uri| (uri, &state)),
    };
    let mut response = redirect(request.url(endpoint).as_str());
    if back.is_some() {
        let cookie = inner.cookies.logout(&state);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
