use std::time::Duration;

use axum::{extract::RawQuery, response::Response};
use http::{HeaderMap, header};
use tokio::time::timeout;

use super::{
    cookies,
    error::Error,
    event, login,
    request_context::{RequestContext, redirect},
};
use crate::{
    protocol::{
        CallbackParameters, ExpectedIdToken, TokenEndpoint, TokenError, TokenResponse,
        verify_id_token,
    },
    provider::ProviderMetadata,
    secret::Secret,
    session::{AttemptState, Identity, LoginAttempt, ReturnTo, Tokens, is_fresh_start},
};

/// The calls a callback makes, one after the other, are given up together after this time.
const DEADLINE: Duration = Duration::from_secs(11);

/// `GET` of the redirect URI: the provider's answer.
pub(super) async fn get(
    context: RequestContext,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let mut return_to = None;
    let outcome = timeout(DEADLINE, answer(&context, &headers, &query, &mut return_to))
        .await
        .unwrap_or(Err(Error::TooSlow(DEADLINE)));
    match outcome {
        Ok(response) => response,
        Err(error) => login::fail(&context, error, return_to.as_ref()),
    }
}

/// First the state, before anything is sent anywhere; then `iss`, `error` and `code`.
async fn answer(
    context: &RequestContext,
    headers: &HeaderMap,
    query: &str,
    return_to: &mut Option<ReturnTo>,
) -> Result<Response, Error> {
    if context.session_cookies().are_several() {
        // Signing in would leave the browser with two sessions, and us with neither.
        return Err(Error::SeveralSessionCookies);
    }
    let parameters = CallbackParameters::parse(query)?;
    let state = parameters.state()?;
    let attempt = match find_attempt(context, headers, state).await? {
        AttemptState::Taken(attempt) => attempt,
        AttemptState::Used { return_to: wanted } => {
            return_to.clone_from(&wanted);
            return unusable(context, headers, state, wanted).await;
        }
        AttemptState::Unknown => return unusable(context, headers, state, None).await,
    };
    return_to.clone_from(&attempt.return_to);
    complete(context, parameters, &attempt).await
}

async fn find_attempt(
    context: &RequestContext,
    headers: &HeaderMap,
    state: &Secret,
) -> Result<AttemptState, Error> {
    let inner = context.inner();
    let Some(cookie) = inner.cookies.login_for(headers, state) else {
        return Ok(AttemptState::Unknown);
    };
    let found = inner.attempts.take(&cookie.id, state).await;
    found.map_err(Error::Store)
}

/// A callback that no open attempt of this browser waits for: pressed twice, gone back to, too
/// late, without cookies, or forged. Whoever is signed in goes on to their page; a guest gets one
/// fresh start. Nobody is signed in or out by it.
async fn unusable(
    context: &RequestContext,
    headers: &HeaderMap,
    state: &Secret,
    return_to: Option<ReturnTo>,
) -> Result<Response, Error> {
    if context.signed_in().await?.is_some() {
        return Ok(go_to(context, return_to.as_ref()));
    }
    if is_fresh_start(state) {
        return Err(Error::UnknownAttempt {
            any_cookie: cookies::has_any(headers),
        });
    }
    event::fresh_start(context);
    login::start(context, headers, LoginAttempt::new(return_to, true)).await
}

/// The attempt is this browser's and is used up: exchanges the code, verifies, signs in.
async fn complete(
    context: &RequestContext,
    parameters: CallbackParameters,
    attempt: &LoginAttempt,
) -> Result<Response, Error> {
    let inner = context.inner();
    let metadata = inner.provider.metadata().await.map_err(Error::Provider)?;
    let code = parameters.into_code(
        metadata.issuer(),
        metadata.authorization_response_iss_parameter_supported(),
    )?;
    if let Some(budget) = &inner.budget {
        budget.sign_in().map_err(|exhausted| {
            Error::Token(TokenError::RateLimited {
                retry_after: Some(exhausted.retry_after),
            })
        })?;
    }
    let endpoint = TokenEndpoint {
        http: inner.provider.http(),
        url: metadata.token_endpoint(),
        client: inner.config.client(),
    };
    let tokens = endpoint
        .exchange_code(inner.config.redirect_uri(), &code, &attempt.code_verifier)
        .await
        .map_err(Error::Token)?;
    let identity = verify(context, &metadata, &tokens, attempt).await?;
    let tokens = Tokens::new(tokens, inner.clock.now());
    let (id, user) = inner
        .sessions
        .sign_in(context.session_cookies().only(), identity, tokens)
        .await
        .map_err(Error::Store)?;
    context.settle();
    event::signed_in(context, &user);
    let mut response = go_to(context, attempt.return_to.as_ref());
    let cookie = inner.cookies.session(id);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

async fn verify(
    context: &RequestContext,
    metadata: &ProviderMetadata,
    tokens: &TokenResponse,
    attempt: &LoginAttempt,
) -> Result<Identity, Error> {
    let inner = context.inner();
    let expected = ExpectedIdToken {
        issuer: metadata.issuer(),
        client_id: inner.config.client().id(),
        subject: None,
        nonce: Some(&attempt.nonce),
        access_token: &tokens.access_token,
        max_age: inner.config.max_age(),
        now: inner.clock.unix_now(),
    };
    let claims = verify_id_token(
        &inner.provider,
        metadata,
        tokens.id_token.as_ref(),
        &expected,
    )
    .await?;
    Ok(Identity {
        issuer: metadata.issuer().to_owned(),
        auth_time: claims.auth_time,
        subject: claims.sub,
        claims: claims.other,
    })
}

fn go_to(context: &RequestContext, return_to: Option<&ReturnTo>) -> Response {
    redirect(return_to.map_or(context.inner().config.home(), ReturnTo::as_str))
}
