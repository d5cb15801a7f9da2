//! Every page on every screen. If `AXUM_OTEN_SCREENSHOTS` names a folder, screenshots are saved
//! there.

use std::path::PathBuf;

use super::{
    chromium::{Chromium, Screen, browse},
    demo,
};

/// The narrowest screen in use has 320 points.
pub(super) const SCREENS: [Screen; 4] = [
    Screen::new("desktop", 1280, 800, "light"),
    Screen::new("desktop-dark", 1280, 800, "dark"),
    Screen::new("phone", 390, 844, "light"),
    Screen::new("narrow", 320, 640, "dark"),
];

#[tokio::test]
async fn every_page_fits_every_screen() {
    let demo = demo(&[]).await;
    browse(|browser| async move {
        let see = async |path: &str, name: &str| {
            browser.goto(&demo.at(path)).await;
            look_at(&browser, name).await;
        };
        see("/", "home").await;
        see("/nowhere", "not-found").await;
        see("/callback?state=a&state=b", "error").await;
        see("/profile", "login").await;
        browser.click("button[value=bob]").await;
        browser.find("button[value=deny]").await;
        look_at(&browser, "consent").await;
        browser.click("button[value=deny]").await;
        browser.find("a[href*='/login']").await;
        look_at(&browser, "cancelled").await;
        browser.click("a[href*='/login']").await;
        browser.click("button[value=allow]").await;
        browser.find(".facts").await;
        look_at(&browser, "profile").await;
        see("/", "home-signed-in").await;
        see("/logout", "sign-out").await;
        browser.click("form[action='/logout'] button").await;
        browser.find("a[href*='/login']").await;
        look_at(&browser, "signed-out").await;
        assert_eq!(browser.blocked().await, Vec::<String>::new());
    })
    .await;
}

pub(super) async fn look_at(browser: &Chromium, page: &str) {
    let here = browser.here().await;
    for screen in &SCREENS {
        browser.look_through(screen).await;
        let width = browser.page_width().await;
        assert!(
            width <= screen.width,
            "{page} at {here} is {width} wide on {screen:?}"
        );
        if let Some(folder) = std::env::var_os("AXUM_OTEN_SCREENSHOTS") {
            let folder = PathBuf::from(folder);
            std::fs::create_dir_all(&folder).unwrap();
            let file = folder.join(format!("{page}-{}.png", screen.name));
            std::fs::write(file, browser.client.screenshot().await.unwrap()).unwrap();
        }
    }
}
