//! A single-page app without tokens in the browser: a static page asks `/session` who is signed in, and
//! calls an API through `/api`.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ cargo run --example spa
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
