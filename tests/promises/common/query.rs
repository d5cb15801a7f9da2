//! Reading and forging of URLs that pass through the browser.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use url::{Url, form_urlencoded};

/// The parameters of an authorization request, plain or in a request object.
pub fn parameters(authorization_url: &Url) -> BTreeMap<String, Value> {
    let mut query: BTreeMap<String, String> =
        authorization_url.query_pairs().into_owned().collect();
    match query.remove("request") {
        Some(request) => serde_json::from_slice(&jws_part(&request, 1)).unwrap(),
        None => query
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
    }
}

/// A decoded part of a JWS: 0 is the header, 1 the claims.
pub fn jws_part(jws: &str, part: usize) -> Vec<u8> {
    let part = jws.split('.').nth(part).unwrap();
    BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()
}

/// A path with a query parameter set.
pub fn with_parameter(path: &str, name: &str, value: &str) -> String {
    let path = without_parameter(path, name);
    let pair = form_urlencoded::Serializer::new(String::new())
        .append_pair(name, value)
        .finish();
    format!("{path}&{pair}")
}

/// A path with a query parameter removed.
pub fn without_parameter(path: &str, name: &str) -> String {
    let (path, query) = path.split_once('?').unwrap();
    let start = format!("{name}=");
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.starts_with(&start))
        .collect();
    format!("{path}?{}", kept.join("&"))
}
