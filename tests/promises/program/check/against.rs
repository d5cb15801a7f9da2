//! `--against`: two environments must share no secret and no store.

use axum_oten::jose::Ed25519KeyPair;

use super::checked_site::{CheckedSite, SECRET, SESSION_KEY};

const OTHER_SECRET: &str = "the-secret-of-the-other-environment";
const OTHER_KEY: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

/// A sandbox configuration that shares nothing, except for the given changes.
fn other(site: &CheckedSite, changes: &[(&str, &str)]) -> String {
    let store = format!("sqlite:{}", site.folder.path("other.sqlite"));
    let settings = [
        ("environment", "sandbox"),
        ("client_id", "other-site"),
        ("client_secret", OTHER_SECRET),
        ("redirect_uri", "https://other.example/callback"),
        ("session_store", &store),
        ("session_key", OTHER_KEY),
    ];
    let mut settings: std::collections::BTreeMap<_, _> = settings.into();
    settings.extend(changes.iter().copied());
    let lines = settings.iter().filter(|(_, value)| !value.is_empty());
    let lines: Vec<_> = lines
        .map(|(name, value)| format!("{name} = \"{value}\""))
        .collect();
    site.folder.private("other.toml", &lines.join("\n"))
}

#[tokio::test]
async fn separate_environments_pass() {
    let site = CheckedSite::valid()
        .await
        .with_secret(OTHER_SECRET)
        .with_secret(OTHER_KEY);
    let file = other(&site, &[]);
    let (code, report) = site.report(&["--against", &file]).await;
    assert_eq!(report.status("separation"), "passed", "{report:#?}");
    assert_eq!(code, 0);
}

#[tokio::test]
async fn each_shared_setting_is_reported() {
    let site = CheckedSite::with_eddsa()
        .await
        .with_secret(OTHER_SECRET)
        .with_secret(OTHER_KEY);
    let store = format!("sqlite:{}", site.folder.path("sessions.sqlite"));
    let key = site.folder.path("request.pem");
    let issuer = site.emulator.issuer().to_owned();
    for (changes, setting) in [
        (&[("client_secret", SECRET)][..], "client_secret"),
        (&[("session_key", SESSION_KEY)], "session_key"),
        // One of several keys.
        (
            &[("session_key", &format!("{OTHER_KEY},{SESSION_KEY}"))],
            "session_key",
        ),
        (&[("client_id", "checked-site")], "client_id"),
        (&[("session_store", &store)], "session_store"),
        (&[("jar", "EdDSA"), ("jar_key_file", &key)], "jar_key_file"),
        (&[("environment", ""), ("issuer", &issuer)], "environment"),
    ] {
        let file = other(&site, changes);
        let (code, report) = site.report(&["--against", &file]).await;
        assert_eq!(code, 1, "{setting}: {report:#?}");
        assert_eq!(report.failed(), ["separation"], "{setting}");
        let lines = report.lines("separation");
        assert!(
            lines.starts_with(&format!("[{setting}]")),
            "{setting}: {lines}"
        );
        assert_eq!(lines.lines().count(), 1, "{lines}");
    }
}

#[tokio::test]
async fn one_store_is_recognized_by_different_paths() {
    let site = CheckedSite::valid().await;
    let store = format!("sqlite:{}", site.folder.path("nowhere/../sessions.sqlite"));
    let file = other(&site, &[("session_store", &store)]);
    let (code, report) = site.report(&["--against", &file]).await;
    assert_eq!(code, 1, "{report:#?}");
    assert!(report.lines("separation").starts_with("[session_store]"));
}

#[tokio::test]
async fn two_configurations_without_a_store_share_the_default_one() {
    let site = CheckedSite::valid().await.unset("OTEN_SESSION_STORE");
    let file = other(&site, &[("session_store", "")]);
    let (code, report) = site.report(&["--against", &file]).await;
    assert_eq!(code, 1, "{report:#?}");
    assert_eq!(report.failed(), ["separation"]);
    assert!(report.lines("separation").starts_with("[session_store]"));
}

#[tokio::test]
async fn a_different_key_file_passes() {
    let site = CheckedSite::with_eddsa().await;
    let pem = Ed25519KeyPair::generate().to_pem();
    let key = site.folder.private("other.pem", &pem);
    let file = other(&site, &[("jar", "EdDSA"), ("jar_key_file", &key)]);
    let (code, report) = site.report(&["--against", &file]).await;
    assert_eq!(code, 0, "{report:#?}");
    assert_eq!(report.status("separation"), "passed");
}

#[tokio::test]
async fn a_setting_that_cannot_be_compared_is_a_warning() {
    let site = CheckedSite::valid().await;
    let file = other(&site, &[("client_secret", "")]);
    let (code, report) = site.report(&["--against", &file]).await;
    assert_eq!(code, 0, "{report:#?}");
    assert_eq!(report.status("separation"), "warning");
    assert!(report.lines("separation").contains("`client_secret`"));
}

#[tokio::test]
async fn a_file_that_is_no_configuration_does_not_pass() {
    let site = CheckedSite::valid().await;
    for (text, cause) in [
        ("environment = ", "is not TOML"),
        ("environment = 'moon'", "environment"),
        ("", "environment"),
    ] {
        let file = site.folder.private("other.toml", text);
        let (code, report) = site.report(&["--against", &file]).await;
        assert_eq!(report.status("separation"), "failed", "{report:#?}");
        assert!(report.lines("separation").contains(cause), "{report:#?}");
        assert_eq!(code, 1);
    }
}
