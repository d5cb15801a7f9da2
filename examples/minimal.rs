//! A minimal app: a public page and a page for signed-in users.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ cargo run --example minimal
//! ```

use std::error::Error;

use axum::{Router, response::Html, routing::get};
use axum_oten::{Config, MemoryStore, Oten, User};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}", oten.config().origin());
    axum::serve(listener, app(&oten)).await?;
    Ok(())
}

fn app(oten: &Oten) -> Router {
    let members = Router::new()
        .route("/members", get(members))
        .route_layer(oten.require_login()); // redirects guests to /login
    Router::new()
        .route("/", get(home))
        .merge(members)
        .merge(oten.routes()) // /login, /callback, /logout
        .layer(oten.layer()) // around all routes that use the session
}

async fn home(user: Option<User>) -> Html<&'static str> {
    Html(match user {
        Some(_) => {
            r#"<a href="/members">Members</a>
               <form method="post" action="/logout"><button>Sign out</button></form>"#
        }
        None => r#"<a href="/login?return_to=/members">Sign in with Oten</a>"#,
    })
}

async fn members(user: User) -> String {
    format!("Hello {}", user.name().unwrap_or(user.subject()))
}
