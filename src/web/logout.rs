use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};

use super::{
    error::Error,
    event, page,
    rejection::Refusal,
    same_origin::is_same_origin,
    visit::{Visit, redirect},
};

/// `GET /logout`: a button for who is signed in, a farewell for who is not. Never acts, so that an
/// image or a link on another site signs nobody out.
pub(super) async fn get(visit: Visit) -> Response {
    match visit.signed_in().await {
        Ok(Some(_)) => page::sign_out(visit.oten()),
        Ok(None) => page::signed_out(visit.oten()),
        Err(error) => Refusal::new(&visit, error).into_response(),
    }
}

/// `POST /logout`: ends the session on the server, then in the browser.
pub(super) async fn post(visit: Visit, headers: HeaderMap) -> Response {
    match sign_out(&visit, &headers).await {
        Ok(response) => response,
        Err(error) => Refusal::new(&visit, error).into_response(),
    }
}

async fn sign_out(visit: &Visit, headers: &HeaderMap) -> Result<Response, Error> {
    let inner = visit.inner();
    if !is_same_origin(headers, &inner.config.origin()) {
        return Err(Error::CrossSite);
    }
    let signed_in = visit.signed_in().await?;
    // All of them: if a neighbour set one, it must not be what the browser is left with.
    let named = visit.session_cookies().all().to_vec();
    inner.sessions.end(named).await.map_err(Error::Store)?;
    visit.settle();
    if let Some(signed_in) = signed_in {
        event::signed_out(visit, signed_in.user());
    }
    let next = match inner.config.post_logout_redirect_uri() {
        Some(uri) => uri.to_string(),
        None => visit.oten().logout_path(),
    };
    let mut response = redirect(&next);
    let gone = inner.cookies.no_session();
    response.headers_mut().append(header::SET_COOKIE, gone);
    Ok(response)
}
