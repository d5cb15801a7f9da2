use std::time::Duration;

use axum::response::Response;
use http::{StatusCode, header};
use url::Url;

use super::{browser::Browser, support::*};
use crate::emulator::{Deviation, EmulatorBuilder, EmulatorError, Endpoint, LogoutTarget};

const PATH: &str = "/v1/oauth/logout";
const CONFIRM: &str = "/v1/oauth/logout/confirm";

/// Returns an ID token of Alice for the client `shop`, of a session without a browser.
async fn hint(provider: &TestProvider) -> String {
    provider.tokens().await["id_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Returns an ID token of the browser's session.
async fn hint_of(browser: &mut Browser<'_>, provider: &TestProvider) -> String {
    let callback = browser.authorize(|_| ()).await.parse().unwrap();
    let code = query_value(&callback, "code").unwrap();
    let (_, answer) = provider.token(&TestProvider::code_form(&code)).await;
    answer["id_token"].as_str().unwrap().to_owned()
}

fn valid(hint: &str) -> Vec<(&str, &str)> {
    vec![
        ("id_token_hint", hint),
        ("client_id", "shop"),
        ("post_logout_redirect_uri", POST_LOGOUT),
        ("state", "the-state"),
    ]
}

fn url(provider: &TestProvider, parameters: &[(&str, &str)]) -> String {
    format!("{}{PATH}?{}", provider.emulator.issuer(), form(parameters))
}

fn end(provider: &TestProvider, parameters: &[(&str, &str)]) -> Result<Option<Url>, EmulatorError> {
    provider.emulator.end_session(url(provider, parameters))
}

fn rejection(provider: &TestProvider, parameters: &[(&str, &str)]) -> String {
    match end(provider, parameters) {
        Err(EmulatorError::Rejected(rejection)) => {
            assert_eq!(rejection.error(), "invalid_request");
            assert_eq!(rejection.redirect(), None);
            rejection.description().to_owned()
        }
        other => panic!("not rejected: {other:?}"),
    }
}

async fn title(response: Response) -> String {
    let html = text_body(response).await;
    let title = html.split_once("<title>").unwrap().1;
    title.split(" - ").next().unwrap().to_owned()
}

/// Returns the ID in the confirmation page.
async fn confirmation(response: Response) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    let html = text_body(response).await;
    assert!(
        html.contains("Sign out of the emulated Oten, too?"),
        "{html}"
    );
    let id = html.split_once(r#"name="logout" value=""#).unwrap().1;
    id.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn ends_the_session_and_returns_to_the_app() {
    let provider = provider_with(EmulatorBuilder::advertise_back_channel_logout);
    let (first, _second) = (hint(&provider).await, hint(&provider).await);
    let sids = provider.emulator.sids_of("alice");
    let back = end(&provider, &valid(&first)).unwrap().unwrap();
    assert_eq!(back.as_str(), format!("{POST_LOGOUT}&state=the-state"));
    assert_eq!(provider.emulator.sids_of("alice"), sids[1..]);
    assert_eq!(provider.emulator.calls(Endpoint::EndSession), 1);

    // The hint names the client, and the return URL is optional.
    let again = with(valid(&first), "client_id", "");
    assert_eq!(end(&provider, &again).unwrap(), Some(back));
    assert_eq!(end(&provider, &[("id_token_hint", &first)]).unwrap(), None);
}

#[tokio::test]
async fn ends_all_sessions_of_the_user_for_a_hint_without_sid() {
    let provider = provider();
    let hint = (hint(&provider).await, hint(&provider).await).0;
    provider
        .emulator
        .approve(provider.valid_url(), "bob")
        .unwrap();
    end(&provider, &valid(&hint)).unwrap();
    assert!(provider.emulator.sids_of("alice").is_empty());
    assert_eq!(provider.emulator.sids_of("bob").len(), 1);
}

#[tokio::test]
async fn keeps_the_tokens_of_apps() {
    let provider = provider();
    let answer = provider.tokens().await;
    end(&provider, &valid(answer["id_token"].as_str().unwrap())).unwrap();
    let access = answer["access_token"].as_str().unwrap();
    assert_eq!(provider.userinfo(access).await.status(), StatusCode::OK);
    let refresh = answer["refresh_token"].as_str().unwrap();
    assert_eq!(
        provider.token(&TestProvider::refresh_form(refresh)).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn accepts_an_expired_hint_of_a_former_key() {
    let provider = provider();
    let hint = hint(&provider).await;
    provider.emulator.rotate_keys();
    provider.emulator.rotate_keys();
    provider
        .clock
        .advance(Duration::from_secs(7 * 24 * 60 * 60));
    end(&provider, &valid(&hint)).unwrap();
    assert!(provider.emulator.sids_of("alice").is_empty());
}

#[tokio::test]
async fn rejects_a_hint_that_is_not_its_own_id_token() {
    let provider = provider();
    let other_provider = provider_with(|builder| builder);
    let answer = provider.tokens().await;
    let id_token = answer["id_token"].as_str().unwrap();
    let tampered = id_token.replacen('.', ".e30A", 1);
    let target = LogoutTarget::Subject("alice");
    let logout_token = provider.emulator.logout_token("shop", target);
    let unsigned = {
        provider.emulator.deviate(Deviation::AlgNone);
        hint(&provider).await
    };
    let mut deviating = Vec::new();
    for deviation in [
        Deviation::BadSignature,
        Deviation::Hs256WithClientSecret,
        Deviation::UnknownKey,
        Deviation::NoKeyId,
        Deviation::Claim("iss", "https://x.example".into()),
        Deviation::WithoutClaim("sub"),
    ] {
        provider.emulator.clear_deviations();
        provider.emulator.deviate(deviation);
        deviating.push(hint(&provider).await);
    }
    let sessions = provider.emulator.sids_of("alice").len();
    let key_of_another = hint(&other_provider).await;
    for (hint, description) in [
        ("x", "id_token_hint is not a signed JWT"),
        (&tampered, "id_token_hint has an invalid signature"),
        (
            answer["access_token"].as_str().unwrap(),
            "id_token_hint is not an ID token",
        ),
        (&logout_token, "id_token_hint is not an ID token"),
        (
            &unsigned,
            "id_token_hint has an alg that this provider does not use",
        ),
        (&deviating[0], "id_token_hint has an invalid signature"),
        (
            &deviating[1],
            "id_token_hint has an alg that this provider does not use",
        ),
        (
            &deviating[2],
            "id_token_hint has a kid that this provider never used",
        ),
        (
            &key_of_another,
            "id_token_hint has a kid that this provider never used",
        ),
        (&deviating[3], "id_token_hint has no kid"),
        (&deviating[4], "id_token_hint has another issuer"),
        (&deviating[5], "id_token_hint has no sub"),
    ] {
        assert_eq!(rejection(&provider, &valid(hint)), description);
    }
    assert_eq!(provider.emulator.sids_of("alice").len(), sessions);
}

#[tokio::test]
async fn rejects_an_invalid_logout_request_on_a_page() {
    let provider = provider();
    let hint = hint(&provider).await;
    for (name, value, description) in [
        (
            "client_id",
            "other",
            "id_token_hint was issued to another client",
        ),
        (
            "client_id",
            "unregistered",
            "id_token_hint was issued to another client",
        ),
        (
            "post_logout_redirect_uri",
            "https://x.example/",
            "post_logout_redirect_uri must repeat a registered URI exactly",
        ),
        (
            "post_logout_redirect_uri",
            "http://127.0.0.1:3000/bye?from=oten&",
            "post_logout_redirect_uri must repeat a registered URI exactly",
        ),
        // A redirect URI is not a post-logout redirect URI.
        (
            "post_logout_redirect_uri",
            REDIRECT,
            "post_logout_redirect_uri must repeat a registered URI exactly",
        ),
    ] {
        assert_eq!(
            rejection(&provider, &with(valid(&hint), name, value)),
            description
        );
    }
    let unregistered = with(valid(""), "client_id", "unregistered");
    assert_eq!(
        rejection(&provider, &unregistered),
        "client_id is not registered"
    );
    assert_eq!(
        rejection(&provider, &with(valid(""), "client_id", "")),
        "post_logout_redirect_uri needs id_token_hint or client_id"
    );
    assert_eq!(
        rejection(&provider, &[valid(&hint), valid(&hint)].concat()),
        "The parameter id_token_hint appears more than once"
    );

    let bad = with(
        valid(&hint),
        "post_logout_redirect_uri",
        "https://x.example/",
    );
    for response in [
        provider.get(&format!("{PATH}?{}", form(&bad))).await,
        provider.post(PATH, &bad).await,
    ] {
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers().get(header::LOCATION), None);
        assert_eq!(title(response).await, "Invalid request");
    }
    assert_eq!(
        provider.emulator.sids_of("alice").len(),
        1,
        "the session is still live"
    );
}

#[test]
fn rejects_a_url_of_another_endpoint() {
    let provider = provider();
    for url in [
        "https://x.example/v1/oauth/logout",
        &provider.valid_url(),
        "",
    ] {
        let result = provider.emulator.end_session(url);
        assert!(matches!(result, Err(EmulatorError::NotAnEndSessionUrl)));
    }
}

#[tokio::test]
async fn signs_a_browser_with_a_hint_out_at_once() {
    let provider = provider_with(EmulatorBuilder::advertise_back_channel_logout);
    let mut browser = Browser::new(&provider);
    browser.sign_in().await;
    let hint = hint_of(&mut browser, &provider).await;
    let response = browser.get(&url(&provider, &valid(&hint))).await;
    assert!(
        response.headers()[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert!(location(&response).starts_with(POST_LOGOUT));
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert!(provider.emulator.sids_of("alice").is_empty());
    // The former cookie is invalid, and a repeated logout has no effect.
    let response = browser.get(&url(&provider, &[])).await;
    assert_eq!(title(response).await, "You are signed out");
}

#[tokio::test]
async fn ends_the_hinted_session_for_a_form_without_cookie() {
    let provider = provider_with(EmulatorBuilder::advertise_back_channel_logout);
    let mut browser = Browser::new(&provider);
    browser.sign_in().await;
    let hint = hint_of(&mut browser, &provider).await;
    let response = provider.post(PATH, &valid(&hint)).await;
    assert!(location(&response).starts_with(POST_LOGOUT));
    assert!(provider.emulator.sids_of("alice").is_empty());
}

#[tokio::test]
async fn asks_the_user_without_a_hint_for_this_session() {
    let provider = provider_with(EmulatorBuilder::advertise_back_channel_logout);
    let mut browser = Browser::new(&provider);
    browser.sign_in().await;
    let other_session = hint(&provider).await;
    let bob = {
        let code = provider
            .emulator
            .approve(provider.valid_url(), "bob")
            .unwrap();
        let code = query_value(&code, "code").unwrap();
        provider.token(&TestProvider::code_form(&code)).await.1
    };
    for parameters in [
        Vec::new(),
        vec![("client_id", "shop")],
        valid(&other_session),
        valid(bob["id_token"].as_str().unwrap()),
    ] {
        confirmation(browser.get(&url(&provider, &parameters)).await).await;
        confirmation(browser.post(PATH, &parameters).await).await;
    }
    assert_eq!(provider.emulator.sids_of("alice").len(), 2);
    assert_eq!(provider.emulator.sids_of("bob").len(), 1);
}

#[tokio::test]
async fn follows_the_answer_of_the_user() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
    browser.sign_in().await;
    for (decision, sessions) in [("stay", 1), ("sign-out", 0)] {
        let id = confirmation(browser.get(&url(&provider, &valid(""))).await).await;
        let answer = [("logout", id.as_str()), ("decision", decision)];
        let response = browser.post(CONFIRM, &answer).await;
        assert!(location(&response).ends_with("&state=the-state"));
        assert_eq!(
            provider.emulator.sids_of("alice").len(),
            sessions,
            "{decision}"
        );
        let again = browser.post(CONFIRM, &answer).await;
        assert_eq!(again.status(), StatusCode::BAD_REQUEST, "already answered");
    }
    let page = browser.authorize(|_| ()).await;
    browser.login(&page, "alice").await;
    for (decision, page) in [
        ("stay", "You are still signed in"),
        ("sign-out", "You are signed out"),
    ] {
        let id = confirmation(browser.get(&url(&provider, &[])).await).await;
        let answer = [("logout", id.as_str()), ("decision", decision)];
        assert_eq!(title(browser.post(CONFIRM, &answer).await).await, page);
    }
}

#[tokio::test]
async fn rejects_an_answer_for_another_session_or_too_late() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
    browser.sign_in().await;
    let id = confirmation(browser.get(&url(&provider, &[])).await).await;
    let answer = [("logout", id.as_str()), ("decision", "sign-out")];
    let mut other = Browser::new(&provider);
    let page = other.authorize(|_| ()).await;
    other.login(&page, "alice").await;
    for response in [
        other.post(CONFIRM, &answer).await,
        provider.post(CONFIRM, &[]).await,
    ] {
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(title(response).await, "Sign-out page expired");
    }
    let id = confirmation(browser.get(&url(&provider, &[])).await).await;
    provider.clock.advance(Duration::from_secs(600));
    let answer = [("logout", id.as_str()), ("decision", "sign-out")];
    let late = browser.post(CONFIRM, &answer).await;
    assert_eq!(late.status(), StatusCode::BAD_REQUEST);
    assert_eq!(provider.emulator.sids_of("alice").len(), 2);
}

#[tokio::test]
async fn advertises_the_endpoint_only_if_configured() {
    let field = "end_session_endpoint";
    let discovery = "/.well-known/openid-configuration";
    let document = json_body(provider().get(discovery).await).await;
    assert_eq!(document.get(field), None);
    let provider = provider_with(EmulatorBuilder::advertise_end_session);
    let document = json_body(provider.get(discovery).await).await;
    assert_eq!(
        document[field],
        format!("{}{PATH}", provider.emulator.issuer())
    );
}
