//! The program below a base path, behind a proxy that forwards the path unchanged.

use axum_oten::emulator::{Emulator, EmulatorBuilder};
use reqwest::{Client, StatusCode, header};

use super::{
    process::{Running, run},
    site::{client, header_of},
    test_site::{cookies, emulator, emulator_for, serve, sign_in},
};

const UNDER_APP: &str = "http://127.0.0.1:1/app/callback";

async fn under_app() -> (Emulator, Running, Client) {
    under("/app").await
}

async fn under(base_path: &str) -> (Emulator, Running, Client) {
    let emulator = emulator_for(UNDER_APP, EmulatorBuilder::advertise_back_channel_logout).await;
    let mut serve = serve(&emulator);
    serve.env("OTEN_BASE_PATH", base_path);
    serve.env("OTEN_REDIRECT_URI", UNDER_APP);
    let site = Running::start(&mut serve).await;
    (emulator, site, client())
}

#[tokio::test]
async fn a_login_stays_below_the_base_path() {
    let (emulator, site, client) = under_app().await;

    let guest = client
        .get(site.at("/app/profile?tab=x"))
        .header("accept", "text/html");
    let guest = guest.send().await.unwrap();
    assert_eq!(guest.status(), StatusCode::SEE_OTHER);
    let login = header_of(&guest, "location").to_owned();
    assert_eq!(login, "/app/login?return_to=%2Fapp%2Fprofile%3Ftab%3Dx");

    let login = client.get(site.at(&login)).send().await.unwrap();
    for cookie in login.headers().get_all(header::SET_COOKIE) {
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.contains("; Path=/app"), "{cookie}");
    }
    let callback = emulator
        .approve(header_of(&login, "location"), "carol")
        .unwrap();
    assert_eq!(callback.path(), "/app/callback");
    let url = site.at(&callback[url::Position::BeforePath..]);
    let callback = client.get(url).header(header::COOKIE, cookies(&login));
    let callback = callback.send().await.unwrap();
    assert_eq!(header_of(&callback, "location"), "/app/profile?tab=x");
    let set = header_of(&callback, "set-cookie");
    assert!(set.contains("; Path=/app;"), "{set}");

    let session = cookies(&callback);
    let page = async |path: &str| {
        let page = client.get(site.at(path)).header(header::COOKIE, &session);
        let page = page.header("accept", "text/html").send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        page.text().await.unwrap()
    };
    let profile = page("/app/profile?tab=x").await;
    assert!(profile.contains("carol@example.com"), "{profile}");
    let home = page("/app").await;
    let button = page("/app/logout").await;
    assert!(button.contains(r#"action="/app/logout""#), "{button}");
    // Every link and form of the pages is below the base path.
    for page in [&home, &profile, &button] {
        for attribute in ["href=\"", "action=\"", "src=\""] {
            for rest in page.split(attribute).skip(1) {
                let target = rest.split('"').next().unwrap();
                let ours =
                    target == "/app" || target.starts_with("/app/") || target.starts_with('#');
                assert!(ours, "{target}");
            }
        }
    }
    let stylesheet = home.split("rel=\"stylesheet\" href=\"").nth(1).unwrap();
    let stylesheet = stylesheet.split('"').next().unwrap();
    let stylesheet = client.get(site.at(stylesheet)).send().await.unwrap();
    assert!(header_of(&stylesheet, "content-type").starts_with("text/css"));

    let out = client
        .post(site.at("/app/logout"))
        .header(header::COOKIE, &session);
    let out = out
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .unwrap();
    assert_eq!(header_of(&out, "location"), "/app/logout");
    let set = header_of(&out, "set-cookie");
    assert!(
        set.contains("Max-Age=0") && set.contains("; Path=/app;"),
        "{set}"
    );
    let me = client
        .get(site.at("/app/api/me"))
        .header(header::COOKIE, &session);
    assert_eq!(me.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_route_is_below_the_base_path_and_the_probes_are_at_the_root_too() {
    let (emulator, site, client) = under_app().await;
    let session = sign_in(&site, "/app", &emulator, &client).await;
    assert!(session.contains("_session="), "{session}");
    for (path, under_base, at_root) in [
        ("/healthz", StatusCode::OK, StatusCode::OK),
        ("/readyz", StatusCode::OK, StatusCode::OK),
        ("/icon.svg", StatusCode::OK, StatusCode::NOT_FOUND),
        ("/site.css", StatusCode::OK, StatusCode::NOT_FOUND),
        ("/login", StatusCode::SEE_OTHER, StatusCode::NOT_FOUND),
        ("/logout", StatusCode::OK, StatusCode::NOT_FOUND),
        ("/callback", StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND),
        (
            "/backchannel-logout",
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::NOT_FOUND,
        ),
        ("/api/me", StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND),
        ("/nowhere", StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
        ("/", StatusCode::OK, StatusCode::NOT_FOUND),
    ] {
        for (base, expected) in [("/app", under_base), ("", at_root)] {
            let url = site.at(&format!("{base}{path}"));
            let response = client.get(&url).send().await.unwrap();
            assert_eq!(response.status(), expected, "{url}");
            assert_eq!(
                header_of(&response, "x-content-type-options"),
                "nosniff",
                "{url}"
            );
        }
    }
    let form = client.post(site.at("/app/backchannel-logout"));
    let form = form
        .header("content-type", "application/x-www-form-urlencoded")
        .body("logout_token=x.y.z")
        .send()
        .await
        .unwrap();
    assert_eq!(form.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn b3_a_base_path_with_a_trailing_slash_is_the_same() {
    let (emulator, site, client) = under("/app/").await;
    let session = sign_in(&site, "/app", &emulator, &client).await;
    for (path, status) in [
        ("/app", StatusCode::OK),
        ("/app/", StatusCode::OK),
        ("/app/?a=b", StatusCode::OK),
        ("/app/profile", StatusCode::OK),
        ("/app/healthz", StatusCode::OK),
        ("/app//", StatusCode::NOT_FOUND),
        ("/app//profile", StatusCode::NOT_FOUND),
    ] {
        let page = client.get(site.at(path)).header(header::COOKIE, &session);
        let page = page.header("accept", "text/html").send().await.unwrap();
        assert_eq!(page.status(), status, "{path}");
        if path.starts_with("/app/?") {
            // The home page under its other name knows the user, too.
            assert!(page.text().await.unwrap().contains("Sign out"));
        }
    }
}

/// The callback must not replace a page of the site.
#[tokio::test]
async fn b3_a_path_that_the_site_uses_is_rejected() {
    let emulator = emulator(|emulator| emulator).await;
    for page in ["/profile", "/readyz", "/site.css", "/sessions/end"] {
        let mut serve = serve(&emulator);
        serve.env("OTEN_REDIRECT_URI", format!("http://127.0.0.1:1{page}"));
        let ended = run(&mut serve).await;
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains(page), "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
    // A base path may have these names.
    for base in ["/healthz", "/login"] {
        let mut serve = serve(&emulator);
        serve.env("OTEN_BASE_PATH", base);
        serve.env(
            "OTEN_REDIRECT_URI",
            format!("http://127.0.0.1:1{base}/callback"),
        );
        let site = Running::start(&mut serve).await;
        let home = client().get(site.at(base)).send().await.unwrap();
        assert_eq!(home.status(), StatusCode::OK, "{base}");
    }
}
