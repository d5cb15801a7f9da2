//! The sign-in of a native app, in the browser of its user.

use axum::{Router, routing::get};
use tokio::net::TcpListener;

use super::{
    SESSION_COOKIE,
    chromium::{Chromium, browse},
    demo,
    gallery::{Look, look_at},
};
use crate::{program::process::Running, stores::temp_dir::TempDir};

#[tokio::test]
async fn a6_the_user_confirms_before_an_app_is_opened() {
    let demo = demo_with_links().await;

    // A program of the device that listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listening = format!("http://{}/callback", listener.local_addr().unwrap());
    let app = Router::new().route("/callback", get(async || "back in the app"));
    tokio::spawn(axum::serve(listener, app).into_future());

    let start = move |link: &str| start_url(&demo, link);
    browse(|browser| async move {
        sign_in(&browser, &start(CUSTOM)).await;
        let text = browser.text().await;
        for part in ["Alice Adams", "com.example.app:/callback", "reference"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        look_at(&browser, "confirm-app").await;
        // The browser keeps no session of the site.
        assert!(
            browser
                .client
                .get_named_cookie(SESSION_COOKIE)
                .await
                .is_err()
        );

        // The provider signs the user in without a page now, so this page is the first.
        for (button, parameter) in [(".button", "?code="), ("button.quiet", "?error=")] {
            browser.goto(&start(&listening)).await;
            browser
                .click(&format!("form[action^='/native/confirm'] {button}"))
                .await;
            browser.wait_for("back in the app").await;
            let here = browser.here().await;
            let start = format!("{listening}{parameter}");
            assert!(here.as_str().starts_with(&start), "{here}");
            assert!(here.as_str().ends_with("&state=x"), "{here}");
        }
        browser.goto(&start("com.example.app:/other")).await;
        look_at(&browser, "invalid-app").await;
        assert_eq!(browser.blocked().await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn x5_the_page_that_confirms_an_app_is_accessible() {
    let demo = demo_with_links().await;
    browse(|browser| async move {
        sign_in(&browser, &start_url(&demo, CUSTOM)).await;
        Look::Accessibility.at(&browser, "confirm-app").await;
        browser
            .goto(&start_url(&demo, "com.example.app:/other"))
            .await;
        Look::Accessibility.at(&browser, "invalid-app").await;
    })
    .await;
}

const CUSTOM: &str = "com.example.app:/callback";

async fn demo_with_links() -> Running {
    let folder = TempDir::new();
    let config = folder.path().join("oten.toml");
    let links = format!("native_links = ['{CUSTOM}', 'http://127.0.0.1/callback']\n");
    let text = [include_str!("../../../config/demo-public.toml"), &links].concat();
    std::fs::write(&config, text).unwrap();
    demo(&["--config", config.to_str().unwrap()]).await
}

fn start_url(demo: &Running, link: &str) -> String {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    demo.at(&format!(
        "/native/start?redirect_uri={link}&state=x&code_challenge_method=S256\
         &code_challenge={challenge}"
    ))
}

async fn sign_in(browser: &Chromium, start: &str) {
    browser.goto(start).await;
    browser.click("button[value=alice]").await;
    browser.click("button[value=allow]").await;
    browser.find("form[action^='/native/confirm']").await;
}
