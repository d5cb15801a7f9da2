use axum::response::{IntoResponse, Redirect, Response};

use super::{
    audience::Audience,
    error::Error,
    event, page,
    visit::{Visit, keep_private},
};
use crate::session::ReturnTo;

/// A refusal that knows how to answer: a guest's page is sent to sign in, everything else gets a
/// page or problem details (RFC 9457).
#[derive(Debug)]
pub struct Refusal(Box<Inner>);

#[derive(Debug)]
struct Inner {
    error: Error,
    visit: Option<Visit>,
    return_to: Option<ReturnTo>,
}

impl Refusal {
    pub(super) fn missing_layer() -> Self {
        Self(Box::new(Inner {
            error: Error::MissingLayer,
            visit: None,
            return_to: None,
        }))
    }

    pub(super) fn new(visit: &Visit, error: Error) -> Self {
        Self(Box::new(Inner {
            error,
            visit: Some(visit.clone()),
            return_to: None,
        }))
    }

    /// Adds where a retry should lead.
    pub(super) fn coming_back_to(mut self, return_to: Option<&ReturnTo>) -> Self {
        self.0.return_to = return_to.cloned();
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Inner {
            error,
            visit,
            return_to,
        } = *self.0;
        let Some(visit) = visit else {
            // Without the layer nothing is known about the site: not even where its pages are.
            event::refused_without_layer(&error);
            let meaning = error.meaning();
            return (meaning.status, meaning.sentence).into_response();
        };
        let wants_sign_in = matches!(error, Error::NotSignedIn | Error::AccessTokenEnded);
        if wants_sign_in && visit.audience() == Audience::Navigation {
            let login_url = page::login_url(visit.oten(), visit.path());
            let mut response = Redirect::to(&login_url).into_response();
            keep_private(response.headers_mut());
            return response;
        }
        event::refused(&visit, &error);
        page::error(&visit, &error, return_to.as_ref())
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
