//! Proxies: their headers determine the client's address at most, and never the site's origin.

use reqwest::{StatusCode, Url};

use super::{
    process::Running,
    site::{client, header_of},
    test_site::{REDIRECT_URI, emulator, serve},
};

#[tokio::test]
async fn b4_only_a_trusted_proxy_determines_the_client_address() {
    let emulator = emulator(|emulator| emulator).await;
    for (trusted, expected) in [
        ("", "client=127.0.0.1"),
        ("10.0.0.0/8", "client=127.0.0.1"),
        ("127.0.0.0/8 ::1", "client=203.0.113.9"),
    ] {
        let mut serve = serve(&emulator);
        serve.env("OTEN_TRUSTED_PROXIES", trusted);
        let (site, client) = (Running::start(&mut serve).await, client());
        let callback = client.get(site.at("/callback?state=x"));
        let callback = callback.header("x-forwarded-for", "1.1.1.1, 203.0.113.9");
        let restart = callback.send().await.unwrap();
        assert_eq!(restart.status(), StatusCode::SEE_OTHER);
        let (_, log) = site.end().await;
        // In the request's span and in its audit event.
        assert!(log.contains(expected), "{trusted}: {log}");
        let event = expected.replace("client=", "client_address=");
        assert!(log.contains(&event), "{trusted}: {log}");
        assert!(!log.contains("1.1.1.1"), "{log}");
    }
}

/// Only the configuration determines the site's origin, not even a trusted proxy.
#[tokio::test]
async fn b4_no_header_determines_the_site_origin() {
    let emulator = emulator(|emulator| emulator).await;
    let mut serve = serve(&emulator);
    serve.env("OTEN_TRUSTED_PROXIES", "127.0.0.0/8");
    let (site, client) = (Running::start(&mut serve).await, client());
    for header in [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-port", "666"),
        ("x-original-url", "/evil"),
        ("forwarded", "for=203.0.113.9;host=evil.example;proto=https"),
        ("host", "evil.example"),
    ] {
        let get = async |path: &str| {
            let request = client.get(site.at(path)).header("accept", "text/html");
            request.header(header.0, header.1).send().await.unwrap()
        };
        let guest = get("/profile").await;
        assert_eq!(
            header_of(&guest, "location"),
            "/login?return_to=%2Fprofile",
            "{header:?}"
        );
        let login = get("/login").await;
        let cookie = header_of(&login, "set-cookie");
        assert!(!cookie.contains("Secure"), "{header:?}: {cookie}");
        assert!(
            !login.headers().contains_key("strict-transport-security"),
            "{header:?}"
        );
        let to: Url = header_of(&login, "location").parse().unwrap();
        assert!(
            to.as_str().starts_with(emulator.issuer()),
            "{header:?}: {to}"
        );
        let callback = emulator.approve(&to, "carol").unwrap();
        assert!(
            callback.as_str().starts_with(REDIRECT_URI),
            "{header:?}: {callback}"
        );
        let home = get("/").await.text().await.unwrap();
        assert!(!home.contains("evil"), "{header:?}");
    }
    // They do not make a cross-site sign-out pass as same-origin, either.
    let out = client
        .post(site.at("/logout"))
        .header("origin", "https://evil.example");
    let out = out
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https");
    assert_eq!(out.send().await.unwrap().status(), StatusCode::FORBIDDEN);
}
