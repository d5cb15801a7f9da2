use http::StatusCode;
use serde_json::json;

use super::{browser::Browser, support::*};
use crate::{
    emulator::{EmulatorBuilder, Exchange, ExchangedValue, LogoutTarget},
    jose::CompactJws,
};

fn recording() -> TestProvider {
    provider_with(|builder| builder.record_exchanges(4))
}

fn text<'a>(values: &'a [(String, ExchangedValue)], name: &str) -> &'a str {
    match values.iter().find(|(key, _)| key == name) {
        Some((_, ExchangedValue::Text(text))) => text,
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn records_messages_without_secrets() {
    let provider = recording();
    let mut browser = Browser::new(&provider);
    browser
        .authorize(|claims| claims["nonce"] = "nonce-of-the-request".into())
        .await;
    let (_, answer) = provider
        .token(&TestProvider::code_form(&provider.code()))
        .await;

    let exchanges = provider.emulator.exchanges();
    let paths: Vec<_> = exchanges.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["/v1/oauth/authorize", "/v1/oauth/token"]);
    let [request, token] = &exchanges[..] else {
        panic!("{paths:?}")
    };

    assert_eq!(text(&request.request, "client_id"), "shop");
    let object = request.request.iter().find(|(name, _)| name == "request");
    let Some((_, ExchangedValue::Token { header, claims })) = object else {
        panic!("{object:?}")
    };
    assert_eq!(header["alg"], "HS256");
    assert_eq!(claims["redirect_uri"], REDIRECT);
    assert_eq!(claims["nonce"], "nonce-…");

    assert_eq!(token.status, Some(StatusCode::OK));
    assert_eq!(text(&token.request, "grant_type"), "authorization_code");
    assert_eq!(text(&token.request, "client_secret"), "not shown");
    let id_token = token.response.iter().find(|(name, _)| name == "id_token");
    let Some((_, ExchangedValue::Token { claims, .. })) = id_token else {
        panic!("{id_token:?}")
    };
    assert_eq!(claims["name"], "Alice Adams");

    let all = format!("{exchanges:?}");
    for secret in ["access_token", "refresh_token", "id_token"] {
        let secret = answer[secret].as_str().unwrap();
        let signature = secret.rsplit('.').next().unwrap();
        assert!(!all.contains(signature), "{all}");
    }
    assert!(!all.contains(SECRET) && !all.contains(VERIFIER), "{all}");
}

#[tokio::test]
async fn records_logout_tokens_and_failures() {
    let provider = recording();
    let token = provider
        .emulator
        .logout_token("shop", LogoutTarget::Subject("alice"));
    provider.emulator.stop().await;
    provider.get("/.well-known/jwks.json").await;
    let exchanges = provider.emulator.exchanges();
    let [logout, keys] = &exchanges[..] else {
        panic!("{exchanges:?}")
    };
    assert_eq!((logout.method.as_ref(), logout.path.as_str()), (None, ""));
    let (name, ExchangedValue::Token { claims, .. }) = &logout.response[0] else {
        panic!("{logout:?}")
    };
    assert_eq!(
        (name.as_str(), &claims["sub"]),
        ("logout_token", &json!("alice"))
    );
    assert!(CompactJws::parse(&token).is_ok());
    assert_eq!(keys.status, Some(StatusCode::SERVICE_UNAVAILABLE));

    provider.emulator.clear_exchanges();
    assert!(provider.emulator.exchanges().is_empty());
}

#[tokio::test]
async fn keeps_as_many_messages_as_configured() {
    let paths = |provider: &TestProvider| -> Vec<String> {
        let exchanges = provider.emulator.exchanges().into_iter();
        exchanges.map(|Exchange { path, .. }| path).collect()
    };
    let discovery = "/.well-known/openid-configuration";
    let keys = "/.well-known/jwks.json";
    let provider = recording();
    provider.get(discovery).await;
    for _ in 0..4 {
        provider.get(keys).await;
    }
    // Pages are no messages.
    provider.get("/").await;
    assert_eq!(paths(&provider), [keys; 4]);

    let silent = provider_with(|builder: EmulatorBuilder| builder);
    silent.get(keys).await;
    let target = LogoutTarget::Subject("alice");
    assert!(!silent.emulator.logout_token("shop", target).is_empty());
    assert!(paths(&silent).is_empty());
}
