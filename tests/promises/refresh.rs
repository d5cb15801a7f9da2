//! Promises L1 to L5 and the budget of D5: token refresh.

use std::time::Duration;

use axum::{
    Router,
    http::{Method, StatusCode, header},
    routing::get,
};
use axum_oten::{
    Oten, User,
    emulator::{
        Deviation, EmulatorBuilder,
        Endpoint::{Jwks, Token},
        Fault,
    },
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::common::{Answer, Browser, Log, TestSite, app};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Another process of the same site, on the same store.
fn another_process(site: &TestSite) -> Oten {
    Oten::builder(site.oten.config().clone(), site.store.clone())
        .clock(site.clock.clone())
        .build()
        .unwrap()
}

async fn get_all(browsers: impl IntoIterator<Item = Browser>, path: &'static str) -> Vec<Answer> {
    let mut requests = JoinSet::new();
    for mut browser in browsers {
        requests.spawn(async move { browser.get(path).await });
    }
    requests.join_all().await
}

fn assert_all_ok(answers: &[Answer], count: usize) {
    let good = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::OK);
    assert_eq!(good.count(), count);
}

#[tokio::test]
async fn l1_a_token_near_expiry_is_refreshed_before_a_protected_request() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(HOUR / 2);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 0, "too early");

    site.clock.advance(29 * MINUTE);
    browser.get("/").await;
    assert_eq!(site.emulator.refreshes(), 0, "the page is open to all");
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1, "it is fresh again");

    // And again an hour later, with the new refresh token.
    site.clock.advance(HOUR);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 2);
    assert_eq!(site.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn l1_a_disabled_user_is_denied_within_the_lifetime_of_a_token() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    site.emulator.disable_user("alice");
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    site.clock.advance(HOUR);
    assert_eq!(
        browser.get("/profile").await.location(),
        "/login?return_to=%2Fprofile"
    );
}

#[tokio::test]
async fn l1_with_the_policy_on_demand_only_the_access_token_extractor_refreshes() {
    let site = TestSite::builder()
        .config(|config| config.refresh(axum_oten::config::RefreshPolicy::OnDemand))
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 0);
    assert_eq!(browser.get("/token").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
}

#[tokio::test]
async fn l1_a_session_without_refresh_token_lives_until_its_own_limits() {
    let site = TestSite::builder()
        .emulator(EmulatorBuilder::without_refresh_tokens)
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.get("/token").await.status, StatusCode::OK);
    site.clock.advance(2 * HOUR);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(
        browser.get("/token").await.location(),
        "/login?return_to=%2Ftoken"
    );
}

#[tokio::test]
async fn l2_two_hundred_requests_of_one_session_make_one_call() {
    let site = TestSite::start().await;
    let browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    let held = site.emulator.hold(Token);
    let requests = tokio::spawn(get_all(vec![browser; 200], "/profile"));
    held.wait_for(1).await;
    held.release();
    assert_all_ok(&requests.await.unwrap(), 200);
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(site.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn l2_two_processes_that_share_a_store_make_one_call() {
    let site = TestSite::start().await;
    let browser = site.signed_in("alice").await;
    let mut elsewhere = browser.clone();
    elsewhere.app(app(&another_process(&site)));
    site.clock.advance(HOUR);
    let held = site.emulator.hold(Token);
    let browsers = [vec![browser; 100], vec![elsewhere; 100]].concat();
    let requests = tokio::spawn(get_all(browsers, "/profile"));
    held.wait_for(1).await;
    held.release();
    assert_all_ok(&requests.await.unwrap(), 200);
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(site.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn l2_a_process_that_dies_with_the_lease_delays_others_until_it_expires() {
    let site = TestSite::start().await;
    let browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    let held = site.emulator.hold(Token);

    // A separate process, which is killed during the call.
    let doomed = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut first = browser.clone();
    first.app(app(&another_process(&site)));
    doomed.spawn(async move { first.get("/profile").await });
    held.wait_for(1).await;
    doomed.shutdown_background();
    held.release();

    let mut second = browser.clone();
    let waiting = tokio::spawn(async move { second.get("/profile").await });
    let unused = site.emulator.refreshes();
    site.clock.advance(Duration::from_secs(15));
    let answer = waiting.await.unwrap();
    // The emulator may have processed the interrupted call, which used the refresh token: the response
    // is lost, and the user signs in again.
    assert!(
        answer.status == StatusCode::OK || answer.location().starts_with("/login"),
        "{answer:?}"
    );
    assert!(site.emulator.refreshes() > unused);
}

#[tokio::test]
async fn l2_cancelled_requests_do_not_stop_the_call() {
    let site = TestSite::start().await;
    let browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    let held = site.emulator.hold(Token);
    let mut impatient = browser.clone();
    let request = tokio::spawn(async move { impatient.get("/profile").await });
    held.wait_for(1).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    held.release();
    site.oten.shutdown().await;
    let mut browser = browser;
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
}

#[tokio::test]
async fn l3_a_refreshed_id_token_must_name_the_same_user_and_issuer() {
    for (claim, value) in [
        ("sub", json!("mallory")),
        ("iss", json!("https://evil.example")),
        ("aud", json!("another-client")),
        ("exp", json!(0)),
    ] {
        let site = TestSite::start().await;
        let mut browser = site.signed_in("alice").await;
        site.clock.advance(HOUR);
        site.emulator.deviate(Deviation::Claim(claim, value));
        let log = Log::start();
        browser.get("/profile").await.location();
        let ended = log.named("sign_in_ended");
        assert!(
            ended[0]["cause"].contains(&format!("`{claim}`")),
            "{ended:?}"
        );
        assert_eq!(browser.signed_in_as().await, "guest");
        assert!(site.store.is_empty());
    }
}

#[tokio::test]
async fn l3_tokens_that_the_response_omits_are_kept() {
    let site = TestSite::builder()
        .emulator(|emulator| emulator.without_id_token_on_refresh().without_rotation())
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    for refreshes in 1..=3 {
        site.clock.advance(HOUR);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(site.emulator.refreshes(), refreshes);
    }
}

/// Handlers that fail after their request refreshed the tokens.
fn failing_handlers(oten: &Oten) -> Router {
    let protected = Router::new()
        .route(
            "/fails",
            get(async |_: User| StatusCode::INTERNAL_SERVER_ERROR),
        )
        .route("/panics", get(panics))
        .route(
            "/hangs",
            get(async |_: User| std::future::pending::<()>().await),
        )
        .route_layer(oten.require_login());
    app(oten).merge(protected.layer(oten.layer()))
}

async fn panics(_: User) {
    panic!("on purpose")
}

#[tokio::test]
async fn l4_a_failing_handler_loses_no_refreshed_tokens() {
    for path in ["/fails", "/panics", "/hangs"] {
        let site = TestSite::builder().app(failing_handlers).start().await;
        let mut browser = site.signed_in("alice").await;
        site.clock.advance(HOUR);
        let mut failing = browser.clone();
        let request = tokio::spawn(async move { failing.get(path).await });
        if path == "/hangs" {
            crate::common::eventually(|| site.emulator.refreshes() == 1).await;
            request.abort();
        }
        let _ = request.await;
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(site.emulator.refreshes(), 1, "{path}");
        site.clock.advance(HOUR);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(site.emulator.reuse_detected(), 0, "{path}");
    }
}

#[tokio::test]
async fn l5_an_invalid_grant_ends_the_sign_in() {
    let site = TestSite::start().await;
    for (method, status) in [
        (None, StatusCode::SEE_OTHER),
        (Some(()), StatusCode::UNAUTHORIZED),
    ] {
        let mut browser = site.signed_in("alice").await;
        site.emulator.disable_user("alice");
        site.clock.advance(HOUR);
        let answer = match method {
            None => browser.get("/profile").await,
            Some(()) => browser.fetch(Method::GET, "/profile", "").await,
        };
        assert_eq!(answer.status, status);
        assert_eq!(browser.signed_in_as().await, "guest");
        site.emulator.enable_user("alice");
    }
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn l5_a_temporary_failure_signs_no_user_out() {
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::TooManyRequests {
            retry_after: Some(MINUTE),
        },
        Fault::OAuthError("temporarily_unavailable"),
        Fault::Close,
        Fault::Html,
    ] {
        let site = TestSite::start().await;
        let mut browser = site.signed_in("alice").await;
        site.emulator.fault(Token, fault);
        // A minute before expiry the token is still valid.
        site.clock.advance(59 * MINUTE);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(browser.get("/token").await.status, StatusCode::OK);
        // After expiry, pages are served during the grace period.
        site.clock.advance(3 * MINUTE);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        let refused = browser.get("/token").await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.header(header::RETRY_AFTER).is_some());
        // After the grace period requests get 503, and the user is still not signed out.
        site.clock.advance(5 * MINUTE);
        let refused = browser.get("/profile").await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.header(header::RETRY_AFTER).is_some());
        assert!(refused.set_cookies().is_empty());
        assert_eq!(browser.signed_in_as().await, "user alice");
        site.emulator.clear_faults();
        site.clock.advance(2 * MINUTE);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn l5_the_next_request_does_not_repeat_a_failed_call() {
    let site = TestSite::start().await;
    let browser = site.signed_in("alice").await;
    site.emulator.fault(Token, Fault::Status(500));
    site.clock.advance(HOUR);
    let before = site.emulator.calls(Token);
    for answer in get_all(vec![browser; 20], "/profile").await {
        assert_eq!(answer.status, StatusCode::OK, "within the grace");
    }
    assert_eq!(site.emulator.calls(Token), before + 1);
}

#[tokio::test]
async fn d5_the_token_request_budget_is_kept() {
    let site = TestSite::builder()
        .config(|config| config.token_requests_per_minute(4))
        .start()
        .await;
    let mut browsers = [site.signed_in("alice").await, site.signed_in("bob").await];
    site.clock.advance(HOUR);
    let before = site.emulator.calls(Token);
    for browser in &mut browsers {
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    }
    assert_eq!(site.emulator.calls(Token), before + 2);
    // The budget is exhausted: a sign-in gets 503 with `Retry-After`.
    let log = Log::start();
    let mut late = site.browser();
    let authorization_url = late.start_login("/").await;
    let callback = late.approve(&authorization_url, "carol");
    let answer = late.get(&callback).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header(header::RETRY_AFTER).is_some());
    assert_eq!(site.emulator.calls(Token), before + 2);
    let refusal = log.refusal();
    assert_eq!(refusal["reason"], "token_endpoint_busy");
    assert!(refusal["cause"].contains("`token_requests_per_minute`"));
}

#[tokio::test]
async fn l3_tokens_are_kept_if_the_key_of_the_id_token_is_unavailable() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    site.emulator.rotate_keys();
    site.emulator.fault(Jwks, Fault::Status(404));
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    site.emulator.clear_faults();
    site.clock.advance(HOUR);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(
        (site.emulator.refreshes(), site.emulator.reuse_detected()),
        (2, 0)
    );
}
