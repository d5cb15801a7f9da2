use url::Url;

use super::{
    refusal::{Refusal, refuse},
    validator::Validator,
};
use crate::config::{Issuer, Proxy, keys};

pub(super) fn check(validator: &mut Validator<'_>, issuer: Option<&Issuer>) -> Option<Proxy> {
    let proxy = validator.required(&keys::PROXY, proxy)?;
    let is_plain =
        |issuer: &Issuer| matches!(issuer, Issuer::Custom(url) if url.scheme() == "http");
    if matches!(proxy, Proxy::Url(_)) && issuer.is_some_and(is_plain) {
        return validator.refuse(
            &keys::PROXY,
            "is set, but the issuer is http on this machine: the proxy would read every secret",
            "Remove it, or let the issuer be https.",
        );
    }
    Some(proxy)
}

fn proxy(text: &str) -> Result<Proxy, Refusal> {
    match text {
        "system" => return Ok(Proxy::System),
        "direct" => return Ok(Proxy::Direct),
        _ => {}
    }
    let is_proxy = |url: &Url| {
        ["http", "https"].contains(&url.scheme())
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    if !Url::parse(text).is_ok_and(|url| is_proxy(&url)) {
        return refuse(
            "is not the address of a proxy",
            "Write `http://HOST:PORT`, with `USER:PASSWORD@` before the host if it asks for them, \
             or `direct`, or `system`.",
        );
    }
    Ok(Proxy::Url(text.into()))
}
