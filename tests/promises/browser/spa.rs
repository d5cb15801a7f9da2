//! `examples/spa.rs` and its page in a real browser.

use axum::{Router, response::Html, routing::get};
use axum_oten::emulator::Endpoint::Userinfo;
use tokio::net::TcpListener;

use super::{
    SESSION_COOKIE,
    chromium::{Chromium, browse},
    gallery::{SCREENS, look_at},
};
use crate::{common::ClientKind, examples::Site};

/// Everything that a script of the page can read: the document, the storages, the cookies, and all responses
/// with their headers.
const READABLE: &str = r#"
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const urls = new Set(["/", "/session", "/api/userinfo", "/api/nowhere", ...loaded]);
    const responses = await Promise.all([...urls].map(async (url) => {
        const response = await fetch(url);
        return [url, [...response.headers], await response.text()];
    }));
    return JSON.stringify([
        responses,
        document.documentElement.outerHTML,
        document.cookie,
        { ...localStorage },
        { ...sessionStorage },
        await indexedDB.databases(),
        await caches.keys(),
        window.name,
        history.state,
        location.href,
    ]);
"#;

/// The status of the page.
const STATUS: &str = "return performance.getEntriesByType('navigation')[0].responseStatus";

async fn start() -> Site {
    let settings = [("OTEN_LOGIN_PARAMETERS", "prompt")];
    Site::start("spa", ClientKind::Public, &settings).await
}

async fn sees_guest(browser: &Chromium) {
    browser.find("#login[href]").await;
    let page = browser.text().await;
    assert!(page.contains("Hello guest"), "{page}");
}

async fn sees_user(browser: &Chromium) {
    browser.find("#logout[action]").await;
    let page = browser.text().await;
    for text in ["Hello Alice Adams", "alice@example.com"] {
        assert!(page.contains(text), "no {text} in:\n{page}");
    }
}

async fn sign_in(site: &Site, browser: &Chromium) {
    browser.goto(&site.at("/")).await;
    browser.click("#login[href]").await;
    browser.click("button[value=alice]").await;
    browser.click("button[value=allow]").await;
    sees_user(browser).await;
}

#[tokio::test]
async fn a5_a_single_page_app_signs_in_and_out_without_a_token_in_the_browser() {
    let site = start().await;
    browse(|browser| async move {
        browser.goto(&site.at("/")).await;
        sees_guest(&browser).await;
        look_at(&browser, "spa-guest").await;

        sign_in(&site, &browser).await;
        assert_eq!(browser.here().await.as_str(), site.at("/"));
        look_at(&browser, "spa").await;

        let readable = browser.run(READABLE).await;
        let readable = readable.as_str().unwrap();
        assert!(readable.contains("alice@example.com"), "{readable}");
        let session = browser.cookie(SESSION_COOKIE).await;
        let [call] = &site.calls.calls()[..] else {
            panic!("not one call of the token endpoint");
        };
        for name in ["access_token", "id_token", "refresh_token"] {
            let token = call.answer[name].as_str().unwrap();
            assert!(!readable.contains(token), "{name} is in {readable}");
        }
        assert!(!readable.contains(session.value()), "{readable}");

        browser.click("#logout button").await;
        browser.find("a[href^='/login']").await;
        browser.goto(&site.at("/")).await;
        sees_guest(&browser).await;
        browser.remember(session).await;
        browser.goto(&site.at("/")).await;
        sees_guest(&browser).await;
        assert_eq!(browser.blocked().await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn s11_a_silent_sign_in_of_a_single_page_app_shows_no_error_page() {
    let site = start().await;
    let silent = site.at("/login?prompt=none&return_to=/");
    browse(|browser| async move {
        // The user is still signed in at the provider when the app's session is gone.
        sign_in(&site, &browser).await;
        browser.client.delete_cookie(SESSION_COOKIE).await.unwrap();
        browser.goto(&silent).await;
        sees_user(&browser).await;
        assert_eq!(browser.here().await.as_str(), site.at("/"));

        browser.forget_cookies().await;
        browser.goto(&silent).await;
        sees_guest(&browser).await;
        let here = browser.here().await;
        assert_eq!(here.as_str(), site.at("/?login_required=1"));
    })
    .await;
}

/// Browsers send the session cookie with a `POST` from another port of the same host, but not from another
/// host.
#[tokio::test]
async fn a5_pages_of_other_sites_change_nothing_and_read_nothing() {
    let site = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let page = format!(
        r#"<form method="post" action="{}"><button>Win</button></form>"#,
        site.at("/api/userinfo")
    );
    let other: Router = Router::new().route("/", get(async || Html(page)));
    tokio::spawn(async move { axum::serve(listener, other).await });
    browse(async move |browser| {
        sign_in(&site, &browser).await;
        let calls = site.emulator.calls(Userinfo);
        for host in ["127.0.0.1", "localhost"] {
            let other = format!("http://{host}:{port}/");
            browser.goto(&other).await;
            browser.leave_by("button").await;
            if host == "127.0.0.1" {
                assert_eq!(browser.run(STATUS).await, 403);
            }

            browser.goto(&other).await;
            for (path, method) in [("/api/userinfo", "POST"), ("/logout", "POST"), ("/session", "GET")] {
                let url = site.at(path);
                let script = format!(
                    "const send = (mode) => fetch('{url}', {{ method: '{method}', credentials: 'include', mode }});
                     await send('no-cors');
                     return send('cors').then(() => 'read', () => 'not read');"
                );
                assert_eq!(browser.run(&script).await, "not read", "{host} {path}");
            }
        }
        assert_eq!(site.emulator.calls(Userinfo), calls);
        browser.goto(&site.at("/")).await;
        sees_user(&browser).await;
        assert_eq!(site.emulator.calls(Userinfo), calls + 1);
        // The same request from the app's own page is forwarded.
        let script = "return (await fetch('/api/userinfo', { method: 'POST' })).status";
        assert_ne!(browser.run(script).await, 403);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn x5_the_page_of_the_single_page_app_is_accessible() {
    let site = start().await;
    browse(async move |browser| {
        let check = async || {
            for screen in &SCREENS {
                browser.look_through(screen).await;
                let problems = browser.accessibility_problems().await;
                assert_eq!(problems, Vec::<String>::new(), "{screen:?}");
            }
        };
        browser.goto(&site.at("/")).await;
        sees_guest(&browser).await;
        check().await;
        sign_in(&site, &browser).await;
        check().await;
    })
    .await;
}
