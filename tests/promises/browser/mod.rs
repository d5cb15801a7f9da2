//! The demo and the single-page app in a real browser, for each client type, and sites at providers written
//! by others.

mod admin;
mod chromium;
mod foreign;
mod gallery;
mod german;
mod native;
mod panel;
mod sessions;
mod spa;

use std::path::{Path, PathBuf};

use crate::program::process::{Running, command};
use chromium::{Chromium, browse};

/// The name of the session cookie on plain http.
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

/// As with the published port of a container: the program listens on all addresses, and users
/// enter `localhost`.
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
        browser.click("a[href='/profile']").await;
        let profile = browser.find(".facts").await.text().await.unwrap();
        assert!(profile.contains("Alice Adams"), "{profile}");
        assert_eq!(browser.here().await.as_str(), demo.at("/profile"));
    })
    .await;
}

/// The folder of a program written by others.
fn installed(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/foreign").join(name);
    assert!(
        folder.join("installed").exists(),
        "{name} is not installed; install it: tests/foreign/install"
    );
    folder
}

/// A demo on a free port.
async fn demo(options: &[&str]) -> Running {
    let arguments = [&["demo", "--listen", "127.0.0.1:0"], options].concat();
    Running::start(&mut command(&arguments)).await
}

async fn in_the_demo(options: &[&str]) {
    let demo = demo(options).await;
    browse(|browser| async move { sign_in_and_out(&demo, &browser).await }).await;
}

async fn sign_in_and_out(demo: &Running, browser: &Chromium) {
    // A guest requests a protected page with a query ...
    browser.goto(&demo.at("/profile?tab=x")).await;
    // ... is redirected to the provider's login page ...
    browser.click("button[value=alice]").await;
    // ... and the consent page ...
    browser.click("button[value=allow]").await;
    // ... and returns to the page, with the query.
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

    // Sign-out ends on a confirmation page.
    browser.click("form[action='/logout'] button").await;
    browser.find("a[href^='/login']").await;
    let text = browser.text().await;
    assert!(text.to_lowercase().contains("signed out"), "{text}");

    // The old cookie leads to login again. Without removing the provider's own cookie, the provider
    // would sign the user in silently.
    browser.forget_cookies().await;
    browser.remember(cookie).await;
    browser.goto(&demo.at("/profile")).await;
    browser.find("button[value=alice]").await;
    assert!(browser.here().await.path().starts_with("/oten/"));

    assert_eq!(browser.blocked().await, Vec::<String>::new());
}
