use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Map, Value, json};

use super::{browser::Browser, support::*};
use crate::{
    emulator::{EmulatorBuilder, Exchange, ExchangedValue, LogoutTarget},
    jose::CompactJws,
    secret::base64url,
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

/// A client or a browser can send anything.
#[tokio::test]
async fn what_is_kept_of_a_message_is_bounded() {
    let provider = recording();
    let long = "x".repeat(2_000);
    let token = |claims: &Value| {
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        let header = json!({ "alg": "none", "typ": long, &long: [long] });
        format!("{}.{}.", part(&header), part(claims))
    };
    let many: Map<String, Value> = (0..500).map(|n| (n.to_string(), n.into())).collect();
    let parameters: Vec<_> = (0..5_000).map(|n| format!("&{n}=")).collect();
    let parameters = parameters.concat();
    for claims in [
        json!({ "a": { "b": long } }),
        json!({ &long: 1 }),
        many.into(),
    ] {
        let query = format!("request={}&{long}={long}{parameters}", token(&claims));
        provider.get(&format!("/v1/oauth/authorize?{query}")).await;
        let form = Request::post(format!("/v1/oauth/token?{query}")).body(Body::from(query));
        provider.send(form.unwrap()).await;
        let exchanges = provider.emulator.exchanges();
        let kept = format!("{exchanges:?}");
        assert!(!kept.contains(&long[..200]), "{kept}");
        for Exchange { request, .. } in exchanges {
            assert!(request.len() <= 2 * 30, "{}", request.len());
            let Some((_, ExchangedValue::Token { claims, .. })) = request.first() else {
                panic!("{request:?}")
            };
            assert!(claims.len() <= 30, "{claims:?}");
        }
    }
    let before = provider.emulator.exchanges().len();
    let request = Request::builder().method(&*long).uri("/v1/oauth/token");
    provider.send(request.body(Body::empty()).unwrap()).await;
    let last = provider.emulator.exchanges();
    assert_eq!(last.len(), before);
    assert!(
        last.iter()
            .all(|it| it.method.as_ref().is_none_or(|it| it.as_str() != long))
    );
}
