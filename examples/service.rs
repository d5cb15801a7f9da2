//! A service that calls an API in its own name: client credentials, without users and sessions.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=… OTEN_CLIENT_SECRET=…
//! $ export ORDERS_API=https://orders.example
//! $ cargo run --features emulator --example service
//! $ curl -i http://localhost:3000/report
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
    let oten = ResourceServer::new(ApiConfig::from_env()?)?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
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

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum_oten::{
        Config,
        emulator::{EmulatedClient, Emulator, Endpoint},
        web::BearerToken,
    };
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn the_service_calls_the_api_with_one_token() -> Result<(), Box<dyn Error>> {
        let secret = "a-secret-of-at-least-32-bytes-as-Oten-makes-them";
        let client = EmulatedClient::service("reports", secret);
        let emulator = Emulator::builder().client(client).start().await?;

        // The API, which accepts tokens of this client.
        let config = Config::builder().issuer(emulator.issuer());
        let api = ResourceServer::new(config.clone().audiences(["reports"]).build_api()?)?;
        let orders = async |token: BearerToken| format!("orders for {:?}", token.client_id());
        let api = Router::new()
            .route("/orders", get(orders))
            .route_layer(api.bearer().require_scope("orders:read"));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, api).await });

        let config = config.client_id("reports").client_secret(secret);
        let app = app(&ResourceServer::new(config.build_api()?)?, origin)?;
        for _ in 0..3 {
            let request = Request::get("/report").body(Body::empty())?;
            let response = app.clone().oneshot(request).await?;
            assert_eq!(response.status(), StatusCode::OK);
            let body = axum::body::to_bytes(response.into_body(), 1024).await?;
            assert_eq!(body, r#"orders for Some("reports")"#);
        }
        assert_eq!(emulator.calls(Endpoint::Token), 1);
        Ok(())
    }
}
