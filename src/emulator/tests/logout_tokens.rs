use std::time::Duration;

use serde_json::{Value, json};

use super::{browser::Browser, kit::*};
use crate::{
    emulator::{Deviation, EmulatedClient, Emulator, EmulatorBuilder, LogoutTarget},
    jose::{Algorithm, CompactJws, VerifyingKey},
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

async fn sid_of(kit: &Kit, answer: &Value) -> Option<String> {
    let claims = verified(kit, answer["id_token"].as_str().unwrap(), "JWT").await;
    claims.get("sid")?.as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_session_is_named_only_when_told() {
    let kit = kit();
    let answer = kit.tokens().await;
    assert_eq!(sid_of(&kit, &answer).await, None);
    let path = "/.well-known/openid-configuration";
    let document = json_body(kit.get(path).await).await;
    assert_eq!(document.get("backchannel_logout_supported"), None);

    let kit = kit_with(EmulatorBuilder::advertise_back_channel_logout);
    let document = json_body(kit.get(path).await).await;
    assert_eq!(document["backchannel_logout_supported"], true);
    assert_eq!(document["backchannel_logout_session_supported"], true);
    assert_eq!(document["claims_supported"][3], "sid");

    let (first, second) = (kit.tokens().await, kit.tokens().await);
    let sids = kit.emulator.sids_of("alice");
    assert_eq!(sid_of(&kit, &first).await.as_ref(), Some(&sids[0]));
    assert_eq!(sid_of(&kit, &second).await.as_ref(), Some(&sids[1]));
    assert_ne!(sids[0], sids[1]);
    let refresh = first["refresh_token"].as_str().unwrap();
    let (_, refreshed) = kit.token(&Kit::refresh(refresh)).await;
    assert_eq!(sid_of(&kit, &refreshed).await.as_ref(), Some(&sids[0]));
    assert!(kit.emulator.sids_of("bob").is_empty());
}

#[tokio::test]
async fn a_browser_has_one_session_until_somebody_else_signs_in() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    browser.sign_in().await;
    let before = kit.emulator.sids_of("alice");
    assert_eq!(before.len(), 1);
    for (user, alices, bobs) in [("alice", before.clone(), 0), ("bob", Vec::new(), 1)] {
        let page = browser
            .authorize(|claims| claims["prompt"] = "login".into())
            .await;
        browser.login(&page, user).await;
        assert_eq!(kit.emulator.sids_of("alice"), alices);
        assert_eq!(kit.emulator.sids_of("bob").len(), bobs);
    }
    browser.post("/v1/oauth/sign-out", &[]).await;
    assert!(kit.emulator.sids_of("bob").is_empty());
}

#[tokio::test]
async fn a_logout_token_says_all_it_must() {
    let kit = kit();
    let now = kit.clock.unix_now();
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
        let token = kit.emulator.logout_token("shop", target);
        let claims = verified(&kit, &token, "logout+jwt").await;
        assert_eq!(claims["iss"], kit.emulator.issuer());
        assert_eq!(claims["aud"], "shop");
        assert_eq!(claims["iat"], now);
        assert_eq!(claims["exp"], now + 120);
        assert_eq!(claims["events"], json!({ EVENT: {} }));
        assert_eq!((&claims["sub"], &claims["sid"]), (&sub, &sid));
        assert_eq!(claims.get("nonce"), None);
        ids.push(claims["jti"].as_str().unwrap().to_owned());
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "each jti is new");
}

#[tokio::test]
async fn a_logout_token_can_be_made_to_lie() {
    let kit = kit();
    let target = LogoutTarget::Subject("alice");
    let token = kit
        .emulator
        .logout_token_with("shop", target, |header, claims| {
            header.insert("typ".into(), json!("JWT"));
            claims.insert("nonce".into(), json!("n"));
            for name in ["events", "jti", "sub"] {
                claims.remove(name);
            }
        });
    let claims = verified(&kit, &token, "JWT").await;
    let names: Vec<_> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "nonce"]);

    kit.clock.advance(Duration::from_secs(120));
    assert!(claims["exp"].as_i64() <= Some(kit.clock.unix_now()));
}

#[tokio::test]
async fn a_logout_token_is_signed_as_its_header_says() {
    let kit = kit();
    let target = LogoutTarget::Subject("alice");
    let with_alg = |alg: &str| {
        kit.emulator.logout_token_with("shop", target, |header, _| {
            header.insert("alg".into(), json!(alg));
        })
    };
    assert!(with_alg("none").ends_with('.'));
    let token = with_alg("HS256");
    let jws = CompactJws::parse(&token).unwrap();
    let key = VerifyingKey::hs256(&SECRET.into());
    assert!(jws.verify::<Value>(&key, &[Algorithm::Hs256]).is_ok());

    // The lies about signatures are told of logout tokens too, those about ID tokens are not.
    kit.emulator
        .deviate(Deviation::Claim("sub", json!("mallory")));
    let token = kit.emulator.logout_token("shop", target);
    let claims = verified(&kit, &token, "logout+jwt").await;
    assert_eq!(claims["sub"], "alice");
    kit.emulator.deviate(Deviation::BadSignature);
    let token = kit.emulator.logout_token("shop", target);
    let keys = text_body(kit.get("/.well-known/jwks.json").await).await;
    let keys = crate::jose::JwkSet::from_json(keys.as_bytes()).unwrap();
    let jws = CompactJws::parse(&token).unwrap();
    let key = keys.find(jws.key_id(), Algorithm::EdDsa).unwrap();
    assert_eq!(
        jws.verify::<Value>(key, &[Algorithm::EdDsa]).err(),
        Some(crate::jose::JoseError::BadSignature)
    );
}

#[test]
fn a_client_says_where_logout_tokens_go() {
    let kit = kit();
    let uri = |client| kit.emulator.back_channel_logout_uri(client);
    assert_eq!(
        uri("shop"),
        Some("http://127.0.0.1:3000/back-channel-logout")
    );
    assert_eq!(uri("other"), None);
    assert_eq!(uri("nobody"), None);
}

#[test]
fn a_bad_logout_uri_is_not_registered() {
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
