//! The admin panel of the demo, and the page that makes its provider fail.

use reqwest::Client;
use tokio::time::timeout;

use super::{
    chromium::{Chromium, PATIENCE, browse},
    demo,
};
use crate::program::process::Running;

/// Opens the demo in a browser.
async fn open<V>(visit: impl FnOnce(Running, Chromium) -> V)
where
    V: Future<Output = ()> + Send + 'static,
{
    let demo = demo(&[]).await;
    browse(|browser| visit(demo, browser)).await;
}

/// Signs in as a user who has not signed in before.
async fn sign_in(demo: &Running, browser: &Chromium, user: &str) {
    browser.goto(&demo.at("/login?return_to=/profile")).await;
    browser.click(&format!("button[value={user}]")).await;
    browser.click("button[value=allow]").await;
    browser.find(".facts").await;
}

async fn set_problem(demo: &Running, browser: &Chromium, problem: &str) {
    browser.goto(&demo.at("/oten/control")).await;
    browser.click(&format!("button[value={problem}]")).await;
    let chosen = format!("button[value={problem}][aria-current]");
    browser.find(&chosen).await;
}

/// Sends a callback that the site rejects, and returns the status.
async fn send_callback(demo: &Running, query: &str) -> u16 {
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.get(demo.at(&format!("/callback{query}")));
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_wrong_nonce_fails_the_sign_in_and_the_control_page_shows_why() {
    open(|demo, browser| async move {
        set_problem(&demo, &browser, "wrong-nonce").await;
        browser.goto(&demo.at("/login?return_to=/profile")).await;
        browser.click("button[value=alice]").await;
        browser.click("button[value=allow]").await;
        browser.find(".reference").await;
        let text = browser.text().await;
        for jargon in ["nonce", "token", "id_token_nonce"] {
            assert!(!text.contains(jargon), "{text}");
        }
        browser.goto(&demo.at("/oten/control")).await;
        let run = browser.find(".run[open]").await.text().await.unwrap();
        for step in [
            "Authorization request",
            "The user decides",
            "Token request",
            "Rejected",
            "id_token_nonce",
        ] {
            assert!(run.contains(step), "no {step} in:\n{run}");
        }
        // Both tokens are decoded, and neither can be sent again.
        let page = browser.client.source().await.unwrap();
        for part in [
            "The request object, decoded",
            "The ID token, decoded",
            "the-no…",
        ] {
            assert!(page.contains(part), "no {part} in:\n{page}");
        }
        assert!(!page.contains("eyJ"), "a token in:\n{page}");

        set_problem(&demo, &browser, "none").await;
        browser.goto(&demo.at("/profile")).await;
        browser.find(".facts").await;
        browser.goto(&demo.at("/oten/control")).await;
        let run = browser.find(".run[open]").await.text().await.unwrap();
        assert!(run.contains("signed in"), "{run}");
        assert_eq!(browser.blocked().await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_session_that_ends_at_the_provider_ends_at_the_site() {
    open(|demo, browser| async move {
        sign_in(&demo, &browser, "alice").await;
        browser.goto(&demo.at("/oten/control")).await;
        browser.click("button[name=user][value=alice]").await;
        // A sign-in has more steps than the end of a session.
        browser
            .find(".run[open] .steps:not(:has(li + li + li))")
            .await;
        let run = browser.find(".run[open]").await.text().await.unwrap();
        assert!(run.contains("Session ended at the provider"), "{run}");
        assert!(run.contains("signed out"), "{run}");
        browser.goto(&demo.at("/profile")).await;
        browser.find("button[value=alice]").await;
    })
    .await;
}

#[tokio::test]
async fn sessions_outlive_a_provider_that_is_down() {
    open(|demo, browser| async move {
        sign_in(&demo, &browser, "alice").await;
        set_problem(&demo, &browser, "down").await;
        browser.goto(&demo.at("/profile")).await;
        browser.find(".facts").await;
        // The key is unknown to the site only once the provider works again.
        set_problem(&demo, &browser, "none").await;
        browser.leave_by("form[action$='/rotate'] button").await;
        browser.goto(&demo.at("/profile")).await;
        browser.click("form[action='/logout'] button").await;
        browser.find("a[href^='/login']").await;
        browser.goto(&demo.at("/profile")).await;
        browser.find(".facts").await;
        let tokens = ["expired", "bad-signature"];
        for problem in tokens {
            set_problem(&demo, &browser, problem).await;
            browser.goto(&demo.at("/login?return_to=/profile")).await;
            browser.find(".reference").await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_dashboard_and_the_audit_log_show_what_happened() {
    open(|demo, browser| async move {
        sign_in(&demo, &browser, "alice").await;
        for _ in 0..2 {
            let rejected = send_callback(&demo, "?state=a&state=b").await;
            assert_eq!(rejected, 400);
        }
        browser.goto(&demo.at("/dashboard")).await;
        let text = browser.text().await;
        for part in ["Sign-ins\n1\n", "Rejected requests\n2\n", "Provider\nok"] {
            assert!(text.contains(part), "no {part} in:\n{text}");
        }
        browser.find("svg .bar:not(.second)").await;
        browser.find("svg .bar.second").await;

        browser
            .goto(&demo.at("/audit?event=signed_in&subject=alice"))
            .await;
        let text = browser.text().await;
        assert!(text.contains("1 event"), "{text}");
        browser.goto(&demo.at("/audit?event=refused")).await;
        let text = browser.find("section").await.text().await.unwrap();
        assert!(text.contains("callback_repeated_parameter"), "{text}");
        assert!(!text.contains("Signed in"), "{text}");

        // 30 further events: the first page has the newest, the second the oldest.
        for _ in 0..30 {
            send_callback(&demo, "").await;
        }
        browser.goto(&demo.at("/audit")).await;
        browser.click("a[rel=next]").await;
        browser.find("a[rel=prev]").await;
        let text = browser.find("section").await.text().await.unwrap();
        assert!(text.contains("Signed in"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn x2_the_audit_log_is_cleared_only_after_a_fresh_sign_in() {
    open(|demo, browser| async move {
        set_problem(&demo, &browser, "old-sign-in").await;
        sign_in(&demo, &browser, "alice").await;
        browser.goto(&demo.at("/settings")).await;
        browser.click("a[href='/settings/clear']").await;
        // The provider asks again, and still says that the sign-in is old.
        browser.click("button[value=alice]").await;
        browser.find("a[href^='/login']").await;
        assert!(browser.here().await.path().starts_with("/callback"));

        set_problem(&demo, &browser, "none").await;
        browser.goto(&demo.at("/settings/clear")).await;
        browser.click("button[value=alice]").await;
        browser.click("form[action='/settings/clear'] button").await;
        browser.find("a[href='/settings/clear']").await;
        browser.goto(&demo.at("/audit")).await;
        browser.find(".empty").await;
    })
    .await;
}

#[tokio::test]
async fn x4_an_operator_ends_the_session_of_another_user() {
    let demo = demo(&[]).await;
    let bob = demo.url.clone();
    browse(|bobs| async move {
        bobs.goto(bob.join("/profile").unwrap().as_str()).await;
        bobs.click("button[value=bob]").await;
        bobs.click("button[value=allow]").await;
        bobs.click("a[href='/account/sessions']").await;
        bobs.find(".sessions").await;
        assert!(bobs.text().await.contains("This device"));
        // In the layout of the panel.
        let current = "nav [aria-current=page]";
        let here = bobs.find(current).await.text().await.unwrap();
        assert_eq!(here, "Your sessions");
        // He is no operator.
        bobs.goto(demo.at("/sessions").as_str()).await;
        bobs.find(".reference").await;
        bobs.goto(demo.at("/profile").as_str()).await;
        assert!(!bobs.text().await.contains("Dashboard"));

        browse(|alices| async move {
            sign_in(&demo, &alices, "alice").await;
            alices.goto(&demo.at("/dashboard")).await;
            let text = alices.text().await;
            assert!(text.contains("Live sessions\n2\n"), "{text}");
            alices.goto(&demo.at("/sessions/end")).await;
            let here = alices.find(current).await.text().await.unwrap();
            assert_eq!(here, "Sessions");
            alices.leave_by("a[href='/sessions']").await;
            alices.goto(&demo.at("/sessions?subject=bob")).await;
            alices.click("form[action='/sessions/end'] button").await;
            // The list of all users again.
            alices.find("#subject[value='']").await;
            alices.goto(&demo.at("/dashboard")).await;
            let text = alices.text().await;
            assert!(text.contains("Live sessions\n1\n"), "{text}");
            bobs.goto(&demo.at("/profile")).await;
            // The provider's session lives on and signs him in again, in a new session.
            bobs.find(".facts").await;
            alices.goto(&demo.at("/audit?event=sessions_ended")).await;
            alices.find(".entry").await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_feed_shows_events_at_once_and_ends_with_the_session() {
    open(|demo, browser| async move {
        sign_in(&demo, &browser, "alice").await;
        browser.goto(&demo.at("/feed")).await;
        // The stream may connect after the page is shown; each request records an event.
        let count = "return document.querySelectorAll('.entry .badge.warn').length";
        let shown = async || browser.run(count).await;
        let shows_event = async {
            while shown().await == 0 {
                send_callback(&demo, "").await;
            }
        };
        assert!(
            timeout(PATIENCE, shows_event).await.is_ok(),
            "no event in the feed"
        );
        browser.run("window.isFirstPage = true").await;
        let feed = browser.client.window().await.unwrap();
        let tab = browser.client.new_window(true).await.unwrap();
        browser.client.switch_to_window(tab.handle).await.unwrap();
        browser.goto(&demo.at("/profile")).await;
        browser.click("form[action='/logout'] button").await;
        browser.find("a[href^='/login']").await;
        browser.client.switch_to_window(feed).await.unwrap();
        // The page leads to the sign-in, which the provider answers for its own session.
        let leaving = async {
            let is_first = "return window.isFirstPage === true";
            while browser.run(is_first).await == true {
                tokio::task::yield_now().await;
            }
        };
        let left_page = timeout(PATIENCE, leaving).await;
        assert!(left_page.is_ok(), "the feed outlives the session");
        browser.find("#feed").await;
        assert_eq!(browser.blocked().await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_disabled_user_cannot_sign_in() {
    open(|demo, browser| async move {
        sign_in(&demo, &browser, "alice").await;
        browser.goto(&demo.at("/users")).await;
        browser
            .click("button[aria-label='Disable Bob Brown']")
            .await;
        browser.find("button[aria-label='Enable Bob Brown']").await;
        browser.forget_cookies().await;
        browser.goto(&demo.at("/profile")).await;
        browser.click("button[value=bob]").await;
        // The sign-in page has a form.
        let message = browser.find("main:not(:has(form))").await;
        let text = message.text().await.unwrap();
        assert!(text.starts_with("You cannot sign in"), "{text}");
    })
    .await;
}
