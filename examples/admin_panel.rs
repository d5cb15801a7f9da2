//! Pages for some users: guests are redirected to sign in, users without permission get 403.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ ADMINS=your-subject cargo run --example admin_panel
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
