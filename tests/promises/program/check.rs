//! `oten check` and `oten health` as child processes, with an emulator and one fault at a time.

mod against;
mod checked_site;
mod faults;
mod health;
mod key_files;
mod terminal;
mod tls;

use axum_oten::check::Check;

use self::checked_site::CheckedSite;
use super::process::{command, run};

#[tokio::test]
async fn a_valid_configuration_passes_every_check() {
    let site = CheckedSite::valid().await;
    let ended = run(&mut site.check(&[])).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stdout);
    assert_eq!(ended.stderr, "", "stdout contains the whole report");
    for check in Check::all() {
        // This check needs a second configuration.
        if check.name() != "separation" {
            let line = format!("  ✓ {} ", check.name());
            assert!(ended.stdout.contains(&line), "{line}\n{}", ended.stdout);
        }
    }
    for mark in ['✗', '!', '–', '\u{1b}'] {
        assert!(!ended.stdout.contains(mark), "{mark}\n{}", ended.stdout);
    }
    assert!(
        ended
            .stdout
            .ends_with("25 passed, 0 warnings, 0 failed, 0 skipped\n")
    );
    // The provider was requested once, and the store is unchanged.
    site.assert_requested_once();
    site.assert_store_is_empty().await;
}

#[tokio::test]
async fn every_kind_of_client_is_checked() {
    for site in [CheckedSite::with_eddsa().await, CheckedSite::public().await] {
        let (code, report) = site.report(&[]).await;
        assert_eq!(code, 0, "{report:?}");
        assert_eq!(report.failed(), [""; 0]);
        assert_eq!(report.status("client_authentication"), "passed");
        assert_eq!(report.status("request_object"), "passed");
    }
}

#[tokio::test]
async fn json_is_one_document_with_stable_members() {
    let site = CheckedSite::valid()
        .await
        .set("OTEN_SCOPES", "openid phone");
    let ended = run(&mut site.check(&["--json"])).await;
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stderr, "");
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(&report), ["findings", "summary"]);
    assert_eq!(
        keys(&report["summary"]),
        ["failed", "passed", "skipped", "warnings"]
    );
    for finding in report["findings"].as_array().unwrap() {
        assert_eq!(
            keys(finding),
            ["check", "help", "message", "setting", "status"]
        );
        let is_open = ["failed", "warning"]
            .iter()
            .any(|s| finding["status"] == *s);
        assert_eq!(finding["help"].is_string(), is_open, "{finding}");
    }
}

#[tokio::test]
async fn findings_come_in_the_order_of_the_table() {
    let (_, report) = CheckedSite::valid().await.report(&[]).await;
    let order = |name: &str| Check::all().iter().position(|check| check.name() == name);
    let places: Vec<_> = report.checks().map(|name| order(name).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn offline_the_provider_is_not_requested() {
    let site = CheckedSite::valid().await;
    let (code, report) = site.report(&["--offline"]).await;
    assert_eq!(code, 0, "{report:?}");
    assert_eq!(report.status("discovery"), "skipped");
    assert_eq!(report.status("request_object"), "passed");
    site.assert_not_requested();
}

/// Created with `sudo`, it would belong to another user, and the site could not open it.
#[tokio::test]
async fn a_missing_store_is_not_created() {
    let site = CheckedSite::valid().await;
    let is_new = |name: &String| !name.starts_with("sessions.sqlite");
    for store in ["new.sqlite", "data/new.sqlite"] {
        let path = site.folder.path(store);
        for url in [format!("sqlite:{path}"), format!("sqlite:{store}")] {
            let mut check = site.check(&["--json"]);
            let ended = run(check.env("OTEN_SESSION_STORE", url)).await;
            assert_eq!(ended.status.code(), Some(0), "{}", ended.stdout);
            let words = "will be created at the first start";
            assert!(ended.stdout.contains(words), "{}", ended.stdout);
            let names = site.folder.names();
            assert_eq!(names.iter().find(|name| is_new(name)), None);
        }
    }
    let nowhere = format!("sqlite:{}/new.sqlite", site.folder.path("sessions.sqlite"));
    let site = site.set("OTEN_SESSION_STORE", &nowhere);
    let (code, report) = site.report(&["--offline"]).await;
    assert_eq!((code, report.failed()), (1, vec!["store"]), "{report:?}");
    assert_eq!(report.status("sealing"), "skipped");
}

#[tokio::test]
async fn the_exit_code_is_two_if_nothing_can_be_checked() {
    for line in [
        &["check", "--config", "/nowhere/oten.toml"][..],
        &["check", "--against", "/nowhere/oten.toml"],
        &["check", "--jason"],
        &["health", "--config", "/nowhere/oten.toml"],
        &["health"],
    ] {
        let ended = run(&mut command(line)).await;
        assert_eq!(ended.status.code(), Some(2), "{line:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{line:?}");
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn an_empty_environment_is_reported_with_the_variables_to_set() {
    let ended = run(&mut command(&["check"])).await;
    assert_eq!(ended.status.code(), Some(1));
    for variable in ["OTEN_ENVIRONMENT", "OTEN_CLIENT_ID", "OTEN_REDIRECT_URI"] {
        assert!(ended.stdout.contains(variable), "{}", ended.stdout);
    }
}
