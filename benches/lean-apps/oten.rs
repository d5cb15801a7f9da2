use axum::{Router, routing::get};
use axum_oten::{Config, MemoryStore, Oten, User};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    let app = Router::new()
        .route("/", get(async |user: User| user.subject().to_owned()))
        .route_layer(oten.require_login())
        .merge(oten.routes())
        .layer(oten.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
