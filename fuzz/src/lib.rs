//! Second readings and a site for the fuzz targets.

use std::{cell::RefCell, sync::LazyLock};

use axum::{Router, body::Body, http::Request};
use axum_oten::{Config, MemoryStore, Oten};
use http::{HeaderValue, StatusCode, header};
use percent_encoding::percent_decode;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// A site whose provider is never called.
pub static CONFIG: LazyLock<Config> = LazyLock::new(|| config("https://app.example/callback"));

/// Returns a configuration of a site with this callback.
pub fn config(redirect_uri: &str) -> Config {
    let builder = Config::builder()
        .issuer("http://localhost:9")
        .client_id("client")
        .client_secret("0123456789abcdef0123456789abcdef")
        .redirect_uri(redirect_uri);
    builder.build().expect("the configuration is valid")
}

/// Reads a form or a query by the algorithm of the URL standard, section 5.1.
pub fn form(bytes: &[u8]) -> Vec<(String, String)> {
    let decode = |part: &[u8]| {
        let part: Vec<u8> = part
            .iter()
            .map(|&b| if b == b'+' { b' ' } else { b })
            .collect();
        percent_decode(&part).decode_utf8_lossy().into_owned()
    };
    let pairs = bytes
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (decode(&pair[..at]), decode(&pair[at + 1..])),
        None => (decode(pair), String::new()),
    });
    pairs.collect()
}

/// Returns the values of a parameter.
pub fn values<'a>(pairs: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let named = pairs.iter().filter(|(key, _)| key == name);
    named.map(|(_, value)| &**value).collect()
}

/// Whether a claim is a date for which this holds, in whole seconds.
pub fn is_date(claim: &Value, holds: impl Fn(f64) -> bool) -> bool {
    claim.as_f64().is_some_and(|seconds| holds(seconds.trunc()))
}

/// Sends a request of a guest to the site. A page contains nothing of the request as HTML.
pub fn visit(path_and_query: &str, cookies: &str) -> Option<StatusCode> {
    thread_local! {
        static SITE: RefCell<(Runtime, Router)> = {
            let oten = Oten::new(CONFIG.clone(), MemoryStore::default()).unwrap();
            let runtime = Builder::new_current_thread().enable_time().build().unwrap();
            RefCell::new((runtime, oten.routes().layer(oten.layer())))
        };
    }
    let request = Request::get(path_and_query)
        .header(header::COOKIE, HeaderValue::from_str(cookies).ok()?)
        .body(Body::empty())
        .ok()?;
    let (status, body) = SITE.with_borrow(|(runtime, site)| {
        runtime.block_on(async {
            let response = site.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, 1024 * 1024).await.unwrap();
            (parts.status, String::from_utf8(body.into()).unwrap())
        })
    });
    // No page has such an element of its own.
    assert!(!body.contains("<x"), "{body}");
    assert!(!status.is_server_error(), "{status}");
    Some(status)
}
