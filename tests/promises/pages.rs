//! X5: the pages in other languages and in the layout of an app.

use axum::{
    http::{HeaderValue, Method, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use axum_oten::web::Page;

use crate::common::{Answer, Browser, TestSite};

async fn page(browser: &mut Browser, path: &str, languages: &'static str) -> Answer {
    let mut request = browser.navigation(Method::GET, path);
    let languages = HeaderValue::from_static(languages);
    request
        .headers_mut()
        .insert(header::ACCEPT_LANGUAGE, languages);
    browser.send(request).await
}

#[tokio::test]
async fn x5_pages_are_in_the_language_that_the_browser_prefers() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    for (path, english, german) in [
        ("/callback", "Sign-in failed", "Anmeldung fehlgeschlagen"),
        ("/logout", "You are signed out", "Sie sind abgemeldet"),
    ] {
        for (languages, tag, title) in [
            ("de-AT,de;q=0.9,en;q=0.5", "de", german),
            ("en,de;q=0.9", "en", english),
            ("fr", "en", english),
        ] {
            let answer = page(&mut browser, path, languages).await;
            assert!(
                answer.body.contains(&format!("<html lang=\"{tag}\">")),
                "{path}"
            );
            let headings = [
                format!("<h1>{title}</h1>"),
                format!("<title>{title}</title>"),
            ];
            assert!(
                headings.iter().all(|heading| answer.body.contains(heading)),
                "{answer:?}"
            );
            assert_eq!(answer.header(header::CONTENT_LANGUAGE), Some(tag));
            assert!(
                answer
                    .header(header::VARY)
                    .unwrap()
                    .contains("accept-language")
            );
        }
    }
    assert!(page(&mut browser, "/callback", "de").await.body.len() < 50 * 1_024);
    // Programs get one language.
    let problem = browser.fetch(Method::GET, "/profile", "").await;
    assert_eq!(problem.json()["title"], "Please sign in");
}

#[tokio::test]
async fn x5_an_app_shows_the_pages_in_its_layout() {
    let layout = |page: &Page| -> Response {
        let actions = page.actions.iter();
        let actions: Vec<_> = actions
            .map(|action| (action.label, &*action.url, action.is_form))
            .collect();
        let data = format!("{:?} {:?} {actions:?}", page.language, page.reason);
        let headers = [(header::CACHE_CONTROL, "public"), (header::SERVER, "shop")];
        (
            StatusCode::OK,
            headers,
            Html(format!(
                "<title>Shop: {}</title>{data}{}",
                page.title, page.content
            )),
        )
            .into_response()
    };
    let site = TestSite::builder()
        .oten(move |oten| oten.pages(layout))
        .start()
        .await;
    let answer = page(&mut site.browser(), "/callback", "de").await;
    assert!(
        answer
            .body
            .starts_with("<title>Shop: Anmeldung fehlgeschlagen</title>German Some("),
        "{answer:?}"
    );
    assert!(
        answer
            .body
            .contains(r#"("Noch einmal versuchen", "/login", false)"#),
        "{answer:?}"
    );
    assert!(answer.body.contains("<h1>Anmeldung fehlgeschlagen</h1>"));
    assert!(answer.body.contains("Wenn Sie um Hilfe bitten"));
    // The layout does not decide on these.
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(
        answer.header(header::X_CONTENT_TYPE_OPTIONS),
        Some("nosniff")
    );
    let policy = answer.header(header::CONTENT_SECURITY_POLICY).unwrap();
    assert_eq!(policy, "base-uri 'none'; frame-ancestors 'none'");
    assert_eq!(answer.header(header::SERVER), Some("shop"));

    // A question instead of an error, with a form.
    let mut browser = site.signed_in("alice").await;
    let question = page(&mut browser, "/logout", "en").await;
    assert_eq!(question.status, StatusCode::OK);
    assert!(
        question
            .body
            .contains(r#"English None [("Sign out", "/logout", true)"#),
        "{question:?}"
    );
}

#[tokio::test]
async fn x5_the_policy_of_a_layout_is_kept() {
    let policy = "default-src 'self'";
    let layout = move |page: &Page| {
        let policy = [(header::CONTENT_SECURITY_POLICY, policy)];
        (policy, Html(page.content.clone())).into_response()
    };
    let site = TestSite::builder()
        .oten(move |oten| oten.pages(layout))
        .start()
        .await;
    let answer = page(&mut site.browser(), "/callback", "de").await;
    assert_eq!(answer.header(header::CONTENT_SECURITY_POLICY), Some(policy));
}
