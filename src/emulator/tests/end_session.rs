use std::time::Duration;

use axum::response::Response;
use http::{StatusCode, header};
use url::Url;

use super::{browser::Browser, kit::*};
use crate::emulator::{Deviation, EmulatorBuilder, EmulatorError, Endpoint, LogoutTarget};

const PATH: &str = "/v1/oauth/logout";
const CONFIRM: &str = "/v1/oauth/logout/confirm";

/// An ID token of Alice for the client `shop`, in a session without a browser.
async fn hint(kit: &Kit) -> String {
    kit.tokens().await["id_token"].as_str().unwrap().to_owned()
}

/// An ID token of whoever is signed in in the browser.
async fn hint_of(browser: &mut Browser<'_>, kit: &Kit) -> String {
    let callback = browser.authorize(|_| ()).await.parse().unwrap();
    let code = query_value(&callback, "code").unwrap();
    let (_, answer) = kit.token(&Kit::redeem(&code)).await;
    answer["id_token"].as_str().unwrap().to_owned()
}

fn good(hint: &str) -> Vec<(&str, &str)> {
    vec![
        ("id_token_hint", hint),
        ("client_id", "shop"),
        ("post_logout_redirect_uri", POST_LOGOUT),
        ("state", "the-state"),
    ]
}

fn url(kit: &Kit, parameters: &[(&str, &str)]) -> String {
    format!("{}{PATH}?{}", kit.emulator.issuer(), form(parameters))
}

fn end(kit: &Kit, parameters: &[(&str, &str)]) -> Result<Option<Url>, EmulatorError> {
    kit.emulator.end_session(url(kit, parameters))
}

fn refusal(kit: &Kit, parameters: &[(&str, &str)]) -> String {
    match end(kit, parameters) {
        Err(EmulatorError::Rejected(refusal)) => {
            assert_eq!(refusal.error(), "invalid_request");
            assert_eq!(refusal.redirect(), None);
            refusal.description().to_owned()
        }
        other => panic!("not refused: {other:?}"),
    }
}

async fn title(response: Response) -> String {
    let html = text_body(response).await;
    let title = html.split_once("<title>").unwrap().1;
    title.split(" - ").next().unwrap().to_owned()
}

/// The id of the question on the page.
async fn question(response: Response) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    let html = text_body(response).await;
    assert!(html.contains("Sign out here too?"), "{html}");
    let id = html.split_once(r#"name="logout" value=""#).unwrap().1;
    id.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_logout_ends_the_session_and_comes_back() {
    let kit = kit_with(EmulatorBuilder::advertise_back_channel_logout);
    let (first, _second) = (hint(&kit).await, hint(&kit).await);
    let sids = kit.emulator.sids_of("alice");
    let back = end(&kit, &good(&first)).unwrap().unwrap();
    assert_eq!(back.as_str(), format!("{POST_LOGOUT}&state=the-state"));
    assert_eq!(kit.emulator.sids_of("alice"), sids[1..]);
    assert_eq!(kit.emulator.calls(Endpoint::EndSession), 1);

    // The hint names the client too, and a logout may end here.
    let again = with(good(&first), "client_id", "");
    assert_eq!(end(&kit, &again).unwrap(), Some(back));
    assert_eq!(end(&kit, &[("id_token_hint", &first)]).unwrap(), None);
}

#[tokio::test]
async fn a_hint_without_sid_is_about_all_sessions_of_its_person() {
    let kit = kit();
    let hint = (hint(&kit).await, hint(&kit).await).0;
    kit.emulator.approve(kit.good_url(), "bob").unwrap();
    end(&kit, &good(&hint)).unwrap();
    assert!(kit.emulator.sids_of("alice").is_empty());
    assert_eq!(kit.emulator.sids_of("bob").len(), 1);
}

#[tokio::test]
async fn the_tokens_of_apps_live_on() {
    let kit = kit();
    let answer = kit.tokens().await;
    end(&kit, &good(answer["id_token"].as_str().unwrap())).unwrap();
    let access = answer["access_token"].as_str().unwrap();
    assert_eq!(kit.userinfo(access).await.status(), StatusCode::OK);
    let refresh = answer["refresh_token"].as_str().unwrap();
    assert_eq!(kit.token(&Kit::refresh(refresh)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_ended_hint_of_a_former_key_is_good() {
    let kit = kit();
    let hint = hint(&kit).await;
    kit.emulator.rotate_keys();
    kit.emulator.rotate_keys();
    kit.clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
    end(&kit, &good(&hint)).unwrap();
    assert!(kit.emulator.sids_of("alice").is_empty());
}

#[tokio::test]
async fn a_hint_that_is_no_id_token_of_ours_is_refused() {
    let kit = kit();
    let stranger = kit_with(|builder| builder);
    let answer = kit.tokens().await;
    let id_token = answer["id_token"].as_str().unwrap();
    let tampered = id_token.replacen('.', ".e30A", 1);
    let target = LogoutTarget::Subject("alice");
    let logout_token = kit.emulator.logout_token("shop", target);
    let unsigned = {
        kit.emulator.deviate(Deviation::AlgNone);
        hint(&kit).await
    };
    let mut lied = Vec::new();
    for lie in [
        Deviation::BadSignature,
        Deviation::Hs256WithClientSecret,
        Deviation::UnknownKey,
        Deviation::NoKeyId,
        Deviation::Claim("iss", "https://x.example".into()),
        Deviation::WithoutClaim("sub"),
    ] {
        kit.emulator.clear_deviations();
        kit.emulator.deviate(lie);
        lied.push(hint(&kit).await);
    }
    let sessions = kit.emulator.sids_of("alice").len();
    let key_of_another = hint(&stranger).await;
    for (bad, why) in [
        ("x", "The id_token_hint is not a signed JWT"),
        (&tampered, "The id_token_hint's signature does not hold"),
        (
            answer["access_token"].as_str().unwrap(),
            "The id_token_hint is not an ID token",
        ),
        (&logout_token, "The id_token_hint is not an ID token"),
        (&unsigned, "The id_token_hint's alg is not ours"),
        (&lied[0], "The id_token_hint's signature does not hold"),
        (&lied[1], "The id_token_hint's alg is not ours"),
        (&lied[2], "The id_token_hint's key was never ours"),
        (&key_of_another, "The id_token_hint's key was never ours"),
        (&lied[3], "The id_token_hint does not name its key"),
        (&lied[4], "The id_token_hint has another issuer"),
        (&lied[5], "The id_token_hint has no sub"),
    ] {
        assert_eq!(refusal(&kit, &good(bad)), why);
    }
    assert_eq!(kit.emulator.sids_of("alice").len(), sessions);
}

#[tokio::test]
async fn a_bad_logout_request_is_refused_on_a_page() {
    let kit = kit();
    let hint = hint(&kit).await;
    for (name, value, why) in [
        (
            "client_id",
            "other",
            "The id_token_hint was issued to another client",
        ),
        (
            "client_id",
            "nobody",
            "The id_token_hint was issued to another client",
        ),
        (
            "post_logout_redirect_uri",
            "https://x.example/",
            "The post_logout_redirect_uri is not registered",
        ),
        (
            "post_logout_redirect_uri",
            "http://127.0.0.1:3000/bye?from=oten&",
            "The post_logout_redirect_uri is not registered",
        ),
        // What is registered for sign-in is not registered for logout.
        (
            "post_logout_redirect_uri",
            REDIRECT,
            "The post_logout_redirect_uri is not registered",
        ),
    ] {
        assert_eq!(refusal(&kit, &with(good(&hint), name, value)), why);
    }
    let nobody = with(good(""), "client_id", "nobody");
    assert_eq!(refusal(&kit, &nobody), "The client is not registered");
    assert_eq!(
        refusal(&kit, &with(good(""), "client_id", "")),
        "post_logout_redirect_uri needs id_token_hint or client_id"
    );
    assert_eq!(
        refusal(&kit, &[good(&hint), good(&hint)].concat()),
        "The parameter id_token_hint appears more than once"
    );

    let bad = with(
        good(&hint),
        "post_logout_redirect_uri",
        "https://x.example/",
    );
    for response in [
        kit.get(&format!("{PATH}?{}", form(&bad))).await,
        kit.post(PATH, &bad).await,
    ] {
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers().get(header::LOCATION), None);
        assert_eq!(title(response).await, "This request cannot be answered");
    }
    assert_eq!(kit.emulator.sids_of("alice").len(), 1, "nothing ended");
}

#[test]
fn a_url_of_somewhere_else_is_refused() {
    let kit = kit();
    for url in ["https://x.example/v1/oauth/logout", &kit.good_url(), ""] {
        let refused = kit.emulator.end_session(url);
        assert!(matches!(refused, Err(EmulatorError::NotAnEndSessionUrl)));
    }
}

#[tokio::test]
async fn a_browser_with_a_hint_is_signed_out_at_once() {
    let kit = kit_with(EmulatorBuilder::advertise_back_channel_logout);
    let mut browser = Browser::new(&kit);
    browser.sign_in().await;
    let hint = hint_of(&mut browser, &kit).await;
    let response = browser.get(&url(&kit, &good(&hint))).await;
    assert!(
        response.headers()[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert!(location(&response).starts_with(POST_LOGOUT));
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert!(kit.emulator.sids_of("alice").is_empty());
    // The old cookie is worth nothing now, and asking again harms nobody.
    let response = browser.get(&url(&kit, &[])).await;
    assert_eq!(title(response).await, "You are signed out");
}

#[tokio::test]
async fn a_form_without_the_cookie_ends_the_hinted_session() {
    let kit = kit_with(EmulatorBuilder::advertise_back_channel_logout);
    let mut browser = Browser::new(&kit);
    browser.sign_in().await;
    let hint = hint_of(&mut browser, &kit).await;
    let response = kit.post(PATH, &good(&hint)).await;
    assert!(location(&response).starts_with(POST_LOGOUT));
    assert!(kit.emulator.sids_of("alice").is_empty());
}

#[tokio::test]
async fn without_a_hint_for_this_session_the_person_is_asked() {
    let kit = kit_with(EmulatorBuilder::advertise_back_channel_logout);
    let mut browser = Browser::new(&kit);
    browser.sign_in().await;
    let other_session = hint(&kit).await;
    let bob = {
        let code = kit.emulator.approve(kit.good_url(), "bob").unwrap();
        let code = query_value(&code, "code").unwrap();
        kit.token(&Kit::redeem(&code)).await.1
    };
    for parameters in [
        Vec::new(),
        vec![("client_id", "shop")],
        good(&other_session),
        good(bob["id_token"].as_str().unwrap()),
    ] {
        question(browser.get(&url(&kit, &parameters)).await).await;
        question(browser.post(PATH, &parameters).await).await;
    }
    assert_eq!(kit.emulator.sids_of("alice").len(), 2);
    assert_eq!(kit.emulator.sids_of("bob").len(), 1);
}

#[tokio::test]
async fn the_person_says_yes_or_no() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    browser.sign_in().await;
    for (decision, left) in [("stay", 1), ("sign-out", 0)] {
        let id = question(browser.get(&url(&kit, &good(""))).await).await;
        let answer = [("logout", id.as_str()), ("decision", decision)];
        let response = browser.post(CONFIRM, &answer).await;
        assert!(location(&response).ends_with("&state=the-state"));
        assert_eq!(kit.emulator.sids_of("alice").len(), left, "{decision}");
        let again = browser.post(CONFIRM, &answer).await;
        assert_eq!(again.status(), StatusCode::BAD_REQUEST, "answered before");
    }
    let page = browser.authorize(|_| ()).await;
    browser.login(&page, "alice").await;
    for (decision, page) in [
        ("stay", "You are still signed in"),
        ("sign-out", "You are signed out"),
    ] {
        let id = question(browser.get(&url(&kit, &[])).await).await;
        let answer = [("logout", id.as_str()), ("decision", decision)];
        assert_eq!(title(browser.post(CONFIRM, &answer).await).await, page);
    }
}

#[tokio::test]
async fn nobody_answers_for_another_session_or_too_late() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    browser.sign_in().await;
    let id = question(browser.get(&url(&kit, &[])).await).await;
    let answer = [("logout", id.as_str()), ("decision", "sign-out")];
    let mut other = Browser::new(&kit);
    let page = other.authorize(|_| ()).await;
    other.login(&page, "alice").await;
    for response in [
        other.post(CONFIRM, &answer).await,
        kit.post(CONFIRM, &[]).await,
    ] {
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(title(response).await, "This question is over");
    }
    let id = question(browser.get(&url(&kit, &[])).await).await;
    kit.clock.advance(Duration::from_secs(600));
    let answer = [("logout", id.as_str()), ("decision", "sign-out")];
    let late = browser.post(CONFIRM, &answer).await;
    assert_eq!(late.status(), StatusCode::BAD_REQUEST);
    assert_eq!(kit.emulator.sids_of("alice").len(), 2);
}

#[tokio::test]
async fn the_endpoint_is_announced_only_when_told() {
    let field = "end_session_endpoint";
    let discovery = "/.well-known/openid-configuration";
    let document = json_body(kit().get(discovery).await).await;
    assert_eq!(document.get(field), None);
    let kit = kit_with(EmulatorBuilder::advertise_end_session);
    let document = json_body(kit.get(discovery).await).await;
    assert_eq!(document[field], format!("{}{PATH}", kit.emulator.issuer()));
}
