//! Second readings and a site for the fuzz targets.

use std::{
    cell::RefCell,
    io::{Read, Write},
    net::TcpListener,
    sync::LazyLock,
    thread,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
};
use axum_oten::{Config, MemoryStore, Oten};
use http::{HeaderValue, StatusCode, header};
use percent_encoding::percent_decode;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;
use url::Url;

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
    let status = get(path_and_query, cookies)?.status();
    assert!(!status.is_server_error(), "{status}");
    Some(status)
}

/// Starts a login at the site; returns its `state` and the cookies of the browser.
pub fn start_login() -> (String, String) {
    let response = get("/login", "").unwrap();
    let text = |name| response.headers()[name].to_str().unwrap();
    let url = Url::parse(text(header::LOCATION)).unwrap();
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
    let (cookie, _) = text(header::SET_COOKIE).split_once(';').unwrap();
    (state.into_owned(), cookie.to_owned())
}

/// Sends a request to a site whose client is public, so that the `state` is in the URL of a login. A page
/// contains nothing of the request as HTML.
pub fn get(path_and_query: &str, cookies: &str) -> Option<Response<String>> {
    thread_local! {
        static SITE: RefCell<(Runtime, Router)> = {
            let config = Config::builder()
                .issuer(&*ISSUER)
                .client_id("client")
                .public_client()
                .redirect_uri("https://app.example/callback");
            let store = MemoryStore::with_capacity(64);
            let oten = Oten::new(config.build().unwrap(), store).unwrap();
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            RefCell::new((runtime, oten.routes().layer(oten.layer())))
        };
    }
    let request = Request::get(path_and_query)
        // Without it, errors are JSON.
        .header(header::ACCEPT, "text/html")
        .header(header::COOKIE, HeaderValue::from_str(cookies).ok()?)
        .body(Body::empty())
        .ok()?;
    let response = SITE.with_borrow(|(runtime, site)| {
        runtime.block_on(async {
            let response = site.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, 1024 * 1024).await.unwrap();
            Response::from_parts(parts, String::from_utf8(body.into()).unwrap())
        })
    });
    // No page has such an element of its own.
    assert!(!response.body().contains("<x"), "{}", response.body());
    Some(response)
}

/// The issuer of the site's provider, which answers each request with its discovery document.
pub static ISSUER: LazyLock<String> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
    });
    let document = document.to_string();
    let response = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{document}",
        document.len()
    );
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(response.as_bytes());
        }
    });
    issuer
});
