//! A single-page app without tokens in the browser: a static page asks `/session` who is signed in, and
//! calls an API through `/api`.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ cargo run --example spa
//! ```
//!
//! The page is `spa.html`.

use std::error::Error;

use axum::{Router, response::Html, routing::get};
use axum_oten::{Config, MemoryStore, Oten, web::SetupError};
use tokio::net::TcpListener;

/// In an app of your own, `ServeDir` serves the files that the bundler writes.
const PAGE: &str = include_str!("spa.html");

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
