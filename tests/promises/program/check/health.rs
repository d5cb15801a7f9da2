use axum_oten::emulator::{Endpoint, Fault};
use serde_json::Value;

use super::checked_site::CheckedSite;
use crate::program::process::{Running, command, run};

#[tokio::test]
async fn health_needs_an_issuer_and_nothing_else() {
    let site = CheckedSite::valid().await;
    let mut health = command(&["health"]);
    let ended = run(health.env("OTEN_ISSUER", site.emulator.issuer())).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    for words in [
        "✓ discovery      OK (200) in ",
        "✓ key_set        OK (200) in ",
        // Without parameters it rejects the request, so it is up.
        "✓ authorization  up (400) in ",
        " ms  http://127.0.0.1:",
    ] {
        assert!(ended.stdout.contains(words), "{words}\n{}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\u{1b}'));
}

#[tokio::test]
async fn each_response_has_its_status_and_exit_code() {
    let site = CheckedSite::valid().await;
    for (endpoint, name, fault, status, code) in [
        (Endpoint::Jwks, "key_set", Fault::Status(503), "failed", 1),
        (Endpoint::Jwks, "key_set", Fault::Status(404), "warning", 0),
        (Endpoint::Discovery, "discovery", Fault::Close, "failed", 1),
        (Endpoint::Discovery, "discovery", Fault::Html, "warning", 0),
        (
            Endpoint::Authorization,
            "authorization",
            Fault::Status(405),
            "passed",
            0,
        ),
        (
            Endpoint::Authorization,
            "authorization",
            Fault::Hang,
            "failed",
            1,
        ),
    ] {
        site.emulator.clear_faults();
        site.emulator.fault(endpoint, fault);
        let ended = run(&mut site.command(&["health", "--json"])).await;
        assert_eq!(ended.status.code(), Some(code), "{name}: {}", ended.stdout);
        let health: Value = serde_json::from_str(&ended.stdout).unwrap();
        let endpoints = health["endpoints"].as_array().unwrap();
        let found = endpoints.iter().find(|found| found["name"] == name);
        assert_eq!(found.unwrap()["status"], status, "{name}: {health:#}");
        assert_eq!(endpoints.len(), 3);
    }
}

#[tokio::test]
async fn the_program_checks_its_own_site() {
    let mut demo = Running::start(&mut command(&["demo", "--listen", "127.0.0.1:0"])).await;
    let port = demo.url.port().unwrap();
    let mut health = command(&["health", "--self"]);
    // Containers listen on all addresses.
    let ended = run(health.env("OTEN_LISTEN", format!("0.0.0.0:{port}"))).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("✓ site  OK (200)"),
        "{}",
        ended.stdout
    );

    let mut wrong = command(&["health", "--self"]);
    wrong.env("OTEN_LISTEN", format!("127.0.0.1:{port}"));
    let ended = run(wrong.env("OTEN_BASE_PATH", "/app")).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);

    demo.kill().await;
    let mut health = command(&["health", "--self"]);
    let ended = run(health.env("OTEN_LISTEN", format!("127.0.0.1:{port}"))).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);

    let mut health = command(&["health", "--self"]);
    let ended = run(health.env("OTEN_LISTEN", "everywhere")).await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stdout);
    assert!(ended.stderr.contains("listen"), "{}", ended.stderr);
}
