//! S9: errors of the provider in plain words.

use axum::http::{Method, StatusCode, header};
use axum_oten::{emulator::Endpoint, protocol::ErrorCode};

use crate::common::{Answer, Browser, Log, TestSite, path_and_query, with_parameter};

/// Every error code of the profile with its page.
const CODES: [(&str, u16, &str, &str); 19] = [
    (
        "invalid_request",
        500,
        "client_setup",
        "not set up correctly",
    ),
    (
        "invalid_client",
        500,
        "client_setup",
        "does not accept its secret or its address",
    ),
    (
        "invalid_grant",
        400,
        "invalid_grant",
        "has expired or was already completed",
    ),
    (
        "unauthorized_client",
        500,
        "client_setup",
        "not set up correctly",
    ),
    (
        "unsupported_response_type",
        500,
        "client_setup",
        "not set up correctly",
    ),
    (
        "unsupported_grant_type",
        500,
        "client_setup",
        "not set up correctly",
    ),
    ("invalid_scope", 500, "client_setup", "not set up correctly"),
    (
        "access_denied",
        200,
        "cancelled",
        "You cancelled the sign-in",
    ),
    (
        "server_error",
        503,
        "provider_error",
        "try again in a moment",
    ),
    (
        "temporarily_unavailable",
        503,
        "provider_error",
        "try again in a moment",
    ),
    (
        "invalid_request_object",
        500,
        "client_setup",
        "not set up correctly",
    ),
    (
        "request_not_supported",
        500,
        "client_setup",
        "not set up correctly",
    ),
    (
        "request_uri_not_supported",
        500,
        "client_setup",
        "not set up correctly",
    ),
    (
        "invalid_request_uri",
        500,
        "client_setup",
        "not set up correctly",
    ),
    (
        "login_required",
        403,
        "interaction_required",
        "not signed in at Oten. Sign in there",
    ),
    (
        "consent_required",
        403,
        "interaction_required",
        "needs your consent",
    ),
    (
        "interaction_required",
        403,
        "interaction_required",
        "needs more information from you",
    ),
    (
        "account_selection_required",
        403,
        "interaction_required",
        "which account to use",
    ),
    (
        "a_code_of_tomorrow",
        502,
        "provider_refused",
        "could not sign you in",
    ),
];

/// A sign-in that the provider answers with an error.
async fn refused(site: &TestSite, browser: &mut Browser, code: &str) -> String {
    let url = browser.start_login("/page?a=b").await;
    let callback = site.emulator.reject(&url, code).unwrap();
    with_parameter(
        &path_and_query(&callback),
        "error_description",
        "<script>alert('described')</script>",
    )
}

fn is_page(answer: &Answer) -> bool {
    let content_type = answer.header(header::CONTENT_TYPE).unwrap();
    content_type.starts_with("text/html") && answer.body.contains("<h1>")
}

#[tokio::test]
async fn s9_every_error_has_a_page_in_plain_words() {
    let site = TestSite::start().await;
    for (code, status, reason, words) in CODES {
        let mut browser = site.browser();
        let callback = refused(&site, &mut browser, code).await;
        let log = Log::start();
        let answer = browser.get(&callback).await;
        assert_eq!(answer.status.as_u16(), status, "{code}");
        assert!(is_page(&answer));
        assert!(answer.body.contains(words), "{code}: {}", answer.body);
        let retry = "href=\"/login?return_to=%2Fpage%3Fa%3Db\"";
        assert!(answer.body.contains(retry), "{code}: {}", answer.body);
        assert!(!answer.body.contains("described"));
        let retry_after = answer.header(header::RETRY_AFTER).is_some();
        assert_eq!(retry_after, status == 503, "{code}");
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
        assert!(answer.headers.contains_key(header::CONTENT_SECURITY_POLICY));

        let refusal = log.refusal();
        assert_eq!(refusal["reason"], reason, "{code}");
        assert!(refusal["cause"].contains(code), "{refusal:?}");
        assert!(!log.contains("described"));
        let reference = answer.body.contains(&refusal["correlation_id"]);
        assert_eq!(reference, code != "access_denied", "{code}");

        assert!(!answer.sets_session());
        assert_eq!(browser.signed_in_as().await, "guest");
        // The link to try again works.
        browser.sign_in("alice", "/page?a=b").await;
    }
    let sign_ins = CODES.len() as u64;
    assert_eq!(site.emulator.calls(Endpoint::Token), sign_ins);
}

#[test]
fn s9_the_list_of_error_codes_is_complete() {
    let known = |code: &str| !matches!(ErrorCode::from(code), ErrorCode::Other(_));
    let (last, all) = CODES.split_last().unwrap();
    assert!(all.iter().all(|(code, ..)| known(code)));
    assert!(!known(last.0));
}

#[tokio::test]
async fn s9_the_log_says_how_to_fix_a_rejected_client() {
    let site = TestSite::start().await;
    for (code, words) in [
        (
            "invalid_client",
            ["OTEN_CLIENT_SECRET", "allowed addresses"],
        ),
        ("request_not_supported", ["`jar = ", "OTEN_CLIENT_TYPE"]),
    ] {
        let mut browser = site.browser();
        let callback = refused(&site, &mut browser, code).await;
        let log = Log::start();
        browser.get(&callback).await;
        let cause = &log.refusal()["cause"];
        assert!(words.iter().all(|word| cause.contains(word)), "{cause}");
    }
}

#[tokio::test]
async fn s9_a_cancelled_sign_in_offers_to_try_again() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let url = browser.start_login("/page").await;
    let callback = site.emulator.deny(&url).unwrap();
    let answer = browser.get(&path_and_query(&callback)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.body.contains("<h1>Sign-in cancelled</h1>"));
    assert!(answer.body.contains(">Try again</a>"));
    assert!(!answer.body.contains("class=\"reference\""));
}

#[tokio::test]
async fn s9_a_cancelled_sign_in_signs_no_user_out() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    let callback = refused(&site, &mut browser, "access_denied").await;
    assert_eq!(browser.get(&callback).await.status, StatusCode::OK);
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn s9_a_script_gets_problem_details() {
    let site = TestSite::start().await;
    for (code, status, reason, words) in CODES {
        let mut browser = site.browser();
        let callback = refused(&site, &mut browser, code).await;
        let log = Log::start();
        let answer = browser.fetch(Method::GET, &callback, "").await;
        assert_eq!(answer.status.as_u16(), status, "{code}");
        let content_type = answer.header(header::CONTENT_TYPE);
        assert_eq!(content_type, Some("application/problem+json"));
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["reason"], reason);
        assert_eq!(problem["login_url"], "/login");
        assert!(problem["detail"].as_str().unwrap().contains(words));
        assert_eq!(problem["correlation_id"], log.refusal()["correlation_id"]);
        assert!(!answer.body.contains("described"));
    }
}

#[tokio::test]
async fn s9_pages_show_nothing_from_the_query() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let hostile = "<script>alert('shown')</script>\"'\r\n\u{1b}[31m";
    for name in ["error", "error_uri", "iss", "code", "state", "x"] {
        let callback = refused(&site, &mut browser, "server_error").await;
        let callback = with_parameter(&callback, name, hostile);
        let log = Log::start();
        for answer in [
            browser.clone().get(&callback).await,
            browser.clone().fetch(Method::GET, &callback, "").await,
        ] {
            assert!(!answer.body.contains("alert"), "{name}: {}", answer.body);
            let headers = format!("{:?}", answer.headers);
            assert!(!headers.contains("alert"), "{name}: {headers}");
        }
        assert!(!log.contains("\u{1b}") && !log.contains("\n"), "{name}");
    }
    // Nor from the query of a restarted login.
    let restart = format!("/login?restart={}&return_to=/a", "%3Cscript%3Ealert(1)");
    let answer = site.browser().get(&restart).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.body.contains("alert"), "{}", answer.body);
    // Nor the return path.
    let mut browser = site.browser();
    let url = browser
        .start_login("/a?\"><script>alert('shown')</script>")
        .await;
    let callback = path_and_query(&site.emulator.deny(&url).unwrap());
    let answer = browser.get(&callback).await;
    assert!(!answer.body.contains("<script"), "{}", answer.body);
}
