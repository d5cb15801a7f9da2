use std::convert::Infallible;

use axum::{Router, routing::get};
use axum_login::{
    AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, UserId, login_required,
    tower_sessions::{MemoryStore, SessionManagerLayer},
};

#[derive(Clone, Debug)]
struct User(String);

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        self.0.clone()
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[derive(Clone)]
struct Users;

impl AuthnBackend for Users {
    type User = User;
    type Credentials = String;
    type Error = Infallible;

    async fn authenticate(&self, name: String) -> Result<Option<User>, Infallible> {
        Ok(Some(User(name)))
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, Infallible> {
        Ok(Some(User(id.clone())))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionManagerLayer::new(MemoryStore::default());
    let login = async |mut session: AuthSession<Users>| {
        let _ = session.login(&User("alice".to_owned())).await;
    };
    let app = Router::new()
        .route("/", get(async |session: AuthSession<Users>| session.user.map(|user| user.0).unwrap_or_default()))
        .route_layer(login_required!(Users, login_url = "/login"))
        .route("/login", get(login))
        .layer(AuthManagerLayerBuilder::new(Users, sessions).build());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
