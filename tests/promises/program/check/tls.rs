//! An emulator on https in a process of its own, and everything that can be wrong with that.

use super::doctor::{Patient, Report};
use crate::{
    common::SECRET,
    program::{process::run, tls_emulator::TlsEmulator},
};

/// The site of this emulator's client.
async fn site_of(emulator: &TlsEmulator) -> Patient {
    let mut patient = Patient::healthy().await.hides(SECRET);
    for (name, value) in emulator.variables() {
        patient = patient.set(name, &value);
    }
    patient
}

fn ca_file(emulator: &TlsEmulator) -> String {
    emulator.ca_file().to_str().unwrap().to_owned()
}

async fn assert_untrusted(patient: &Patient, words: &str) {
    let (code, report) = patient.report(&[]).await;
    assert_eq!(code, 1);
    assert_eq!(report.failed(), ["tls"], "{report:#?}");
    let lines = report.lines("tls");
    assert!(lines.contains(words), "no {words} in {lines}");
    assert_eq!(report.status("client_authentication"), "skipped");
}

#[tokio::test]
async fn a_certificate_is_trusted_or_told_why_not() {
    let emulator = TlsEmulator::start().await;
    let patient = site_of(&emulator).await;
    assert_untrusted(&patient, "set `ca_file`").await;

    let patient = patient.set("OTEN_CA_FILE", &ca_file(&emulator));
    let (code, report) = patient.report(&[]).await;
    assert_eq!(report.failed(), [""; 0], "{report:#?}");
    assert_eq!(code, 0);
    assert_eq!(report.status("tls"), "passed");
    assert_eq!(report.status("client_authentication"), "passed");

    let elsewhere = emulator.issuer.replace("localhost", "127.0.0.1");
    let patient = patient.set("OTEN_ISSUER", &elsewhere);
    assert_untrusted(&patient, "another host name").await;
}

#[tokio::test]
async fn a_certificate_that_is_out_of_date_is_told() {
    let past = rcgen::date_time_ymd(2020, 1, 1);
    let expired = TlsEmulator::start_as("localhost", |certificate| {
        certificate.not_before = past;
        certificate.not_after = past;
    });
    let expired = expired.await;
    let patient = site_of(&expired).await;
    let patient = patient.set("OTEN_CA_FILE", &ca_file(&expired));
    assert_untrusted(&patient, "has expired").await;
}

#[tokio::test]
async fn plain_http_at_an_https_address_is_told() {
    let patient = Patient::healthy().await;
    let https = patient.emulator.issuer().replace("http:", "https:");
    let patient = patient.set("OTEN_ISSUER", &https);
    assert_untrusted(&patient, "does not speak TLS").await;
}

/// Who has a client id and a secret, and does what `oten check` says, has a site that works.
#[tokio::test]
async fn a_newcomer_is_led_to_a_working_configuration() {
    let emulator = TlsEmulator::start().await;
    let mut patient = Patient::healthy().await;
    for name in ["OTEN_ISSUER", "OTEN_REDIRECT_URI", "OTEN_SESSION_STORE"] {
        patient = patient.unset(name);
    }
    let known = emulator.variables();
    for (name, value) in known.iter().filter(|(name, _)| name.contains("CLIENT")) {
        patient = patient.set(name, value);
    }
    let said = |report: &Report, check: &str, words: &str| {
        let lines = report.lines(check);
        assert!(lines.contains(words), "no {words} in {lines}");
    };

    let (_, report) = patient.report(&[]).await;
    said(&report, "configuration", "OTEN_ISSUER");
    said(&report, "configuration", "OTEN_REDIRECT_URI");
    for (name, value) in known {
        patient = patient.set(name, &value);
    }

    let (_, report) = patient.report(&[]).await;
    said(&report, "tls", "`ca_file`");
    patient = patient.set("OTEN_CA_FILE", &ca_file(&emulator));

    let (code, report) = patient.report(&[]).await;
    assert_eq!(code, 0, "{report:#?}");
    assert_eq!(report.failed(), [""; 0]);
    // Where nothing is said about a store, it is the one that `oten serve` makes.
    assert_eq!(report.status("store"), "passed");
    let names = patient.folder.names();
    let made = names.iter().find(|name| name.starts_with("oten-"));
    assert_eq!(made, None, "nothing is made");
}

#[tokio::test]
async fn health_is_asked_over_https_too() {
    let emulator = TlsEmulator::start().await;
    let patient = site_of(&emulator).await;
    let ended = run(&mut patient.command(&["health"])).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("set `ca_file`"), "{}", ended.stdout);

    let patient = patient.set("OTEN_CA_FILE", &ca_file(&emulator));
    let ended = run(&mut patient.command(&["health"])).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stdout);
}
