//! The app's own session: [`Session`] behaves as tower-sessions documents it.
//!
//! The list follows the integration tests of tower-sessions 0.14 (`tests/common/mod.rs`):
//!
//! | there | here |
//! |---|---|
//! | `no_session_set`, `get_no_value`, `get_session` | [`a_session_is_created_when_it_has_data`] |
//! | `bogus_session_cookie` | [`data_under_an_unknown_cookie_gets_a_new_session`] |
//! | `malformed_session_cookie` | the same; the cookie stays until a session replaces it, so that an old response never removes a newer cookie |
//! | `insert_session`, `session_max_age` | `cookies.rs`; names and attributes differ: `Lax`, and `Max-Age` is the lifetime of the session |
//! | `remove_last_value` | [`removed_values_are_gone`] |
//! | `cycle_session_id`, `flush_session` | [`a_guests_session_can_change_its_id_and_end`], and `sign_out/local.rs` for users |
//! | `flush_with_domain` | not applicable: cookies have no domain |
//! | `set_expiry`, `change_expiry_type` | the tests of this module named after an expiry |

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Path,
    http::{Method, StatusCode},
    routing::{get, post},
};
use axum_oten::Oten;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tower_sessions::{Expiry, Session};

use crate::common::{Answer, Browser, TestSite, TestSiteBuilder, app};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A site whose sessions live for 10 hours, or 2 without a request; those of guests for 1.
fn short_lived() -> TestSiteBuilder {
    let config = |config: axum_oten::config::ConfigBuilder| {
        let config = config.session_idle(2 * HOUR).session_lifetime(10 * HOUR);
        config.guest_session_idle(HOUR)
    };
    TestSite::builder().config(config).app(expiring_app)
}

/// The usual app with pages that set the expiry of the session.
fn expiring_app(oten: &Oten) -> Router {
    let fail = async |session: Session, path: Path<(String, i64)>| {
        set_expiry(session, path).await;
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let ours = Router::new()
        .route("/expiry/{kind}/{seconds}", post(set_expiry))
        .route("/failing/{kind}/{seconds}", post(fail));
    app(oten).merge(ours.layer(oten.layer()))
}

async fn set_expiry(session: Session, Path((kind, seconds)): Path<(String, i64)>) {
    session.set_expiry(match &*kind {
        "inactivity" => Some(Expiry::OnInactivity(time::Duration::seconds(seconds))),
        "at" => Some(Expiry::AtDateTime(
            OffsetDateTime::from_unix_timestamp(seconds).unwrap(),
        )),
        "end" => Some(Expiry::OnSessionEnd),
        _ => None,
    });
}

/// The browsers of a guest and of a user, both with data of the app.
async fn guest_and_user(site: &TestSite) -> [Browser; 2] {
    let browsers = [site.browser(), site.signed_in("alice").await];
    let mut with_data = browsers.clone();
    for browser in &mut with_data {
        browser.fetch(Method::POST, "/note", "mine").await;
    }
    with_data
}

async fn is_alive(browser: &mut Browser) -> bool {
    browser.get("/note").await.body == "mine"
}

/// The lifetime of the session cookie that the response sets.
fn max_age(answer: &Answer) -> Option<i64> {
    assert!(answer.sets_session(), "{answer:?}");
    let (_, seconds) = answer.set_cookies()[0].split_once("Max-Age=")?;
    Some(seconds.parse().unwrap())
}

#[tokio::test]
async fn an_expiry_on_inactivity_shortens_the_session() {
    for who in 0..2 {
        let site = short_lived().start().await;
        let [mut browser, mut by_hand] = {
            let browsers = guest_and_user(&site).await;
            [browsers[who].clone(), browsers[who].clone()]
        };
        let answer = browser.post("/expiry/inactivity/600").await;
        // Later requests extend the session, but do not set the cookie again.
        assert_eq!(max_age(&answer), Some(36_000));
        assert_eq!(browser.cookies, by_hand.cookies, "the ID is the same");
        // A request extends the session, also one that changes its data or its ID.
        for path in ["/note", "/cycle", "/note"] {
            site.clock.advance(9 * MINUTE);
            if path == "/cycle" {
                browser.post(path).await;
            } else {
                browser.fetch(Method::POST, path, "mine").await;
            }
            assert!(is_alive(&mut browser).await, "{path}");
        }
        site.clock.advance(10 * MINUTE);
        assert!(!is_alive(&mut browser).await);
        assert!(!is_alive(&mut by_hand).await);
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

#[tokio::test]
async fn an_expiry_at_a_time_ends_the_session_then() {
    for who in 0..2 {
        let site = short_lived().start().await;
        // The clock of the site decides, not the system's.
        site.clock.advance(48 * HOUR);
        let mut browser = guest_and_user(&site).await[who].clone();
        let at = site.clock.unix_now() + 1800;
        let answer = browser.post(&format!("/expiry/at/{at}")).await;
        assert!(matches!(max_age(&answer), Some(1799..=1800)), "{answer:?}");
        for _ in 0..2 {
            site.clock.advance(Duration::from_secs(899));
            assert!(is_alive(&mut browser).await);
        }
        site.clock.advance(Duration::from_secs(2));
        assert!(!is_alive(&mut browser).await);
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

#[tokio::test]
async fn an_expiry_at_the_end_of_the_browser_session_changes_only_the_cookie() {
    for who in 0..2 {
        let site = short_lived().start().await;
        let mut browser = guest_and_user(&site).await[who].clone();
        let answer = browser.post("/expiry/end/0").await;
        assert_eq!(max_age(&answer), None);
        site.clock.advance(Duration::from_secs(3599));
        assert!(is_alive(&mut browser).await);
        // Another type of expiry replaces it.
        let answer = browser.post("/expiry/inactivity/60").await;
        assert_eq!(max_age(&answer), Some(36_000));
        site.clock.advance(MINUTE);
        assert!(!is_alive(&mut browser).await);
    }
}

#[tokio::test]
async fn an_expiry_never_lengthens_the_session() {
    let site = short_lived().start().await;
    let year = 365 * 86_400;
    let later = site.clock.unix_now() + year;
    for expiry in [
        format!("/expiry/inactivity/{year}"),
        format!("/expiry/inactivity/{}", i64::MAX),
        format!("/expiry/at/{later}"),
        "/expiry/at/253402300799".to_owned(),
        "/expiry/end/0".to_owned(),
        "/expiry/none/0".to_owned(),
    ] {
        let [mut guest, mut user] = guest_and_user(&site).await;
        for browser in [&mut guest, &mut user] {
            let answer = browser.post(&expiry).await;
            assert_eq!(answer.status, StatusCode::OK, "{expiry}");
            let cookie = answer.sets_session().then(|| max_age(&answer)).flatten();
            assert!(cookie.is_none_or(|seconds| seconds == 36_000), "{expiry}");
        }
        site.clock.advance(HOUR);
        assert!(!is_alive(&mut guest).await, "{expiry}");
        for _ in 0..9 {
            assert!(is_alive(&mut user).await, "{expiry}");
            site.clock.advance(HOUR);
        }
        assert!(!is_alive(&mut user).await, "{expiry}: the lifetime");
        let [_, mut user] = guest_and_user(&site).await;
        user.post(&expiry).await;
        site.clock.advance(2 * HOUR);
        assert!(!is_alive(&mut user).await, "{expiry}: without a request");
    }
}

#[tokio::test]
async fn an_expiry_in_the_past_ends_the_session() {
    let site = short_lived().start().await;
    let now = site.clock.unix_now();
    for expiry in [
        format!("/expiry/at/{now}"),
        format!("/expiry/at/{}", now - 86_400),
        "/expiry/at/-1".to_owned(),
        "/expiry/inactivity/0".to_owned(),
        "/expiry/inactivity/-60".to_owned(),
        format!("/expiry/inactivity/{}", i64::MIN),
    ] {
        for who in 0..2 {
            let mut browser = guest_and_user(&site).await[who].clone();
            let mut old = browser.clone();
            let answer = browser.post(&expiry).await;
            assert_eq!(max_age(&answer), Some(0), "{expiry}");
            assert_eq!(browser.session_cookie(), None);
            assert!(!is_alive(&mut old).await, "{expiry}");
            assert_eq!(old.signed_in_as().await, "guest");
            old.sign_in("alice", "/").await;
            assert_eq!(old.get("/note").await.body, "no note");
        }
    }
}

#[tokio::test]
async fn an_expiry_of_a_request_that_fails_is_discarded() {
    let site = short_lived().start().await;
    for mut browser in guest_and_user(&site).await {
        let answer = browser.post("/failing/inactivity/60").await;
        assert!(answer.set_cookies().is_empty());
        site.clock.advance(MINUTE);
        assert!(is_alive(&mut browser).await);
    }
}

#[tokio::test]
async fn an_expiry_alone_creates_no_session() {
    let site = short_lived().start().await;
    let answer = site.browser().post("/expiry/inactivity/600").await;
    assert!(answer.set_cookies().is_empty());
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn a_session_is_created_when_it_has_data() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    for path in ["/open", "/note", "/"] {
        assert!(browser.get(path).await.set_cookies().is_empty(), "{path}");
    }
    assert_eq!(browser.get("/note").await.body, "no note");
    let answer = browser.fetch(Method::POST, "/note", "mine").await;
    assert!(answer.sets_session());
    let answer = browser.get("/note").await;
    assert_eq!(answer.body, "mine");
    assert!(answer.set_cookies().is_empty(), "once");
    let answer = browser.fetch(Method::POST, "/note", "changed").await;
    assert!(answer.set_cookies().is_empty(), "the ID is the same");
    assert_eq!(browser.get("/note").await.body, "changed");
}

#[tokio::test]
async fn data_under_an_unknown_cookie_gets_a_new_session() {
    let site = TestSite::start().await;
    for cookie in ["AAAAAAAAAAAAAAAAAAAAAA", "malformed", ""] {
        let mut browser = site.browser();
        let name = "oten_session".to_owned();
        browser.cookies.insert(name, cookie.to_owned());
        let answer = browser.get("/note").await;
        assert_eq!(answer.body, "no note");
        assert!(answer.set_cookies().is_empty(), "{cookie}");
        browser.fetch(Method::POST, "/note", "mine").await;
        assert_ne!(browser.session_cookie(), Some(cookie));
        assert!(is_alive(&mut browser).await, "{cookie}");
    }
}

#[tokio::test]
async fn removed_values_are_gone() {
    let removing = |oten: &Oten| {
        let typed = async |session: Session| {
            let removed: Option<String> = session.remove("note").await.unwrap();
            removed.unwrap_or_default()
        };
        let value = async |session: Session| {
            let removed = session.remove_value("note").await.unwrap();
            removed.map(|value| value.to_string()).unwrap_or_default()
        };
        let clear = async |session: Session| session.clear().await;
        let ours = Router::new()
            .route("/remove", post(typed))
            .route("/remove_value", post(value))
            .route("/clear", post(clear));
        app(oten).merge(ours.layer(oten.layer()))
    };
    let site = TestSite::builder().app(removing).start().await;
    for (path, body) in [
        ("/remove", "mine"),
        ("/remove_value", "\"mine\""),
        ("/clear", ""),
    ] {
        for mut browser in guest_and_user(&site).await {
            assert_eq!(browser.post(path).await.body, body);
            assert_eq!(browser.get("/note").await.body, "no note", "{path}");
            browser.fetch(Method::POST, "/note", "mine").await;
            assert!(is_alive(&mut browser).await, "{path}");
        }
    }
}

#[tokio::test]
async fn a_guests_session_can_change_its_id_and_end() {
    let ending = |oten: &Oten| {
        let flush = async |session: Session| session.flush().await.unwrap();
        let delete = async |session: Session| session.delete().await.unwrap();
        let ours = Router::new()
            .route("/flush", post(flush))
            .route("/delete", post(delete));
        app(oten).merge(ours.layer(oten.layer()))
    };
    let site = TestSite::builder().app(ending).start().await;
    for end in ["/flush", "/delete"] {
        let mut browser = site.browser();
        browser.fetch(Method::POST, "/note", "mine").await;
        let mut old = browser.clone();
        browser.post("/cycle").await;
        assert_ne!(browser.cookies, old.cookies);
        assert!(is_alive(&mut browser).await);
        assert!(!is_alive(&mut old).await);
        let mut copy = browser.clone();
        let answer = browser.post(end).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!is_alive(&mut copy).await, "{end}");
        assert!(!is_alive(&mut old).await, "{end}");
    }
}

#[tokio::test]
async fn a_session_can_be_saved_and_loaded_by_hand() {
    let [entered, go_on] = [(); 2].map(|()| Arc::new(Notify::new()));
    let (there, on) = (Arc::clone(&entered), Arc::clone(&go_on));
    let waiting = move |oten: &Oten| {
        let reload = async move |session: Session| {
            let before: String = session.get("note").await.unwrap().unwrap();
            session.insert("note", "saved").await.unwrap();
            session.save().await.unwrap();
            there.notify_one();
            on.notified().await;
            session.load().await.unwrap();
            let after: String = session.get("note").await.unwrap().unwrap();
            format!("{before}, {after}")
        };
        let ours = Router::new().route("/reload", get(reload));
        app(oten).merge(ours.layer(oten.layer()))
    };
    let site = TestSite::builder().app(waiting).start().await;
    for mut browser in guest_and_user(&site).await {
        let mut tab = browser.clone();
        let waiting = tokio::spawn(async move { tab.get("/reload").await });
        entered.notified().await;
        assert_eq!(browser.get("/note").await.body, "saved");
        browser.fetch(Method::POST, "/note", "newer").await;
        go_on.notify_one();
        assert_eq!(waiting.await.unwrap().body, "mine, newer");
        assert_eq!(browser.get("/note").await.body, "newer");
    }
}
