//! Pages for some users: guests are redirected to sign in, users without permission get 403.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ export OTEN_ACCESS='{"admin": {"subjects": ["your-subject"]}}'
//! $ cargo run --example admin_panel
//! ```
//!
//! The operator decides who is an admin: a subject always identifies the same user, and a claim or a verified
//! email address would do as well.

use std::error::Error;

use axum::{Router, routing::get};
use axum_oten::{Config, MemoryStore, Oten, User, web::SetupError};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}/admin", oten.config().origin());
    axum::serve(listener, app(&oten)?).await?;
    Ok(())
}

fn app(oten: &Oten) -> Result<Router, SetupError> {
    let admin = Router::new()
        .route("/admin", get(panel))
        .route("/admin/users", get(async || "The users"))
        .route_layer(oten.require(oten.rule("admin")?));
    Ok(Router::new()
        .route("/", get(async || "Welcome"))
        .merge(admin)
        // The user's own sessions, and those of all users for admins.
        .nest("/account", oten.account_routes())
        .nest("/admin/sessions", oten.operator_routes(oten.rule("admin")?))
        .merge(oten.routes())
        .layer(oten.layer()))
}

async fn panel(user: User) -> String {
    format!("Welcome, {}", user.name().unwrap_or(user.subject()))
}
