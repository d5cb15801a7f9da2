//! S4: the order of the checks of `/callback`.

use axum::http::StatusCode;
use axum_oten::emulator::{EmulatorBuilder, Endpoint};

use crate::common::{Answer, Log, TestSite, with_parameter, without_parameter};

const ENDPOINTS: [Endpoint; 6] = [
    Endpoint::Discovery,
    Endpoint::Jwks,
    Endpoint::Authorization,
    Endpoint::Token,
    Endpoint::Userinfo,
    Endpoint::Validation,
];

fn calls(site: &TestSite) -> Vec<u64> {
    let calls = ENDPOINTS
        .iter()
        .map(|endpoint| site.emulator.calls(*endpoint));
    calls.collect()
}

/// Asserts that a callback is rejected before its code is sent, with this reason in the log.
async fn refused(site: &TestSite, change: impl Fn(&str) -> String) -> (Answer, String) {
    let mut browser = site.browser();
    let url = browser.start_login("/page").await;
    let callback = change(&browser.approve(&url, "alice"));
    let (tokens, log) = (site.emulator.calls(Endpoint::Token), Log::start());
    let answer = browser.get(&callback).await;
    assert_eq!(site.emulator.calls(Endpoint::Token), tokens, "{callback}");
    assert!(!answer.sets_session());
    assert_eq!(browser.signed_in_as().await, "guest");
    (answer, log.refusal()["reason"].clone())
}

#[tokio::test]
async fn s4_an_unknown_state_causes_no_call_to_the_provider() {
    let site = TestSite::start().await;
    let foreign = "state=foreign&error=access_denied&code=a-code&iss=https://evil.example";

    // A signed-in browser is redirected to the home page.
    let mut alice = site.signed_in("alice").await;
    let before = calls(&site);
    assert_eq!(
        alice.get(&format!("/callback?{foreign}")).await.location(),
        "/"
    );
    assert_eq!(calls(&site), before);

    // The login of a guest is restarted, without a call to the provider.
    let mut guest = site.browser();
    let restarted = guest.get(&format!("/callback?{foreign}")).await;
    assert!(!restarted.location().contains("a-code"));
    guest.follow_restart(&restarted).await;
    assert_eq!(calls(&site), before);

    // After that, and without a cookie, there is no call either.
    let answer = guest.get(&format!("/callback?{foreign}")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let site = TestSite::start().await;
    let answer = site.browser().get(restarted.location()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(calls(&site), [0; 6]);
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn s4_a_given_iss_must_match_the_provider() {
    for announced in [true, false] {
        let builder = TestSite::builder();
        let site = builder
            .emulator(move |emulator| {
                if announced {
                    emulator.advertise_iss()
                } else {
                    emulator
                }
            })
            .start()
            .await;
        site.signed_in("alice").await;
        let issuer = site.emulator.issuer().to_owned();
        for foreign in [
            "https://evil.example",
            "",
            &format!("{issuer}/"),
            &issuer.to_uppercase(),
            &issuer[..issuer.len() - 1],
        ] {
            let (answer, reason) =
                refused(&site, |callback| with_parameter(callback, "iss", foreign)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert_eq!(reason, "callback_foreign_iss", "{foreign}");
            assert!(!answer.body.contains("evil"));
        }
        let mut browser = site.browser();
        let url = browser.start_login("/page").await;
        let callback = with_parameter(&browser.approve(&url, "alice"), "iss", &issuer);
        assert_eq!(browser.get(&callback).await.location(), "/page");
    }
}

#[tokio::test]
async fn s4_an_advertised_iss_is_required() {
    let builder = TestSite::builder();
    let site = builder
        .emulator(EmulatorBuilder::advertise_iss)
        .start()
        .await;
    let (answer, reason) = refused(&site, |callback| without_parameter(callback, "iss")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(reason, "callback_without_iss");
}

#[tokio::test]
async fn s4_iss_is_checked_before_error_and_error_before_code() {
    let site = TestSite::start().await;
    let (answer, reason) = refused(&site, |callback| {
        let callback = with_parameter(callback, "error", "access_denied");
        with_parameter(&callback, "iss", "https://evil.example")
    })
    .await;
    assert_eq!(
        (answer.status, &*reason),
        (StatusCode::BAD_REQUEST, "callback_foreign_iss")
    );

    let (answer, reason) = refused(&site, |callback| {
        with_parameter(callback, "error", "access_denied")
    })
    .await;
    assert_eq!((answer.status, &*reason), (StatusCode::OK, "cancelled"));
}

#[tokio::test]
async fn s4_a_callback_without_code_is_rejected() {
    let site = TestSite::start().await;
    for change in [
        |callback: &str| without_parameter(callback, "code"),
        |callback: &str| with_parameter(callback, "code", ""),
    ] {
        let (answer, reason) = refused(&site, change).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(reason, "callback_without_code");
    }
}

#[tokio::test]
async fn s4_a_malformed_callback_is_rejected_and_uses_no_attempt() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let url = browser.start_login("/page").await;
    let callback = browser.approve(&url, "alice");
    let state = callback.split_once("state=").unwrap().1.to_owned();
    let without_state = without_parameter(&callback, "state");
    for (query, reason) in [
        (format!("{callback}&code=a"), "callback_repeated_parameter"),
        (
            format!("{callback}&state={state}"),
            "callback_repeated_parameter",
        ),
        (
            format!("{callback}&error=a&error=b"),
            "callback_repeated_parameter",
        ),
        (
            format!("{callback}&iss=a&iss=a"),
            "callback_repeated_parameter",
        ),
        (
            format!("{callback}&%63ode=a"),
            "callback_repeated_parameter",
        ),
        (
            format!("{callback}&x={}", "y".repeat(8 * 1024)),
            "callback_too_long",
        ),
        (format!("{callback}&error=%ff"), "callback_not_utf8"),
        (without_state.clone(), "callback_without_state"),
        (format!("{without_state}&state="), "callback_without_state"),
        ("/callback".to_owned(), "callback_without_state"),
    ] {
        let log = Log::start();
        let answer = browser.get(&query).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(log.refusal()["reason"], reason, "{query}");
        assert!(answer.set_cookies().is_empty());
    }
    assert_eq!(site.emulator.calls(Endpoint::Token), 0);
    let unknown = format!("{callback}&unknown=a&unknown=b");
    assert_eq!(browser.get(&unknown).await.location(), "/page");
}
