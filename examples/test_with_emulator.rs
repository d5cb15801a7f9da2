//! Tests of an app's sign-in with the emulator: a sign-in, a cancelled sign-in, an ID token for another
//! client, and a provider that is down. They need no network and no account.
//!
//! ```console
//! $ cargo test --features emulator --example test_with_emulator
//! ```
//!
//! Dependencies of the tests: `axum-oten` with the feature `emulator`, `http-body-util`, `serde_json`, and `tower`
//! with the feature `util`.

use std::error::Error;

use axum::{Router, routing::get};
use axum_oten::{Config, MemoryStore, Oten, User};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    let listener = TcpListener::bind(oten.config().listen()).await?;
    axum::serve(listener, app(&oten)).await?;
    Ok(())
}

/// The app under test.
fn app(oten: &Oten) -> Router {
    Router::new()
        .route(
            "/orders",
            get(async |user: User| format!("Orders of {}", user.subject())),
        )
        .merge(oten.routes())
        .layer(oten.layer())
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Request, Response, StatusCode, header},
    };
    use axum_oten::emulator::{Deviation, EmulatedClient, Emulator, Endpoint, Fault};
    use http_body_util::BodyExt;
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;

    const REDIRECT_URI: &str = "http://localhost:3000/callback";
    const SECRET: &str = "a client secret of 32 bytes or more";

    #[tokio::test]
    async fn a_user_returns_to_the_requested_page_after_sign_in() {
        let site = Site::start().await;
        let guest = site.get("/orders", "").await;
        let (url, attempt) = site.login(location(&guest)).await;
        let callback = site.emulator.approve(&url, "alice").unwrap();
        let response = site.get(callback.as_str(), &attempt).await;
        assert_eq!(location(&response), "/orders");
        let orders = site.get("/orders", &cookie(&response)).await;
        let body = orders.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "Orders of alice");
    }

    #[tokio::test]
    async fn a_user_who_cancels_sees_a_page_and_stays_a_guest() {
        let site = Site::start().await;
        let (url, attempt) = site.login("/login").await;
        let callback = site.emulator.deny(&url).unwrap();
        let response = site.get(callback.as_str(), &attempt).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key(header::SET_COOKIE));
    }

    #[tokio::test]
    async fn an_id_token_for_another_client_is_rejected() {
        let site = Site::start().await;
        site.emulator
            .deviate(Deviation::Claim("aud", json!("another-site")));
        let (url, attempt) = site.login("/login").await;
        let callback = site.emulator.approve(&url, "alice").unwrap();
        let response = site.get(callback.as_str(), &attempt).await;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert!(!response.headers().contains_key(header::SET_COOKIE));
    }

    #[tokio::test]
    async fn the_login_route_answers_503_while_the_provider_is_down() {
        let site = Site::start().await;
        site.emulator.fault(Endpoint::Discovery, Fault::Status(503));
        let response = site.get("/login", "").await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!response.headers().contains_key(header::SET_COOKIE));
    }

    struct Site {
        emulator: Emulator,
        app: Router,
    }

    impl Site {
        async fn start() -> Self {
            let client = EmulatedClient::confidential("shop", SECRET).redirect_uri(REDIRECT_URI);
            let emulator = Emulator::builder().client(client).start().await.unwrap();
            let config = Config::builder()
                .issuer(emulator.issuer())
                .client_id("shop")
                .client_secret(SECRET)
                .redirect_uri(REDIRECT_URI);
            let oten = Oten::new(config.build().unwrap(), MemoryStore::default()).unwrap();
            let app = app(&oten);
            Self { emulator, app }
        }

        async fn get(&self, url: &str, cookie: &str) -> Response<Body> {
            let request = Request::get(url)
                .header(header::ACCEPT, "text/html")
                .header(header::COOKIE, cookie);
            let request = request.body(Body::empty()).unwrap();
            self.app.clone().oneshot(request).await.unwrap()
        }

        /// Returns the authorization URL and the cookie of the login attempt.
        async fn login(&self, path: &str) -> (String, String) {
            let response = self.get(path, "").await;
            (location(&response).to_owned(), cookie(&response))
        }
    }

    fn location(response: &Response<Body>) -> &str {
        response.headers()[header::LOCATION].to_str().unwrap()
    }

    fn cookie(response: &Response<Body>) -> String {
        let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
        set.split(';').next().unwrap().to_owned()
    }
}
