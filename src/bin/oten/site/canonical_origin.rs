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

/// Restricts an app to the origin of `home`.
///
/// The callback leads to one origin, and a cookie of `localhost` is not sent to `127.0.0.1`. A
/// browser that uses `localhost` is redirected. Other hosts are rejected: a page could point its
/// own name to this machine (DNS rebinding), or a container's port could have another number.
pub(crate) fn canonical_origin(home: Url, site: &Site, app: Router) -> Router {
    // Supervisors use any name of the machine.
    let probes = [HEALTHZ, READYZ].map(|path| site.path(path));
    let origin = Arc::new(CanonicalOrigin { home, probes });
    app.layer(middleware::from_fn_with_state(origin, check_host))
}

struct CanonicalOrigin {
    home: Url,
    probes: [String; 2],
}

async fn check_host(
    State(origin): State<Arc<CanonicalOrigin>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let requested = request.headers().get(HOST).and_then(parse_host);
    let is_navigation = matches!(*request.method(), Method::GET | Method::HEAD);
    match requested {
        Some(url) if url.origin() == origin.home.origin() => next.run(request).await,
        _ if origin.probes.iter().any(|probe| probe == path) => next.run(request).await,
        Some(url) if is_navigation && origin.is_localhost(&url) => {
            let mut target = origin.home.clone();
            target.set_path(path);
            target.set_query(request.uri().query());
            Redirect::temporary(target.as_str()).into_response()
        }
        _ => (StatusCode::MISDIRECTED_REQUEST, origin.explanation()).into_response(),
    }
}

impl CanonicalOrigin {
    fn is_localhost(&self, url: &Url) -> bool {
        url.host_str() == Some("localhost")
            && url.port_or_known_default() == self.home.port_or_known_default()
    }

    fn explanation(&self) -> String {
        let port = self.home.port_or_known_default().unwrap_or_default();
        format!(
            "The demo is available at {} only, to browsers on its own machine.\n\
             Publish a container's port under the same number: --publish 127.0.0.1:{port}:{port}\n",
            self.home
        )
    }
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
