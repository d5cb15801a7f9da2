use std::net::SocketAddr;

use super::{
    refusal::{Refusal, refuse},
    validator::Validator,
};
use crate::config::keys;

/// Where the program listens.
#[derive(Clone, Copy)]
pub(super) struct Listen {
    pub(super) site: SocketAddr,
    pub(super) metrics: Option<SocketAddr>,
}

pub(super) fn check(validator: &mut Validator<'_>) -> Option<Listen> {
    let site = validator.required(&keys::LISTEN, address);
    let metrics = validator.optional(&keys::METRICS_LISTEN, address);
    if site
        .zip(metrics)
        .is_some_and(|(site, metrics)| meet(site, metrics))
    {
        validator.refuse::<()>(
            &keys::METRICS_LISTEN,
            "is where the site listens, which is open to all",
            "Take another port than that of `listen`.",
        );
    }
    Some(Listen {
        site: site?,
        metrics,
    })
}

pub(super) fn address(text: &str) -> Result<SocketAddr, Refusal> {
    text.parse().or_else(|_| {
        refuse(
            "is not an IP address with a port",
            "Write it like `127.0.0.1:3000` or `[::1]:3000`.",
        )
    })
}

/// Whether two listeners cannot both have their address: the unspecified one is all of them. Port 0
/// is any that is free.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let is_everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_everywhere || one.ip() == other.ip())
}
