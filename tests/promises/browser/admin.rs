//! `examples/admin_panel.rs` in a real browser.

use super::{
    chromium::{Chromium, browse},
    gallery::{Look, look_at},
};
use crate::{
    common::ClientKind,
    examples::{ADMINS, Site},
};

#[tokio::test]
async fn x1_a_denied_user_switches_the_account_and_is_allowed() {
    let site = start().await;
    browse(|browser| async move {
        browser.goto(&site.at("/admin")).await;
        browser.click("button[value=bob]").await;
        browser.click("button[value=allow]").await;
        browser.find("a[href*='switch_account']").await;
        let page = browser.text().await;
        assert!(
            page.contains("You are signed in as bob@example.com."),
            "{page}"
        );
        look_at(&browser, "forbidden").await;

        browser.click("a[href*='switch_account']").await;
        browser.click("button[value=alice]").await;
        browser.click("button[value=allow]").await;
        browser.find("form[action='/admin/users/delete']").await;
        assert_eq!(browser.here().await.as_str(), site.at("/admin"));

        // The form's request has what the layers against other sites ask for.
        browser
            .click("form[action='/admin/users/delete'] button")
            .await;
        browser.wait_for("The user is deleted").await;
    })
    .await;
}

#[tokio::test]
async fn x3_a_form_is_sent_after_a_fresh_sign_in() {
    let site = start().await;
    browse(|browser| async move {
        submit_too_late(&site, &browser).await;
        assert!(browser.text().await.contains("kept for 30 minutes"));
        look_at(&browser, "form-kept").await;
        sign_in_again(&browser).await;
        let page = browser.text().await;
        for part in [
            "Form not sent yet",
            "/admin/users/delete",
            "carol",
            "alice@",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }
        look_at(&browser, "form-not-sent").await;
        browser.click(SEND).await;
        browser.wait_for("The user is deleted: user=carol").await;

        // The back button, with which the browser may show the page from memory, and the address.
        let here = browser.here().await;
        go_back_and_send(&browser).await;
        look_at(&browser, "form-sent").await;
        browser.goto(here.as_str()).await;
        browser.wait_for("Form already sent").await;

        // Another form is discarded.
        submit_too_late(&site, &browser).await;
        sign_in_again(&browser).await;
        browser.click("form[action^='/login/form'] button").await;
        browser.wait_for("Form discarded").await;
        assert_eq!(browser.blocked().await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn x5_the_pages_of_a_kept_form_are_accessible() {
    let site = start().await;
    browse(|browser| async move {
        submit_too_late(&site, &browser).await;
        Look::Accessibility.at(&browser, "form-kept").await;
        sign_in_again(&browser).await;
        Look::Accessibility.at(&browser, "form-not-sent").await;
        browser.leave_by(SEND).await;
        go_back_and_send(&browser).await;
        Look::Accessibility.at(&browser, "form-sent").await;
    })
    .await;
}

const SEND: &str = "form[action^='/admin/users/delete'] button";

async fn start() -> Site {
    Site::start("admin_panel", ClientKind::Hs256, &[("OTEN_ACCESS", ADMINS)]).await
}

/// Submits the form of the panel long after the sign-in.
async fn submit_too_late(site: &Site, browser: &Chromium) {
    browser.forget_cookies().await;
    site.signed_in_long_ago();
    browser.goto(&site.at("/admin")).await;
    browser.click("button[value=alice]").await;
    let consent_or_panel = browser.find("button[value=allow], input[name=user]").await;
    if consent_or_panel.attr("name").await.unwrap().as_deref() != Some("user") {
        consent_or_panel.click().await.unwrap();
    }
    let user = browser.find("input[name=user]").await;
    site.emulator.clear_deviations();
    user.send_keys("carol").await.unwrap();
    browser.click(SEND).await;
    browser.find("a[href*='fresh=300']").await;
}

/// Goes back to the page of the form that was sent, and tries to send it again.
async fn go_back_and_send(browser: &Chromium) {
    browser.client.back().await.unwrap();
    if browser.text().await.contains("Form not sent yet") {
        browser.click(SEND).await;
    }
    browser.wait_for("Form already sent").await;
}

/// Signs in with the link of the page.
async fn sign_in_again(browser: &Chromium) {
    browser.click("a.button").await;
    browser.click("button[value=alice]").await;
    browser.find(".fields").await;
}
