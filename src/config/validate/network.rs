use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::validator::Validator;
use crate::config::{
    keys,
    problem::{Invalid, invalid},
    settings::{NetworkSettings, TrustedProxies},
};

pub(super) fn validate(validator: &mut Validator<'_>) -> Option<NetworkSettings> {
    let trusted_proxies = trusted_proxies(validator);
    let listen = listen(validator);
    validator.partial.listen = listen;
    let metrics_listen = validator.optional(&keys::METRICS_LISTEN, address);
    if let Some((listen, metrics)) = listen.zip(metrics_listen)
        && overlap(listen, metrics)
    {
        validator.problem(
            &keys::METRICS_LISTEN,
            "is the public address of the site",
            "Choose a port other than that of `listen`.",
        );
    }
    Some(NetworkSettings {
        trusted_proxies: trusted_proxies?,
        listen: listen?,
        metrics_listen,
    })
}

pub(super) fn listen(validator: &mut Validator<'_>) -> Option<SocketAddr> {
    validator.required(&keys::LISTEN, address)
}

pub(super) fn trusted_proxies(validator: &mut Validator<'_>) -> Option<TrustedProxies> {
    validator.required(&keys::TRUSTED_PROXIES, |text| {
        let words = text.split(' ').filter(|word| !word.is_empty());
        words
            .map(network)
            .collect::<Result<_, _>>()
            .map(TrustedProxies)
    })
}

fn address(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().or_else(|_| {
        invalid(
            "is not an IP address with a port",
            "Write it like `127.0.0.1:3000` or `[::1]:3000`.",
        )
    })
}

/// Whether two listeners conflict: the unspecified address includes all others, and port 0 stands
/// for any free port.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_everywhere || one.ip() == other.ip())
}

/// Accepts an address or a network of proxies.
fn network(word: &str) -> Result<IpNet, Invalid> {
    let parsed = match word.parse::<IpAddr>() {
        Ok(address) => Some(address.to_canonical().into()),
        Err(_) => word.parse::<IpNet>().ok(),
    };
    let Some(network) = parsed else {
        return invalid(
            "contains a word that is neither an address nor a network",
            "Write addresses like `10.0.0.7` and networks like `10.0.0.0/8`, separated by spaces.",
        );
    };
    if network.prefix_len() == 0 {
        return invalid(
            "trusts the whole internet, so every client could choose the address it reports",
            "Name only the addresses of your proxies.",
        );
    }
    if network.trunc() != network {
        return invalid(
            format!("contains `{network}`, which is not a network"),
            format!(
                "Write `{}` for the network, or `{}` for the one address.",
                network.trunc(),
                network.addr()
            ),
        );
    }
    // The peer's address is compared in its IPv4 form, which this network does not contain.
    if network.addr().to_canonical() != network.addr() {
        return invalid(
            format!("contains `{network}`, an IPv4 network in IPv6 form"),
            "Write it as IPv4, like `10.0.0.0/8`.",
        );
    }
    Ok(network)
}
