//! `oten serve`, configured by the environment alone, with an emulator on another port.

use reqwest::{StatusCode, Url, header};

use super::{
    process::Running,
    site::{client, header_of},
    test_site::{REDIRECT_URI, cookies, emulator, serve},
};

#[tokio::test]
async fn a_site_configured_by_the_environment_signs_users_in() {
    let emulator = emulator(|emulator| emulator).await;
    let mut serve = serve(&emulator);
    let site = Running::start(&mut serve).await;
    let client = client();

    let login = client
        .get(site.at("/login?return_to=/profile"))
        .send()
        .await
        .unwrap();
    assert_eq!(login.status(), StatusCode::SEE_OTHER);
    let attempt = cookies(&login);
    let callback = emulator
        .approve(header_of(&login, "location"), "carol")
        .unwrap();
    assert!(callback.as_str().starts_with(REDIRECT_URI), "{callback}");

    let url = site.at(&format!("/callback?{}", callback.query().unwrap()));
    let callback = client.get(url).header(header::COOKIE, attempt);
    let callback = callback.send().await.unwrap();
    assert_eq!(callback.status(), StatusCode::SEE_OTHER);
    assert_eq!(header_of(&callback, "location"), "/profile");

    let me = client
        .get(site.at("/api/me"))
        .header(header::COOKIE, cookies(&callback));
    let me = me.send().await.unwrap();
    assert_eq!(me.status(), StatusCode::OK);
    assert_eq!(header_of(&me, "cache-control"), "no-store");
    let me: serde_json::Value = serde_json::from_str(&me.text().await.unwrap()).unwrap();
    assert_eq!(me["subject"], "carol");
    assert_eq!(me["email"], "carol@example.com");
    let mut known: Vec<&str> = me.as_object().unwrap().keys().map(String::as_str).collect();
    known.sort_unstable();
    assert_eq!(
        known,
        [
            "email",
            "name",
            "session_ends_at",
            "signed_in_at",
            "subject"
        ]
    );

    // A restart signs no user out: sessions are in a file by default.
    let session = cookies(&callback);
    let (ended, _) = site.end().await;
    assert!(ended.success());
    let site = Running::start(&mut serve).await;
    let me = client
        .get(site.at("/api/me"))
        .header(header::COOKIE, session);
    assert_eq!(me.send().await.unwrap().status(), StatusCode::OK);

    // The sign-out form may lead to the provider.
    let home = client.get(site.at("/")).send().await.unwrap();
    let origin = Url::parse(emulator.issuer())
        .unwrap()
        .origin()
        .ascii_serialization();
    let policy = header_of(&home, "content-security-policy");
    assert!(
        policy.ends_with(&format!("; form-action 'self' {origin}")),
        "{policy}"
    );
}
