use std::net::IpAddr;

use ipnet::IpNet;

use super::refusal::{Refusal, refuse};

/// The rule for `trusted_proxies`: addresses and networks, separated by spaces.
pub(super) fn proxies(text: &str) -> Result<Vec<IpNet>, Refusal> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(network).collect()
}

fn network(word: &str) -> Result<IpNet, Refusal> {
    let parsed = match word.parse::<IpAddr>() {
        Ok(address) => Some(address.to_canonical().into()),
        Err(_) => word.parse::<IpNet>().ok(),
    };
    let Some(network) = parsed else {
        return refuse(
            "holds something that is neither an address nor a network",
            "Write addresses like `10.0.0.7` and networks like `10.0.0.0/8`, separated by spaces.",
        );
    };
    if network.prefix_len() == 0 {
        // Everybody is a proxy then, and the client is who the client says.
        return refuse(
            "trusts the whole internet",
            "Name the addresses of your proxies: everybody else would choose their own address.",
        );
    }
    if network.trunc() != network {
        return refuse(
            format!("holds `{network}`, which is no network"),
            format!(
                "Write `{}` for the network, or `{}` for the one address.",
                network.trunc(),
                network.addr()
            ),
        );
    }
    // A peer's address is compared in its IPv4 form, which this network would not meet.
    if is_mapped(network.addr()) {
        return refuse(
            format!("holds `{network}`, an IPv4 network in IPv6 spelling"),
            "Write it as IPv4, like `10.0.0.0/8`.",
        );
    }
    Ok(network)
}

fn is_mapped(address: IpAddr) -> bool {
    address.to_canonical() != address
}
