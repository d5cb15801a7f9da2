//! A live feed for administrators: server-sent events that end when the session ends, whether the user
//! signs out in another tab, the provider sends a logout token, or another process ends the session.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ cargo run --features emulator --example live_feed
//! ```

use std::{convert::Infallible, error::Error};

use axum::{
    Extension, Router,
    response::{
        Html,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use axum_oten::{Config, MemoryStore, Oten, audit, web::SessionEnd};
use futures_util::{Stream, StreamExt, stream};
use tokio::{net::TcpListener, sync::broadcast};

/// The names of the crate's audit events, such as `signed_in`.
type Feed = broadcast::Sender<&'static str>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let feed = Feed::new(100);
    let oten = Oten::builder(Config::from_env()?, MemoryStore::default());
    let oten = oten.audit(publish(&feed)).build()?;
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}", oten.config().origin());
    axum::serve(listener, app(&oten, feed)).await?;
    Ok(())
}

fn publish(feed: &Feed) -> impl audit::AuditLog {
    let feed = feed.clone();
    move |event: &audit::Event| {
        // Fails while no page is open.
        let _ = feed.send(event.kind().name());
    }
}

fn app(oten: &Oten, feed: Feed) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/feed", get(events))
        .route_layer(oten.require_login())
        .merge(oten.routes())
        .layer(Extension(feed))
        .layer(oten.layer())
}

async fn page() -> Html<&'static str> {
    Html(
        r#"<ul id="events"></ul>
<script>
const feed = new EventSource("/feed");
feed.onmessage = (event) => {
    events.append(Object.assign(document.createElement("li"), { textContent: event.data }));
};
// The session has ended: the page leads to the sign-in.
feed.onerror = () => location.reload();
</script>"#,
    )
}

async fn events(
    session: SessionEnd,
    Extension(feed): Extension<Feed>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let names = stream::unfold(feed.subscribe(), async |mut feed| {
        loop {
            match feed.recv().await {
                Ok(name) => return Some((Ok(Event::default().data(name)), feed)),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    });
    let names = names.take_until(session.ended());
    Sse::new(names).keep_alive(KeepAlive::default())
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Request, StatusCode, header},
        response::Response,
    };
    use axum_oten::emulator::{EmulatedClient, Emulator};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    const SECRET: &str = "a-secret-of-at-least-32-bytes-as-Oten-makes-them";
    const REDIRECT_URI: &str = "http://localhost:3000/callback";

    fn cookie(response: &Response) -> String {
        let cookies = response.headers().get_all(header::SET_COOKIE).into_iter();
        let mut cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        cookies.next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn the_feed_ends_with_the_session() -> Result<(), Box<dyn Error>> {
        let client = EmulatedClient::confidential("panel", SECRET).redirect_uri(REDIRECT_URI);
        let emulator = Emulator::builder().client(client).start().await?;
        let config = Config::builder()
            .issuer(emulator.issuer())
            .client_id("panel")
            .client_secret(SECRET)
            .redirect_uri(REDIRECT_URI)
            .build()?;
        let feed = Feed::new(100);
        let oten = Oten::builder(config, MemoryStore::default());
        let oten = oten.audit(publish(&feed)).build()?;
        let app = app(&oten, feed);

        let login = Request::get("/login").body(Body::empty())?;
        let login = app.clone().oneshot(login).await?;
        let to = login.headers()[header::LOCATION].to_str()?;
        let callback = emulator.approve(to, "alice")?;
        let callback = Request::get(
            callback
                .as_str()
                .trim_start_matches("http://localhost:3000"),
        )
        .header(header::COOKIE, cookie(&login))
        .body(Body::empty())?;
        let session = cookie(&app.clone().oneshot(callback).await?);

        let feed = Request::get("/feed").header(header::COOKIE, &session);
        let feed = app.clone().oneshot(feed.body(Body::empty())?).await?;
        assert_eq!(feed.status(), StatusCode::OK);
        let guest = Request::get("/feed").body(Body::empty())?;
        assert_eq!(
            app.clone().oneshot(guest).await?.status(),
            StatusCode::UNAUTHORIZED
        );

        let mut feed = feed.into_body();
        let sign_out = |origin: &str| {
            let request = Request::post("/logout").header(header::COOKIE, &session);
            request.header(header::ORIGIN, origin).body(Body::empty())
        };
        app.clone()
            .oneshot(sign_out("https://evil.example")?)
            .await?;
        let event = feed.frame().await.ok_or("the feed has ended")??;
        assert_eq!(event.into_data().unwrap_or_default(), "data: refused\n\n");

        app.clone()
            .oneshot(sign_out("http://localhost:3000")?)
            .await?;
        feed.collect().await?;
        Ok(())
    }
}
