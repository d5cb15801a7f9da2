//! An API that accepts Oten's access tokens and signs no user in: without a redirect URI, a store or a
//! secret.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_AUDIENCES=https://orders.example
//! $ cargo run --example bearer_api
//! $ curl -i -H "Authorization: Bearer $TOKEN" http://localhost:3000/orders
//! ```
//!
//! The emulator of the quick start issues tokens, with the client ID as their audience:
//!
//! ```console
//! $ export OTEN_ISSUER=http://127.0.0.1:9000 OTEN_AUDIENCES=emulated
//! $ TOKEN=$(curl -s http://127.0.0.1:9000/v1/oauth/token -d grant_type=client_credentials \
//!     -d client_id=emulated -d client_secret=emulator-secret-of-at-least-32-bytes \
//!     -d scope=orders:read | grep -o '"access_token":"[^"]*' | cut -d '"' -f 4)
//! ```

use std::error::Error;

use axum::{
    Router,
    routing::{get, post},
};
use axum_oten::{
    config::ApiConfig,
    web::{BearerToken, ResourceServer},
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let config = ApiConfig::from_env()?;
    let listener = TcpListener::bind(config.listen()).await?;
    let api = ResourceServer::new(config)?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app(&api)).await?;
    Ok(())
}

fn app(api: &ResourceServer) -> Router {
    let read = get(orders).route_layer(api.bearer().require_scope("orders:read"));
    let write = post(order).route_layer(api.bearer().require_scope("orders:write"));
    Router::new()
        .route("/orders", read.merge(write))
        .route("/health", get(async || "ok"))
}

async fn orders(token: BearerToken) -> String {
    format!("orders of {}", token.subject().unwrap_or("a service"))
}

async fn order(token: BearerToken) -> String {
    format!("ordered by {:?}", token.client_id())
}
