//! A live feed for administrators: server-sent events that end when the session ends, whether the user
//! signs out in another tab, the provider sends a logout token, or another process ends the session.
//! A stream lasts a minute; then the browser reconnects, and the rule is applied again.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ export OTEN_ACCESS='{"admin": {"subjects": ["your-subject"]}}'
//! $ cargo run --example live_feed
//! ```
//!
//! Dependencies besides those of the quick start: `futures-util`.

use std::{convert::Infallible, error::Error, time::Duration};

use axum::{
    Extension, Router,
    response::{
        Html,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use axum_oten::{
    Config, MemoryStore, Oten, audit,
    web::{SessionEnd, SetupError},
};
use futures_util::{Stream, StreamExt, stream};
use tokio::{net::TcpListener, sync::broadcast, time::sleep};

/// How long a stream lasts.
const LIFETIME: Duration = Duration::from_secs(60);

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
    axum::serve(listener, app(&oten, feed)?).await?;
    Ok(())
}

fn publish(feed: &Feed) -> impl audit::AuditLog {
    let feed = feed.clone();
    move |event: &audit::Event| {
        // Fails while no page is open.
        let _ = feed.send(event.kind().name());
    }
}

fn app(oten: &Oten, feed: Feed) -> Result<Router, SetupError> {
    Ok(Router::new()
        .route("/", get(page))
        .route("/feed", get(events))
        .route_layer(oten.require(oten.rule("admin")?))
        .merge(oten.routes())
        .layer(Extension(feed))
        .layer(oten.layer()))
}

async fn page() -> Html<&'static str> {
    Html(
        r#"<ul id="events"></ul>
<script>
const feed = new EventSource("/feed");
feed.onmessage = (event) => {
    events.append(Object.assign(document.createElement("li"), { textContent: event.data }));
};
// The browser reconnects by itself, unless the session has ended or access was withdrawn: the page says so.
feed.onerror = () => feed.readyState === EventSource.CLOSED && location.reload();
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
    let names = names
        .take_until(session.ended())
        .take_until(sleep(LIFETIME));
    Sse::new(names).keep_alive(KeepAlive::default())
}
