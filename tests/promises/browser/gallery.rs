//! Every page on every screen: its width, weight, accessibility and markup. If `AXUM_OTEN_SCREENSHOTS`
//! names a folder, screenshots are saved there.

use std::{fs::File, path::PathBuf};

use tokio::process::Command;

use super::{
    chromium::{Chromium, Screen, browse},
    demo, installed,
};
use crate::program::{process::Running, site::header_of};

/// The narrowest screen in use has 320 points.
pub(super) const SCREENS: [Screen; 4] = [
    Screen::new("desktop", 1280, 800, "light"),
    Screen::new("desktop-dark", 1280, 800, "dark"),
    Screen::new("phone", 390, 844, "light"),
    Screen::new("narrow", 320, 640, "dark"),
];

/// The maximum size of a page with its stylesheet and script, in bytes.
const MAX_WEIGHT: u64 = 50_000;

#[tokio::test]
async fn x5_every_page_fits_every_screen() {
    let demo = demo(&[]).await;
    browse(|browser| async move {
        open_every_page(&demo, &browser, &Look::Size).await;
        assert_eq!(browser.blocked().await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn x5_every_page_is_accessible() {
    let demo = demo(&[]).await;
    browse(|browser| async move { open_every_page(&demo, &browser, &Look::Accessibility).await })
        .await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn x5_every_page_is_valid_and_has_a_strict_policy() {
    let folder = std::env::temp_dir().join(format!("oten-markup-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (demo, look) = (demo(&[]).await, Look::Markup(folder.clone()));
    browse(|browser| async move { open_every_page(&demo, &browser, &look).await }).await;

    let read = |extension: &str| -> Vec<PathBuf> {
        let files = std::fs::read_dir(&folder).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let files = files.filter(|file| file.extension().is_some_and(|it| it == extension));
        files.collect()
    };
    let pages = read("html");
    assert!(pages.len() > 15, "{pages:?}");
    let checker = installed("markup").join("node_modules/vnu-jar/build/dist/vnu.jar");
    let mut java = Command::new("java");
    let java = java
        .arg("-jar")
        .arg(checker)
        .args(pages)
        .output()
        .await
        .unwrap();
    let found = String::from_utf8_lossy(&java.stderr);
    assert!(java.status.success(), "{found}");

    let policies: String = read("policy")
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap() + "\n")
        .collect();
    let list = folder.join("policies");
    std::fs::write(&list, policies).unwrap();
    let mut node = Command::new("node");
    let program = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/foreign/markup/policies.js"
    );
    let node = node.arg(program).stdin(File::open(list).unwrap());
    let node = node
        .current_dir(installed("markup"))
        .output()
        .await
        .unwrap();
    assert!(
        node.status.success(),
        "{}",
        String::from_utf8_lossy(&node.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&node.stdout), "");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What to check on each page.
pub(super) enum Look {
    Size,
    Accessibility,
    /// Saves the page and its content security policy in this folder.
    Markup(PathBuf),
}

impl Look {
    pub(super) async fn at(&self, browser: &Chromium, page: &str) {
        match self {
            Self::Size => {
                let weight = browser.page_weight().await;
                assert!(weight < MAX_WEIGHT, "{page} has {weight} bytes");
                look_at(browser, page).await;
            }
            Self::Accessibility => {
                for screen in &SCREENS {
                    browser.look_through(screen).await;
                    let problems = browser.accessibility_problems().await;
                    assert_eq!(problems, Vec::<String>::new(), "{page} on {screen:?}");
                }
            }
            Self::Markup(folder) => {
                let page = folder.join(page);
                let response = browser.request_page().await;
                let policy = header_of(&response, "content-security-policy");
                std::fs::write(page.with_extension("policy"), policy).unwrap();
                let html = response.text().await.unwrap();
                std::fs::write(page.with_extension("html"), html).unwrap();
            }
        }
        browser.look_through(&SCREENS[0]).await;
    }
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
            std::fs::write(file, browser.whole_page().await).unwrap();
        }
    }
}

/// Opens each page and looks at it.
async fn open_every_page(demo: &Running, browser: &Chromium, look: &Look) {
    let open = async |path: &str, name: &str| {
        browser.goto(&demo.at(path)).await;
        look.at(browser, name).await;
    };
    // Guests.
    for (path, name) in [
        ("/", "home"),
        ("/nowhere", "not-found"),
        ("/callback?state=a&state=b", "error"),
        ("/oten", "provider"),
        ("/oten/control", "control-empty"),
    ] {
        open(path, name).await;
    }
    browser.goto(&demo.at("/profile")).await;
    browser.find("button[value=bob]").await;
    look.at(browser, "login").await;
    browser.click("button[value=bob]").await;
    browser.find("button[value=deny]").await;
    look.at(browser, "consent").await;
    browser.click("button[value=deny]").await;
    browser.find("a[href*='/login']").await;
    look.at(browser, "cancelled").await;
    // Operators.
    browser.goto(&demo.at("/profile")).await;
    browser.click("a[href*='as=another-user']").await;
    browser.click("button[value=alice]").await;
    browser.click("button[value=allow]").await;
    browser.find(".facts").await;
    look.at(browser, "profile").await;
    for (path, name) in [
        ("/dashboard", "dashboard"),
        ("/users", "users"),
        ("/audit", "audit"),
        ("/audit?event=refused&subject=unknown", "audit-empty"),
        ("/feed", "feed"),
        ("/settings", "settings"),
        ("/settings/clear", "clear"),
        ("/sessions", "all-sessions"),
        ("/sessions?subject=unknown", "sessions-empty"),
        ("/sessions/end", "end-sessions"),
        ("/account/sessions", "own-sessions"),
        ("/", "home-signed-in"),
        ("/logout", "sign-out"),
    ] {
        open(path, name).await;
    }
    browser.click("form[action='/logout'] button").await;
    browser.find("a[href*='/login']").await;
    look.at(browser, "signed-out").await;
    // A user without access.
    let other = "/login?switch_account=1&return_to=/dashboard";
    browser.goto(&demo.at(other)).await;
    browser.click("button[value=bob]").await;
    browser.click("button[value=allow]").await;
    browser.find(".reference").await;
    look.at(browser, "forbidden").await;
    // A failure, with all details.
    browser.goto(&demo.at("/oten/control")).await;
    browser.click("button[value=wrong-nonce]").await;
    browser
        .find("button[value=wrong-nonce][aria-current]")
        .await;
    open("/login", "rejected").await;
    browser.goto(&demo.at("/oten/control")).await;
    let open = "for (const it of document.querySelectorAll('details')) it.open = true";
    browser.run(open).await;
    look.at(browser, "control").await;
}
