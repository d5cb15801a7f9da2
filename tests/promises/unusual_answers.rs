//! Promises P1, P2 and P4: unusual answers of an honest provider.

use std::time::Duration;

use axum::http::StatusCode;
use axum_oten::{
    Clock, MemoryStore,
    emulator::{
        Deviation, EmulatorBuilder,
        Endpoint::{Discovery, Jwks, Token},
        Fault, LogoutTarget,
    },
};
use serde_json::{Value, json};

use crate::{
    common::{ExternalStore, Log, Operation, Recorder, TestSite, eventually},
    sign_out,
};

const HOUR: Duration = Duration::from_secs(3600);

/// The warnings about members that are ignored.
fn ignored(log: &Log) -> Vec<String> {
    let text = log.text();
    let warnings = text.lines().filter(|line| line.contains("ignored members"));
    warnings.map(str::to_owned).collect()
}

/// Asserts that one warning names these members.
#[track_caller]
fn assert_warned(log: &Log, member: &str) {
    let warnings = ignored(log);
    assert_eq!(warnings.len(), 1, "{member}: {warnings:?}");
    let field = format!("\"members\": \"{member}\"");
    assert!(warnings[0].contains(&field), "{member}: {warnings:?}");
}

#[tokio::test]
async fn p1_an_unusable_member_of_a_token_response_is_ignored_with_one_warning() {
    for (name, values) in [
        ("expires_in", [json!(null), json!(-1), json!("soon")]),
        ("scope", [json!(null), json!(["openid"]), json!("")]),
        ("refresh_token", [json!(null), json!(5), json!("")]),
    ] {
        for value in values {
            let site = TestSite::start().await;
            site.emulator.deviate(Deviation::TokenField(name, value));
            let log = Log::start();
            let mut browser = site.signed_in("alice").await;
            assert_warned(&log, name);
            assert_eq!(browser.get("/token").await.status, StatusCode::OK);
            site.clock.advance(HOUR);
            assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
            site.signed_in("bob").await;
            assert_warned(&log, name);
        }
    }
}

#[tokio::test]
async fn p1_unusual_but_usable_members_of_a_token_response_cause_no_warning() {
    for (name, value) in [
        ("expires_in", json!("3600")),
        ("expires_in", json!(3600.5)),
        ("expires_in", json!(1e30)),
        ("token_type", json!("BEARER")),
        ("unknown", json!({ "any": [null, 5] })),
        ("id_token_type", json!(null)),
    ] {
        let site = TestSite::start().await;
        let deviation = Deviation::TokenField(name, value);
        site.emulator.deviate(deviation.clone());
        let log = Log::start();
        let mut browser = site.signed_in("alice").await;
        assert_eq!(browser.get("/token").await.status, StatusCode::OK);
        assert!(ignored(&log).is_empty(), "{deviation:?}");
    }
}

#[tokio::test]
async fn p1_a_lifetime_in_a_string_is_respected() {
    let site = TestSite::start().await;
    site.emulator
        .deviate(Deviation::TokenField("expires_in", json!("600")));
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(Duration::from_secs(590));
    assert_eq!(browser.get("/token").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
}

#[tokio::test]
async fn p1_an_unusable_member_of_a_refresh_keeps_the_earlier_value() {
    let site = TestSite::builder()
        .emulator(EmulatorBuilder::without_rotation)
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    let log = Log::start();
    for name in ["refresh_token", "id_token"] {
        for value in [json!(null), json!(5)] {
            site.emulator.clear_deviations();
            site.emulator.deviate(Deviation::TokenField(name, value));
            site.clock.advance(HOUR);
            assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        }
    }
    assert_eq!(site.emulator.refreshes(), 4);
    assert_eq!(ignored(&log).len(), 2);
}

#[tokio::test]
async fn p1_unusual_json_is_read() {
    for endpoint in [Discovery, Jwks, Token] {
        let changes: [fn(Vec<u8>) -> Vec<u8>; 4] = [
            // A byte order mark.
            |body| [b"\xef\xbb\xbf", &*body].concat(),
            // Members that are not read: deeper than a parser follows, and beyond every number.
            |body| {
                let deep = [[b'['; 1_000], [b']'; 1_000]].concat();
                [b"{\"deep\":", &*deep, b",\"huge\":-1e999,", &body[1..]].concat()
            },
            // The last one of several members counts.
            |body| {
                let first = b"{\"issuer\":\"https://evil.example\",\"token_type\":5,";
                [first, &body[1..]].concat()
            },
            |body| [b" \r\n\t", &*body, b"\n"].concat(),
        ];
        for change in changes {
            let site = TestSite::start().await;
            site.emulator.fault(endpoint, Fault::Rewrite(change));
            site.signed_in("alice").await;
        }
    }
}

#[tokio::test]
async fn p1_tokens_may_be_as_large_as_the_response() {
    let site = TestSite::start().await;
    for deviation in [
        Deviation::TokenField("access_token", json!("a".repeat(500_000))),
        Deviation::TokenField("refresh_token", json!("r".repeat(500_000))),
        Deviation::WithoutClaim("at_hash"),
    ] {
        site.emulator.deviate(deviation);
    }
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.get("/token").await.body.len(), 500_000);
}

#[tokio::test]
async fn p1_an_unusable_optional_member_of_discovery_is_ignored_with_one_warning() {
    for (name, value) in [
        ("userinfo_endpoint", json!("/userinfo")),
        ("end_session_endpoint", json!("")),
        ("revocation_endpoint", json!(null)),
        ("scopes_supported", json!("openid profile")),
        ("grant_types_supported", json!([])),
        ("claims_supported", json!({ "sub": true })),
    ] {
        let site = TestSite::start().await;
        site.emulator
            .deviate(Deviation::DiscoveryField(name, value));
        let log = Log::start();
        let mut browser = site.signed_in("alice").await;
        assert_warned(&log, name);
        // The document is fetched again.
        let calls = site.emulator.calls(Discovery);
        site.clock.advance(HOUR);
        assert_eq!(browser.post("/logout").await.location(), "/logout");
        site.signed_in("alice").await;
        eventually(|| site.emulator.calls(Discovery) > calls).await;
        site.signed_in("alice").await;
        assert_warned(&log, name);
    }
}

#[tokio::test]
async fn p1_an_unusable_member_that_sign_in_needs_is_named() {
    for (name, value) in [
        ("issuer", json!(5)),
        ("authorization_endpoint", json!("/authorize")),
        ("token_endpoint", json!(["https://id.example/token"])),
        ("jwks_uri", json!("")),
        (
            "authorization_response_iss_parameter_supported",
            json!("false"),
        ),
    ] {
        let site = TestSite::start().await;
        site.emulator
            .deviate(Deviation::DiscoveryField(name, value));
        let log = Log::start();
        let answer = site.browser().get("/login").await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{name}");
        let refusal = log.refusal();
        assert_eq!(refusal["reason"], "provider_document");
        let cause = &refusal["cause"];
        assert!(cause.contains(&format!("`{name}`")), "{cause}");
    }
}

/// So many groups that the ID token is almost as large as it may be.
fn groups(prefix: &str) -> Deviation {
    let group = format!("{prefix}-{}", "x".repeat(54));
    Deviation::Claim("groups", vec![group; 736].into())
}

#[tokio::test]
async fn p4_a_session_with_a_large_id_token_works_as_any_other() {
    for is_sealed in [false, true] {
        let clock = Clock::manual();
        let memory = MemoryStore::default().with_clock(clock.clone());
        let store = ExternalStore::new(memory.clone());
        let store = if is_sealed { store } else { store.in_process() };
        let site = sign_out::site()
            .config(move |config| {
                let config = config.post_logout_redirect_uri("http://127.0.0.1:3000/logout");
                if is_sealed {
                    config.session_key("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
                } else {
                    config
                }
            })
            .start_with(store, memory, clock)
            .await;
        let recorder = Recorder::before(&site.emulator).await;
        site.emulator.deviate(groups("first"));
        let mut browser = site.signed_in("alice").await;
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        site.emulator.deviate(groups("other"));
        site.clock.advance(HOUR);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        for call in recorder.calls() {
            let id_token = call.answer["id_token"].as_str().unwrap();
            assert!((60_000..=65_536).contains(&id_token.len()));
        }
        assert_eq!(site.emulator.refreshes(), 1);

        // The hint would make the URL too long.
        let url = browser.post("/logout").await.location().to_owned();
        assert!(!url.contains("id_token_hint") && url.len() < 512, "{url}");
        assert!(site.emulator.end_session(&url).unwrap().is_some());
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

#[tokio::test]
async fn p4_a_request_with_large_claims_costs_one_store_read() {
    let (site, store) = TestSite::builder().start_watched().await;
    site.emulator.deviate(groups("first"));
    let mut browser = site.signed_in("alice").await;
    store.take_calls();
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(store.take_calls(), [Operation::Load]);
}

#[tokio::test]
async fn p4_a_larger_token_is_rejected() {
    let site = sign_out::site().start().await;
    let mut browser = site.browser();
    let url = browser.start_login("/").await;
    let callback = browser.approve(&url, "alice");
    let too_large = Deviation::Claim("groups", "x".repeat(49 * 1024).into());
    site.emulator.deviate(too_large);
    let log = Log::start();
    assert_eq!(browser.get(&callback).await.status, StatusCode::BAD_GATEWAY);
    assert!(log.refusal()["cause"].contains("longer than 64 KiB"));
}

/// A logout token has none of the user's claims.
#[tokio::test]
async fn p4_a_logout_token_is_small() {
    let site = sign_out::site().start().await;
    let mut browser = site.signed_in("alice").await;
    for (length, status, user) in [(25_000, 400, "user alice"), (20_000, 200, "guest")] {
        let alice = LogoutTarget::Subject("alice");
        let token = site
            .emulator
            .logout_token_with("test-site", alice, |_, claims| {
                claims.insert("padding".into(), "x".repeat(length).into());
            });
        let answer = sign_out::send_token(&site.app, &token).await;
        assert_eq!(answer.status, status, "{length}");
        assert_eq!(browser.signed_in_as().await, user);
    }
}

#[tokio::test]
async fn l3_a_refreshed_id_token_may_omit_nonce_and_auth_time() {
    for deviation in [
        Deviation::Claim("nonce", Value::Null),
        Deviation::Claim("auth_time", Value::Null),
        Deviation::WithoutClaim("auth_time"),
        Deviation::WithoutClaim("nonce"),
    ] {
        let site = TestSite::start().await;
        let mut browser = site.signed_in("alice").await;
        site.clock.advance(HOUR);
        site.emulator.deviate(deviation);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(site.emulator.refreshes(), 1);
    }
}
