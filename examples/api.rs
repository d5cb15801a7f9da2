//! A JSON API for the site's own pages. Guests get 401 with problem details (RFC 9457) and the URL of
//! the login route. A handler calls another API on behalf of the user.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ cargo run --example api
//! $ curl -i http://localhost:3000/api/me
//! ```

use std::error::Error;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Request, Response},
    routing::get,
};
use axum_oten::{
    AccessToken, Config, MemoryStore, Oten, User,
    web::{ApiCallError, ApiClient},
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    // Oten's userinfo endpoint stands in for your API.
    let origin = oten.config().issuer().to_string();
    let upstream = Upstream {
        client: oten.api_client([&origin])?,
        url: format!("{origin}/v1/userinfo"),
    };
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}/api/me", oten.config().origin());
    axum::serve(listener, app(&oten, upstream)).await?;
    Ok(())
}

/// The API to call on behalf of users. The client sends their tokens to its origin only.
#[derive(Clone)]
struct Upstream {
    client: ApiClient,
    url: String,
}

fn app(oten: &Oten, upstream: Upstream) -> Router {
    let api = Router::new()
        .route("/me", get(me))
        .route("/details", get(details))
        .route_layer(oten.require_login());
    Router::new()
        .nest("/api", api)
        .merge(oten.routes())
        .layer(oten.layer())
        .with_state(upstream)
}

async fn me(user: User) -> String {
    user.subject().to_owned()
}

/// The extractor rejects expired tokens, so `token` is valid for the call.
async fn details(
    token: AccessToken,
    State(upstream): State<Upstream>,
) -> Result<Response<Body>, ApiCallError> {
    let request = Request::get(&upstream.url);
    let request = request.body(Bytes::new()).map_err(|_| ApiCallError::Url)?;
    upstream.client.send(&token, request).await
}
