use std::time::Duration;

use serde_json::{Value, json};

use super::{browser::Browser, support::*};
use crate::{
    emulator::{Deviation, EmulatedClient, Emulator, EmulatorBuilder, LogoutTarget},
    jose::{Algorithm, CompactJws, VerifyingKey},
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

async fn sid_of(provider: &TestProvider, answer: &Value) -> Option<String> {
    let claims = verified(provider, answer["id_token"].as_str().unwrap(), "JWT").await;
    claims.get("sid")?.as_str().map(str::to_owned)
}

#[tokio::test]
async fn names_the_session_only_if_configured() {
    let provider = provider();
    let answer = provider.tokens().await;
    assert_eq!(sid_of(&provider, &answer).await, None);
    let path = "/.well-known/openid-configuration";
    let document = json_body(provider.get(path).await).await;
    assert_eq!(document.get("backchannel_logout_supported"), None);

    let provider = provider_with(EmulatorBuilder::advertise_back_channel_logout);
    let document = json_body(provider.get(path).await).await;
    assert_eq!(document["backchannel_logout_supported"], true);
    assert_eq!(document["backchannel_logout_session_supported"], true);
    assert_eq!(document["claims_supported"][3], "sid");

    let (first, second) = (provider.tokens().await, provider.tokens().await);
    let sids = provider.emulator.sids_of("alice");
    assert_eq!(sid_of(&provider, &first).await.as_ref(), Some(&sids[0]));
    assert_eq!(sid_of(&provider, &second).await.as_ref(), Some(&sids[1]));
    assert_ne!(sids[0], sids[1]);
    let refresh = first["refresh_token"].as_str().unwrap();
    let (_, refreshed) = provider.token(&TestProvider::refresh_form(refresh)).await;
    assert_eq!(sid_of(&provider, &refreshed).await.as_ref(), Some(&sids[0]));
    assert!(provider.emulator.sids_of("bob").is_empty());
}

#[tokio::test]
async fn keeps_the_session_of_a_browser_until_another_user_signs_in() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
    browser.sign_in().await;
    let before = provider.emulator.sids_of("alice");
    assert_eq!(before.len(), 1);
    for (user, alices, bobs) in [("alice", before.clone(), 0), ("bob", Vec::new(), 1)] {
        let page = browser
            .authorize(|claims| claims["prompt"] = "login".into())
            .await;
        browser.login(&page, user).await;
        assert_eq!(provider.emulator.sids_of("alice"), alices);
        assert_eq!(provider.emulator.sids_of("bob").len(), bobs);
    }
    browser.post("/v1/oauth/sign-out", &[]).await;
    assert!(provider.emulator.sids_of("bob").is_empty());
}

#[tokio::test]
async fn issues_a_complete_logout_token() {
    let provider = provider();
    let now = provider.clock.unix_now();
    let both = LogoutTarget::Both {
        sub: "alice",
        sid: "s1",
    };
    let mut ids = Vec::new();
    for (target, sub, sid) in [
        (LogoutTarget::Session("s1"), Value::Null, json!("s1")),
        (LogoutTarget::Subject("alice"), json!("alice"), Value::Null),
        (both, json!("alice"), json!("s1")),
    ] {
        let token = provider.emulator.logout_token("shop", target);
        let claims = verified(&provider, &token, "logout+jwt").await;
        assert_eq!(claims["iss"], provider.emulator.issuer());
        assert_eq!(claims["aud"], "shop");
        assert_eq!(claims["iat"], now);
        assert_eq!(claims["exp"], now + 120);
        assert_eq!(claims["events"], json!({ EVENT: {} }));
        assert_eq!((&claims["sub"], &claims["sid"]), (&sub, &sid));
        assert_eq!(claims.get("nonce"), None);
        ids.push(claims["jti"].as_str().unwrap().to_owned());
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "each jti is unique");
}

#[tokio::test]
async fn applies_changes_to_a_logout_token() {
    let provider = provider();
    let target = LogoutTarget::Subject("alice");
    let token = provider
        .emulator
        .logout_token_with("shop", target, |header, claims| {
            header.insert("typ".into(), json!("JWT"));
            claims.insert("nonce".into(), json!("n"));
            for name in ["events", "jti", "sub"] {
                claims.remove(name);
            }
        });
    let claims = verified(&provider, &token, "JWT").await;
    let names: Vec<_> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "nonce"]);

    provider.clock.advance(Duration::from_secs(120));
    assert!(claims["exp"].as_i64() <= Some(provider.clock.unix_now()));
}

#[tokio::test]
async fn signs_a_logout_token_as_its_header_says() {
    let provider = provider();
    let target = LogoutTarget::Subject("alice");
    let with_alg = |alg: &str| {
        provider
            .emulator
            .logout_token_with("shop", target, |header, _| {
                header.insert("alg".into(), json!(alg));
            })
    };
    assert!(with_alg("none").ends_with('.'));
    let token = with_alg("HS256");
    let jws = CompactJws::parse(&token).unwrap();
    let key = VerifyingKey::hs256(&SECRET.into());
    assert!(jws.verify::<Value>(&key, &[Algorithm::Hs256]).is_ok());

    // Deviations of signatures apply to logout tokens, deviations of ID tokens do not.
    provider
        .emulator
        .deviate(Deviation::Claim("sub", json!("mallory")));
    let token = provider.emulator.logout_token("shop", target);
    let claims = verified(&provider, &token, "logout+jwt").await;
    assert_eq!(claims["sub"], "alice");
    provider.emulator.deviate(Deviation::BadSignature);
    let token = provider.emulator.logout_token("shop", target);
    let keys = text_body(provider.get("/.well-known/jwks.json").await).await;
    let keys = crate::jose::JwkSet::from_json(keys.as_bytes()).unwrap();
    let jws = CompactJws::parse(&token).unwrap();
    let key = keys.find(jws.key_id(), Algorithm::EdDsa).unwrap();
    assert_eq!(
        jws.verify::<Value>(key, &[Algorithm::EdDsa]).err(),
        Some(crate::jose::JoseError::BadSignature)
    );
}

#[test]
fn returns_the_registered_back_channel_logout_uri() {
    let provider = provider();
    let uri = |client| provider.emulator.back_channel_logout_uri(client);
    assert_eq!(
        uri("shop"),
        Some("http://127.0.0.1:3000/back-channel-logout")
    );
    assert_eq!(uri("other"), None);
    assert_eq!(uri("unregistered"), None);
}

#[test]
fn rejects_an_invalid_logout_uri() {
    let register = |client: EmulatedClient| {
        let issuer = "http://127.0.0.1:3000/".parse().unwrap();
        Emulator::builder()
            .client(client.redirect_uri(REDIRECT))
            .mount(issuer)
    };
    for bad in ["http://shop.example/bye", "https://x.example/#f", "bye"] {
        let client = EmulatedClient::public("spa");
        assert!(register(client.clone().post_logout_redirect_uri(bad)).is_err());
        assert!(register(client.back_channel_logout_uri(bad)).is_err());
    }
}
