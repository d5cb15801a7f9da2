//! Pages for some users: guests are redirected to sign in, users without permission get 403.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ export OTEN_ACCESS='{"admin": {"subjects": ["your-subject"]}}'
//! $ cargo run --example admin_panel
//! ```
//!
//! Dependencies besides those of the quick start: `tower-http` with the feature `csrf`.
//!
//! The operator decides who is an admin: a subject always identifies the same user, and a claim or a verified
//! email address would do as well.

use std::{error::Error, time::Duration};

use axum::{
    Router,
    response::Html,
    routing::{get, post},
};
use axum_oten::{Config, MemoryStore, Oten, User};
use tokio::net::TcpListener;
use tower_http::csrf::CsrfLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}/admin", oten.config().origin());
    axum::serve(listener, app(&oten)?).await?;
    Ok(())
}

fn app(oten: &Oten) -> Result<Router, Box<dyn Error>> {
    let admins = oten.rule("admin")?;
    let panel = Router::new()
        .route("/admin", get(panel))
        .route("/admin/users", get(async || "The users"))
        .route_layer(oten.require(admins.clone()));
    // A dangerous action needs a sign-in of the last five minutes. Its form is kept until then.
    let danger = Router::new()
        .route("/admin/users/delete", post(delete))
        .route_layer(
            oten.require(admins.clone())
                .fresh(Duration::from_secs(5 * 60)),
        );
    // No other site can send the forms. The layer is for the app's own routes: other sites may call those
    // of `oten.routes()`, which have rules of their own.
    let csrf = CsrfLayer::new().add_trusted_origin(oten.config().origin())?;
    Ok(Router::new()
        .route("/", get(async || "Welcome"))
        .merge(panel)
        .merge(danger)
        .layer(csrf)
        // The user's own sessions, and those of all users for admins.
        .nest("/account", oten.account_routes())
        .nest("/admin/sessions", oten.operator_routes(admins))
        .merge(oten.routes())
        .layer(oten.layer()))
}

async fn panel(user: User) -> Html<String> {
    let name = user.name().unwrap_or(user.subject());
    let name = name.replace('&', "&amp;").replace('<', "&lt;");
    Html(format!(
        "<!doctype html><html lang=en><title>Panel</title><h1>Welcome, {name}</h1>\
         <form method=post action=/admin/users/delete><label>User <input name=user></label> \
         <button>Delete the user</button></form>"
    ))
}

async fn delete(form: String) -> String {
    format!("The user is deleted: {form}")
}
