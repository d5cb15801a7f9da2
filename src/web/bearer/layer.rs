use std::{fmt, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header, request::Parts};

use super::{api::Api, error::BearerError, extract::Verified, response::BearerRejection};
use crate::web::{
    context::RequestContext, kept_form, rejection::ErrorResponse, require_login::RequireLogin,
};

/// Layer that requires an access token (RFC 6750), returned by [`Oten::bearer`](crate::Oten::bearer)
/// and [`ResourceServer::bearer`](super::ResourceServer::bearer).
///
/// The token is read from `Authorization: Bearer` only. It must be an access token from the configured
/// issuer, for one of the configured audiences, neither expired nor from the future (RFC 9068 section
/// 4). Without a valid token the request gets 401 with `WWW-Authenticate`, without a required scope
/// 403. Add the layer with [`Router::route_layer`](axum::Router::route_layer) to the routes it
/// protects; handlers extract [`BearerToken`](super::BearerToken).
#[derive(Clone)]
#[must_use]
pub struct RequireBearer {
    api: Arc<Api>,
    scopes: Arc<[Box<str>]>,
    without_token: WithoutToken,
}

/// What happens to a request without an access token. One with an invalid token is always rejected.
#[derive(Clone)]
enum WithoutToken {
    Reject,
    Pass,
    RequireSession(RequireLogin),
}

impl RequireBearer {
    pub(in crate::web) fn new(api: Arc<Api>) -> Self {
        Self {
            api,
            scopes: Arc::default(),
            without_token: WithoutToken::Reject,
        }
    }

    /// Requires a scope of the token, in addition to those of earlier calls. Requests without it get
    /// 403 with `error="insufficient_scope"`.
    pub fn require_scope(mut self, scope: impl Into<String>) -> Self {
        let scope = scope.into().into_boxed_str();
        self.scopes = self.scopes.iter().cloned().chain([scope]).collect();
        self
    }

    /// Lets requests without an access token pass. The extractor is `Option<BearerToken>` then.
    ///
    /// An invalid token is rejected all the same, so that a client learns of its mistake.
    pub fn optional(self) -> Self {
        let without_token = WithoutToken::Pass;
        Self {
            without_token,
            ..self
        }
    }

    /// Requires a signed-in user instead if the request has no access token, so that scripts of the
    /// site and other clients can call the same route.
    ///
    /// The scopes are those of access tokens; `login` has the rule for users. Handlers extract
    /// `Option<BearerToken>` and `Option<User>`, of which one is `None`: beside a token, no rule is checked for
    /// the user of the session, so that handlers do not see that user. The `Session` is still that of the
    /// cookie. [`Oten::layer`](crate::Oten::layer) must be outside of this layer.
    ///
    /// The credential of a native app counts as a session here, and as an invalid token otherwise.
    ///
    /// A request without an access token that changes state must come from a page of this site, as with
    /// [`require_same_origin`](RequireLogin::require_same_origin): browsers send the cookie by themselves,
    /// and an access token never.
    pub fn or_session(self, login: RequireLogin) -> Self {
        let without_token = WithoutToken::RequireSession(login.require_same_origin());
        Self {
            without_token,
            ..self
        }
    }

    /// Verifies the token and adds it to the request.
    pub(in crate::web) async fn check(&self, parts: &mut Parts) -> Result<(), Denied> {
        kept_form::hold(&mut parts.extensions);
        let login = match &self.without_token {
            WithoutToken::RequireSession(login) => Some(login),
            _ => None,
        };
        let native = login.and_then(|login| login.context(&parts.extensions));
        let token = match native.filter(RequestContext::is_native) {
            // The credential of a native app is that of a session.
            Some(_) => Ok(None),
            None => self.api.token(parts).await,
        };
        let denied = |error| Denied::Bearer(BearerRejection::new(Some(&self.api), parts, error));
        let token = match token {
            Ok(Some(token)) => {
                let granted = |scope: &str| token.scopes().any(|granted| granted == scope);
                if !self.scopes.iter().all(|scope| granted(scope)) {
                    return Err(denied(BearerError::Scope(self.scopes.join(" ").into())));
                }
                if let Some(context) = login.and_then(|login| login.context(&parts.extensions)) {
                    context.count_token_only();
                }
                Some(token)
            }
            Ok(None) => match &self.without_token {
                WithoutToken::Reject => return Err(denied(BearerError::Missing)),
                WithoutToken::Pass => None,
                WithoutToken::RequireSession(login) => {
                    let context = login.context(&parts.extensions);
                    let Some(context) = context else {
                        return Err(Denied::Session(ErrorResponse::missing_layer()));
                    };
                    if let Err(error) = login.check(&context).await {
                        let denied = kept_form::deny(&context, &mut parts.extensions, error);
                        return Err(Denied::Session(denied.await));
                    }
                    None
                }
            },
            Err(error) => return Err(denied(error)),
        };
        let api = Arc::clone(&self.api);
        parts.extensions.insert(Verified { api, token });
        kept_form::hand_over(&mut parts.extensions);
        Ok(())
    }
}

/// The response to a request that may not pass.
pub(in crate::web) enum Denied {
    Bearer(BearerRejection),
    Session(ErrorResponse),
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let mut response = match self {
            Self::Bearer(denied) => return denied.into_response(),
            Self::Session(denied) => denied.into_response(),
        };
        if response.status() == StatusCode::UNAUTHORIZED {
            // A second way to authenticate (RFC 9110 section 11.6.1).
            let challenge = HeaderValue::from_static("Bearer");
            let headers = response.headers_mut();
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl fmt::Debug for RequireBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireBearer")
            .field("api", &self.api)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
