//! The sign-in of a native app, in the browser of its user.

use axum::{Router, routing::get};
use tokio::net::TcpListener;

use super::{
    SESSION_COOKIE,
    chromium::{Chromium, browse},
    demo,
    gallery::look_at,
};
use crate::stores::temp_dir::TempDir;

#[tokio::test]
async fn a6_the_user_confirms_before_an_app_is_opened() {
    let folder = TempDir::new();
    let config = folder.path().join("oten.toml");
    let links = "native_links = ['com.example.app:/callback', 'http://127.0.0.1/callback']\n";
    let text = [include_str!("../../../config/demo-public.toml"), links].concat();
    std::fs::write(&config, text).unwrap();
    let demo = demo(&["--config", config.to_str().unwrap()]).await;

    // A program of the device that listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listening = format!("http://{}/callback", listener.local_addr().unwrap());
    let app = Router::new().route("/callback", get(async || "back in the app"));
    tokio::spawn(axum::serve(listener, app).into_future());

    let start = move |link: &str| {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        demo.at(&format!(
            "/native/start?redirect_uri={link}&state=x&code_challenge_method=S256\
             &code_challenge={challenge}"
        ))
    };
    browse(|browser| async move {
        browser.goto(&start("com.example.app:/callback")).await;
        browser.click("button[value=alice]").await;
        browser.click("button[value=allow]").await;
        browser.find("form[action^='/native/confirm']").await;
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
            wait_for(&browser, "back in the app").await;
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

async fn wait_for(browser: &Chromium, text: &str) {
    while browser.text().await != text {}
}
