//! Promises O1 and O2: signing out.

use std::{sync::Arc, time::Duration};

use axum::{
    RequestExt, Router,
    extract::{Path, Request},
    http::{Method, StatusCode, header},
    middleware::from_extractor,
    routing::{get, post},
};
use axum_oten::{Oten, User, UserSession, emulator::Endpoint::Revocation, web::ErrorResponse};
use tokio::sync::Notify;
use tower_sessions::Session;

use super::site;
use crate::common::{Answer, Browser, Log, Operation, TestSite, app};

/// Later than this, nothing of the sign-in is stored.
const AFTER_SIGN_IN: Duration = Duration::from_secs(601);

/// The records of a signed-in user: a session and its tokens.
const SIGNED_IN: usize = 2;

// O1: requests that may sign out

#[tokio::test]
async fn o1_viewing_the_logout_page_signs_no_user_out() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    for sent_from in [None, Some("same-origin"), Some("cross-site"), Some("none")] {
        let mut request = browser.navigation(Method::GET, "/logout");
        if let Some(site) = sent_from {
            let value = site.parse().unwrap();
            request.headers_mut().insert("sec-fetch-site", value);
        }
        let page = browser.send(request).await;
        assert_eq!(page.status, StatusCode::OK, "{sent_from:?}");
        assert_has_button(&page);
        assert!(page.set_cookies().is_empty());
        assert_eq!(page.header(header::CACHE_CONTROL), Some("no-store"));
    }
    let head = browser.navigation(Method::HEAD, "/logout");
    assert_eq!(
        browser.send(head).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = browser.fetch(method, "/logout", "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn o1_only_a_page_of_the_site_signs_out() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    for headers in [
        &[][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "SAME-ORIGIN")],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("origin", "http://127.0.0.1:3001")],
        &[("origin", "http://127.0.0.1")],
        &[("origin", "http://127.0.0.1:3000.evil.example")],
        // Fetch Metadata takes precedence over `Origin`.
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://127.0.0.1:3000"),
        ],
        &[("referer", "http://127.0.0.1:3000/logout")],
    ] {
        let answer = post_with(&mut browser, headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
        assert_has_button(&answer);
        assert!(answer.set_cookies().is_empty(), "{headers:?}");
        assert_eq!(browser.signed_in_as().await, "user alice", "{headers:?}");
    }
    let program = browser.fetch(Method::POST, "/logout", "").await;
    assert_eq!(program.status, StatusCode::SEE_OTHER, "same origin");

    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[("origin", "http://127.0.0.1:3000")],
    ] {
        let mut browser = site.signed_in("alice").await;
        let answer = post_with(&mut browser, headers).await;
        assert_eq!(answer.location(), "/logout", "{headers:?}");
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

#[tokio::test]
async fn o1_an_api_client_is_informed_that_it_is_still_signed_in() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    let mut request = browser.navigation(Method::POST, "/logout");
    let headers = request.headers_mut();
    headers.clear();
    headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
    let answer = browser.send(request).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.json()["reason"], "cross_site");
    assert_eq!(browser.signed_in_as().await, "user alice");
}

// O2: effects of a sign-out

#[tokio::test]
async fn o2_sign_out_removes_the_session_and_its_tokens() {
    let site = TestSite::start().await;
    let mut browser = settled(&site, "alice").await;
    browser.fetch(Method::POST, "/note", "private").await;
    let stolen = browser.clone();
    assert_eq!(site.store.len(), SIGNED_IN);

    let answer = browser.post("/logout").await;
    assert_eq!(answer.location(), "/logout");
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    let [cookie] = answer.set_cookies()[..] else {
        panic!("{answer:?}")
    };
    assert_eq!(
        cookie,
        "oten_session=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0"
    );
    assert!(site.store.is_empty());
    assert!(!browser.cookies.contains_key("oten_session"));
    let farewell = browser.get("/logout").await;
    assert!(farewell.body.contains("You are signed out"));
    assert!(farewell.body.contains(r#"href="/login""#));
    assert_eq!(browser.signed_in_as().await, "guest");
    assert_eq!(browser.get("/note").await.body, "no note");

    // The old cookie is useless.
    for path in ["/profile", "/token"] {
        let mut thief = stolen.clone();
        assert_eq!(thief.get(path).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(stolen.clone().get("/note").await.body, "no note");
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn o2_sign_out_ends_this_session_only() {
    let site = TestSite::start().await;
    let mut laptop = settled(&site, "alice").await;
    let mut phone = site.signed_in("alice").await;
    let mut bob = site.signed_in("bob").await;
    laptop.post("/logout").await;
    assert_eq!(laptop.signed_in_as().await, "guest");
    assert_eq!(phone.signed_in_as().await, "user alice");
    assert_eq!(bob.get("/token").await.status, StatusCode::OK);
}

#[tokio::test]
async fn o2_signing_out_as_a_guest_is_harmless() {
    let site = TestSite::start().await;
    let mut guest = site.browser();
    assert_eq!(guest.post("/logout").await.location(), "/logout");
    assert!(
        guest
            .get("/logout")
            .await
            .body
            .contains("You are signed out")
    );
    // A guest session ends as well.
    guest.fetch(Method::POST, "/note", "mine").await;
    assert_eq!(site.store.len(), 1);
    guest.post("/logout").await;
    assert!(site.store.is_empty() && guest.cookies.is_empty());
    // And an unknown session.
    let cookie = ("oten_session".into(), "AAAAAAAAAAAAAAAAAAAAAA".into());
    guest.cookies.extend([cookie]);
    assert_eq!(guest.post("/logout").await.location(), "/logout");
    assert!(guest.cookies.is_empty());
    // A second sign-out has no further effect.
    let mut browser = site.signed_in("alice").await;
    let mut second_tab = browser.clone();
    browser.post("/logout").await;
    assert_eq!(second_tab.post("/logout").await.location(), "/logout");
}

#[tokio::test]
async fn o2_the_browser_is_redirected_to_the_configured_page() {
    for (uri, expected) in [
        (None, "/logout"),
        (
            Some("http://127.0.0.1:3000/bye?a=b"),
            "http://127.0.0.1:3000/bye?a=b",
        ),
        (Some("https://shop.example/"), "https://shop.example/"),
    ] {
        let site = TestSite::builder()
            .config(move |config| match uri {
                Some(uri) => config.post_logout_redirect_uri(uri),
                None => config,
            })
            .start()
            .await;
        let mut browser = site.signed_in("alice").await;
        assert_eq!(browser.post("/logout").await.location(), expected);
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

#[tokio::test]
async fn o2_a_request_in_flight_does_not_revive_a_session() {
    for change in [
        "insert", "save", "cycle_id", "flush", "clear", "remove", "nothing",
    ] {
        let gate = Arc::new(Gate::default());
        let site = TestSite::builder().app(slow_app(&gate)).start().await;
        let mut browser = settled(&site, "alice").await;
        let mut tab = browser.clone();
        let slow = tokio::spawn(async move {
            let answer = tab.get(&format!("/slow/{change}")).await;
            (answer, tab)
        });
        gate.entered.notified().await;
        browser.post("/logout").await;
        gate.go_on.notify_one();
        let (answer, mut tab) = slow.await.unwrap();
        assert_eq!(answer.body, "done as alice", "{change}");
        let revived = answer
            .set_cookies()
            .iter()
            .any(|cookie| !cookie.contains("Max-Age=0"));
        assert!(!revived, "{change}: {:?}", answer.set_cookies());
        assert_eq!(tab.signed_in_as().await, "guest", "{change}");
        assert!(site.store.is_empty(), "{change}: {:?}", site.store.len());
    }
}

#[tokio::test]
async fn o2_a_session_that_the_app_ends_is_not_revived() {
    for change in ["insert", "save", "cycle_id", "clear", "nothing"] {
        for end in ["/flush", "/flush-and-insert", "/delete", "/flush-and-save"] {
            let gate = Arc::new(Gate::default());
            let site = TestSite::builder().app(slow_app(&gate)).start().await;
            let mut browser = settled(&site, "alice").await;
            let mut tab = browser.clone();
            let mut old = browser.clone();
            let slow = tokio::spawn(async move {
                let answer = tab.get(&format!("/slow/{change}")).await;
                (answer, tab)
            });
            gate.entered.notified().await;
            assert_eq!(browser.post(end).await.status, StatusCode::OK);
            gate.go_on.notify_one();
            let (answer, mut tab) = slow.await.unwrap();
            assert_eq!(answer.body, "done as alice");
            for browser in [&mut tab, &mut old, &mut browser] {
                assert_eq!(
                    browser.signed_in_as().await,
                    "guest",
                    "{end}, then {change}"
                );
            }
        }
    }
}

#[tokio::test]
async fn o2_ending_a_session_whose_id_another_request_changes_ends_the_new_one() {
    for end in ["flush", "delete", "insert-and-flush", "save-and-delete"] {
        let gate = Arc::new(Gate::default());
        let site = TestSite::builder().app(slow_app(&gate)).start().await;
        let mut browser = settled(&site, "alice").await;
        let mut tab = browser.clone();
        let slow = tokio::spawn(async move { tab.get(&format!("/slow/{end}")).await });
        gate.entered.notified().await;
        browser.post("/cycle_id").await;
        assert_eq!(browser.signed_in_as().await, "user alice");
        let log = Log::start();
        gate.go_on.notify_one();
        assert_eq!(slow.await.unwrap().body, "done as alice");
        assert_eq!(browser.signed_in_as().await, "guest", "{end}");
        assert_eq!(log.named("signed_out").len(), 1, "{end}");
        site.clock.advance(Duration::from_secs(300));
        assert!(site.store.is_empty(), "{end}");
    }
}

#[tokio::test]
async fn o2_an_app_that_flushes_the_session_signs_out() {
    let (site, store) = TestSite::builder().app(session_app).start_watched().await;
    // With and without reading the session first.
    for path in ["/flush", "/user/flush"] {
        let mut browser = settled(&site, "alice").await;
        let mut old = browser.clone();
        browser.fetch(Method::POST, "/note", "private").await;
        assert_eq!(site.store.len(), SIGNED_IN);
        let answer = browser.post(path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.set_cookies()[0].contains("Max-Age=0"));
        assert!(site.store.is_empty(), "the tokens are gone too");
        assert_eq!(browser.signed_in_as().await, "guest");
        assert_eq!(old.signed_in_as().await, "guest");
    }
    // If the tokens cannot be removed, the user is signed out all the same.
    let mut browser = settled(&site, "alice").await;
    store.take_calls();
    assert_eq!(browser.post("/flush").await.status, StatusCode::OK);
    assert_eq!(
        store.take_calls(),
        [
            Operation::Load,
            Operation::Take,
            Operation::Take,
            Operation::RemoveMember,
            Operation::RemoveMember
        ]
    );
}

#[tokio::test]
async fn o2_a_handler_signs_the_user_out_like_a_flush() {
    async fn close_account(session: UserSession) -> Result<&'static str, ErrorResponse> {
        session.sign_out().await?;
        Ok("closed")
    }
    async fn cycle_and_close(
        session: Session,
        user_session: UserSession,
    ) -> Result<&'static str, ErrorResponse> {
        session.cycle_id().await.unwrap();
        close_account(user_session).await
    }
    let routes = |oten: &Oten| {
        Router::new()
            .route("/close", post(close_account))
            .route("/cycle-and-close", post(cycle_and_close))
            .layer(oten.layer())
            .merge(app(oten))
    };
    let (site, store) = site().app(routes).start_watched().await;
    for (calls, path) in [(1, "/close"), (2, "/cycle-and-close")] {
        let mut browser = settled(&site, "alice").await;
        let mut old = browser.clone();
        let log = Log::start();
        let answer = browser.post(path).await;
        assert_eq!(answer.body, "closed");
        assert!(answer.set_cookies()[0].contains("Max-Age=0"), "{path}");
        assert!(site.store.is_empty(), "{path}: the tokens are removed, too");
        assert_eq!(log.named("signed_out").len(), 1, "{path}");
        assert_eq!(browser.signed_in_as().await, "guest", "{path}");
        assert_eq!(old.signed_in_as().await, "guest", "{path}");
        while site.emulator.calls(Revocation) < calls {
            tokio::task::yield_now().await;
        }
    }
    // A guest stays one.
    let mut guest = site.browser();
    guest.fetch(Method::POST, "/note", "draft").await;
    assert_eq!(guest.post("/close").await.status, StatusCode::OK);
    assert_eq!(guest.get("/note").await.body, "draft");
    // If the store is down, also only for the removal, the user is still signed in.
    let mut browser = settled(&site, "alice").await;
    for failing in [&Operation::ALL[..], &[Operation::Take]] {
        store.fails(failing);
        let answer = browser.post("/close").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.set_cookies().is_empty());
        store.fails(&[]);
        assert_eq!(browser.signed_in_as().await, "user alice");
    }
}

#[tokio::test]
async fn o2_every_response_that_ends_the_session_clears_the_cache() {
    let routes = |oten: &Oten| {
        let close = async |session: UserSession| session.sign_out().await;
        let own = async |session: Session| {
            session.flush().await.unwrap();
            [("clear-site-data", "\"cookies\"")]
        };
        Router::new()
            .route("/close", post(close))
            .route("/own", post(own))
            .layer(oten.layer())
            .merge(session_app(oten))
    };
    let cleared = |answer: &Answer| {
        let values = answer.headers.get_all("clear-site-data").iter();
        values.cloned().collect::<Vec<_>>()
    };
    for at_provider in [true, false] {
        let builder = if at_provider {
            site()
        } else {
            TestSite::builder()
        };
        let (site, store) = builder.app(routes).start_watched().await;
        for path in ["/logout", "/close", "/flush", "/delete"] {
            let mut browser = site.signed_in("alice").await;
            assert!(cleared(&browser.get("/profile").await).is_empty());
            assert!(cleared(&browser.get("/logout").await).is_empty());
            assert_eq!(cleared(&browser.post(path).await), ["\"cache\""], "{path}");
            assert!(cleared(&browser.get("/").await).is_empty());
        }
        let mut browser = site.signed_in("alice").await;
        assert_eq!(cleared(&browser.post("/own").await), ["\"cookies\""]);

        // Another site cannot clear the cache, and a session that does not end keeps it.
        let mut browser = site.signed_in("alice").await;
        let foreign = [("sec-fetch-site", "cross-site")];
        assert!(cleared(&post_with(&mut browser, &foreign).await).is_empty());
        assert!(cleared(&browser.post("/cycle_id").await).is_empty());
        store.fails(&Operation::ALL);
        for path in ["/logout", "/close"] {
            assert!(cleared(&browser.post(path).await).is_empty(), "{path}");
        }
    }
    let kept = site()
        .app(routes)
        .config(|config| config.clear_cache(false));
    let kept = kept.start().await;
    for path in ["/logout", "/close", "/flush"] {
        let mut browser = kept.signed_in("alice").await;
        let answer = browser.post(path).await;
        assert!(answer.set_cookies()[0].contains("Max-Age=0"), "{path}");
        assert!(cleared(&answer).is_empty(), "{path}");
    }
}

#[tokio::test]
async fn o2_sign_out_does_not_store_the_session_again() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    // Long enough for activity to be stored.
    site.clock.advance(Duration::from_secs(2 * 3600));
    store.take_calls();
    browser.post("/logout").await;
    assert_eq!(
        store.take_calls(),
        [
            Operation::Load,
            Operation::Take,
            Operation::Take,
            Operation::RemoveMember,
            Operation::RemoveMember
        ]
    );
}

#[tokio::test]
async fn o2_data_inserted_after_a_flush_belongs_to_a_guest_session() {
    let site = TestSite::builder().app(session_app).start().await;
    let mut browser = settled(&site, "alice").await;
    let before = browser.cookies.clone();
    browser.post("/flush-and-insert").await;
    assert_ne!(browser.cookies, before);
    assert_eq!(browser.signed_in_as().await, "guest");
    assert_eq!(browser.get("/note").await.body, "started over");
    assert_eq!(site.store.len(), 1, "no tokens");
    // Also if there was no session.
    browser.cookies = before;
    browser.post("/flush-and-insert").await;
    assert_eq!(browser.get("/note").await.body, "started over");
}

#[tokio::test]
async fn s7_clearing_the_apps_data_signs_no_user_out() {
    for path in [
        "/clear",
        "/user/clear",
        "/clear-and-save",
        "/user/clear-and-save",
    ] {
        let site = TestSite::builder().app(session_app).start().await;
        let mut browser = settled(&site, "alice").await;
        browser.fetch(Method::POST, "/note", "private").await;
        let answer = browser.post(path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.set_cookies().is_empty(), "{path}");
        assert_eq!(browser.get("/note").await.body, "no note", "{path}");
        assert_eq!(browser.signed_in_as().await, "user alice", "{path}");
        assert_eq!(browser.get("/token").await.status, StatusCode::OK, "{path}");
        assert_eq!(site.store.len(), SIGNED_IN, "{path}");
    }
}

#[tokio::test]
async fn o2_an_app_that_deletes_the_session_signs_out() {
    for path in ["/delete", "/user/delete", "/insert-and-delete"] {
        let site = TestSite::builder().app(session_app).start().await;
        let mut browser = settled(&site, "alice").await;
        assert_eq!(browser.post(path).await.status, StatusCode::OK);
        assert!(site.store.is_empty(), "{path}");
        assert_eq!(browser.signed_in_as().await, "guest", "{path}");
    }
}

#[tokio::test]
async fn s7_cycling_the_session_id_keeps_the_user() {
    for path in [
        "/cycle_id",
        "/user/cycle_id",
        "/cycle_id-and-save",
        "/cycle_id-and-cycle_id",
        "/cycle_id-and-save-and-cycle_id",
    ] {
        let site = TestSite::builder().app(session_app).start().await;
        let mut browser = settled(&site, "alice").await;
        browser.fetch(Method::POST, "/note", "mine").await;
        let token = browser.get("/token").await.body;
        let mut old = browser.clone();
        let answer = browser.post(path).await;
        assert_eq!(answer.body, "done", "{path}");
        assert_ne!(browser.cookies, old.cookies, "{path}");
        assert_eq!(browser.signed_in_as().await, "user alice", "{path}");
        assert_eq!(browser.get("/note").await.body, "mine");
        assert_eq!(browser.get("/token").await.body, token);
        assert_eq!(old.signed_in_as().await, "guest", "{path}");
        browser.post("/logout").await;
        // The previous IDs are not used again for a while.
        site.clock.advance(Duration::from_secs(5 * 60));
        assert!(site.store.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn o2_the_user_extractor_sees_changes_that_the_app_made_to_the_session() {
    let site = TestSite::builder().app(session_app).start().await;
    for (change, expected) in [
        ("nothing", "true"),
        ("insert", "true"),
        ("cycle_id", "true"),
        ("clear", "true"),
        ("flush", "false"),
        ("delete", "false"),
    ] {
        for path in ["/then", "/user/then"] {
            let mut browser = site.signed_in("alice").await;
            let answer = browser.post(&format!("{path}/{change}")).await;
            assert_eq!(answer.body, expected, "{path}/{change}");
            let expected = if expected == "true" {
                "user alice"
            } else {
                "guest"
            };
            assert_eq!(browser.signed_in_as().await, expected, "{path}/{change}");
        }
    }
}

#[tokio::test]
async fn l6_a_new_session_id_does_not_extend_the_session() {
    let hour = Duration::from_secs(3600);
    let site = TestSite::builder()
        .app(session_app)
        .config(move |config| config.session_idle(2 * hour).session_lifetime(3 * hour))
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(hour);
    browser.post("/cycle_id").await;
    site.clock.advance(hour);
    browser.post("/cycle_id").await;
    site.clock.advance(Duration::from_secs(3599));
    assert_eq!(browser.signed_in_as().await, "user alice");
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.signed_in_as().await, "guest");
    assert!(site.store.is_empty(), "no record outlives its session");
}

/// A signed-in browser; the store has its session and tokens only.
pub async fn settled(site: &TestSite, user: &str) -> Browser {
    let browser = site.signed_in(user).await;
    site.clock.advance(AFTER_SIGN_IN);
    browser
}

async fn post_with(browser: &mut Browser, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = browser.navigation(Method::POST, "/logout");
    for (name, value) in headers {
        let value = value.parse().unwrap();
        request.headers_mut().insert(*name, value);
    }
    browser.send(request).await
}

fn assert_has_button(answer: &Answer) {
    let button = r#"<form method="post" action="/logout"><button class="button">Sign out</button>"#;
    assert!(answer.body.contains(button), "{}", answer.body);
}

/// Holds a request until it is released.
#[derive(Default)]
struct Gate {
    entered: Notify,
    go_on: Notify,
}

/// The usual app with a page that pauses between reading and changing the session.
fn slow_app(gate: &Arc<Gate>) -> impl FnOnce(&Oten) -> Router + 'static {
    let gate = Arc::clone(gate);
    move |oten| {
        let slow = get(
            async move |user: User, session: Session, Path(what): Path<String>| {
                gate.entered.notify_one();
                gate.go_on.notified().await;
                change(&session, &what).await;
                format!("done as {}", user.subject())
            },
        );
        let slow = Router::new()
            .route("/slow/{change}", slow)
            .layer(oten.layer());
        session_app(oten).merge(slow)
    }
}

/// The usual app with pages that change the session as the path says, with or without reading it
/// first.
pub fn session_app(oten: &Oten) -> Router {
    let blind = post(async |session: Session, Path(what): Path<String>| {
        change(&session, &what).await;
        "done"
    });
    let seeing = post(
        async |_: User, session: Session, Path(what): Path<String>| {
            change(&session, &what).await;
            "done"
        },
    );
    let then = async |session: Session, Path(what): Path<String>, mut request: Request| {
        change(&session, &what).await;
        let user = request.extract_parts::<Option<User>>().await.unwrap();
        format!("{}", user.is_some())
    };
    let ours = Router::new()
        .route("/user/{change}", seeing)
        .route(
            "/user/then/{change}",
            post(then).layer(from_extractor::<User>()),
        )
        .route("/then/{change}", post(then))
        .route("/{change}", blind)
        .layer(oten.layer());
    app(oten).merge(ours)
}

async fn change(session: &Session, what: &str) {
    for step in what.split("-and-") {
        match step {
            "insert" => session.insert("note", "started over").await,
            "remove" => session.remove_value("note").await.map(drop),
            "save" => session.save().await,
            "cycle_id" => session.cycle_id().await,
            "flush" => session.flush().await,
            "delete" => session.delete().await,
            "clear" => {
                session.clear().await;
                Ok(())
            }
            "nothing" => Ok(()),
            _ => panic!("{step}"),
        }
        .unwrap();
    }
}
