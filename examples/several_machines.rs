//! Several instances of an app behind a load balancer, with sessions in Redis.
//!
//! A user who signs in at one instance is signed in at all of them. For each session, one instance at a
//! time refreshes the tokens.
//!
//! ```sh
//! export OTEN_SESSION_STORE=redis://127.0.0.1:6379
//! export OTEN_SESSION_KEY=$(openssl rand -base64 32)   # the same on every machine
//! export OTEN_INSTANCES=2                              # divides Oten's limit of token requests
//! export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! cargo run --example several_machines --features redis &
//! OTEN_LISTEN=127.0.0.1:3001 cargo run --example several_machines --features redis
//! ```
//!
//! Dependencies besides those of the quick start: `axum-oten` with the feature `redis`, and `tracing`.

use std::error::Error;

use axum::{Router, routing::get};
use axum_oten::{Config, Oten, User, store};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let config = Config::from_env()?;
    // Succeeds even if Redis is down; requests get 503 until it is up.
    let store = store::open(config.session_store()).await?;
    let oten = Oten::new(config, store)?;
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}/account", oten.config().origin());
    axum::serve(listener, app(&oten))
        .with_graceful_shutdown(shutdown_signal())
        .await?;
    // Finish token refreshes, so that a restart does not force users to sign in again.
    oten.shutdown().await;
    Ok(())
}

async fn shutdown_signal() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "cannot listen for Ctrl-C");
    }
}

fn app(oten: &Oten) -> Router {
    let account = Router::new()
        .route("/account", get(account))
        .route_layer(oten.require_login());
    Router::new()
        .merge(account)
        .merge(oten.routes())
        .layer(oten.layer())
}

async fn account(user: User) -> String {
    format!(
        "{}, on every machine",
        user.name().unwrap_or(user.subject())
    )
}
