//! Who the client is, where proxies stand before the site.
//!
//! Each proxy adds the address it was called from to the right of what is there already, so the
//! way back is walked from the right: from the peer, which is beyond doubt, through the proxies that
//! are trusted to the first address that is not one of theirs. What is to the left of it anybody
//! may have written, and it is not even looked at.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName, Request, header};

use super::Oten;
use crate::config::Config;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// More proxies than this stand before nobody.
const MAX_HOPS: usize = 16;

impl Oten {
    /// Who sent a request: the address that connects, or, if that is one of the configured
    /// [`trusted_proxies`](crate::config::ConfigBuilder::trusted_proxies), the one it names in
    /// `Forwarded` (RFC 7239) or `X-Forwarded-For`. `None` where the app does not tell who
    /// connects: serve it with
    /// [`into_make_service_with_connect_info::<SocketAddr>()`](axum::Router::into_make_service_with_connect_info).
    ///
    /// Two headers that do not agree are both not believed: let the proxy remove the one it does
    /// not write. It is for logs and limits; nothing in this crate is decided by it.
    ///
    /// ```
    /// use axum::{extract::ConnectInfo, http::Request};
    /// # use axum_oten::{Config, MemoryStore, Oten, config::Environment};
    /// use std::net::SocketAddr;
    ///
    /// # let config = Config::builder()
    /// #     .environment(Environment::Sandbox)
    /// #     .client_id("my-site")
    /// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
    /// #     .redirect_uri("http://localhost:3000/callback");
    /// let config = config.trusted_proxies(["10.0.0.0/8"]).build()?;
    /// let oten = Oten::new(config, MemoryStore::default())?;
    /// let request = |peer: &str| {
    ///     let peer: SocketAddr = peer.parse().unwrap();
    ///     let forwarded = ("x-forwarded-for", "192.0.2.1, 203.0.113.9");
    ///     Request::get("/").header(forwarded.0, forwarded.1).extension(ConnectInfo(peer)).body(())
    /// };
    ///
    /// // A proxy of ours says who called it; what the caller said before that counts for nothing.
    /// let through_proxy = oten.client_address(&request("10.0.0.7:4711")?);
    /// assert_eq!(through_proxy, Some("203.0.113.9".parse()?));
    /// // Anybody else is who they are.
    /// let spoofed = oten.client_address(&request("198.51.100.4:4711")?);
    /// assert_eq!(spoofed, Some("198.51.100.4".parse()?));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn client_address<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        of_request(self.config(), request.extensions(), request.headers())
    }
}

/// The client's address, if who connects is known.
pub(super) fn of_request(
    config: &Config,
    extensions: &Extensions,
    headers: &HeaderMap,
) -> Option<IpAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    let trusts = |address| config.is_trusted_proxy(address);
    Some(client_address(peer.ip(), headers, trusts))
}

fn client_address(peer: IpAddr, headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusts(peer) {
        return peer;
    }
    let hops = |name: &str| {
        let lines = headers.get_all(name).iter().rev();
        let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        // Nobody's name: it ends the walk like anything else that cannot be read.
        elements.map(|element| str::from_utf8(element).unwrap_or("?"))
    };
    let forwarded = || {
        walk(
            peer,
            hops(header::FORWARDED.as_str()).map(forwarded_for),
            &trusts,
        )
    };
    let x_forwarded_for = || walk(peer, hops(X_FORWARDED_FOR).map(node), &trusts);
    match (
        headers.contains_key(header::FORWARDED),
        headers.contains_key(X_FORWARDED_FOR),
    ) {
        (false, false) => peer,
        (true, false) => forwarded(),
        (false, true) => x_forwarded_for(),
        // A proxy that writes one of them lets the other through as the client wrote it.
        (true, true) => {
            let (one, other) = (forwarded(), x_forwarded_for());
            if one == other { one } else { peer }
        }
    }
}

/// Follows the trusted proxies away from us. A hop that is unknown, hidden or nonsense ends the walk
/// at the last address that one of them vouched for.
fn walk(
    peer: IpAddr,
    hops: impl Iterator<Item = Option<IpAddr>>,
    trusts: &impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut known = peer;
    for hop in hops.take(MAX_HOPS) {
        let Some(address) = hop else { break };
        known = address;
        if !trusts(address) {
            break;
        }
    }
    known
}

/// The address in one element of `Forwarded` (RFC 7239 section 4), if it follows the grammar and
/// has one. All of it is read: with half of a quoted string nobody must be anybody.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut rest = trim(element);
    let mut found = None;
    loop {
        let (name, after) = rest.split_once('=')?;
        if !is_token(name) {
            return None;
        }
        let (value, after) = value(after)?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
        match trim(after) {
            "" => break,
            more => rest = trim(more.strip_prefix(';')?),
        }
    }
    node(found?)
}

/// A token or a quoted string, and what follows. One with an escape in it holds no address, and
/// is read as far as its end.
fn value(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (token, after) = text.split_at(end);
        // A colon is not allowed without quotes, and common all the same.
        let is_value = is_token(&token.replace(':', ""));
        return is_value.then_some((token, after));
    };
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((&quoted[..end], &quoted[end + 1..]))
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`. `unknown`
/// and names like `_hidden` are no addresses.
fn node(text: &str) -> Option<IpAddr> {
    let text = trim(text);
    let address = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']')?;
            if !port.is_empty() && !is_port(port.strip_prefix(':')?) {
                return None;
            }
            IpAddr::V6(address.parse().ok()?)
        }
        None => match text.split_once(':') {
            Some((address, port)) if !port.contains(':') => {
                is_port(port).then(|| address.parse().map(IpAddr::V4).ok())??
            }
            _ => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

/// A port, or a name for one that is kept secret (RFC 7239 section 6).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => is_token(hidden),
        None => text.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// `token` of RFC 9110 section 5.6.2, which a header's name is (section 5.1).
fn is_token(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok()
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests;
