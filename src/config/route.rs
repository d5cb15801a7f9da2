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

/// The paths that the redirect URI must not have.
pub(super) const RESERVED: [&str; 5] = ["/", LOGIN, LOGOUT, BACK_CHANNEL_LOGOUT, JWKS];
