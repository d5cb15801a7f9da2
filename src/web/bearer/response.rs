use std::{fmt, sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde_json::json;

use super::{api::Api, error::BearerError};
use crate::{
    audit::{AuditTrail, EventKind, EventOrigin, Level, Reason},
    clock::Clock,
    error::with_causes,
    metric,
    protocol::AccessTokenError,
    web::{
        context::RequestContext,
        rejection::ErrorDetails,
        response::{PROBLEM_JSON, uncached_json},
    },
};

/// Response to an API request without a valid access token: problem details (RFC 9457) and
/// `WWW-Authenticate` (RFC 6750 section 3). Its extensions hold [`ErrorDetails`].
pub struct BearerRejection(Box<Inner>);

struct Inner {
    error: BearerError,
    details: ErrorDetails,
    origin: EventOrigin,
    trail: AuditTrail,
}

impl BearerRejection {
    /// `api` is `None` if the request did not pass through the layer.
    pub(super) fn new(api: Option<&Arc<Api>>, parts: &Parts, error: BearerError) -> Self {
        let context = parts.extensions.get::<RequestContext>();
        let origin = context.map_or_else(
            || EventOrigin::new(api.and_then(|api| api.client_address(parts))),
            |context| context.session.origin().clone(),
        );
        let trail = api.map_or_else(
            || AuditTrail::new(Clock::system(), metric::count_event),
            |api| api.trail.clone(),
        );
        let (status, _) = error.answer();
        Self(Box::new(Inner {
            details: ErrorDetails {
                status,
                reason: error.reason(),
                correlation_id: Some(origin.correlation_id().to_owned()),
            },
            error,
            origin,
            trail,
        }))
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.details.status
    }

    /// Why the request was rejected.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.details.reason
    }

    fn record(&self) {
        let Inner {
            error,
            details,
            origin,
            trail,
        } = &*self.0;
        let level = match details.status {
            // Any client can cause these two.
            _ if matches!(
                details.reason,
                Reason::KeyPending | Reason::BearerValidationBusy
            ) =>
            {
                Level::Warn
            }
            status if status.is_server_error() => Level::Error,
            StatusCode::UNAUTHORIZED if matches!(error, BearerError::Missing) => Level::Debug,
            _ => Level::Warn,
        };
        let event = trail.event(EventKind::Refused).with_origin(origin);
        let event = event.with_refusal(level, details.reason, details.status.as_u16());
        trail.record(&event.with_cause(with_causes(error)));
    }
}

impl BearerError {
    fn reason(&self) -> Reason {
        match self {
            Self::MissingLayer => Reason::Setup,
            Self::Missing => Reason::BearerMissing,
            Self::Request(_) => Reason::BearerRequest,
            Self::Token(error) => error.reason(),
            Self::Scope(_) => Reason::BearerScope,
            Self::Claims(_) => Reason::BearerMisshapen,
            Self::Validation(_) => Reason::BearerValidationDown,
            Self::Busy(_) => Reason::BearerValidationBusy,
        }
    }

    /// The status and a sentence for the client.
    fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::MissingLayer => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "This API is not set up correctly.",
            ),
            Self::Missing => (
                StatusCode::UNAUTHORIZED,
                "Send an access token in the header `Authorization: Bearer`.",
            ),
            Self::Request(_) => (
                StatusCode::BAD_REQUEST,
                "The header `Authorization` is malformed or given more than once.",
            ),
            Self::Token(AccessTokenError::Provider(_)) | Self::Validation(_) | Self::Busy(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The access token cannot be checked right now. Try again in a moment.",
            ),
            Self::Token(AccessTokenError::Exp) => {
                (StatusCode::UNAUTHORIZED, "The access token has expired.")
            }
            Self::Token(_) | Self::Claims(_) => {
                (StatusCode::UNAUTHORIZED, "The access token is not valid.")
            }
            Self::Scope(_) => (
                StatusCode::FORBIDDEN,
                "The access token lacks a scope that this request requires.",
            ),
        }
    }

    /// The challenge for the client (RFC 6750 section 3).
    fn challenge(&self, text: &str) -> Option<String> {
        let error = match self {
            Self::Missing => return Some("Bearer".to_owned()),
            Self::Request(_) => "invalid_request",
            Self::Scope(scopes) => {
                return Some(format!(
                    r#"Bearer error="insufficient_scope", scope="{scopes}""#
                ));
            }
            error if error.answer().0 == StatusCode::UNAUTHORIZED => "invalid_token",
            _ => return None,
        };
        Some(format!(
            r#"Bearer error="{error}", error_description="{text}""#
        ))
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy(exhausted) => Some(exhausted.retry_after()),
            Self::Token(AccessTokenError::Provider(error)) => error.retry_after(),
            Self::Validation(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// Prints the error and nothing of the request.
impl fmt::Debug for BearerRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BearerRejection")
            .field(&self.0.error)
            .finish()
    }
}

impl IntoResponse for BearerRejection {
    fn into_response(self) -> Response {
        self.record();
        let Inner { error, details, .. } = *self.0;
        let (status, text) = error.answer();
        let problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": text,
            "reason": details.reason,
            "correlation_id": details.correlation_id,
        });
        let mut response = uncached_json(PROBLEM_JSON, &problem);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if let Some(challenge) = error.challenge(text)
            && let Ok(challenge) = HeaderValue::from_str(&challenge)
        {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = error.retry_after().map_or(5, |wait| wait.as_secs().max(1));
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(details);
        response
    }
}
