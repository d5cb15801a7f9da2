//! Routes that require a recent sign-in.

use std::time::Duration;

use axum::{
    Router,
    http::{Method, StatusCode, header},
    routing::get,
};
use axum_oten::{Oten, Rule, User, emulator::Deviation};
use serde_json::json;
use url::Url;

use crate::common::{Answer, Browser, Log, TestSite, parameters};

const MINUTE: Duration = Duration::from_secs(60);

fn app(oten: &Oten) -> Router {
    let page = |path: &str| {
        let name = async |user: User| format!("done by {}", user.subject());
        Router::new().route(path, get(name).post(name))
    };
    let danger = page("/danger").route_layer(oten.require_fresh_login(5 * MINUTE));
    // Shorter than possible.
    let now = page("/now").route_layer(oten.require_fresh_login(Duration::ZERO));
    let ruled = page("/ruled").route_layer(
        oten.require(Rule::subjects(["alice"]))
            .fresh(5 * MINUTE)
            .fresh(20 * MINUTE),
    );
    let home = async |user: Option<User>| match user {
        Some(user) => format!("user {}", user.subject()),
        None => "guest".to_owned(),
    };
    Router::new()
        .route("/", get(home))
        .merge(danger)
        .merge(now)
        .merge(ruled)
        .merge(oten.routes())
        .layer(oten.layer())
}

async fn site() -> TestSite {
    TestSite::builder().app(app).start().await
}

/// Follows the redirect of a page to the login route, and returns the authorization URL.
async fn sent_to_provider(browser: &mut Browser, path: &str) -> Url {
    let to_login = browser.get(path).await;
    let login = to_login.location().to_owned();
    assert!(login.starts_with("/login?fresh="), "{login}");
    browser.get(&login).await.location().parse().unwrap()
}

fn assert_explained(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(
        answer.body.contains("Sign-in not confirmed"),
        "{}",
        answer.body
    );
    let again =
        r#"class="button" href="/login?fresh=300&#38;return_to=%2Fdanger%3Fa%3Db">Try again"#;
    assert!(answer.body.contains(again), "{}", answer.body);
}

#[tokio::test]
async fn x2_an_old_sign_in_leads_to_the_provider_and_back() {
    let site = site().await;
    let mut alice = site.signed_in("alice").await;
    for method in [Method::GET, Method::POST] {
        let answer = alice.fetch(method, "/danger", "").await;
        assert_eq!(answer.body, "done by alice");
    }
    // With the leeway, and a second later.
    site.clock.advance(6 * MINUTE);
    assert_eq!(alice.get("/danger").await.body, "done by alice");
    site.clock.advance(Duration::from_secs(1));
    for _ in 0..2 {
        let answer = alice.get("/danger?a=b").await;
        let login = "/login?fresh=300&return_to=%2Fdanger%3Fa%3Db";
        assert_eq!(answer.location(), login);
        let url = sent_to_provider(&mut alice, "/danger?a=b").await;
        let request = parameters(&url);
        assert_eq!(
            (&request["prompt"], &request["max_age"]),
            (&json!("login"), &json!(300))
        );
        let callback = alice.approve(&url, "alice");
        let back = alice.get(&callback).await;
        assert_eq!(back.location(), "/danger?a=b");
        assert_eq!(alice.get("/danger?a=b").await.body, "done by alice");
        assert_eq!(alice.post("/danger").await.body, "done by alice");
        site.clock.advance(7 * MINUTE);
    }
}

#[tokio::test]
async fn x2_other_requests_than_pages_learn_how_recent_the_sign_in_must_be() {
    let site = site().await;
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(7 * MINUTE);
    let call = alice.fetch(Method::POST, "/danger", "").await;
    assert_eq!(call.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        call.header(header::WWW_AUTHENTICATE),
        Some(r#"Cookie error="insufficient_user_authentication", max_age="300""#)
    );
    let problem = call.json();
    assert_eq!(problem["reason"], "login_too_old");
    assert_eq!(problem["max_age"], 300);
    assert_eq!(problem["login_url"], "/login?fresh=300");
    // A form is not redirected: that would lose its data.
    let form = alice.post("/danger").await;
    assert_eq!(form.status, StatusCode::UNAUTHORIZED);
    assert!(
        form.body.contains(r#"href="/login?fresh=300">Sign in"#),
        "{}",
        form.body
    );
    // A guest signs in first.
    let guest = site.browser().fetch(Method::POST, "/danger", "").await;
    assert_eq!(guest.json()["reason"], "not_signed_in");
    assert_eq!(guest.header(header::WWW_AUTHENTICATE), Some("Cookie"));
}

#[tokio::test]
async fn x2_a_provider_without_proof_leads_to_a_page_and_never_to_a_loop() {
    for lie in [
        Deviation::WithoutClaim("auth_time"),
        Deviation::Claim("auth_time", json!(null)),
        // The provider ignores the request.
        Deviation::Claim("auth_time", json!(1_000_000_000)),
        // A time in the future proves nothing.
        Deviation::Claim("auth_time", json!(4_000_000_000_i64)),
    ] {
        let site = site().await;
        let mut alice = site.signed_in("alice").await;
        site.clock.advance(7 * MINUTE);
        site.emulator.deviate(lie.clone());
        // Also in a parallel tab, and when the user tries again.
        let tabs = [
            sent_to_provider(&mut alice, "/danger?a=b").await,
            sent_to_provider(&mut alice, "/danger?a=b").await,
        ];
        for url in tabs {
            let callback = alice.approve(&url, "alice");
            let log = Log::start();
            assert_explained(&alice.get(&callback).await);
            assert_eq!(log.refusal()["reason"], "fresh_login");
            assert_eq!(alice.signed_in_as().await, "user alice");
            // An old callback, as with the back button.
            assert_eq!(alice.get(&callback).await.location(), "/danger?a=b");
        }
        let again = "/login?fresh=300&return_to=%2Fdanger%3Fa%3Db";
        let url: Url = alice.get(again).await.location().parse().unwrap();
        let callback = alice.approve(&url, "alice");
        assert_explained(&alice.get(&callback).await);
        assert!(
            alice
                .get("/danger?a=b")
                .await
                .location()
                .starts_with("/login?fresh")
        );

        // It works as soon as the provider keeps its word.
        site.emulator.clear_deviations();
        let url = sent_to_provider(&mut alice, "/danger").await;
        let callback = alice.approve(&url, "alice");
        alice.get(&callback).await.location();
        assert_eq!(alice.get("/danger").await.body, "done by alice", "{lie:?}");
    }
}

/// The sign-in itself needs no `auth_time`, so the first request of the page finds none.
#[tokio::test]
async fn x2_a_sign_in_without_auth_time_is_never_fresh() {
    let site = site().await;
    site.emulator.deviate(Deviation::WithoutClaim("auth_time"));
    let mut alice = site.signed_in("alice").await;
    assert_eq!(alice.post("/danger").await.status, StatusCode::UNAUTHORIZED);
    let url = sent_to_provider(&mut alice, "/danger?a=b").await;
    let callback = alice.approve(&url, "alice");
    assert_explained(&alice.get(&callback).await);
}

#[tokio::test]
async fn x2_another_user_does_not_continue_what_the_first_has_started() {
    let site = site().await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(7 * MINUTE);
    let stolen = browser.clone();
    let url = sent_to_provider(&mut browser, "/danger?a=b").await;
    let callback = browser.approve(&url, "bob");
    let answer = browser.get(&callback).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.body.contains("Another account"), "{}", answer.body);
    assert!(!answer.body.contains("/danger"), "{}", answer.body);
    assert_eq!(browser.signed_in_as().await, "user bob");
    // Also not if the user reloads the page.
    assert_eq!(browser.get(&callback).await.location(), "/");
    // The session of the first user has ended.
    assert_eq!(stolen.clone().signed_in_as().await, "guest");

    // A guest has started nothing as another user.
    let mut guest = site.browser();
    let login = guest.get("/login?fresh=300&return_to=/danger").await;
    let callback = guest.approve(&login.location().parse().unwrap(), "bob");
    assert_eq!(guest.get(&callback).await.location(), "/danger");
    assert_eq!(guest.get("/danger").await.body, "done by bob");
}

#[tokio::test]
async fn x2_the_shortest_time_leaves_a_user_time_to_return() {
    let site = site().await;
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(3 * MINUTE);
    let url = sent_to_provider(&mut alice, "/now").await;
    assert_eq!(parameters(&url)["max_age"], 60);
    let callback = alice.approve(&url, "alice");
    site.clock.advance(MINUTE);
    assert_eq!(alice.get(&callback).await.location(), "/now");
    site.clock.advance(MINUTE);
    assert_eq!(alice.get("/now").await.body, "done by alice");
}

#[tokio::test]
async fn x2_a_rule_comes_first_and_the_shorter_time_applies() {
    let site = site().await;
    let mut bob = site.signed_in("bob").await;
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(7 * MINUTE);
    assert_eq!(bob.get("/ruled").await.status, StatusCode::FORBIDDEN);
    let login = alice.get("/ruled").await;
    assert_eq!(login.location(), "/login?fresh=300&return_to=%2Fruled");
}

/// Any site can link to the login route.
#[tokio::test]
async fn x2_a_forged_time_in_the_query_is_ignored() {
    let site = site().await;
    let mut alice = site.signed_in("alice").await;
    for fresh in [
        "",
        "x",
        "-1",
        "1.5",
        "31536001",
        "99999999999999999999",
        "1&fresh=2",
    ] {
        let login = alice.get(&format!("/login?fresh={fresh}")).await;
        let request = parameters(&login.location().parse().unwrap());
        assert!(!request.contains_key("max_age"), "{fresh}: {request:?}");
    }
    // A longer time is of no use: the route knows its own.
    site.clock.advance(10 * MINUTE);
    let login = alice.get("/login?fresh=31536000&return_to=/danger").await;
    site.emulator.deviate(Deviation::Claim(
        "auth_time",
        json!(site.clock.now().unix_timestamp() - 500),
    ));
    let callback = alice.approve(&login.location().parse().unwrap(), "alice");
    let answer = alice.get(&callback).await;
    assert_eq!(
        answer.status,
        StatusCode::BAD_GATEWAY,
        "prompt=login was not honored"
    );
    assert_eq!(alice.post("/danger").await.status, StatusCode::UNAUTHORIZED);
}
