//! `--against`: what two environments must not have in common.

use axum_oten::jose::Ed25519KeyPair;

use super::doctor::{Patient, SECRET, SESSION_KEY};

const OTHER_SECRET: &str = "the-secret-of-the-other-environment";
const OTHER_KEY: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

/// A configuration of the sandbox that shares nothing, except what is said otherwise.
fn other(patient: &Patient, changes: &[(&str, &str)]) -> String {
    let store = format!("sqlite:{}", patient.folder.path("other.sqlite"));
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
    patient.folder.private("other.toml", &lines.join("\n"))
}

#[tokio::test]
async fn environments_that_share_nothing_pass() {
    let patient = Patient::healthy()
        .await
        .hides(OTHER_SECRET)
        .hides(OTHER_KEY);
    let file = other(&patient, &[]);
    let (code, report) = patient.report(&["--against", &file]).await;
    assert_eq!(report.status("separation"), "passed", "{report:#?}");
    assert_eq!(code, 0);
}

#[tokio::test]
async fn each_shared_thing_is_told() {
    let patient = Patient::with_eddsa()
        .await
        .hides(OTHER_SECRET)
        .hides(OTHER_KEY);
    let store = format!("sqlite:{}", patient.folder.path("sessions.sqlite"));
    let key = patient.folder.path("request.pem");
    let issuer = patient.emulator.issuer().to_owned();
    for (changes, setting) in [
        (&[("client_secret", SECRET)][..], "client_secret"),
        (&[("session_key", SESSION_KEY)], "session_key"),
        // Also as one of several.
        (
            &[("session_key", &format!("{OTHER_KEY},{SESSION_KEY}"))],
            "session_key",
        ),
        (&[("client_id", "checked-site")], "client_id"),
        (&[("session_store", &store)], "session_store"),
        (&[("jar", "EdDSA"), ("jar_key_file", &key)], "jar_key_file"),
        (&[("environment", ""), ("issuer", &issuer)], "environment"),
    ] {
        let file = other(&patient, changes);
        let (code, report) = patient.report(&["--against", &file]).await;
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
async fn one_place_is_one_however_it_is_spelled() {
    let patient = Patient::healthy().await;
    let store = format!(
        "sqlite:{}",
        patient.folder.path("nowhere/../sessions.sqlite")
    );
    let file = other(&patient, &[("session_store", &store)]);
    let (code, report) = patient.report(&["--against", &file]).await;
    assert_eq!(code, 1, "{report:#?}");
    assert!(report.lines("separation").starts_with("[session_store]"));
}

#[tokio::test]
async fn two_that_name_no_store_share_the_default_one() {
    let patient = Patient::healthy().await.unset("OTEN_SESSION_STORE");
    let file = other(&patient, &[("session_store", "")]);
    let (code, report) = patient.report(&["--against", &file]).await;
    assert_eq!(code, 1, "{report:#?}");
    assert_eq!(report.failed(), ["separation"]);
    assert!(report.lines("separation").starts_with("[session_store]"));
}

#[tokio::test]
async fn another_key_file_is_another_key() {
    let patient = Patient::with_eddsa().await;
    let pem = Ed25519KeyPair::generate().to_pem();
    let key = patient.folder.private("other.pem", &pem);
    let file = other(&patient, &[("jar", "EdDSA"), ("jar_key_file", &key)]);
    let (code, report) = patient.report(&["--against", &file]).await;
    assert_eq!(code, 0, "{report:#?}");
    assert_eq!(report.status("separation"), "passed");
}

#[tokio::test]
async fn what_cannot_be_compared_is_told() {
    let patient = Patient::healthy().await;
    let file = other(&patient, &[("client_secret", "")]);
    let (code, report) = patient.report(&["--against", &file]).await;
    assert_eq!(code, 0, "{report:#?}");
    assert_eq!(report.status("separation"), "warning");
    assert!(report.lines("separation").contains("`client_secret`"));
}

#[tokio::test]
async fn a_file_that_says_nothing_is_not_taken_for_another() {
    let patient = Patient::healthy().await;
    for (text, cause) in [
        ("environment = ", "is not TOML"),
        ("environment = 'moon'", "environment"),
        ("", "environment"),
    ] {
        let file = patient.folder.private("other.toml", text);
        let (code, report) = patient.report(&["--against", &file]).await;
        assert_eq!(report.status("separation"), "failed", "{report:#?}");
        assert!(report.lines("separation").contains(cause), "{report:#?}");
        assert_eq!(code, 1);
    }
}
