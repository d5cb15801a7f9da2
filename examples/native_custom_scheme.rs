//! The site of a native app: the app signs its user in through the system browser, and calls the site with a
//! credential of its own.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ export OTEN_NATIVE_LINKS="com.example.app:/callback http://127.0.0.1/callback"
//! $ cargo run --example native_custom_scheme
//! ```
//!
//! An app that has registered the scheme `com.example.app` opens `/native/start` in the browser; the guide's
//! page on native apps shows the requests. `native_loopback` is a command-line program that listens instead.

use std::error::Error;

use axum::{Router, routing::get};
use axum_oten::{Config, MemoryStore, Oten, User};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}", oten.config().origin());
    axum::serve(listener, app(&oten)).await?;
    Ok(())
}

fn app(oten: &Oten) -> Router {
    // The same route serves the site's pages, with a cookie, and the app, with its credential.
    let protected = Router::new()
        .route("/greeting", get(greeting))
        .route_layer(oten.require_login());
    Router::new()
        .merge(protected)
        .merge(oten.routes()) // with `/native/start`, `/native/confirm` and `/native/token`
        .layer(oten.layer())
}

async fn greeting(user: User) -> String {
    format!("Hello {}", user.name().unwrap_or(user.subject()))
}
