//! S5: callbacks that match no open login attempt of the browser.

use std::time::Duration;

use axum::http::StatusCode;
use axum_oten::{
    Clock, MemoryStore,
    emulator::{Deviation, Endpoint},
};

use crate::common::{
    Answer, Browser, Log, TestSite, YieldingStore, with_parameter, without_parameter,
};

async fn started(browser: &mut Browser, user: &str) -> String {
    let url = browser.start_login("/page").await;
    browser.approve(&url, user)
}

#[tokio::test]
async fn s5_a_replayed_callback_redirects_a_signed_in_user_to_the_page() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let callback = started(&mut browser, "alice").await;
    browser.get(&callback).await;
    let (session, records) = (browser.cookies.clone(), site.store.len());
    for seconds in [0, 300, 299] {
        site.clock.advance(Duration::from_secs(seconds));
        let again = browser.get(&callback).await;
        assert_eq!(again.location(), "/page");
        assert_eq!(browser.cookies, session);
        assert_eq!(browser.signed_in_as().await, "user alice");
        assert_eq!(site.store.len(), records);
    }
    assert_eq!(site.emulator.calls(Endpoint::Token), 1);
    // The return path is kept for ten minutes.
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.get(&callback).await.location(), "/");
}

#[tokio::test]
async fn s5_a_replayed_callback_restarts_the_login_of_a_guest_once() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let callback = started(&mut browser, "alice").await;
    browser.get(&callback).await;
    browser.post("/logout").await;
    assert_eq!(browser.signed_in_as().await, "guest");

    let again = browser.get(&callback).await;
    let url = browser.follow_restart(&again).await;
    assert_eq!(site.emulator.calls(Endpoint::Token), 1);
    assert_eq!(browser.signed_in_as().await, "guest");
    // The restarted login completes, with the return path.
    let callback = browser.approve(&url, "alice");
    assert_eq!(browser.get(&callback).await.location(), "/page");
    assert_eq!(browser.signed_in_as().await, "user alice");
    // A replay of it is not followed by another restart.
    browser.post("/logout").await;
    let log = Log::start();
    let end = browser.get(&callback).await;
    assert_eq!(end.status, StatusCode::BAD_REQUEST);
    assert_eq!(log.refusal()["reason"], "unknown_sign_in");
    assert!(end.body.contains("/login?return_to=%2Fpage"));
}

#[tokio::test]
async fn s5_a_login_is_restarted_once_a_minute_whatever_happens_to_state() {
    let site = TestSite::start().await;
    for deviation in ["changed", "", "1", "2", "<\"%00"] {
        let mut browser = site.browser();
        site.emulator
            .deviate(Deviation::CallbackParameter("state", deviation));
        let callback = started(&mut browser, "alice").await;
        let first = browser.get(&callback).await;
        if deviation.is_empty() {
            assert_eq!(first.status, StatusCode::BAD_REQUEST);
            continue;
        }
        let [restart] = first.set_cookies()[..] else {
            panic!("{first:?}");
        };
        assert_eq!(
            restart,
            "oten_restart=1; HttpOnly; SameSite=Lax; Path=/; Max-Age=60"
        );
        let url = browser.follow_restart(&first).await;
        let callback = browser.approve(&url, "alice");
        let log = Log::start();
        for _ in 0..3 {
            let end = browser.get(&callback).await;
            assert_eq!(end.status, StatusCode::BAD_REQUEST, "{deviation}");
            assert!(end.body.contains("href=\"/login\""));
            assert!(end.set_cookies().is_empty());
        }
        let refusals = log.named("refused");
        assert!(refusals[0]["cause"].contains("changes `state`"));
        // A login that the user starts completes.
        site.emulator.clear_deviations();
        browser.clone().sign_in("alice", "/page").await;
        // After a minute, the browser removes the cookie.
        browser.cookies.remove("oten_restart");
        let again = browser.get(&callback).await;
        browser.follow_restart(&again).await;
    }
    assert_eq!(site.emulator.calls(Endpoint::Token), 4);
}

#[tokio::test]
async fn s5_a_truncated_state_is_restarted_once() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    for restarts in 0..2 {
        let callback = started(&mut browser, "alice").await;
        let (before, state) = callback.split_once("state=").unwrap();
        let answer = browser
            .get(&format!("{before}state={}", &state[..20]))
            .await;
        if restarts == 0 {
            browser.follow_restart(&answer).await;
        } else {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        }
    }
    assert_eq!(site.emulator.calls(Endpoint::Token), 0);
}

#[tokio::test]
async fn s5_a_browser_without_cookies_is_not_redirected_to_the_provider_again() {
    let site = TestSite::start().await;
    let callback = started(&mut site.browser(), "alice").await;
    for callback in [
        callback.clone(),
        with_parameter(&callback, "state", "changed"),
    ] {
        let restarted = site.browser().get(&callback).await;
        // Cookies of the app do not matter.
        for cookie in [None, Some("theme")] {
            let mut browser = site.browser();
            let cookies = cookie.map(|name| (name.to_owned(), "dark".to_owned()));
            browser.cookies.extend(cookies);
            let log = Log::start();
            let end = browser.get(restarted.location()).await;
            assert_eq!(end.status, StatusCode::BAD_REQUEST);
            assert!(end.body.contains("blocks cookies"));
            assert!(end.body.contains("href=\"/login\""));
            let refusal = log.refusal();
            assert_eq!(refusal["reason"], "unknown_sign_in");
            assert!(refusal["cause"].contains("did not keep the cookie"));
            // The browser has kept the cookie of this page: a reload starts the sign-in.
            let again = browser.get(restarted.location()).await;
            assert_eq!(again.status, StatusCode::SEE_OTHER);
        }
    }
    assert_eq!(site.emulator.calls(Endpoint::Token), 0);
}

/// A provider that cannot read the signed request cannot return its `state`.
#[tokio::test]
async fn s5_an_error_without_state_says_what_to_do() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    let open = started(&mut browser, "bob").await;
    let error = with_parameter("/callback?a=b", "error", "invalid_request_object");
    let hostile = with_parameter(&error, "error", "x\n\u{1b}[31m<script>");
    let without_state = without_parameter(&open, "state");
    let without_state = with_parameter(&without_state, "error", "server_error");
    for (callback, code, text) in [
        (error, "`invalid_request_object`", "not set up correctly"),
        (hostile, "`x[31m<script>`", "Please try again"),
        (without_state, "`server_error`", "try again in a moment"),
    ] {
        let cookies = browser.cookies.clone();
        let log = Log::start();
        let answer = browser.get(&callback).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.body.contains(text), "{}", answer.body);
        assert!(answer.body.contains(">Try again</a>"));
        assert!(!answer.body.contains("<script>"));
        let refusal = log.refusal();
        assert_eq!(refusal["reason"], "callback_without_state");
        assert!(refusal["cause"].contains(code), "{refusal:?}");
        assert!(!refusal["cause"].contains(['\n', '\u{1b}']));
        assert_eq!(browser.cookies, cookies);
        assert_eq!(browser.signed_in_as().await, "user alice");
    }
    // The attempt is still open.
    assert_eq!(browser.get(&open).await.location(), "/page");
    assert_eq!(browser.signed_in_as().await, "user bob");
}

#[tokio::test]
async fn s5_an_unknown_state_signs_no_user_in_or_out() {
    let site = TestSite::start().await;
    let mut alice = site.signed_in("alice").await;
    let mut bob = site.browser();
    let callback = started(&mut bob, "bob").await;
    let tokens = site.emulator.calls(Endpoint::Token);
    let before = alice.cookies.clone();
    for query in [
        "/callback?state=unknown&code=code",
        "/callback?state=unknown&error=access_denied",
        "/callback?state=unknown&error=login_required",
        &callback,
        &with_parameter(&callback, "error", "access_denied"),
    ] {
        assert_eq!(alice.get(query).await.location(), "/", "{query}");
        assert_eq!(alice.cookies, before);
        assert_eq!(alice.signed_in_as().await, "user alice");
        let mut guest = site.browser();
        assert!(!guest.get(query).await.sets_session());
        assert_eq!(guest.signed_in_as().await, "guest");
    }
    assert_eq!(site.emulator.calls(Endpoint::Token), tokens);
    // Bob's own browser is unaffected.
    assert_eq!(bob.get(&callback).await.location(), "/page");
    assert_eq!(bob.signed_in_as().await, "user bob");
}

#[tokio::test]
async fn s5_login_csrf_does_not_sign_the_victim_in_as_the_attacker() {
    let site = TestSite::start().await;
    for victim_is in ["guest", "user alice"] {
        let mut victim = match victim_is {
            "guest" => site.browser(),
            _ => site.signed_in("alice").await,
        };
        // Also if the victim has an open login attempt.
        let own = started(&mut victim, "alice").await;
        let mut attacker = site.browser();
        let forged = started(&mut attacker, "bob").await;
        let tokens = site.emulator.calls(Endpoint::Token);
        let answer = victim.get(&forged).await;
        assert!(!answer.sets_session());
        assert_eq!(victim.signed_in_as().await, victim_is);
        assert_eq!(site.emulator.calls(Endpoint::Token), tokens);
        // The restarted login signs in the user at the keyboard.
        if victim_is == "guest" {
            let url = victim.follow_restart(&answer).await;
            let callback = victim.approve(&url, "alice");
            victim.get(&callback).await;
        }
        assert_eq!(victim.get(&own).await.location(), "/page");
        assert_eq!(victim.signed_in_as().await, "user alice");
    }
}

#[tokio::test]
async fn s5_the_victims_state_with_the_attackers_code_is_rejected() {
    let site = TestSite::start().await;
    let mut victim = site.browser();
    let own = started(&mut victim, "alice").await;
    let stolen = started(&mut site.browser(), "bob").await;
    let code = &stolen[stolen.find("code=").unwrap() + 5..stolen.find('&').unwrap()];
    let answer = victim.get(&with_parameter(&own, "code", code)).await;
    // PKCE binds the code to the attacker's attempt.
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.sets_session());
    assert_eq!(victim.signed_in_as().await, "guest");
}

#[tokio::test]
async fn s5_the_cookie_of_one_attempt_does_not_match_another() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let first = started(&mut browser, "alice").await;
    started(&mut browser, "bob").await;
    let honest = browser.cookies.clone();
    let (names, mut values): (Vec<_>, Vec<_>) = honest.clone().into_iter().unzip();
    values.rotate_left(1);
    let mut swapped = browser.clone();
    swapped.cookies = names.into_iter().zip(values).collect();
    let answer = swapped.get(&first).await;
    swapped.follow_restart(&answer).await;
    assert_eq!(site.emulator.calls(Endpoint::Token), 0);
    assert_eq!(browser.get(&first).await.location(), "/page");
}

#[tokio::test]
async fn s5_two_callbacks_at_once_make_one_token_request() {
    let clock = Clock::manual();
    let memory = MemoryStore::default().with_clock(clock.clone());
    let store = YieldingStore(memory.clone());
    let builder = TestSite::builder();
    let site = builder.start_with(store, memory, clock).await;
    let mut browser = site.browser();
    let callback = started(&mut browser, "alice").await;
    let (mut one, mut other) = (browser.clone(), browser.clone());
    let (first, second) = tokio::join!(one.get(&callback), other.get(&callback));
    assert_eq!(site.emulator.calls(Endpoint::Token), 1);
    let signed_in = [&first, &second].map(Answer::sets_session);
    assert_ne!(signed_in[0], signed_in[1], "one of them signs in");
    let (winner, loser, mut browser) = if signed_in[0] {
        (&first, &second, other)
    } else {
        (&second, &first, one)
    };
    assert_eq!(winner.location(), "/page");
    browser.follow_restart(loser).await;
}
