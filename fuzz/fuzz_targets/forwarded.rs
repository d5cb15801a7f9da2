//! `Forwarded` and `X-Forwarded-For`, against a second reading.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use axum_oten::fuzz::client_address;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

const PROXY: &str = "10.0.0.1";
const CLIENT: &str = "203.0.113.9";

fn trusts(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.segments()[..2] == [0x2001, 0xdb8],
    }
}

// Each line is a header.
fuzz_target!(|lines: &[u8]| {
    let lines = lines.split(|byte| *byte == b'\n');
    let lines: Vec<_> = lines
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect();
    check("x-forwarded-for", "", &lines, node);
    check("forwarded", "for=", &lines, forwarded_for);
});

/// A reading: `Err` for an element about which it does not decide, `Ok(None)` for one that names no
/// address.
type Reading = fn(&str) -> Result<Option<IpAddr>, ()>;

fn check(name: &'static str, parameter: &str, lines: &[HeaderValue], read: Reading) {
    let peer: IpAddr = PROXY.parse().unwrap();
    let client: IpAddr = CLIENT.parse().unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, line.clone());
    }
    assert_eq!(
        client_address(client, &headers, trusts),
        client,
        "the peer is not trusted"
    );
    let found = client_address(peer, &headers, trusts);
    if let Ok(expected) = walk(peer, lines, read) {
        assert_eq!(found, expected);
    }
    // Whatever the client sent, the trusted proxies append its address and theirs.
    for appended in [
        format!("{parameter}{CLIENT}"),
        format!("{parameter}{CLIENT}, {parameter}10.0.0.2"),
    ] {
        let last = lines.last().map(HeaderValue::as_bytes).unwrap_or_default();
        let mut with_line = headers.clone();
        with_line.append(name, appended.parse().unwrap());
        assert_eq!(client_address(peer, &with_line, trusts), client);
        let joined = [last, b", ", appended.as_bytes()].concat();
        let joined = HeaderMap::from_iter([(
            name.parse().unwrap(),
            HeaderValue::from_bytes(&joined).unwrap(),
        )]);
        assert_eq!(client_address(peer, &joined, trusts), client);
    }
}

fn walk(peer: IpAddr, lines: &[HeaderValue], read: Reading) -> Result<IpAddr, ()> {
    let mut elements = Vec::new();
    for line in lines {
        elements.extend(str::from_utf8(line.as_bytes()).map_err(|_| ())?.split(','));
    }
    let mut address = peer;
    for element in elements.into_iter().rev().take(16) {
        let Some(next) = read(element.trim_matches([' ', '\t']))? else {
            break;
        };
        address = next;
        if !trusts(next) {
            break;
        }
    }
    Ok(address)
}

fn node(text: &str) -> Result<Option<IpAddr>, ()> {
    // Obfuscated ports, which std does not know, and zones, which only std knows.
    if text.contains(['_', '%']) {
        return Err(());
    }
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = text
        .parse()
        .or_else(|_| text.parse().map(|address: SocketAddr| address.ip()))
        .or_else(|_| bracketed.unwrap_or_default().parse().map(IpAddr::V6));
    Ok(address.ok().map(|address| address.to_canonical()))
}

fn forwarded_for(element: &str) -> Result<Option<IpAddr>, ()> {
    // Escapes, and quoted strings with separators.
    if element.contains('\\')
        || element
            .split('"')
            .skip(1)
            .step_by(2)
            .any(|it| it.contains([';', '=']))
    {
        return Err(());
    }
    let mut address = None;
    for pair in element.split(';') {
        let Some((name, value)) = pair.trim_matches([' ', '\t']).split_once('=') else {
            return Ok(None);
        };
        let is_token = |text: &str| {
            let is_char = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            !text.is_empty() && text.chars().all(is_char)
        };
        let quoted = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        let is_value = match quoted {
            Some(quoted) => !quoted.contains('"'),
            None => is_token(&value.replace(':', "")),
        };
        if !is_token(name) || !is_value {
            return Ok(None);
        }
        if name.eq_ignore_ascii_case("for") && address.replace(quoted.unwrap_or(value)).is_some() {
            return Ok(None);
        }
    }
    address.map_or(Ok(None), |text| node(text.trim_matches([' ', '\t'])))
}
