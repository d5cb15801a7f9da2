use std::fmt;

use axum::response::{IntoResponse, Response};

use super::{
    error::Error,
    event, page,
    request_context::{RequestContext, redirect},
    request_kind::RequestKind,
    security_headers::protect_page,
};
use crate::session::ReturnTo;

/// A refusal that knows how to answer: a guest's page is sent to sign in, everything else gets a
/// page or problem details (RFC 9457).
pub struct Refusal(Box<Inner>);

struct Inner {
    error: Error,
    context: Option<RequestContext>,
    return_to: Option<ReturnTo>,
}

impl Refusal {
    pub(super) fn missing_layer() -> Self {
        Self(Box::new(Inner {
            error: Error::MissingLayer,
            context: None,
            return_to: None,
        }))
    }

    pub(super) fn new(context: &RequestContext, error: Error) -> Self {
        Self(Box::new(Inner {
            error,
            context: Some(context.clone()),
            return_to: None,
        }))
    }
}

/// Answers with an error, and logs it; a retry leads to `return_to`.
pub(super) fn refuse(
    context: &RequestContext,
    error: Error,
    return_to: Option<&ReturnTo>,
) -> Response {
    let mut refusal = Refusal::new(context, error);
    refusal.0.return_to = return_to.cloned();
    refusal.into_response()
}

/// What it is about, nothing of the request.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refusal").field(&self.0.error).finish()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Inner {
            error,
            context,
            return_to,
        } = *self.0;
        let Some(context) = context else {
            // Without the layer nothing is known about the site: not even where its pages are.
            event::refused_without_layer(&error);
            let description = error.description();
            let mut response = (description.status, description.sentence).into_response();
            protect_page(response.headers_mut());
            return response;
        };
        let wants_sign_in = matches!(error, Error::NotSignedIn | Error::AccessTokenEnded);
        // Being sent to sign in is no refusal: a crawler on protected pages fills no log.
        if wants_sign_in && context.request_kind() == RequestKind::Page {
            return redirect(&page::login_url(context.oten(), context.path().as_ref()));
        }
        event::refused(&context, &error);
        page::error(&context, &error, return_to.as_ref())
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
        /// The provider does not renew the tokens and the grace is over: 503 with `Retry-After`.
        NotRefreshed,
    }
}

rejection! {
    /// Why there is no [`AccessToken`](crate::AccessToken) for a handler.
    AccessTokenRejection {
        /// [`Oten::layer`](crate::Oten::layer) is missing: 500, and the log says where to add it.
        MissingLayer,
        /// Nobody is signed in: 303 to sign in for a page, else 401.
        NotSignedIn,
        /// The token has ended: 303 to sign in for a page, else 401; 502 if it ended within a minute
        /// of signing in, because then the next one would, too.
        Ended,
        /// The session store does not answer: 503 with `Retry-After`; the cookie is left alone.
        StoreUnavailable,
        /// The provider does not renew the tokens and the grace is over: 503 with `Retry-After`.
        NotRefreshed,
    }
}

impl From<Refusal> for UserRejection {
    fn from(refusal: Refusal) -> Self {
        match refusal.0.error {
            Error::MissingLayer => Self::MissingLayer(refusal),
            Error::Store(_) | Error::StoreShared(_) => Self::StoreUnavailable(refusal),
            Error::NotRefreshed { .. } => Self::NotRefreshed(refusal),
            _ => Self::NotSignedIn(refusal),
        }
    }
}

impl From<Refusal> for AccessTokenRejection {
    fn from(refusal: Refusal) -> Self {
        match refusal.0.error {
            Error::MissingLayer => Self::MissingLayer(refusal),
            Error::Store(_) | Error::StoreShared(_) => Self::StoreUnavailable(refusal),
            Error::NotRefreshed { .. } => Self::NotRefreshed(refusal),
            Error::AccessTokenEnded | Error::AccessTokenUseless => Self::Ended(refusal),
            _ => Self::NotSignedIn(refusal),
        }
    }
}
