//! `oten emulator`: the emulated Oten in a process of its own.

use axum_oten::jose::Ed25519KeyPair;
use reqwest::{StatusCode, header};

use super::{
    process::{Ended, Running, command, run},
    site::client,
    tls_emulator::TlsEmulator,
};
use crate::common::{ConnectProxy, TestCa};

async fn output_of(running: Running) -> String {
    let (status, log) = running.end().await;
    assert!(status.success(), "{status}:\n{log}");
    log
}

async fn run_rejected(arguments: &[&str]) -> Ended {
    let ended = run(&mut command(&[&["emulator"], arguments].concat())).await;
    assert!(!ended.status.success(), "{arguments:?}");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    ended
}

#[tokio::test]
async fn the_banner_contains_the_issuer_and_the_settings_of_a_site() {
    let emulator = ["emulator", "--listen", "127.0.0.1:0"];
    let running = Running::start(&mut command(&emulator)).await;
    let url = running.at("/.well-known/openid-configuration");
    let document = client().get(url).send().await.unwrap();
    assert_eq!(document.status(), StatusCode::OK);
    let document: serde_json::Value =
        serde_json::from_str(&document.text().await.unwrap()).unwrap();
    let issuer = running.url.as_str().trim_end_matches('/').to_owned();
    assert_eq!(document["issuer"], issuer.as_str());
    assert!(document.get("end_session_endpoint").is_none());

    let control = client().get(running.at("/control")).send().await.unwrap();
    assert_eq!(control.status(), StatusCode::OK);
    assert_eq!(control.headers()["x-content-type-options"], "nosniff");
    let rebound = client().get(running.at("/control"));
    let rebound = rebound.header("host", "evil.example:9000").send().await;
    assert_eq!(rebound.unwrap().status(), StatusCode::MISDIRECTED_REQUEST);
    let other = client().post(running.at("/control/rotate"));
    let other = other.header("sec-fetch-site", "cross-site");
    assert_eq!(other.send().await.unwrap().status(), StatusCode::FORBIDDEN);

    let log = output_of(running).await;
    for part in [
        &format!("{issuer}/control"),
        &format!("OTEN_ISSUER={issuer}"),
        "OTEN_CLIENT_ID=emulated",
        "OTEN_CLIENT_SECRET=",
        "OTEN_REDIRECT_URI=http://localhost:3000/callback",
        "no passwords",
    ] {
        assert!(log.contains(part), "no {part} in:\n{log}");
    }
    assert!(!log.contains("OTEN_CA_FILE"), "{log}");
}

#[tokio::test]
async fn a_given_secret_is_not_printed() {
    let secret = "a secret of the test, of more than 32 bytes";
    let emulator = [
        "emulator",
        "--listen",
        "127.0.0.1:0",
        "--client-secret",
        secret,
    ];
    let log = output_of(Running::start(&mut command(&emulator)).await).await;
    assert!(!log.contains(secret), "{log}");
    let log = TlsEmulator::start().await.end().await;
    assert!(!log.contains(crate::common::SECRET), "{log}");
    assert!(log.contains("OTEN_CA_FILE"), "{log}");
}

#[tokio::test]
async fn every_kind_of_client_can_be_registered() {
    let ca = TestCa::new();
    let key = ca.folder().join("public.pem");
    std::fs::write(&key, Ed25519KeyPair::generate().public_pem()).unwrap();
    let key = key.to_str().unwrap();
    for (arguments, parts) in [
        (
            &["--client", "public"][..],
            &["OTEN_CLIENT_TYPE=public"][..],
        ),
        (
            &["--client", "eddsa", "--public-key", key],
            &["OTEN_JAR=EdDSA", "OTEN_JAR_KEY_FILE"],
        ),
        (&["--issuer", "http://127.0.0.1:0/tenant"], &["/tenant\n"]),
    ] {
        let emulator = [&["emulator", "--listen", "127.0.0.1:0"], arguments].concat();
        let log = output_of(Running::start(&mut command(&emulator)).await).await;
        for part in parts {
            assert!(log.contains(part), "no {part} in:\n{log}");
        }
    }
}

/// The printed settings are all that a site needs: with them, it passes every check.
#[tokio::test]
async fn each_preset_starts_and_prints_the_settings_of_a_site() {
    for (preset, endpoint, setting) in [
        ("keycloak", "/protocol/openid-connect/auth", "OTEN_JAR="),
        ("entra", "/oauth2/v2.0/authorize", "OTEN_SCOPES="),
        (
            "google",
            "/o/oauth2/v2/auth",
            "OTEN_AUTHORIZATION_PARAMETERS=",
        ),
        ("zitadel", "/oauth/v2/authorize", "OTEN_TRUSTED_AUDIENCES="),
    ] {
        let emulator = ["emulator", "--listen", "127.0.0.1:0", "--preset", preset];
        let running = Running::start(&mut command(&emulator)).await;
        let url = running.at("/.well-known/openid-configuration");
        let document = client().get(url).send().await.unwrap();
        let document: serde_json::Value =
            serde_json::from_str(&document.text().await.unwrap()).unwrap();
        let issuer = running.url.as_str().trim_end_matches('/');
        let expected = format!("{issuer}{endpoint}");
        assert_eq!(document["authorization_endpoint"], expected.as_str());

        let mut check = command(&["check"]);
        check.env("OTEN_ISSUER", issuer);
        check.env("OTEN_SESSION_STORE", "memory:");
        for name in [
            "OTEN_CLIENT_ID=",
            "OTEN_CLIENT_SECRET=",
            "OTEN_JAR=",
            "OTEN_ID_TOKEN_ALGORITHMS=",
            "OTEN_REDIRECT_URI=",
            setting,
        ] {
            let value = running.banner_text(name).await;
            check.env(name.trim_end_matches('='), value);
        }
        let ended = run(&mut check).await;
        assert_eq!(ended.status.code(), Some(0), "{preset}: {}", ended.stdout);
        let passed = "✓ client_authentication";
        assert!(ended.stdout.contains(passed), "{preset}: {}", ended.stdout);
        output_of(running).await;
    }
}

#[tokio::test]
async fn an_unknown_preset_is_rejected_with_the_known_ones() {
    let ended = run_rejected(&["--preset", "okta"]).await;
    assert_eq!(ended.status.code(), Some(2));
    let known = "[possible values: keycloak, entra, google, zitadel]";
    assert!(ended.stderr.contains(known), "{}", ended.stderr);
}

#[tokio::test]
async fn an_issuer_with_a_path_is_served_below_it() {
    let emulator = [
        "emulator",
        "--listen",
        "127.0.0.1:0",
        "--issuer",
        "http://127.0.0.1:0/tenant",
        "--post-logout-redirect-uri",
        "http://127.0.0.1:3000/logout",
    ];
    let running = Running::start(&mut command(&emulator)).await;
    let url = running.at("/tenant/.well-known/openid-configuration");
    let document = client().get(url).send().await.unwrap();
    let document: serde_json::Value =
        serde_json::from_str(&document.text().await.unwrap()).unwrap();
    assert_eq!(document["issuer"], running.url.as_str());
    assert!(document["end_session_endpoint"].is_string());
    output_of(running).await;
}

#[tokio::test]
async fn b3_invalid_arguments_are_rejected_with_help() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let (certificate, key) = ca.server("localhost", |_| ());
    let (_, other_key) = other.server("localhost", |_| ());
    let empty = ca.folder().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let secret = ca.folder().join("secret");
    std::fs::write(&secret, "\n").unwrap();
    let [certificate, key, other_key, empty, secret] =
        [&certificate, &key, &other_key, &empty, &secret].map(|path| path.to_str().unwrap());
    for (arguments, code, parts) in [
        (&["--tls-cert", certificate][..], 2, &["--tls-key"][..]),
        (&["--tls-key", key], 2, &["--tls-cert"]),
        (&["--client", "eddsa"], 2, &["--public-key"]),
        (
            &["--client-secret", "x", "--client-secret-file", secret],
            2,
            &["--client-secret-file"],
        ),
        (
            &["--client", "public", "--client-secret", "x"],
            1,
            &["remove the option with the secret"],
        ),
        (
            &["--public-key", certificate],
            1,
            &["requires `--client eddsa`"],
        ),
        (
            &["--client", "eddsa", "--public-key", certificate],
            1,
            &[certificate, "oten keygen ed25519"],
        ),
        (
            &["--client", "eddsa", "--public-key", empty],
            1,
            &[empty, "is empty"],
        ),
        (
            &["--tls-cert", "/nowhere.pem", "--tls-key", key],
            1,
            &["/nowhere.pem", "Correct the path"],
        ),
        (
            &["--tls-cert", empty, "--tls-key", key],
            1,
            &[empty, "no certificate"],
        ),
        (
            &["--tls-cert", certificate, "--tls-key", certificate],
            1,
            &[certificate, "no private key"],
        ),
        (
            &["--tls-cert", certificate, "--tls-key", other_key],
            1,
            &[other_key, "its own key"],
        ),
        (
            &["--client-secret-file", secret],
            1,
            &["secret must not be empty"],
        ),
        (&["--issuer", "oten.test"], 1, &["issuer"]),
        (&["--redirect-uri", "nowhere"], 1, &["redirect URI"]),
    ] {
        let ended = run_rejected(&[&["--listen", "127.0.0.1:0"], arguments].concat()).await;
        assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
        for part in parts {
            assert!(
                ended.stderr.contains(part),
                "no {part} in: {}",
                ended.stderr
            );
        }
    }
}

/// The status of `/login` at a site whose environment configures a proxy.
async fn login(
    emulator: &TlsEmulator,
    proxy: &ConnectProxy,
    settings: &[(&str, &str)],
) -> StatusCode {
    let mut serve = command(&["serve", "--listen", "127.0.0.1:0"]);
    serve
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env("HTTPS_PROXY", format!("http://{}", proxy.address))
        .env("https_proxy", format!("http://{}", proxy.address))
        .env("OTEN_CA_FILE", emulator.ca_file())
        // Other sites of these tests write to the default file.
        .env("OTEN_SESSION_STORE", "memory:")
        .envs(emulator.variables())
        .envs(settings.iter().copied());
    let site = Running::start(&mut serve).await;
    let login = client().get(site.at("/login")).send().await.unwrap();
    if login.status() == StatusCode::SEE_OTHER {
        let location = login.headers()[header::LOCATION].to_str().unwrap();
        assert!(location.starts_with(&emulator.issuer), "{location}");
    }
    login.status()
}

#[tokio::test]
async fn the_systems_proxy_is_used_unless_it_is_excluded() {
    let remote = TlsEmulator::start_as("oten.test", |_| ()).await;
    let proxy = ConnectProxy::start().await;
    let status = login(&remote, &proxy, &[]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert!(!proxy.requests().is_empty());

    // The operator can exclude it ...
    let proxy = ConnectProxy::start().await;
    let direct = login(&remote, &proxy, &[("OTEN_PROXY", "direct")]).await;
    assert_eq!(direct, StatusCode::SERVICE_UNAVAILABLE);
    // ... in two ways. This host is not a loopback address, but leads to this machine.
    let unspecified = TlsEmulator::start_as("0.0.0.0", |_| ()).await;
    for settings in [&[("OTEN_PROXY", "direct")], &[("NO_PROXY", "0.0.0.0")]] {
        let status = login(&unspecified, &proxy, settings).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
    }
    // A provider on this machine never uses it.
    let local = TlsEmulator::start().await;
    assert_eq!(login(&local, &proxy, &[]).await, StatusCode::SEE_OTHER);
    assert_eq!(proxy.requests(), [""; 0]);
}
