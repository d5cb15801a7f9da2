//! Servers with TLS, and the faults of their certificates: the emulator in a child process, and stores.

use super::checked_site::{CheckedSite, Report};
use crate::{
    common::{SECRET, TestCa},
    program::{process::run, tls_emulator::TlsEmulator},
    stores::{
        servers::{Server, ServerKind},
        tls::verified_url,
    },
};

/// The site of this emulator's client.
async fn site_of(emulator: &TlsEmulator) -> CheckedSite {
    let mut site = CheckedSite::valid().await.with_secret(SECRET);
    for (name, value) in emulator.variables() {
        site = site.set(name, &value);
    }
    site
}

fn ca_file(emulator: &TlsEmulator) -> String {
    emulator.ca_file().to_str().unwrap().to_owned()
}

async fn assert_untrusted(site: &CheckedSite, words: &str) {
    let (code, report) = site.report(&[]).await;
    assert_eq!(code, 1);
    assert_eq!(report.failed(), ["tls"], "{report:#?}");
    let lines = report.lines("tls");
    assert!(lines.contains(words), "no {words} in {lines}");
    assert_eq!(report.status("client_authentication"), "skipped");
}

#[tokio::test]
async fn an_untrusted_certificate_is_reported_with_the_reason() {
    let emulator = TlsEmulator::start().await;
    let site = site_of(&emulator).await;
    assert_untrusted(&site, "set `ca_file`").await;

    let site = site.set("OTEN_CA_FILE", &ca_file(&emulator));
    let (code, report) = site.report(&[]).await;
    assert_eq!(report.failed(), [""; 0], "{report:#?}");
    assert_eq!(code, 0);
    assert_eq!(report.status("tls"), "passed");
    assert_eq!(report.status("client_authentication"), "passed");

    let other_host = emulator.issuer.replace("localhost", "127.0.0.1");
    let site = site.set("OTEN_ISSUER", &other_host);
    assert_untrusted(&site, "another host name").await;
}

#[tokio::test]
async fn an_expired_certificate_is_reported() {
    let past = rcgen::date_time_ymd(2020, 1, 1);
    let expired = TlsEmulator::start_as("localhost", |certificate| {
        certificate.not_before = past;
        certificate.not_after = past;
    });
    let expired = expired.await;
    let site = site_of(&expired).await;
    let site = site.set("OTEN_CA_FILE", &ca_file(&expired));
    assert_untrusted(&site, "has expired").await;
}

#[tokio::test]
async fn b3_an_expired_certificate_of_a_store_is_reported_with_help() {
    let ca = TestCa::new();
    let past = rcgen::date_time_ymd(2020, 1, 1);
    let certificate = ca.server("localhost", |certificate| {
        (certificate.not_before, certificate.not_after) = (past, past);
    });
    for kind in [ServerKind::Redis, ServerKind::Postgres] {
        let mut server = Server::with_tls(kind, &certificate);
        server.start();
        let url = verified_url(&server, "localhost", Some(&ca.file()));
        let site = CheckedSite::valid().await.set("OTEN_SESSION_STORE", &url);
        let (code, report) = site.report(&[]).await;
        assert_eq!(code, 1);
        assert_eq!(report.failed(), ["store"], "{report:#?}");
        let lines = report.lines("store");
        for words in ["has expired", "Replace it on the server"] {
            assert!(lines.contains(words), "no {words} in {lines}");
        }
    }
}

#[tokio::test]
async fn an_http_server_at_an_https_address_is_reported() {
    let site = CheckedSite::valid().await;
    let https = site.emulator.issuer().replace("http:", "https:");
    let site = site.set("OTEN_ISSUER", &https);
    assert_untrusted(&site, "does not speak TLS").await;
}

/// An operator with a client ID and a secret follows the findings.
#[tokio::test]
async fn the_findings_lead_to_a_valid_configuration() {
    let emulator = TlsEmulator::start().await;
    let mut site = CheckedSite::valid().await;
    for name in ["OTEN_ISSUER", "OTEN_REDIRECT_URI", "OTEN_SESSION_STORE"] {
        site = site.unset(name);
    }
    let known = emulator.variables();
    for (name, value) in known.iter().filter(|(name, _)| name.contains("CLIENT")) {
        site = site.set(name, value);
    }
    let assert_reported = |report: &Report, check: &str, words: &str| {
        let lines = report.lines(check);
        assert!(lines.contains(words), "no {words} in {lines}");
    };

    let (_, report) = site.report(&[]).await;
    assert_reported(&report, "configuration", "OTEN_ISSUER");
    assert_reported(&report, "configuration", "OTEN_REDIRECT_URI");
    for (name, value) in known {
        site = site.set(name, &value);
    }

    let (_, report) = site.report(&[]).await;
    assert_reported(&report, "tls", "`ca_file`");
    site = site.set("OTEN_CA_FILE", &ca_file(&emulator));

    let (code, report) = site.report(&[]).await;
    assert_eq!(code, 0, "{report:#?}");
    assert_eq!(report.failed(), [""; 0]);
    // Without a configured store, it checks the one that `oten serve` creates.
    assert_eq!(report.status("store"), "passed");
    let names = site.folder.names();
    let created = names.iter().find(|name| name.starts_with("oten-"));
    assert_eq!(created, None, "no file is created");
}

#[tokio::test]
async fn health_uses_the_configured_authority() {
    let emulator = TlsEmulator::start().await;
    let site = site_of(&emulator).await;
    let ended = run(&mut site.command(&["health"])).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("set `ca_file`"), "{}", ended.stdout);

    let site = site.set("OTEN_CA_FILE", &ca_file(&emulator));
    let ended = run(&mut site.command(&["health"])).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stdout);
}
