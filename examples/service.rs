//! A service that calls an API in its own name: client credentials, without users and sessions.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export ORDERS_API=http://127.0.0.1:3001
//! $ cargo run --example service
//! $ curl -i http://localhost:3000/report
//! ```
//!
//! The example `bearer_api` can be the API, with the client ID as its audience:
//!
//! ```console
//! $ OTEN_AUDIENCES=$OTEN_CLIENT_ID OTEN_LISTEN=127.0.0.1:3001 cargo run --example bearer_api
//! ```

use std::{env, error::Error};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Request, Response},
    routing::get,
};
use axum_oten::{
    config::ApiConfig,
    web::{ApiCallError, ApiClient, ClientCredentials, ResourceServer},
};
use tokio::net::TcpListener;

#[derive(Clone)]
struct Orders {
    origin: String,
    client: ApiClient,
    credentials: ClientCredentials,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let config = ApiConfig::from_env()?;
    let listener = TcpListener::bind(config.listen()).await?;
    let oten = ResourceServer::new(config)?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app(&oten, env::var("ORDERS_API")?)?).await?;
    Ok(())
}

fn app(oten: &ResourceServer, origin: String) -> Result<Router, Box<dyn Error>> {
    let orders = Orders {
        // Created once: clones share the token and the connections.
        client: oten.api_client([&origin])?,
        credentials: oten.client_credentials(["orders:read"])?,
        origin,
    };
    Ok(Router::new()
        .route("/report", get(report))
        .with_state(orders))
}

/// Passes the API's answer on. A real service would read it.
async fn report(State(orders): State<Orders>) -> Result<Response<Body>, ApiCallError> {
    let request = Request::get(format!("{}/orders", orders.origin));
    let request = request.body(Bytes::new()).map_err(|_| ApiCallError::Url)?;
    orders.client.send(&orders.credentials, request).await
}
