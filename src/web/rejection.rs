use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;

use super::{
    audience::Audience,
    error::Error,
    page,
    visit::{Visit, keep_private},
};

/// A refusal that knows how to answer: a guest's page is sent to sign in, everything else gets a
/// page or problem details (RFC 9457).
#[derive(Debug)]
pub struct Refusal(Box<Inner>);

#[derive(Debug)]
struct Inner {
    error: Error,
    visit: Option<Visit>,
}

impl Refusal {
    pub(super) fn missing_layer() -> Self {
        Self(Box::new(Inner {
            error: Error::MissingLayer,
            visit: None,
        }))
    }

    pub(super) fn new(visit: &Visit, error: Error) -> Self {
        Self(Box::new(Inner {
            error,
            visit: Some(visit.clone()),
        }))
    }

    pub(super) fn respond(self) -> Response {
        let Inner { error, visit } = *self.0;
        let Some(visit) = visit else {
            tracing::error!(target: "axum_oten", cause = error.cause(), "a request was refused");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let wants_sign_in = matches!(error, Error::NotSignedIn | Error::AccessTokenEnded);
        if wants_sign_in && visit.audience() == Audience::Navigation {
            let login_url = page::login_url(visit.oten(), visit.path());
            let mut response = Redirect::to(&login_url).into_response();
            keep_private(response.headers_mut());
            return response;
        }
        visit.refuse(&error, None)
    }
}

/// What a refusal is about, for those who answer it themselves.
macro_rules! rejection {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$variant_meta:meta])* $variant:ident,)* }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant(Refusal),)*
        }

        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                match self {
                    $(Self::$variant(refusal) => refusal.into_response(),)*
                }
            }
        }
    };
}

rejection! {
    /// Why there is no [`User`](crate::User) for a handler.
    UserRejection {
        /// [`Oten::layer`](crate::Oten::layer) is missing: 500, and the log says where to add it.
        MissingLayer,
        /// Nobody is signed in: 303 to sign in for a page, else 401.
        NotSignedIn,
        /// The session store does not answer: 503 with `Retry-After`; the cookie is left alone.
        StoreUnavailable,
    }
}

rejection! {
    /// Why there is no [`AccessToken`](crate::AccessToken) for a handler.
    AccessTokenRejection {
        /// [`Oten::layer`](crate::Oten::layer) is missing: 500, and the log says where to add it.
        MissingLayer,
        /// Nobody is signed in: 303 to sign in for a page, else 401.
        NotSignedIn,
        /// The token has ended: 303 to sign in for a page, else 401.
        Ended,
        /// The session store does not answer: 503 with `Retry-After`; the cookie is left alone.
        StoreUnavailable,
    }
}

impl From<Refusal> for UserRejection {
    fn from(refusal: Refusal) -> Self {
        match refusal.0.error {
            Error::MissingLayer => Self::MissingLayer(refusal),
            Error::Store(_) => Self::StoreUnavailable(refusal),
            _ => Self::NotSignedIn(refusal),
        }
    }
}

impl From<Refusal> for AccessTokenRejection {
    fn from(refusal: Refusal) -> Self {
        match refusal.0.error {
            Error::MissingLayer => Self::MissingLayer(refusal),
            Error::Store(_) => Self::StoreUnavailable(refusal),
            Error::AccessTokenEnded => Self::Ended(refusal),
            _ => Self::NotSignedIn(refusal),
        }
    }
}
