//! Pages for some users: guests are redirected to sign in, users without permission get 403.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ ADMINS=your-subject cargo run --features emulator --example admin_panel
//! ```

use std::{collections::HashSet, env, error::Error};

use axum::{Router, routing::get};
use axum_oten::{Config, MemoryStore, Oten, User};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    let admins = env::var("ADMINS").unwrap_or_default();
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}/admin", oten.config().origin());
    axum::serve(listener, app(&oten, &admins)).await?;
    Ok(())
}

/// `admins` is a comma-separated list of subjects. Unlike a name or an email address, a subject always
/// identifies the same user.
fn app(oten: &Oten, admins: &str) -> Router {
    let admins: HashSet<String> = admins
        .split(',')
        .map(|subject| subject.trim().to_owned())
        .collect();
    let admin = Router::new()
        .route("/admin", get(panel))
        .route("/admin/users", get(async || "The users"))
        .route_layer(
            oten.require_login()
                .authorize(move |user| admins.contains(user.subject())),
        );
    Router::new()
        .route("/", get(async || "Welcome"))
        .merge(admin)
        .merge(oten.routes())
        .layer(oten.layer())
}

async fn panel(user: User) -> String {
    format!("Welcome, {}", user.name().unwrap_or(user.subject()))
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Request, StatusCode, header},
    };
    use axum_oten::emulator::{EmulatedClient, Emulator};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn alice_is_an_admin_and_bob_gets_403() {
        let (app, emulator) = site().await;
        for (user, status) in [("alice", StatusCode::OK), ("bob", StatusCode::FORBIDDEN)] {
            let cookie = sign_in(&app, &emulator, user).await;
            for path in ["/admin", "/admin/users"] {
                let response = get(&app, path, &cookie).await;
                assert_eq!(response.status(), status, "{user} {path}");
            }
        }
        let guest = get(&app, "/admin", "").await;
        assert_eq!(
            guest.headers()[header::LOCATION],
            "/login?return_to=%2Fadmin"
        );
    }

    async fn site() -> (Router, Emulator) {
        let redirect_uri = "http://localhost:3000/callback";
        let client = EmulatedClient::public("panel").redirect_uri(redirect_uri);
        let emulator = Emulator::builder().client(client).start().await.unwrap();
        let config = Config::builder()
            .issuer(emulator.issuer())
            .client_id("panel")
            .public_client()
            .redirect_uri(redirect_uri)
            .build()
            .unwrap();
        let oten = Oten::new(config, MemoryStore::default()).unwrap();
        (app(&oten, "alice"), emulator)
    }

    async fn get(app: &Router, path: &str, cookie: &str) -> axum::response::Response {
        let request = Request::get(path)
            .header(header::ACCEPT, "text/html")
            .header(header::COOKIE, cookie)
            .body(Body::empty());
        app.clone().oneshot(request.unwrap()).await.unwrap()
    }

    /// Signs in and returns the session cookie.
    async fn sign_in(app: &Router, emulator: &Emulator, user: &str) -> String {
        let cookie = |response: &axum::response::Response| {
            let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
            set.split(';').next().unwrap().to_owned()
        };
        let login = get(app, "/login", "").await;
        let url = login.headers()[header::LOCATION].to_str().unwrap();
        let callback = emulator.approve(url, user).unwrap();
        let callback = &callback[url::Position::BeforePath..];
        cookie(&get(app, callback, &cookie(&login)).await)
    }
}
