//! A single-page app without tokens in the browser: a static page asks `/session` who is signed in, and
//! calls an API through `/api`.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ cargo run --features emulator --example spa
//! ```

use std::error::Error;

use axum::{Router, response::Html, routing::get};
use axum_oten::{Config, MemoryStore, Oten, web::SetupError};
use tokio::net::TcpListener;

/// In an app of your own, `ServeDir` serves the files that the bundler writes.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Single-page app</title>
<h1 id="greeting">Loading</h1>
<a id="login" hidden>Sign in</a>
<form id="logout" method="post" hidden><button>Sign out</button></form>
<pre id="answer"></pre>
<script type="module">
const element = (id) => document.getElementById(id);
const response = await fetch("/session");
const session = await response.json();
if (response.ok) {
  element("greeting").textContent = `Hello ${session.user.name ?? session.user.sub}`;
  element("logout").action = session.logout_url;
  element("logout").hidden = false;
  const answer = await fetch("/api/userinfo");
  element("answer").textContent = await answer.text();
} else {
  const back = encodeURIComponent(location.pathname + location.search);
  element("greeting").textContent = "Hello guest";
  element("login").href = `${session.login_url}?return_to=${back}`;
  element("login").hidden = false;
}
</script>
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    // Oten's userinfo endpoint stands in for your API.
    let api = format!("{}/v1", oten.config().issuer());
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}", oten.config().origin());
    axum::serve(listener, app(&oten, &api)?).await?;
    Ok(())
}

fn app(oten: &Oten, api: &str) -> Result<Router, SetupError> {
    Ok(Router::new()
        .route("/", get(async || Html(PAGE)))
        .merge(oten.session_route(["sub", "name"]))
        .merge(oten.api_proxy("/api", api)?)
        .merge(oten.routes())
        .layer(oten.layer()))
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Request, Response, StatusCode, header},
    };
    use axum_oten::emulator::{EmulatedClient, Emulator};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn the_page_learns_of_the_user_and_calls_the_api() {
        let redirect_uri = "http://localhost:3000/callback";
        let client = EmulatedClient::public("spa").redirect_uri(redirect_uri);
        let emulator = Emulator::builder().client(client).start().await.unwrap();
        let config = Config::builder()
            .issuer(emulator.issuer())
            .client_id("spa")
            .public_client()
            .redirect_uri(redirect_uri)
            .build();
        let oten = Oten::new(config.unwrap(), MemoryStore::default()).unwrap();
        let app = app(&oten, &format!("{}/v1", emulator.issuer())).unwrap();

        for path in ["/session", "/api/userinfo"] {
            let guest = get(&app, path, "").await;
            assert_eq!(guest.status(), StatusCode::UNAUTHORIZED);
            assert!(text(guest).await.contains(r#""login_url":"/login""#));
        }

        let login = get(&app, "/login", "").await;
        let url = login.headers()[header::LOCATION].to_str().unwrap();
        let callback = emulator.approve(url, "alice").unwrap();
        let callback = &callback[url::Position::BeforePath..];
        let session = cookie(&get(&app, callback, &cookie(&login)).await);
        let user = text(get(&app, "/session", &session).await).await;
        assert!(user.contains(r#""sub":"alice""#), "{user}");
        let answer = text(get(&app, "/api/userinfo", &session).await).await;
        assert!(answer.contains("alice@example.com"), "{answer}");
    }

    async fn get(app: &Router, path: &str, cookie: &str) -> Response<Body> {
        let request = Request::get(path).header(header::COOKIE, cookie);
        let request = request.body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap()
    }

    async fn text(response: Response<Body>) -> String {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    fn cookie(response: &Response<Body>) -> String {
        let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
        set.split(';').next().unwrap().to_owned()
    }
}
