//! The pages on which users and operators end sessions, in a real browser.

use super::{
    SESSION_COOKIE,
    chromium::{Chromium, browse},
    gallery::{SCREENS, look_at},
};
use crate::{common::ClientKind, examples::Site};

async fn start() -> Site {
    let admins = r#"{"admin": {"subjects": ["alice"]}}"#;
    Site::start("admin_panel", ClientKind::Hs256, &[("OTEN_ACCESS", admins)]).await
}

/// Signs a user in, in a browser without cookies of the site and the provider, which asks for consent at
/// the first sign-in.
async fn sign_in(site: &Site, browser: &Chromium, user: &str, is_first: bool) {
    browser.forget_cookies().await;
    browser.goto(&site.at("/login?return_to=/account")).await;
    browser.click(&format!("button[value={user}]")).await;
    if is_first {
        browser.click("button[value=allow]").await;
    }
    browser.find(".sessions").await;
}

async fn count(browser: &Chromium) -> usize {
    let sessions = browser.run("return document.querySelectorAll('.sessions li').length");
    sessions.await.as_u64().unwrap().try_into().unwrap()
}

/// Waits until the page lists so many sessions.
async fn lists(browser: &Chromium, expected: usize) {
    let nth = format!("main:not(:has(.sessions li:nth-child({})))", expected + 1);
    browser.find(&nth).await;
    assert_eq!(count(browser).await, expected);
}

#[tokio::test]
async fn x4_users_and_operators_end_sessions_on_their_pages() {
    let site = start().await;
    browse(|browser| async move {
        sign_in(&site, &browser, "bob", true).await;
        let bob = browser.cookie(SESSION_COOKIE).await;
        sign_in(&site, &browser, "alice", true).await;
        look_at(&browser, "account-one").await;
        for _ in 0..2 {
            sign_in(&site, &browser, "alice", false).await;
        }
        lists(&browser, 3).await;
        let page = browser.text().await;
        for text in ["This device", "Chrome (Linux)", "Signed in", "Last used"] {
            assert!(page.contains(text), "no {text} in:\n{page}");
        }
        look_at(&browser, "account").await;
        browser.click("form[action='/account/end'] .plain").await;
        lists(&browser, 2).await;
        assert_eq!(browser.here().await.as_str(), site.at("/account"));
        browser.click(".actions form button").await;
        lists(&browser, 1).await;

        browser.goto(&site.at("/admin/sessions")).await;
        lists(&browser, 2).await;
        look_at(&browser, "operator").await;
        let search = browser.find("#subject").await;
        search.send_keys("bob").await.unwrap();
        browser.click(".search button").await;
        lists(&browser, 1).await;
        let here = browser.here().await;
        assert_eq!(here.as_str(), site.at("/admin/sessions?subject=bob"));
        look_at(&browser, "operator-user").await;
        browser.click(".actions a.button").await;
        browser
            .find("form[action='/admin/sessions/end'] [value=bob]")
            .await;
        look_at(&browser, "operator-confirm").await;
        browser.click(".actions button").await;
        lists(&browser, 1).await;
        browser
            .goto(&site.at("/admin/sessions?subject=unknown"))
            .await;
        browser.find(".empty").await;
        look_at(&browser, "operator-empty").await;
        assert_eq!(browser.blocked().await, Vec::<String>::new());

        browser.forget_cookies().await;
        browser.remember(bob).await;
        browser.goto(&site.at("/account")).await;
        browser.find("button[value=bob]").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn x5_the_pages_of_sessions_are_accessible() {
    let site = start().await;
    browse(async move |browser| {
        for is_first in [true, false] {
            sign_in(&site, &browser, "alice", is_first).await;
        }
        for page in [
            "/account",
            "/admin/sessions",
            "/admin/sessions?subject=alice",
            "/admin/sessions?subject=unknown",
            "/admin/sessions/end",
            "/admin/sessions/end?subject=alice",
        ] {
            browser.goto(&site.at(page)).await;
            for screen in &SCREENS {
                browser.look_through(screen).await;
                let problems = browser.accessibility_problems().await;
                assert_eq!(problems, Vec::<String>::new(), "{page} {screen:?}");
            }
        }
    })
    .await;
}
