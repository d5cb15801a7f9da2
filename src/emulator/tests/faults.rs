use std::time::Duration;

use http::{StatusCode, header};

use super::support::*;
use crate::emulator::{Endpoint, Fault};

const KEYS: &str = "/.well-known/jwks.json";

#[tokio::test]
async fn applies_faults_in_order_and_as_often_as_planned() {
    let provider = provider();
    provider
        .emulator
        .fault(Endpoint::Jwks, Fault::Status(503).times(2));
    provider
        .emulator
        .fault(Endpoint::Jwks, Fault::Status(404).times(0));
    provider
        .emulator
        .fault(Endpoint::Jwks, Fault::Empty.times(1));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(provider.get(KEYS).await.status().as_u16());
    }
    assert_eq!(statuses, [503, 503, 200, 200]);
    assert_eq!(provider.emulator.calls(Endpoint::Jwks), 4);
    assert_eq!(provider.emulator.calls(Endpoint::Token), 0);
}

#[tokio::test]
async fn repeats_a_fault_without_a_count_until_cleared() {
    let provider = provider();
    provider.emulator.fault(Endpoint::Jwks, Fault::Status(500));
    for _ in 0..3 {
        assert_eq!(provider.get(KEYS).await.status(), 500);
    }
    provider.emulator.clear_faults();
    assert_eq!(provider.get(KEYS).await.status(), 200);
}

#[tokio::test]
async fn produces_each_faulty_response() {
    let provider = provider();
    let answer = async |fault: Fault| {
        provider.emulator.fault(Endpoint::Jwks, fault.times(1));
        provider.get(KEYS).await
    };
    let wait = Some(Duration::from_secs(7));
    let limited = answer(Fault::TooManyRequests { retry_after: wait }).await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limited.headers()[header::RETRY_AFTER], "7");

    let moved = answer(Fault::Redirect("https://x.example/".into())).await;
    assert_eq!(moved.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(moved.headers()[header::LOCATION], "https://x.example/");

    let html = answer(Fault::Html).await;
    assert_eq!(html.headers()[header::CONTENT_TYPE], "text/html");
    assert_eq!(text_body(answer(Fault::Empty).await).await, "");

    let rewritten = answer(Fault::Rewrite(|body| [b"\xef\xbb\xbf", &*body].concat())).await;
    assert_eq!(
        rewritten.headers()[header::CONTENT_TYPE],
        "application/json"
    );
    let text = text_body(rewritten).await;
    assert!(text.starts_with("\u{feff}{\"keys\":"), "{text}");
    assert!(text_body(answer(Fault::Huge).await).await.len() > 5 * 1024 * 1024);
    let bomb = answer(Fault::GzipBomb).await;
    assert_eq!(bomb.headers()[header::CONTENT_ENCODING], "gzip");
    let own = Fault::Body {
        content_type: "text/plain",
        bytes: "{".into(),
    };
    assert_eq!(text_body(answer(own).await).await, "{");
    let delay = Fault::Delay(Duration::from_millis(1));
    assert!(text_body(answer(delay).await).await.contains("keys"));
}

#[tokio::test]
async fn sends_oauth_errors_where_oten_does() {
    let provider = provider();
    for (code, status) in [
        ("invalid_grant", 400),
        ("invalid_client", 401),
        ("server_error", 500),
        ("temporarily_unavailable", 503),
    ] {
        provider
            .emulator
            .fault(Endpoint::Token, Fault::OAuthError(code).times(1));
        let (answered, body) = provider.token(&TestProvider::code_form("x")).await;
        assert_eq!(
            (answered.as_u16(), body["error"].as_str()),
            (status, Some(code))
        );
    }
    let wrong = Fault::OAuthErrorWithStatus("invalid_grant", 200);
    provider.emulator.fault(Endpoint::Token, wrong.times(1));
    let (status, body) = provider.token(&TestProvider::code_form("x")).await;
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (200, &"invalid_grant".into())
    );
    provider
        .emulator
        .fault(Endpoint::Authorization, Fault::OAuthError("server_error"));
    let path = provider.valid_url().replace(provider.emulator.issuer(), "");
    let callback = location(&provider.get(&path).await).parse().unwrap();
    assert_eq!(
        query_value(&callback, "error").as_deref(),
        Some("server_error")
    );
    assert_eq!(
        query_value(&callback, "state").as_deref(),
        Some("the-state")
    );
}
