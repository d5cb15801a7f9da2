//! Entry functions of fuzz targets.

use std::net::IpAddr;

use axum::body::Body;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, header};
use time::OffsetDateTime;

use super::{back_channel::read_logout_token, client_address, cookies::Cookies};
use crate::config::Config;

/// Returns the client's address according to a request with these headers.
pub fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusts: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    client_address::client_address(peer, headers, trusts)
}

/// The cookies of a request.
#[derive(Debug)]
pub struct ReadCookies {
    /// The session, unless there are several.
    pub session: Option<String>,
    /// All sessions.
    pub sessions: Vec<String>,
    /// The ID of the login attempt with the `state`.
    pub login: Option<String>,
    /// The number of login cookies.
    pub logins: usize,
    /// The `state` of the logout request.
    pub logout_state: Option<String>,
    /// Whether the login was restarted.
    pub is_restarted: bool,
}

/// Reads the cookies of a request, with those of the login attempt with this `state`.
#[must_use]
pub fn cookies(config: &Config, headers: &HeaderMap, state: &str) -> ReadCookies {
    let cookies = Cookies::new(config);
    let sessions = cookies.sessions(headers);
    let login = cookies.login_for(headers, &state.into());
    ReadCookies {
        session: sessions.only().map(|id| id.to_string()),
        sessions: sessions.all().iter().map(ToString::to_string).collect(),
        login: login.map(|login| login.id.expose().to_owned()),
        logins: cookies.logins_by_age(headers).len(),
        logout_state: cookies
            .logout_state(headers)
            .map(|state| state.expose().to_owned()),
        is_restarted: cookies.is_restarted(headers),
    }
}

/// Returns the cookie of the login attempt with this `state` and the ID `id`.
#[must_use]
pub fn login_cookie(config: &Config, state: &str) -> HeaderValue {
    let now = OffsetDateTime::UNIX_EPOCH;
    Cookies::new(config).login(&state.into(), &"id".into(), false, now)
}

/// Reads the logout token of a request with this body.
#[must_use]
pub fn logout_form(content_type: HeaderValue, body: &[u8]) -> Option<String> {
    let mut request = Request::new(Body::from(body.to_vec()));
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    let token = read_logout_token(request).now_or_never();
    token.expect("the body is complete").ok()
}
