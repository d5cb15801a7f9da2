//! Unusable key files: `oten check` and `oten serve` report them with the same help.

use axum_oten::jose::Ed25519KeyPair;

use super::checked_site::CheckedSite;
use crate::program::process::run;

#[tokio::test]
async fn each_unusable_key_file_is_reported_with_its_help() {
    let pem = Ed25519KeyPair::generate().to_pem();
    let public = Ed25519KeyPair::generate().public_pem();
    let cut = &pem[..pem.len() / 2];
    let site = CheckedSite::with_eddsa()
        .await
        .with_secret(&pem)
        .with_secret(cut);
    for (name, text, help) in [
        ("empty.pem", "", "oten keygen ed25519"),
        ("blank.pem", "\n", "oten keygen ed25519"),
        ("text.pem", "not a key", "oten keygen ed25519"),
        ("cut.pem", cut, "oten keygen ed25519"),
        ("public.pem", &public, "private key"),
    ] {
        let file = site.folder.private(name, text);
        assert_reported(&site, &file, help).await;
    }
    let missing = site.folder.path("nowhere.pem");
    assert_reported(&site, &missing, "correct the path").await;
}

async fn assert_reported(site: &CheckedSite, file: &str, help: &str) {
    let mut check = site.check(&["--json"]);
    let ended = run(check.env("OTEN_JAR_KEY_FILE", file)).await;
    assert_eq!(ended.status.code(), Some(1), "{file}: {}", ended.stdout);
    assert!(
        ended.stdout.contains("\"jar_key_file\""),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains(help), "{file}: {}", ended.stdout);

    let mut serve = site.command(&["serve", "--listen", "127.0.0.1:0"]);
    let ended = run(serve.env("OTEN_JAR_KEY_FILE", file)).await;
    assert_eq!(ended.status.code(), Some(1), "{file}: {}", ended.stderr);
    assert!(ended.stderr.contains("jar_key_file"), "{}", ended.stderr);
    assert!(ended.stderr.contains(help), "{file}: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_key_file_that_every_user_may_read_is_a_warning() {
    let site = CheckedSite::with_eddsa().await;
    let pem = Ed25519KeyPair::generate().to_pem();
    let file = site.folder.file("open.pem", &pem, 0o644);
    let site = site.with_secret(&pem).set("OTEN_JAR_KEY_FILE", &file);
    let (code, report) = site.report(&[]).await;
    assert_eq!(code, 0, "outside of production it works: {report:#?}");
    let lines = report.lines("configuration");
    assert!(lines.contains("every user may read"), "{lines}");
    assert!(lines.contains(&format!("chmod 600 {file}")), "{lines}");
}
