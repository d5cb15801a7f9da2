//! S1: login attempts.

use std::{collections::BTreeSet, time::Duration};

use axum::http::{Method, StatusCode, header};
use axum_oten::emulator::Endpoint;
use tokio::task::JoinSet;

use crate::common::{Browser, ClientKind, TestSite, parameters};

#[tokio::test]
async fn s1_every_client_type_signs_in_and_returns() {
    for kind in ClientKind::ALL {
        let site = TestSite::builder().client(kind).start().await;
        let mut browser = site.browser();
        let refused = browser.get("/profile?tab=x").await;
        assert_eq!(refused.location(), "/login?return_to=%2Fprofile%3Ftab%3Dx");
        browser.sign_in("alice", "/profile?tab=x").await;
        let profile = browser.get("/profile?tab=x").await;
        assert_eq!(profile.status, StatusCode::OK, "{kind:?}");
        assert_eq!(profile.json()["sub"], "alice");
        assert_eq!(browser.signed_in_as().await, "user alice");
    }
}

/// A browser may request links before the user follows them, and discards such a response if its status
/// is an error.
#[tokio::test]
async fn s1_a_prefetch_starts_no_login_attempt_and_uses_up_no_callback() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.browser();
    let url = browser.start_login("/profile").await;
    let callback = browser.approve(&url, "alice");
    let before = browser.cookies.clone();
    store.take_calls();
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", "prefetch;anonymous-client-ip"),
        ("sec-purpose", "PREFETCH ;prerender"),
        ("purpose", "prefetch"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ] {
        for path in ["/login?return_to=/a", &callback, "/callback?state=a&code=b"] {
            let mut request = browser.navigation(Method::GET, path);
            let headers = request.headers_mut();
            headers.insert(name, value.parse().unwrap());
            let answer = browser.send(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
            assert_eq!(answer.body, "");
            assert_eq!(browser.cookies, before, "{name}: {value} {path}");
        }
    }
    assert_eq!(store.take_calls(), []);
    assert_eq!(site.emulator.calls(Endpoint::Token), 0);
    // The user follows the links.
    assert_eq!(browser.get(&callback).await.location(), "/profile");
    assert_eq!(browser.signed_in_as().await, "user alice");
    // Other values of the headers mean nothing.
    let mut request = browser.navigation(Method::GET, "/login");
    let headers = request.headers_mut();
    for name in ["sec-purpose", "purpose", "x-moz"] {
        headers.insert(name, "navigate".parse().unwrap());
    }
    assert_eq!(browser.send(request).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn s1_five_parallel_logins_complete_in_any_order() {
    for order in [
        [0, 1, 2, 3, 4],
        [4, 3, 2, 1, 0],
        [2, 0, 4, 1, 3],
        [3, 4, 1, 0, 2],
        [1, 3, 0, 4, 2],
    ] {
        let site = TestSite::start().await;
        let mut browser = site.browser();
        let callbacks = logins_at_once(&mut browser, 5).await;
        assert_eq!(site.store.len(), 5);
        for tab in order {
            let answer = browser.get(&callbacks[tab]).await;
            assert_eq!(answer.location(), format!("/page/{tab}"), "{order:?}");
            assert_eq!(browser.signed_in_as().await, "user alice");
        }
        assert_eq!(site.emulator.calls(Endpoint::Token), 5);
    }
}

/// Tabs that request `/login` before the first response arrives: none sends a cookie, and one jar
/// stores all their cookies.
async fn logins_at_once(browser: &mut Browser, count: usize) -> Vec<String> {
    let mut tabs = JoinSet::new();
    for tab in 0..count {
        let mut browser = browser.clone();
        tabs.spawn(async move {
            let url = browser.start_login(&format!("/page/{tab}")).await;
            (tab, browser.approve(&url, "alice"), browser.cookies)
        });
    }
    let mut answers = tabs.join_all().await;
    answers.sort_by_key(|(tab, ..)| *tab);
    let callbacks = answers.into_iter().map(|(_, callback, cookies)| {
        browser.cookies.extend(cookies);
        callback
    });
    callbacks.collect()
}

#[tokio::test]
async fn s1_a_browser_has_at_most_eight_attempts_and_the_oldest_is_removed() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let mut callbacks = Vec::new();
    for page in 0..9 {
        let url = browser.start_login(&format!("/page/{page}")).await;
        callbacks.push(browser.approve(&url, "alice"));
        site.clock.advance(Duration::from_secs(1));
        let open = (page + 1).min(8);
        assert_eq!(browser.login_cookies().len(), open);
        assert_eq!(site.store.len(), open, "the record goes with the cookie");
    }
    let mut guest = browser.clone();
    for (page, callback) in callbacks.iter().enumerate().skip(1) {
        let answer = browser.get(callback).await;
        assert_eq!(answer.location(), format!("/page/{page}"));
    }
    let tokens = site.emulator.calls(Endpoint::Token);
    let answer = guest.get(&callbacks[0]).await;
    guest.follow_restart(&answer).await;
    assert_eq!(site.emulator.calls(Endpoint::Token), tokens);
}

#[tokio::test]
async fn s1_more_than_eight_parallel_attempts_are_reduced_by_the_next_login() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    logins_at_once(&mut browser, 12).await;
    assert_eq!(site.store.len(), 12);
    site.clock.advance(Duration::from_secs(1));
    browser.sign_in("alice", "/page").await;
    assert_eq!(browser.login_cookies().len(), 8);
    // The attempts, a session and its tokens.
    assert_eq!(site.store.len(), 8 + 2);
}

#[tokio::test]
async fn s1_a_login_removes_at_most_sixteen_attempts() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    logins_at_once(&mut browser, 30).await;
    let answer = browser.get("/login").await;
    assert_eq!(answer.set_cookies().len(), 16 + 1);
    assert_eq!(site.store.len(), 30 - 16 + 1);
}

#[tokio::test]
async fn s1_the_limit_of_eight_attempts_is_per_browser() {
    let site = TestSite::start().await;
    let mut first = site.browser();
    let url = first.start_login("/page").await;
    for _ in 0..20 {
        site.clock.advance(Duration::from_secs(1));
        site.browser().start_login("/").await;
    }
    let callback = first.approve(&url, "alice");
    assert_eq!(first.get(&callback).await.location(), "/page");
}

#[tokio::test]
async fn s1_an_attempt_expires_after_ten_minutes() {
    for (seconds, in_time) in [(599, true), (600, false)] {
        let site = TestSite::start().await;
        let mut browser = site.browser();
        let url = browser.start_login("/page").await;
        let callback = browser.approve(&url, "alice");
        site.clock.advance(Duration::from_secs(seconds));
        let answer = browser.get(&callback).await;
        if in_time {
            assert_eq!(answer.location(), "/page");
            continue;
        }
        browser.follow_restart(&answer).await;
        assert_eq!(site.emulator.calls(Endpoint::Token), 0);
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

#[tokio::test]
async fn s1_the_login_cookie_is_short_lived_and_reveals_nothing() {
    for (origin, name, secure) in [
        ("http://127.0.0.1:3000", "oten_login_", ""),
        ("https://app.example", "__Host-oten_login_", "; Secure"),
    ] {
        let site = TestSite::builder().origin(origin).start().await;
        let answer = site.browser().get("/login?return_to=/page").await;
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
        let cookies = answer.set_cookies();
        let [cookie] = cookies[..] else {
            panic!("{cookies:?}");
        };
        assert!(cookie.starts_with(name), "{cookie}");
        let attributes = format!("; HttpOnly; SameSite=Lax{secure}; Path=/; Max-Age=1200");
        assert!(cookie.ends_with(&attributes), "{cookie}");
        let sent = parameters(&answer.location().parse().unwrap());
        for name in ["state", "nonce", "code_challenge"] {
            assert!(!cookie.contains(sent[name].as_str().unwrap()), "{name}");
        }
        assert!(!cookie.contains("page"));
    }
}

#[tokio::test]
async fn s1_state_nonce_and_verifier_are_long_and_never_reused() {
    let site = TestSite::start().await;
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let sent = parameters(&site.browser().start_login("/").await);
        for name in ["state", "nonce", "code_challenge", "jti"] {
            let value = sent[name].as_str().unwrap().to_owned();
            assert!(value.len() >= 22, "128 bits of base64url: {name}");
            assert!(seen.insert(value), "{name} came twice");
        }
    }
}

#[tokio::test]
async fn s1_other_methods_use_no_attempt() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    for method in [Method::HEAD, Method::PUT, Method::OPTIONS] {
        let request = browser.navigation(method.clone(), "/login");
        let answer = browser.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert!(site.store.is_empty() && browser.cookies.is_empty());
    }
    let url = browser.start_login("/page").await;
    let callback = browser.approve(&url, "alice");
    for method in [Method::HEAD, Method::POST, Method::OPTIONS] {
        let request = browser.navigation(method.clone(), &callback);
        let answer = browser.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert!(answer.set_cookies().is_empty());
    }
    assert_eq!(site.emulator.calls(Endpoint::Token), 0);
    assert_eq!(browser.get(&callback).await.location(), "/page");
}
