use axum::{BoxError, Router, error_handling::HandleErrorLayer, response::IntoResponse, routing::get};
use axum_oidc::{
    EmptyAdditionalClaims, OidcAuthLayer, OidcClaims, OidcLoginLayer, error::MiddlewareError,
};
use tower::ServiceBuilder;
use tower_sessions::{MemoryStore, SessionManagerLayer};

async fn failed(error: MiddlewareError) -> impl IntoResponse {
    error.into_response()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let variable = |name| std::env::var(name);
    let client = OidcAuthLayer::<EmptyAdditionalClaims>::discover_client(
        variable("URL")?.parse()?,
        variable("ISSUER")?,
        variable("CLIENT_ID")?,
        variable("CLIENT_SECRET").ok(),
        vec!["openid".to_owned()],
    );
    let login = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(failed))
        .layer(OidcLoginLayer::<EmptyAdditionalClaims>::new());
    let auth = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(failed))
        .layer(client.await?);
    let subject = async |claims: OidcClaims<EmptyAdditionalClaims>| claims.subject().to_string();
    let app = Router::new()
        .route("/", get(subject))
        .layer(login)
        .layer(auth)
        .layer(SessionManagerLayer::new(MemoryStore::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
