use http::HeaderValue;

use super::*;

/// Ours are `10.0.0.0/8` and `2001:db8::/32`.
fn trusts(address: IpAddr) -> bool {
    let ours = ["10.0.0.0/8", "2001:db8::/32"];
    let mut ours = ours.map(|network| network.parse::<ipnet::IpNet>().unwrap());
    ours.iter_mut().any(|network| network.contains(&address))
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

/// Who it is, behind the proxy 10.0.0.1.
#[track_caller]
fn assert_behind_proxy(headers: &[(&str, &str)], expected: &str) {
    assert_eq!(of("10.0.0.1", headers), expected, "{headers:?}");
}

#[test]
fn b4_without_a_trusted_peer_no_header_counts() {
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
fn b4_x_forwarded_for_is_walked_from_the_right() {
    for (value, expected) in [
        ("203.0.113.9", "203.0.113.9"),
        // The client wrote something itself; the proxy put the truth behind it.
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.9, 203.0.113.9", "203.0.113.9"),
        ("garbage, <script>,, 203.0.113.9", "203.0.113.9"),
        // Two proxies of ours.
        ("1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("203.0.113.9,2001:db8::7,10.0.0.2", "203.0.113.9"),
        // Somebody inside: the furthest address that was vouched for.
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        // Ports and brackets, as some proxies write them.
        ("203.0.113.9:4711", "203.0.113.9"),
        ("2001:db9::1", "2001:db9::1"),
        ("[2001:db9::1]", "2001:db9::1"),
        ("[2001:db9::1]:4711", "2001:db9::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("[::ffff:10.0.0.2]", "10.0.0.2"),
        (" \t203.0.113.9 ", "203.0.113.9"),
        // What cannot be read ends the walk where it is.
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
fn b4_forwarded_is_walked_from_the_right() {
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
        // The client's half of a quoted string swallows nothing that comes after it.
        ("for=\"1.1.1.1, for=203.0.113.9", "203.0.113.9"),
        ("secret=\"\\\", for=203.0.113.9", "203.0.113.9"),
        // Unknown, hidden, without an address: the walk ends.
        ("for=1.1.1.1, for=unknown", "10.0.0.1"),
        ("for=1.1.1.1, for=_SEVKISEK", "10.0.0.1"),
        ("for=1.1.1.1, for=\"_gazonk\", for=10.0.0.2", "10.0.0.2"),
        ("for=1.1.1.1, proto=https", "10.0.0.1"),
        // A host that the client chose, quoted by the proxy, with a comma in it.
        ("for=203.0.113.9;host=\"x, for=1.1.1.1\"", "10.0.0.1"),
        (
            "for=203.0.113.9;host=\"x, for=1.1.1.1;a=\\\"b\"",
            "10.0.0.1",
        ),
        ("for=203.0.113.9;host=\"x, for=1.1.1.1;a=\";b=c", "10.0.0.1"),
        // Nonsense.
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
fn b4_several_lines_are_one_list() {
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
fn b4_two_headers_count_if_they_agree() {
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
fn b4_the_walk_is_bounded() {
    let endless = vec!["10.0.0.2"; 10_000].join(",");
    let spoofed = format!("203.0.113.9,{endless}");
    assert_behind_proxy(&[("x-forwarded-for", &spoofed)], "10.0.0.2");
    let elements = vec![String::from("for=10.0.0.2"); MAX_HOPS];
    let spoofed = format!("for=203.0.113.9,{}", elements.join(","));
    assert_behind_proxy(&[("forwarded", &spoofed)], "10.0.0.2");
}

#[test]
fn a_peer_in_ipv6_spelling_is_the_same_proxy() {
    let client = [("x-forwarded-for", "203.0.113.9")];
    assert_eq!(of("::ffff:10.0.0.1", &client), "203.0.113.9");
    assert_eq!(of("2001:db8::1", &client), "203.0.113.9");
}
