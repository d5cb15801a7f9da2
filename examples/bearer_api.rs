//! An API that accepts Oten's access tokens and signs no user in: without a redirect URI, a store or a
//! secret.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_AUDIENCES=https://orders.example
//! $ cargo run --features emulator --example bearer_api
//! $ curl -i -H "Authorization: Bearer $TOKEN" http://localhost:3000/orders
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
    let api = ResourceServer::new(ApiConfig::from_env()?)?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
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

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Method, Request, StatusCode},
    };
    use axum_oten::{
        Config,
        emulator::{EmulatedClient, Emulator},
    };
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn scopes_decide() -> Result<(), Box<dyn Error>> {
        let client = EmulatedClient::public("shop").redirect_uri("http://localhost:3000/callback");
        let emulator = Emulator::builder().client(client).start().await?;
        let config = Config::builder()
            .issuer(emulator.issuer())
            .audiences(["shop"])
            .build_api()?;
        let app = app(&ResourceServer::new(config)?);
        let token = emulator.access_token("shop", "alice", "orders:read")?;
        for (method, token, expected) in [
            (Method::GET, Some(&token), StatusCode::OK),
            (Method::POST, Some(&token), StatusCode::FORBIDDEN),
            (Method::GET, None, StatusCode::UNAUTHORIZED),
        ] {
            let mut request = Request::builder().method(method).uri("/orders");
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = app.clone().oneshot(request.body(Body::empty())?).await?;
            assert_eq!(response.status(), expected);
        }
        Ok(())
    }
}
