use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::{api::Api, error::BearerError, response::BearerRejection, token::BearerToken};

/// The claims of the request's access token as a type of the app.
///
/// A token whose claims do not fit the type is rejected like an invalid one.
///
/// ```
/// use axum_oten::web::BearerClaims;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Claims {
///     sub: String,
///     workspace: Option<String>,
/// }
///
/// async fn orders(BearerClaims(claims): BearerClaims<Claims>) -> String {
///     format!("orders of {} in {:?}", claims.sub, claims.workspace)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BearerClaims<T>(
    /// The claims.
    pub T,
);

/// The outcome of the layer, as an extension of the request.
#[derive(Clone)]
pub(super) struct Verified {
    pub(super) api: Arc<Api>,
    pub(super) token: Option<BearerToken>,
}

fn verified(parts: &Parts) -> Result<&Verified, BearerRejection> {
    let verified = parts.extensions.get::<Verified>();
    verified.ok_or_else(|| BearerRejection::new(None, parts, BearerError::MissingLayer))
}

impl<S: Sync> FromRequestParts<S> for BearerToken {
    type Rejection = BearerRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, BearerRejection> {
        let Verified { api, token } = verified(parts)?;
        let missing = || BearerRejection::new(Some(api), parts, BearerError::Missing);
        token.clone().ok_or_else(missing)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for BearerToken {
    type Rejection = BearerRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, BearerRejection> {
        Ok(verified(parts)?.token.clone())
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for BearerClaims<T> {
    type Rejection = BearerRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, BearerRejection> {
        let claims = <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state);
        let claims = claims.await?;
        let api = &verified(parts)?.api;
        claims.ok_or_else(|| BearerRejection::new(Some(api), parts, BearerError::Missing))
    }
}

impl<S: Sync, T: DeserializeOwned> OptionalFromRequestParts<S> for BearerClaims<T> {
    type Rejection = BearerRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, BearerRejection> {
        let Verified { api, token } = verified(parts)?;
        let Some(token) = token else {
            return Ok(None);
        };
        T::deserialize(&token.claims.all)
            .map(Self)
            .map(Some)
            .map_err(|error| {
                let error = BearerError::Claims(without_values(&error).into());
                BearerRejection::new(Some(api), parts, error)
            })
    }
}

/// Returns serde's message without the value of a claim, which it quotes. Messages of the app's own types
/// may quote one anywhere.
fn without_values(error: &serde_json::Error) -> String {
    const WITH_EXPECTED: [&str; 5] = [
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "unknown variant ",
        "unknown field ",
    ];
    let text = error.to_string();
    let has_expected = WITH_EXPECTED.iter().any(|start| text.starts_with(start));
    match text.rsplit_once(", expected ") {
        Some((_, expected)) if has_expected => format!("expected {expected}"),
        _ if text.starts_with("missing field ") => text,
        _ => "a claim has an unusable value".to_owned(),
    }
}
