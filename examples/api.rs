//! A JSON API for the site's own pages. Guests get 401 with problem details (RFC 9457) and the URL of
//! the login route. A handler calls another API on behalf of the user.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ cargo run --features emulator --example api
//! $ curl -i http://localhost:3000/api/me
//! ```

use std::error::Error;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    routing::get,
};
use axum_oten::{AccessToken, Config, MemoryStore, Oten, User};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    // Oten's userinfo endpoint stands in for your API.
    let upstream = Upstream {
        client: reqwest::Client::new(),
        url: format!("{}/v1/userinfo", oten.config().issuer()),
    };
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}/api/me", oten.config().origin());
    axum::serve(listener, app(&oten, upstream)).await?;
    Ok(())
}

/// The API to call on behalf of users.
#[derive(Clone)]
struct Upstream {
    client: reqwest::Client,
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
) -> Result<String, StatusCode> {
    let request = upstream
        .client
        .get(&upstream.url)
        .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
    let response = request
        .send()
        .await
        .and_then(reqwest::Response::error_for_status);
    let text = response.map_err(|_| StatusCode::BAD_GATEWAY)?.text().await;
    text.map_err(|_| StatusCode::BAD_GATEWAY)
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Request, Response},
    };
    use axum_oten::emulator::{EmulatedClient, Emulator};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn guests_get_401_and_users_get_details_from_upstream() {
        let redirect_uri = "http://localhost:3000/callback";
        let client = EmulatedClient::public("api").redirect_uri(redirect_uri);
        let emulator = Emulator::builder().client(client).start().await.unwrap();
        let config = Config::builder()
            .issuer(emulator.issuer())
            .client_id("api")
            .public_client()
            .redirect_uri(redirect_uri)
            .build();
        let oten = Oten::new(config.unwrap(), MemoryStore::default()).unwrap();
        let upstream = Upstream {
            client: reqwest::Client::new(),
            url: format!("{}/v1/userinfo", emulator.issuer()),
        };
        let app = app(&oten, upstream);

        let guest = get(&app, "/api/me", "").await;
        assert_eq!(guest.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            guest.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        assert!(text(guest).await.contains(r#""login_url":"/login""#));

        let login = get(&app, "/login", "").await;
        let url = login.headers()[header::LOCATION].to_str().unwrap();
        let callback = emulator.approve(url, "alice").unwrap();
        let callback = &callback[url::Position::BeforePath..];
        let session = cookie(&get(&app, callback, &cookie(&login)).await);
        assert_eq!(text(get(&app, "/api/me", &session).await).await, "alice");
        let details = text(get(&app, "/api/details", &session).await).await;
        assert!(details.contains("alice@example.com"), "{details}");
    }

    async fn get(app: &Router, path: &str, cookie: &str) -> Response<Body> {
        let request = Request::get(path).header(header::COOKIE, cookie);
        let request = request.body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap()
    }

    async fn text(response: Response<Body>) -> String {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    fn cookie(response: &Response<Body>) -> String {
        let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
        set.split(';').next().unwrap().to_owned()
    }
}
