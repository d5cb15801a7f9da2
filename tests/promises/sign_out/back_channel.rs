//! O4: sign-out by the provider.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{FORM, assert_done, send_form, send_token, sign_in_at_once, site};
use crate::common::{Browser, Log, Operation, TestSite, YieldingStore, app, eventually};
use axum::http::{Method, StatusCode, header};
use axum_oten::{
    Clock, MemoryStore, Oten,
    emulator::{
        Endpoint::{Discovery, Jwks},
        LogoutTarget,
    },
};
use tokio::task::JoinSet;

const CLIENT: &str = "test-site";

async fn log_out(site: &TestSite, target: LogoutTarget<'_>) {
    let token = site.emulator.logout_token(CLIENT, target);
    assert_done(&send_token(&site.app, &token).await);
}

/// Another process of the site, on the same store.
fn another_process(site: &TestSite) -> Oten {
    Oten::builder(site.oten.config().clone(), site.store.clone())
        .clock(site.clock.clone())
        .build()
        .unwrap()
}

async fn signed_in_users(browsers: &mut [Browser]) -> Vec<String> {
    let mut users = Vec::new();
    for browser in browsers {
        users.push(browser.signed_in_as().await);
    }
    users
}

#[tokio::test]
async fn o4_a_sid_ends_one_session_and_no_other() {
    let site = site().start().await;
    let mut browsers = [
        site.signed_in("alice").await,
        site.signed_in("alice").await,
        site.signed_in("bob").await,
    ];
    let sids = site.emulator.sids_of("alice");
    log_out(&site, LogoutTarget::Session(&sids[0])).await;
    assert_eq!(
        signed_in_users(&mut browsers).await,
        ["guest", "user alice", "user bob"]
    );
    let both = LogoutTarget::Both {
        sub: "alice",
        sid: &sids[1],
    };
    log_out(&site, both).await;
    assert_eq!(
        signed_in_users(&mut browsers).await,
        ["guest", "guest", "user bob"]
    );
}

#[tokio::test]
async fn o4_a_sub_ends_all_sessions_of_its_user_and_no_other() {
    let site = site().start().await;
    let mut browsers = [
        site.signed_in("alice").await,
        site.signed_in("alice").await,
        site.signed_in("bob").await,
    ];
    log_out(&site, LogoutTarget::Subject("alice")).await;
    assert_eq!(
        signed_in_users(&mut browsers).await,
        ["guest", "guest", "user bob"]
    );
    // Bob's records remain, and the record of the used token.
    site.clock.advance(Duration::from_secs(1300));
    assert_eq!(site.store.len(), 2, "a session and its tokens");
}

#[tokio::test]
async fn o4_without_a_sid_in_id_tokens_a_sub_ends_them() {
    let site = TestSite::start().await;
    let mut browsers = [site.signed_in("alice").await, site.signed_in("bob").await];
    log_out(&site, LogoutTarget::Subject("alice")).await;
    assert_eq!(signed_in_users(&mut browsers).await, ["guest", "user bob"]);
}

#[tokio::test]
async fn o4_a_sid_of_another_user_ends_nothing() {
    let site = site().start().await;
    let mut browsers = [site.signed_in("alice").await, site.signed_in("bob").await];
    let alices = site.emulator.sids_of("alice");
    for target in [
        LogoutTarget::Both {
            sub: "bob",
            sid: &alices[0],
        },
        LogoutTarget::Both {
            sub: "alice",
            sid: "unknown",
        },
        LogoutTarget::Session("unknown"),
        LogoutTarget::Session("alice"),
        LogoutTarget::Subject("carol"),
        LogoutTarget::Subject(&alices[0]),
    ] {
        log_out(&site, target).await;
        assert_eq!(
            signed_in_users(&mut browsers).await,
            ["user alice", "user bob"],
            "{target:?}"
        );
    }
}

#[tokio::test]
async fn o4_a_logout_at_one_process_ends_sessions_at_all() {
    let site = site().start().await;
    let mut browser = site.signed_in("alice").await;
    let elsewhere = another_process(&site);
    let token = site
        .emulator
        .logout_token(CLIENT, LogoutTarget::Subject("alice"));
    assert_done(&send_token(&app(&elsewhere), &token).await);
    assert_eq!(browser.signed_in_as().await, "guest");
    // Including the record of the used token.
    let answer = send_token(&site.app, &token).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn o4_sessions_of_another_client_on_the_same_store_stay() {
    let site = site().start().await;
    let mut browser = site.signed_in("alice").await;
    let config = axum_oten::Config::builder()
        .issuer(site.emulator.issuer())
        .client_id("another-site")
        .public_client()
        .redirect_uri("http://127.0.0.1:3000/callback")
        .build()
        .unwrap();
    let other = Oten::builder(config, site.store.clone())
        .clock(site.clock.clone())
        .build()
        .unwrap();
    let token = site
        .emulator
        .logout_token("another-site", LogoutTarget::Subject("alice"));
    assert_done(&send_token(&app(&other), &token).await);
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn o4_a_session_with_a_changed_id_or_refreshed_tokens_is_found() {
    let site = site().start().await;
    for _ in 0..2 {
        let mut browser = site.signed_in("alice").await;
        assert!(browser.post("/cycle").await.sets_session());
        site.clock.advance(Duration::from_secs(3600));
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(browser.signed_in_as().await, "user alice");
        log_out(&site, LogoutTarget::Subject("alice")).await;
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

/// A site whose store yields at each call.
async fn yielding_site() -> TestSite {
    let clock = Clock::manual();
    let memory = MemoryStore::default().with_clock(clock.clone());
    let store = YieldingStore(memory.clone());
    site().start_with(store, memory, clock).await
}

#[tokio::test]
async fn o4_simultaneous_sign_ins_are_all_found() {
    for count in [2, 20] {
        let site = yielding_site().await;
        let mut browsers = sign_in_at_once(&site, count).await;
        for browser in &mut browsers {
            assert_eq!(browser.signed_in_as().await, "user alice");
        }
        log_out(&site, LogoutTarget::Subject("alice")).await;
        for browser in &mut browsers {
            assert_eq!(browser.signed_in_as().await, "guest");
        }
    }
}

#[tokio::test]
async fn o4_sessions_that_keep_changing_their_ids_are_all_ended() {
    for target in 0..2 {
        let site = yielding_site().await;
        // The time for the logout grows exponentially with their number: the IDs of the last session
        // change all the time while the others are ended.
        let browsers = sign_in_at_once(&site, 5).await;
        let sids = site.emulator.sids_of("alice");
        let (changes, is_done) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let mut loops = JoinSet::new();
        for mut browser in browsers {
            let (changes, is_done) = (Arc::clone(&changes), Arc::clone(&is_done));
            loops.spawn(async move {
                let mut seen = Vec::new();
                while !is_done.load(Ordering::SeqCst) {
                    browser.post("/cycle").await;
                    changes.fetch_add(1, Ordering::SeqCst);
                    seen.push(browser.clone());
                }
                seen
            });
        }
        eventually(|| changes.load(Ordering::SeqCst) > 40).await;
        if target == 0 {
            log_out(&site, LogoutTarget::Subject("alice")).await;
        } else {
            for sid in &sids {
                log_out(&site, LogoutTarget::Session(sid)).await;
            }
        }
        let at_logout = changes.load(Ordering::SeqCst);
        // The responses that were in flight arrive.
        eventually(|| changes.load(Ordering::SeqCst) > at_logout + 40).await;
        is_done.store(true, Ordering::SeqCst);
        for mut browser in loops.join_all().await.into_iter().flatten() {
            assert_eq!(browser.signed_in_as().await, "guest");
        }
        site.clock.advance(Duration::from_secs(1300));
        assert!(site.store.is_empty());
    }
}

#[tokio::test]
async fn o4_cookies_and_origins_are_irrelevant() {
    let site = site().start().await;
    let mut alice = site.signed_in("alice").await;
    let mut bob = site.signed_in("bob").await;
    let token = site
        .emulator
        .logout_token(CLIENT, LogoutTarget::Subject("alice"));
    let mut request = bob.navigation(Method::POST, "/backchannel-logout");
    *request.body_mut() = format!("logout_token={token}").into();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, FORM.parse().unwrap());
    headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
    headers.insert(header::ORIGIN, "https://evil.example".parse().unwrap());
    assert_done(&bob.send(request).await);
    assert_eq!(alice.signed_in_as().await, "guest");
    assert_eq!(bob.signed_in_as().await, "user bob");
}

#[tokio::test]
async fn o4_the_index_entry_is_removed_with_the_session() {
    let (site, store) = site().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    assert_eq!(entries(&store), (3, 0));
    browser.post("/logout").await;
    assert_eq!(
        entries(&store),
        (0, 3),
        "by the user, by the session there and of the site"
    );
    // Signing in over a session leaves one.
    let mut browser = site.signed_in("alice").await;
    browser.sign_in("alice", "/").await;
    assert_eq!(entries(&store), (6, 3));
    log_out(&site, LogoutTarget::Subject("alice")).await;
    let (_, removed) = entries(&store);
    assert_eq!(removed, 3);
    assert_eq!(browser.signed_in_as().await, "guest");
}

/// The numbers of index entries that were added and removed since the last call.
fn entries(store: &crate::common::WatchedStore) -> (usize, usize) {
    let calls = store.take_calls();
    let count = |what| calls.iter().filter(|call| **call == what).count();
    (count(Operation::AddMember), count(Operation::RemoveMember))
}

#[tokio::test]
async fn o4_the_index_entry_lives_as_long_as_the_session_can() {
    let hour = Duration::from_secs(3600);
    let site = site()
        .config(move |config| config.session_idle(2 * hour).session_lifetime(10 * hour))
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    for _ in 0..9 {
        site.clock.advance(hour);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    }
    log_out(&site, LogoutTarget::Subject("alice")).await;
    assert_eq!(browser.signed_in_as().await, "guest");
}

#[tokio::test]
async fn o4_a_sign_in_that_cannot_be_indexed_fails() {
    let (site, store) = site().start_watched().await;
    let mut browser = site.browser();
    let authorization_url = browser.start_login("/").await;
    let callback = browser.approve(&authorization_url, "alice");
    store.fails(&[Operation::AddMember]);
    let answer = browser.get(&callback).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.sets_session());
    site.clock.advance(Duration::from_secs(1300));
    assert!(site.store.is_empty(), "not even tokens");
}

#[tokio::test]
async fn o4_after_a_store_outage_the_token_can_be_sent_again() {
    let (site, store) = site().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    let token = site
        .emulator
        .logout_token(CLIENT, LogoutTarget::Subject("alice"));
    for down in [
        &[Operation::Load][..],
        &[Operation::Members],
        &[Operation::Take],
        &[Operation::Insert],
    ] {
        store.fails(down);
        let answer = send_token(&site.app, &token).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{down:?}");
        assert!(answer.header(header::RETRY_AFTER).is_some());
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(answer.json()["error"], "temporarily_unavailable");
        store.recover();
    }
    assert_done(&send_token(&site.app, &token).await);
    assert_eq!(browser.signed_in_as().await, "guest");
}

#[tokio::test]
async fn o4_after_a_failed_key_fetch_the_token_can_be_sent_again() {
    for endpoint in [Discovery, Jwks] {
        let site = site().start().await;
        let mut browser = site.signed_in("alice").await;
        let elsewhere = another_process(&site);
        let token = site
            .emulator
            .logout_token(CLIENT, LogoutTarget::Subject("alice"));
        site.emulator
            .fault(endpoint, axum_oten::emulator::Fault::Status(503));
        let answer = send_token(&app(&elsewhere), &token).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.header(header::RETRY_AFTER).is_some());
        assert_eq!(browser.signed_in_as().await, "user alice");
        site.emulator.clear_faults();
        site.clock.advance(Duration::from_secs(60));
        assert_done(&send_token(&app(&elsewhere), &token).await);
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

#[tokio::test]
async fn b1_a_malformed_logout_request_is_rejected() {
    let site = site().start().await;
    let mut browser = site.signed_in("alice").await;
    let token = site
        .emulator
        .logout_token(CLIENT, LogoutTarget::Subject("alice"));
    let good = format!("logout_token={token}");
    for (content_type, body) in [
        (FORM, String::new()),
        (FORM, "logout_token".to_owned()),
        (FORM, "logout_token=a.b.c".to_owned()),
        (FORM, format!("{good}&{good}")),
        (FORM, format!("{good}&x={}", "x".repeat(32 * 1024))),
        (FORM, "=".repeat(40 * 1024)),
        (FORM, "%".repeat(1024)),
        (FORM, token.clone()),
        ("application/json", good.clone()),
        ("text/plain", good.clone()),
        ("multipart/form-data", good.clone()),
        ("application/x-www-form-urlencodedx", good.clone()),
        ("", good.clone()),
    ] {
        let log = Log::start();
        let answer = send_form(&site.app, content_type, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{content_type}");
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(answer.json()["error"], "invalid_request");
        assert_eq!(
            log.refusal()["correlation_id"],
            answer.json()["correlation_id"]
        );
        assert!(!answer.body.contains(&token) && !log.contains(&token));
    }
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
        let answer = browser.fetch(method, "/backchannel-logout", &good).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header(header::ALLOW), Some("POST"));
    }
    assert_eq!(browser.signed_in_as().await, "user alice");
    // Other parameters and the spelling of the content type are irrelevant.
    let form = "Application/X-WWW-Form-Urlencoded ; charset=UTF-8";
    assert_done(&send_form(&site.app, form, format!("x=y&{good}")).await);
    assert_eq!(browser.signed_in_as().await, "guest");
}

#[tokio::test]
async fn b5_a_back_channel_logout_is_one_event() {
    let log = Log::start();
    let site = site().start().await;
    let _browsers = [site.signed_in("alice").await, site.signed_in("alice").await];
    let name = log.named("signed_in")[0]["subject"].clone();
    let sids = site.emulator.sids_of("alice");
    for (target, sessions, subject) in [
        (LogoutTarget::Session(&sids[0]), "1", Some(&name)),
        (LogoutTarget::Subject("alice"), "1", Some(&name)),
        (LogoutTarget::Subject("alice"), "0", Some(&name)),
        (LogoutTarget::Session("unknown"), "0", None),
    ] {
        log.clear();
        log_out(&site, target).await;
        let events = log.events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["event"], "back_channel_logout");
        assert_eq!(events[0]["sessions"], sessions);
        assert_eq!(events[0].get("subject"), subject);
        assert_eq!(events[0]["correlation_id"].len(), 16);
        assert!(!log.contains(&sids[0]));
    }
}
