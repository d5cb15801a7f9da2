use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header::HOST},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
};
use url::Url;

use super::{HEALTHZ, READYZ, Site};

/// Restricts an app to the origin of the site.
///
/// The callback leads to one origin, and a cookie of `localhost` is not sent to `127.0.0.1`. A
/// browser that uses `localhost` is redirected. Other hosts are rejected: a page could point its
/// own name to this machine (DNS rebinding), or a container's port could have another number.
pub(crate) fn canonical_origin(site: &Arc<Site>, app: Router) -> Router {
    app.layer(middleware::from_fn_with_state(Arc::clone(site), check_host))
}

async fn check_host(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let requested = request.headers().get(HOST).and_then(parse_host);
    let is_navigation = matches!(*request.method(), Method::GET | Method::HEAD);
    // Supervisors use any name of the machine.
    let is_probe = [HEALTHZ, READYZ]
        .iter()
        .any(|probe| site.path(probe) == path);
    let mut home = site.url();
    match requested {
        _ if is_probe => next.run(request).await,
        Some(url) if url.origin() == home.origin() => next.run(request).await,
        Some(url) if is_navigation && is_localhost(&url, &home) => {
            home.set_path(path);
            home.set_query(request.uri().query());
            Redirect::temporary(home.as_str()).into_response()
        }
        _ => (StatusCode::MISDIRECTED_REQUEST, explanation(&home)).into_response(),
    }
}

/// Whether the URL has the name `localhost` and the port of `home`.
fn is_localhost(url: &Url, home: &Url) -> bool {
    url.host_str() == Some("localhost")
        && url.port_or_known_default() == home.port_or_known_default()
}

fn explanation(home: &Url) -> String {
    let port = home.port_or_known_default().unwrap_or_default();
    format!(
        "The demo is available at {home} only, to browsers on its own machine.\n\
         Publish a container's port under the same number: --publish 127.0.0.1:{port}:{port}\n"
    )
}

/// Parses a `Host` header, which must contain a host and a port only.
fn parse_host(host: &HeaderValue) -> Option<Url> {
    let host = host.to_str().ok()?;
    if host.contains(['/', '\\', '?', '#', '@']) {
        return None;
    }
    Url::parse(&format!("http://{host}/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_header_contains_a_host_and_a_port_only() {
        let parse = |host: &str| parse_host(&HeaderValue::from_str(host).unwrap());
        for (host, url) in [
            ("localhost:3000", "http://localhost:3000/"),
            ("127.0.0.1", "http://127.0.0.1/"),
            ("127.0.0.1:80", "http://127.0.0.1/"),
            ("[::1]:3000", "http://[::1]:3000/"),
        ] {
            assert_eq!(parse(host).unwrap().as_str(), url);
        }
        for host in [
            "",
            ":3000",
            "a@localhost",
            "localhost/",
            "localhost:port",
            "a b",
        ] {
            assert_eq!(parse(host), None, "{host}");
        }
    }
}
