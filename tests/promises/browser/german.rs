//! X5: the pages as users see them whose browser prefers German.

use super::{
    chromium::{Chromium, browse_in},
    demo,
    gallery::Look,
};
use crate::{
    common::ClientKind,
    examples::{ADMINS, Site},
};

/// Checks the language, the heading and the look of a page.
async fn see(browser: &Chromium, look: &Look, name: &str, heading: &str) {
    let shown = "return [document.documentElement.lang, document.querySelector('h1').textContent]";
    assert_eq!(browser.run(shown).await, serde_json::json!(["de", heading]));
    look.at(browser, name).await;
}

/// A user cancels a sign-in, signs in, sees the sessions and signs out. `layout` names the pictures.
async fn visit(
    browser: &Chromium,
    look: &Look,
    layout: &str,
    at: impl Fn(&str) -> String,
    sessions: &str,
) {
    let see = async |page: &str, heading: &str| {
        let name = format!("german-{layout}-{page}");
        see(browser, look, &name, heading).await;
    };
    browser.goto(&at(sessions)).await;
    browser.click("button[value=alice]").await;
    browser.click("button[value=deny]").await;
    browser.find("a[href*='/login']").await;
    see("cancelled", "Anmeldung abgebrochen").await;

    browser.goto(&at(sessions)).await;
    browser.click("button[value=allow]").await;
    browser.find(".sessions").await;
    see("sessions", "Ihre Sitzungen").await;

    browser.goto(&at("/logout")).await;
    see("sign-out", "Abmelden?").await;
    browser.click("main form[action='/logout'] button").await;
    browser.find("main a[href*='/login']").await;
    see("signed-out", "Sie sind abgemeldet").await;
    assert_eq!(browser.blocked().await, Vec::<String>::new());
}

async fn in_the_layout_of_the_library(look: Look) {
    let site = Site::start("admin_panel", ClientKind::Hs256, &[("OTEN_ACCESS", ADMINS)]).await;
    browse_in("de-DE,de", async move |browser| {
        visit(&browser, &look, "own", |path| site.at(path), "/account").await;
    })
    .await;
}

async fn in_the_layout_of_an_app(look: Look) {
    let demo = demo(&[]).await;
    browse_in("de-DE,de", async move |browser| {
        let sessions = "/account/sessions";
        visit(&browser, &look, "app", |path| demo.at(path), sessions).await;
    })
    .await;
}

#[tokio::test]
async fn x5_german_pages_fit_every_screen() {
    in_the_layout_of_the_library(Look::Size).await;
}

#[tokio::test]
async fn x5_german_pages_in_the_layout_of_an_app_fit_every_screen() {
    in_the_layout_of_an_app(Look::Size).await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn x5_german_pages_are_accessible() {
    in_the_layout_of_the_library(Look::Accessibility).await;
    in_the_layout_of_an_app(Look::Accessibility).await;
}
