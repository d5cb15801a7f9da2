//! The client's address behind trusted proxies.
//!
//! Each proxy appends the address of its own client to the header, so the header is read from the
//! right: from the peer, whose address is certain, through trusted proxies to the first address that
//! is not one of them. Entries to the left of it may be forged and are ignored.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName, header};

use crate::config::TrustedProxies;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Maximum number of entries that are read.
const MAX_HOPS: usize = 16;

/// Returns the client's address, or `None` if the app does not provide the peer's.
pub(super) fn of_request(
    trusted_proxies: &TrustedProxies,
    extensions: &Extensions,
    headers: &HeaderMap,
) -> Option<IpAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    let trusts = |address| trusted_proxies.contains(address);
    Some(client_address(peer.ip(), headers, trusts))
}

pub(super) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusts: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusts(peer) {
        return peer;
    }
    let hops = |name: &str| {
        let lines = headers.get_all(name).iter().rev();
        let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        // `?` is not an address and ends the walk.
        elements.map(|element| str::from_utf8(element).unwrap_or("?"))
    };
    let forwarded = hops(header::FORWARDED.as_str()).map(forwarded_for);
    let forwarded = walk(peer, forwarded, &trusts);
    let x_forwarded_for = walk(peer, hops(X_FORWARDED_FOR).map(node), &trusts);
    match (
        headers.contains_key(header::FORWARDED),
        headers.contains_key(X_FORWARDED_FOR),
    ) {
        (true, false) => forwarded,
        (false, true) => x_forwarded_for,
        // A proxy that sets one header passes on the other one as its client sent it.
        (true, true) if forwarded == x_forwarded_for => forwarded,
        _ => peer,
    }
}

/// Follows the trusted proxies from the peer to the client. An entry that is not an address ends the
/// walk at the last address that a trusted proxy named.
fn walk(
    peer: IpAddr,
    hops: impl Iterator<Item = Option<IpAddr>>,
    trusts: &impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut last = peer;
    for hop in hops.take(MAX_HOPS) {
        let Some(address) = hop else { break };
        last = address;
        if !trusts(address) {
            break;
        }
    }
    last
}

/// Returns the address in one element of `Forwarded` (RFC 7239 section 4). The whole element must
/// follow the grammar: a comma within a quoted string must not forge an element.
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

/// Splits a token or a quoted string from the rest. Escapes stay in the value, because an address
/// has none.
fn value(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (token, after) = text.split_at(end);
        // A colon requires quotes, but many proxies omit them.
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

/// Parses `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`.
/// `unknown` and names like `_hidden` are not addresses.
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

/// A port, or an obfuscated one (RFC 7239 section 6).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => is_token(hidden),
        None => text.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// `token` of RFC 9110 section 5.6.2, the grammar of a header's name (section 5.1).
fn is_token(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok()
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The trusted proxies are `10.0.0.0/8` and `2001:db8::/32`.
    fn trusts(address: IpAddr) -> bool {
        ["10.0.0.0/8", "2001:db8::/32"]
            .map(|network| network.parse::<ipnet::IpNet>().unwrap())
            .iter()
            .any(|network| network.contains(&address))
    }

    fn of(peer: &str, headers: &[(&str, &str)]) -> String {
        let map = headers
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                (name.parse::<HeaderName>().unwrap(), value)
            })
            .collect();
        client_address(peer.parse().unwrap(), &map, trusts).to_string()
    }

    /// The peer is the trusted proxy 10.0.0.1.
    #[track_caller]
    fn assert_behind_proxy(headers: &[(&str, &str)], expected: &str) {
        assert_eq!(of("10.0.0.1", headers), expected, "{headers:?}");
    }

    #[test]
    fn b4_headers_of_an_untrusted_peer_are_ignored() {
        for peer in ["192.0.2.1", "2001:db9::1", "::ffff:192.0.2.1", "127.0.0.1"] {
            for header in [
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-for", "10.0.0.1"),
                ("forwarded", "for=203.0.113.9"),
                ("x-real-ip", "203.0.113.9"),
            ] {
                let plain = peer.parse::<IpAddr>().unwrap().to_canonical();
                assert_eq!(of(peer, &[header]), plain.to_string(), "{header:?}");
            }
        }
    }

    #[test]
    fn b4_x_forwarded_for_is_read_from_the_right() {
        for (value, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            // The client sent an entry; the proxy appended the real address.
            ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.9, 203.0.113.9", "203.0.113.9"),
            ("garbage, <script>,, 203.0.113.9", "203.0.113.9"),
            // Two trusted proxies.
            ("1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
            ("203.0.113.9,2001:db8::7,10.0.0.2", "203.0.113.9"),
            // Every address is trusted: the leftmost one.
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // Ports and brackets, as some proxies write them.
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db9::1", "2001:db9::1"),
            ("[2001:db9::1]", "2001:db9::1"),
            ("[2001:db9::1]:4711", "2001:db9::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:10.0.0.2]", "10.0.0.2"),
            (" \t203.0.113.9 ", "203.0.113.9"),
            // An unreadable entry ends the walk.
            ("203.0.113.9, unknown", "10.0.0.1"),
            ("203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
            ("203.0.113.9, _hidden", "10.0.0.1"),
            ("203.0.113.9,", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("203.0.113.9.", "10.0.0.1"),
            ("203.0.113.009", "10.0.0.1"),
            ("203.0.113.9:", "10.0.0.1"),
            ("203.0.113.9:+80", "10.0.0.1"),
            ("203.0.113.9:99999", "10.0.0.1"),
            ("203.0.113.9 x", "10.0.0.1"),
            ("\"203.0.113.9\"", "10.0.0.1"),
            ("[203.0.113.9]", "10.0.0.1"),
            ("[2001:db9::1", "10.0.0.1"),
            ("[2001:db9::1]4711", "10.0.0.1"),
            ("fe80::1%eth0", "10.0.0.1"),
            ("app.example.com", "10.0.0.1"),
            ("1.1.1.1, ümlaut", "10.0.0.1"),
            ("ümlaut, 203.0.113.9", "203.0.113.9"),
        ] {
            assert_behind_proxy(&[("x-forwarded-for", value)], expected);
        }
    }

    #[test]
    fn b4_forwarded_is_read_from_the_right() {
        for (value, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
            (
                "proto=https; host=app.example ; FOR=203.0.113.9",
                "203.0.113.9",
            ),
            ("for=1.1.1.1, for=203.0.113.9", "203.0.113.9"),
            ("for=1.1.1.1, for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
            ("for=\"203.0.113.9:4711\"", "203.0.113.9"),
            ("for=203.0.113.9:4711", "203.0.113.9"),
            ("for=\"[2001:db9::1]\"", "2001:db9::1"),
            ("for=\"[2001:db9::1]:4711\"", "2001:db9::1"),
            ("for=\"[2001:db9::1]:_port\"", "2001:db9::1"),
            ("for=10.0.0.3, for=\"[2001:db8::2]\"", "10.0.0.3"),
            // An unclosed quote of the client does not hide the entry after it.
            ("for=\"1.1.1.1, for=203.0.113.9", "203.0.113.9"),
            ("secret=\"\\\", for=203.0.113.9", "203.0.113.9"),
            // Elements without an address end the walk.
            ("for=1.1.1.1, for=unknown", "10.0.0.1"),
            ("for=1.1.1.1, for=_SEVKISEK", "10.0.0.1"),
            ("for=1.1.1.1, for=\"_gazonk\", for=10.0.0.2", "10.0.0.2"),
            ("for=1.1.1.1, proto=https", "10.0.0.1"),
            // The proxy quotes the client's `Host`, which contains a comma.
            ("for=203.0.113.9;host=\"x, for=1.1.1.1\"", "10.0.0.1"),
            (
                "for=203.0.113.9;host=\"x, for=1.1.1.1;a=\\\"b\"",
                "10.0.0.1",
            ),
            ("for=203.0.113.9;host=\"x, for=1.1.1.1;a=\";b=c", "10.0.0.1"),
            // Malformed elements.
            ("for=1.1.1.1;for=203.0.113.9", "10.0.0.1"),
            ("203.0.113.9", "10.0.0.1"),
            ("for", "10.0.0.1"),
            ("for=", "10.0.0.1"),
            ("for=\"", "10.0.0.1"),
            ("for=\"203.0.113.9", "10.0.0.1"),
            ("for=\"203.0.113.9\\\"", "10.0.0.1"),
            ("for=\"203.0.113.9\"x", "10.0.0.1"),
            ("for=203.0.113.9;", "10.0.0.1"),
            ("for =203.0.113.9", "10.0.0.1"),
            ("for= 203.0.113.9", "10.0.0.1"),
            ("for=[2001:db9::1]", "10.0.0.1"),
            ("for=\"[203.0.113.9]\"", "10.0.0.1"),
            ("", "10.0.0.1"),
            (";,;", "10.0.0.1"),
        ] {
            assert_behind_proxy(&[("forwarded", value)], expected);
        }
    }

    #[test]
    fn b4_repeated_headers_are_one_list() {
        for name in ["x-forwarded-for", "forwarded"] {
            let hop = |address: &str| match name {
                "forwarded" => format!("for={address}"),
                _ => address.to_owned(),
            };
            let (spoofed, client, proxy) = (hop("1.1.1.1"), hop("203.0.113.9"), hop("10.0.0.2"));
            assert_behind_proxy(&[(name, &spoofed), (name, &client)], "203.0.113.9");
            let both = format!("{client}, {proxy}");
            assert_behind_proxy(&[(name, &spoofed), (name, &both)], "203.0.113.9");
            assert_behind_proxy(&[(name, &client), (name, "")], "10.0.0.1");
        }
    }

    #[test]
    fn b4_two_headers_are_used_only_if_they_agree() {
        let client = ("x-forwarded-for", "203.0.113.9");
        for (forwarded, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("for=\"203.0.113.9:80\"", "203.0.113.9"),
            ("for=1.1.1.1", "10.0.0.1"),
            ("for=unknown", "10.0.0.1"),
            ("garbage", "10.0.0.1"),
        ] {
            assert_behind_proxy(&[client, ("forwarded", forwarded)], expected);
        }
    }

    #[test]
    fn b4_the_number_of_entries_is_bounded() {
        let endless = vec!["10.0.0.2"; 10_000].join(",");
        let spoofed = format!("203.0.113.9,{endless}");
        assert_behind_proxy(&[("x-forwarded-for", &spoofed)], "10.0.0.2");
        let elements = vec![String::from("for=10.0.0.2"); MAX_HOPS];
        let spoofed = format!("for=203.0.113.9,{}", elements.join(","));
        assert_behind_proxy(&[("forwarded", &spoofed)], "10.0.0.2");
    }

    #[test]
    fn an_ipv4_mapped_peer_is_the_same_proxy() {
        let client = [("x-forwarded-for", "203.0.113.9")];
        assert_eq!(of("::ffff:10.0.0.1", &client), "203.0.113.9");
        assert_eq!(of("2001:db8::1", &client), "203.0.113.9");
    }
}
