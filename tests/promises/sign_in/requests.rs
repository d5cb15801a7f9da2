//! S2 and S3: the authorization request, as the emulator receives it.

use std::{collections::BTreeMap, time::Duration};

use axum_oten::emulator::Deviation;
use serde_json::{Value, json};
use url::Url;

use crate::common::{ClientKind, SECRET, TestSite, jws_part, parameters};

fn query(url: &Url) -> BTreeMap<String, String> {
    url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn s2_a_confidential_client_sends_client_id_and_request_only() {
    for (kind, alg) in [(ClientKind::Hs256, "HS256"), (ClientKind::EdDsa, "EdDSA")] {
        let site = TestSite::builder().client(kind).start().await;
        let mut browser = site.browser();
        let url = browser.start_login("/page").await;
        let query = query(&url);
        assert_eq!(query.keys().collect::<Vec<_>>(), ["client_id", "request"]);
        assert_eq!(query["client_id"], "test-site");
        assert!(!url.as_str().contains(SECRET));

        let header: Value = serde_json::from_slice(&jws_part(&query["request"], 0)).unwrap();
        assert_eq!(
            (&header["alg"], &header["typ"]),
            (&json!(alg), &json!("JWT"))
        );
        assert_eq!(header.get("kid").is_some(), kind == ClientKind::EdDsa);

        let claims = parameters(&url);
        let now = site.clock.unix_now();
        let made_up = ["jti", "state", "nonce", "code_challenge"];
        let mut expected = json!({
            "iss": "test-site", "aud": site.emulator.issuer(), "client_id": "test-site",
            "iat": now, "nbf": now, "exp": now + 120,
            "redirect_uri": "http://127.0.0.1:3000/callback", "response_type": "code",
            "scope": "openid profile email", "code_challenge_method": "S256",
        });
        for name in made_up {
            expected[name] = claims[name].clone();
        }
        assert_eq!(json!(claims), expected);

        // The emulator checks the signature and, with the code, the verifier.
        let callback = browser.approve(&url, "alice");
        assert_eq!(browser.get(&callback).await.location(), "/page");
    }
}

#[tokio::test]
async fn s2_the_request_object_has_the_configured_lifetime() {
    let builder = TestSite::builder();
    let five_minutes = Duration::from_secs(300);
    let site = builder
        .config(move |config| config.request_object_lifetime(five_minutes))
        .start()
        .await;
    let mut browser = site.browser();
    let url = browser.start_login("/").await;
    let claims = parameters(&url);
    let (iat, exp) = (claims["iat"].as_i64(), claims["exp"].as_i64());
    assert_eq!(exp.unwrap() - iat.unwrap(), 300);
    site.clock.advance(Duration::from_secs(299));
    browser.approve(&url, "alice");
}

#[tokio::test]
async fn s2_the_audience_of_the_request_object_is_the_discovered_issuer() {
    let site = TestSite::start().await;
    let spelled = format!("{}/", site.emulator.issuer());
    let deviation = Deviation::DiscoveryField("issuer", json!(spelled));
    site.emulator.deviate(deviation);
    let sent = parameters(&site.browser().start_login("/").await);
    assert_eq!(sent["aud"], json!(spelled));
}

#[tokio::test]
async fn s2_configured_parameters_are_in_the_request() {
    for kind in ClientKind::ALL {
        let site = TestSite::builder()
            .client(kind)
            .config(|config| {
                config
                    .scopes(["openid", "email"])
                    .prompt("login")
                    .max_age(Duration::from_secs(600))
                    .ui_locales("de en")
            })
            .start()
            .await;
        let mut browser = site.browser();
        let sent = parameters(&browser.start_login("/").await);
        assert_eq!(sent["scope"], "openid email");
        assert_eq!(sent["prompt"], "login");
        assert_eq!(sent["ui_locales"], "de en");
        let max_age = match kind {
            ClientKind::Public => json!("600"),
            ClientKind::Hs256 | ClientKind::EdDsa => json!(600),
        };
        assert_eq!(sent["max_age"], max_age);
        browser.sign_in("alice", "/page").await;
    }
}

#[tokio::test]
async fn s3_a_public_client_sends_plain_parameters_with_pkce() {
    let site = TestSite::builder().client(ClientKind::Public).start().await;
    let mut browser = site.browser();
    let url = browser.start_login("/page").await;
    let query = query(&url);
    let names: Vec<_> = query.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "client_id",
            "code_challenge",
            "code_challenge_method",
            "nonce",
            "redirect_uri",
            "response_type",
            "scope",
            "state",
        ]
    );
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["response_type"], "code");
    assert_eq!(query["redirect_uri"], "http://127.0.0.1:3000/callback");
    // The emulator answers `invalid_client` to a public client that sends a secret.
    let callback = browser.approve(&url, "alice");
    assert_eq!(browser.get(&callback).await.location(), "/page");
}
