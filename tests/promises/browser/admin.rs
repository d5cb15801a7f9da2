//! `examples/admin_panel.rs` in a real browser.

use super::{chromium::browse, gallery::look_at};
use crate::{
    common::ClientKind,
    examples::{ADMINS, Site},
};

#[tokio::test]
async fn x1_a_denied_user_switches_the_account_and_is_allowed() {
    let settings = [("OTEN_ACCESS", ADMINS)];
    let site = Site::start("admin_panel", ClientKind::Hs256, &settings).await;
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
        let page = browser.text().await;
        assert!(page.contains("The user is deleted"), "{page}");
    })
    .await;
}
