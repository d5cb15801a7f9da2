//! Paths of the crate's own routes, as the app's router sees them: without the base path.

/// The login route, which sends the browser to the provider.
pub(crate) const LOGIN: &str = "/login";

/// The logout route.
pub(crate) const LOGOUT: &str = "/logout";

/// The route that receives the provider's logout tokens.
pub(crate) const BACK_CHANNEL_LOGOUT: &str = "/backchannel-logout";

/// The route that publishes the client's public keys.
pub(crate) const JWKS: &str = "/.well-known/jwks.json";

/// The route that describes the session to scripts.
pub(crate) const SESSION: &str = "/session";

/// The page on which the user sends or discards a form that a sign-in has interrupted.
pub(crate) const KEPT_FORM: &str = "/login/form";

/// The route where a native app starts a sign-in.
pub(crate) const NATIVE_START: &str = "/native/start";

/// The route where the user confirms the sign-in of a native app.
pub(crate) const NATIVE_CONFIRM: &str = "/native/confirm";

/// The route where a native app exchanges its code.
pub(crate) const NATIVE_TOKEN: &str = "/native/token";

/// The paths that the redirect URI must not have.
pub(super) const RESERVED: [&str; 9] = [
    "/",
    LOGIN,
    LOGOUT,
    KEPT_FORM,
    BACK_CHANNEL_LOGOUT,
    JWKS,
    NATIVE_START,
    NATIVE_CONFIRM,
    NATIVE_TOKEN,
];
