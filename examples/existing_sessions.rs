//! An app that already uses tower-sessions. The app's sessions and the sign-in sessions have separate
//! cookies and stores. The `Session` extractor returns the app's session.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ cargo run --example existing_sessions
//! ```
//!
//! Dependencies besides those of the quick start: `async-trait` and `tower-sessions`.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, routing::get};
use axum_oten::{Config, MemoryStore, Oten, User};
use tokio::net::TcpListener;
use tower_sessions::{
    Session, SessionManagerLayer, SessionStore,
    session::{Error as SessionError, Id, Record},
    session_store::Result as StoreResult,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}", oten.config().origin());
    axum::serve(listener, app(&oten, AppStore::default())).await?;
    Ok(())
}

fn app(oten: &Oten, store: AppStore) -> Router {
    // The app's cookie can be `SameSite=Strict`, the default here. The sign-in cookie is `Lax`, because
    // browsers do not send strict cookies with the redirect from the provider.
    let sessions = SessionManagerLayer::new(store).with_secure(oten.config().secure_cookies());
    Router::new()
        .route("/", get(visits))
        .merge(oten.routes())
        .layer(oten.layer())
        .layer(sessions) // works before or after `oten.layer()`
}

async fn visits(user: Option<User>, session: Session) -> Result<String, String> {
    let text = |error: SessionError| error.to_string();
    let visits: u32 = session.get("visits").await.map_err(text)?.unwrap_or(0) + 1;
    session.insert("visits", visits).await.map_err(text)?;
    let name = user.map_or("guest".to_owned(), |user| user.subject().to_owned());
    Ok(format!("{name}: {visits}"))
}

/// A tower-sessions store in memory; use any other.
#[derive(Clone, Debug, Default)]
struct AppStore(Arc<Mutex<HashMap<Id, Record>>>);

impl AppStore {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<Id, Record>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait::async_trait]
impl SessionStore for AppStore {
    async fn save(&self, record: &Record) -> StoreResult<()> {
        self.with(|sessions| sessions.insert(record.id, record.clone()));
        Ok(())
    }

    async fn load(&self, id: &Id) -> StoreResult<Option<Record>> {
        Ok(self.with(|sessions| sessions.get(id).cloned()))
    }

    async fn delete(&self, id: &Id) -> StoreResult<()> {
        self.with(|sessions| sessions.remove(id));
        Ok(())
    }
}
