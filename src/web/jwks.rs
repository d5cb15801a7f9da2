use axum::{
    Router,
    body::Bytes,
    http::{HeaderName, header},
    routing::get,
};
use serde_json::{Value, json};

use super::Oten;
use crate::{config::route, jose::Ed25519PublicKey};

/// RFC 7517 section 8.5.1 has `application/jwk-set+json`; this is what clients of every age take, and
/// what providers send. A new key must be published for longer than `max-age` before it signs.
const HEADERS: [(HeaderName, &str); 2] = [
    (header::CONTENT_TYPE, "application/json"),
    (header::CACHE_CONTROL, "public, max-age=300"),
];

impl Oten {
    /// The route `GET /.well-known/jwks.json`, which publishes the client's public keys (RFC 7517
    /// section 5), for a provider that fetches them instead of having one registered. An empty set
    /// unless requests are signed with an Ed25519 key.
    ///
    /// It asks for no session and needs no layer. Caches may keep the answer for 5 minutes.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}};
    /// use axum_oten::{Config, MemoryStore, Oten, Secret, config::Environment, jose::Ed25519KeyPair};
    /// use tower::ServiceExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = Config::builder()
    ///     .environment(Environment::Sandbox)
    ///     .client_id("my-site")
    ///     .client_secret(Secret::random())
    ///     .redirect_uri("http://localhost:3000/callback")
    ///     .jar_eddsa(Ed25519KeyPair::generate())
    ///     .build()?;
    /// let oten = Oten::new(config, MemoryStore::default())?;
    /// let app: Router = oten.routes().layer(oten.layer()).merge(oten.jwks_route());
    ///
    /// let read = Request::get("/.well-known/jwks.json").body(Body::empty())?;
    /// assert_eq!(app.clone().oneshot(read).await?.status(), StatusCode::OK);
    /// let write = Request::post("/.well-known/jwks.json").body(Body::empty())?;
    /// assert_eq!(app.oneshot(write).await?.status(), StatusCode::METHOD_NOT_ALLOWED);
    /// # Ok(()) }
    /// ```
    pub fn jwks_route<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let keys = self.config().client().published_keys();
        let keys: Vec<Value> = keys.iter().map(Ed25519PublicKey::to_jwk).collect();
        let document = Bytes::from(json!({ "keys": keys }).to_string());
        Router::new().route(route::JWKS, get(async move || (HEADERS, document)))
    }
}
