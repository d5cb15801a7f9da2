//! Several instances of an app behind a load balancer, with sessions in Redis.
//!
//! A user who signs in at one instance is signed in at all of them. For each session, one instance at a
//! time refreshes the tokens.
//!
//! ```sh
//! export OTEN_SESSION_STORE=redis://127.0.0.1:6379
//! export OTEN_SESSION_KEY=$(openssl rand -base64 32)   # the same on every machine
//! export OTEN_INSTANCES=2                              # divides Oten's limit of token requests
//! export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=… OTEN_CLIENT_SECRET=…
//! export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! cargo run --example several_machines --features emulator,redis
//! OTEN_LISTEN=127.0.0.1:3001 cargo run --example several_machines --features emulator,redis
//! ```

use std::error::Error;

use axum::{Router, routing::get};
use axum_oten::{Config, Oten, User, store};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let config = Config::from_env()?;
    // Succeeds even if Redis is down; requests get 503 until it is up.
    let store = store::open(config.session_store()).await?;
    let oten = Oten::new(config, store)?;
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}/account", oten.config().origin());
    axum::serve(listener, app(&oten))
        .with_graceful_shutdown(shutdown_signal())
        .await?;
    // Finish token refreshes, so that a restart does not force users to sign in again.
    oten.shutdown().await;
    Ok(())
}

async fn shutdown_signal() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "cannot listen for Ctrl-C");
    }
}

fn app(oten: &Oten) -> Router {
    let account = Router::new()
        .route("/account", get(account))
        .route_layer(oten.require_login());
    Router::new()
        .merge(account)
        .merge(oten.routes())
        .layer(oten.layer())
}

async fn account(user: User) -> String {
    format!(
        "{}, on every machine",
        user.name().unwrap_or(user.subject())
    )
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Request, StatusCode},
    };
    use axum_oten::{
        MemoryStore,
        emulator::{EmulatedClient, Emulator},
    };
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_user_who_signs_in_at_one_instance_is_signed_in_at_the_other() {
        const REDIRECT_URI: &str = "http://localhost:3000/callback";
        let client = EmulatedClient::public("site").redirect_uri(REDIRECT_URI);
        let emulator = Emulator::builder().client(client).start().await.unwrap();
        let config = Config::builder()
            .issuer(emulator.issuer())
            .client_id("site")
            .public_client()
            .redirect_uri(REDIRECT_URI)
            .build()
            .unwrap();
        // Clones of a memory store share their records, like connections to one Redis.
        let store = MemoryStore::default();
        let [first, second] = [0, 1].map(|_| Oten::new(config.clone(), store.clone()).unwrap());
        let get = |path: &str, cookie: &str| {
            let request = Request::get(path).header("cookie", cookie);
            request.body(Body::empty()).unwrap()
        };
        let cookie = |response: &axum::response::Response| {
            let set = response.headers()["set-cookie"].to_str().unwrap();
            set.split(';').next().unwrap().to_owned()
        };

        let login = app(&first).oneshot(get("/login", "")).await.unwrap();
        let location = login.headers()["location"].to_str().unwrap();
        let callback = emulator.approve(location, "alice").unwrap();
        let callback = &callback[url::Position::BeforePath..];
        // The callback reaches the other instance.
        let signed_in = app(&second).oneshot(get(callback, &cookie(&login)));
        let session = cookie(&signed_in.await.unwrap());
        for oten in [&first, &second] {
            let account = app(oten).oneshot(get("/account", &session)).await.unwrap();
            assert_eq!(account.status(), StatusCode::OK);
        }
    }
}
