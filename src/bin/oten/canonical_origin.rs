use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header::HOST},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
};
use url::Url;

use crate::site::Site;

/// The name of this machine that browsers are mostly given.
const LOCALHOST: &str = "localhost";

/// What machines ask for, by whatever name they know this one.
const FOR_MACHINES: [&str; 2] = ["/healthz", "/readyz"];

/// Lets an app be seen at one origin only.
///
/// A sign-in comes back to one origin, and a cookie of `localhost` is not sent to `127.0.0.1`: who
/// came by the other name is sent over. A page of somebody else's that made its own name lead to
/// this machine (DNS rebinding), and a port published under another number, get words instead.
pub(crate) fn only_at(home: Url, site: &Site, app: Router) -> Router {
    let for_machines = FOR_MACHINES.map(|path| site.path(path));
    let door = Arc::new(Door { home, for_machines });
    app.layer(middleware::from_fn_with_state(door, pass))
}

struct Door {
    home: Url,
    for_machines: [String; FOR_MACHINES.len()],
}

async fn pass(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let came_to = request.headers().get(HOST).and_then(came_to);
    let is_navigation = matches!(*request.method(), Method::GET | Method::HEAD);
    match came_to {
        Some(url) if url.origin() == door.home.origin() => next.run(request).await,
        _ if door.for_machines.iter().any(|known| known == path) => next.run(request).await,
        Some(url) if is_navigation && door.is_by_its_other_name(&url) => {
            let mut here = door.home.clone();
            here.set_path(path);
            here.set_query(request.uri().query());
            Redirect::temporary(here.as_str()).into_response()
        }
        _ => (StatusCode::MISDIRECTED_REQUEST, door.words()).into_response(),
    }
}

impl Door {
    fn is_by_its_other_name(&self, url: &Url) -> bool {
        url.host_str() == Some(LOCALHOST)
            && url.port_or_known_default() == self.home.port_or_known_default()
    }

    fn words(&self) -> String {
        let port = self.home.port_or_known_default().unwrap_or_default();
        format!(
            "The demo answers browsers on its own machine at {} only.\n\
             A container's port is published under its own number: --publish 127.0.0.1:{port}:{port}\n",
            self.home
        )
    }
}

/// The URL of the site as the browser wrote it.
fn came_to(host: &HeaderValue) -> Option<Url> {
    let host = host.to_str().ok()?;
    // Nothing but a host and a port.
    if host.contains(['/', '\\', '?', '#', '@']) {
        return None;
    }
    Url::parse(&format!("http://{host}/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_host_and_nothing_more() {
        let came_to = |host: &str| came_to(&HeaderValue::from_str(host).unwrap());
        for (host, url) in [
            ("localhost:3000", "http://localhost:3000/"),
            ("127.0.0.1", "http://127.0.0.1/"),
            ("127.0.0.1:80", "http://127.0.0.1/"),
            ("[::1]:3000", "http://[::1]:3000/"),
        ] {
            assert_eq!(came_to(host).unwrap().as_str(), url);
        }
        for host in [
            "",
            ":3000",
            "a@localhost",
            "localhost/",
            "localhost:port",
            "a b",
        ] {
            assert_eq!(came_to(host), None, "{host}");
        }
    }
}
