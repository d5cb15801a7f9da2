//! The demo in a real browser: what a person sees and does, for each way a client can be
//! registered.

mod chromium;
mod gallery;

use crate::program::process::{Running, command};
use chromium::{Chromium, browse};

/// What the session cookie is called on plain http.
const SESSION_COOKIE: &str = "oten_session";

#[tokio::test]
async fn hs256_client_signs_in_and_out() {
    in_the_demo(&["--client", "hs256"]).await;
}

#[tokio::test]
async fn eddsa_client_signs_in_and_out() {
    in_the_demo(&[
        "--config",
        concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo-eddsa.toml"),
    ])
    .await;
}

#[tokio::test]
async fn public_client_signs_in_and_out() {
    in_the_demo(&[
        "--config",
        concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo-public.toml"),
    ])
    .await;
}

/// As with a container's published port: the program listens on all addresses, and people write
/// `localhost`.
#[tokio::test]
async fn a_browser_at_localhost_signs_in() {
    let demo = Running::start(&mut command(&["demo", "--listen", "0.0.0.0:0"])).await;
    browse(|browser| async move {
        let mut localhost = demo.url.clone();
        localhost.set_host(Some("localhost")).unwrap();
        browser.goto(localhost.as_str()).await;
        browser.click("a[href^='/login']").await;
        browser.click("button[value=alice]").await;
        browser.click("button[value=allow]").await;
        let profile = browser.find(".facts").await.text().await.unwrap();
        assert!(profile.contains("Alice Adams"), "{profile}");
        assert_eq!(browser.here().await.as_str(), demo.at("/profile"));
    })
    .await;
}

/// A demo of its own on a free port.
async fn demo(options: &[&str]) -> Running {
    let arguments = [&["demo", "--listen", "127.0.0.1:0"], options].concat();
    Running::start(&mut command(&arguments)).await
}

async fn in_the_demo(options: &[&str]) {
    let demo = demo(options).await;
    browse(|browser| async move { sign_in_and_out(&demo, &browser).await }).await;
}

async fn sign_in_and_out(demo: &Running, browser: &Chromium) {
    // A guest who asks for a protected page with a query ...
    browser.goto(&demo.at("/profile?tab=x")).await;
    // ... lands on the provider's login page, which asks who it is ...
    browser.click("button[value=alice]").await;
    // ... and whether the site may know ...
    browser.click("button[value=allow]").await;
    // ... and comes back to the page, with the query.
    let profile = browser.find(".facts").await.text().await.unwrap();
    assert_eq!(browser.here().await.as_str(), demo.at("/profile?tab=x"));
    for fact in ["alice", "Alice Adams", "alice@example.com", "UTC"] {
        assert!(profile.contains(fact), "no {fact} in:\n{profile}");
    }
    let cookie = browser.cookie(SESSION_COOKIE).await;
    assert_eq!(
        cookie.http_only(),
        Some(true),
        "scripts have no business with it"
    );

    // Signing out ends on a page that says so.
    browser.click("form[action='/logout'] button").await;
    browser.find("a[href^='/login']").await;
    let text = browser.text().await;
    assert!(text.to_lowercase().contains("signed out"), "{text}");

    // The old cookie is dead and leads to login again. The provider's own cookie has to go, or
    // the provider would not need to ask.
    browser.forget_cookies().await;
    browser.remember(cookie).await;
    browser.goto(&demo.at("/profile")).await;
    browser.find("button[value=alice]").await;
    assert!(browser.here().await.path().starts_with("/oten/"));

    assert_eq!(browser.blocked().await, Vec::<String>::new());
}
