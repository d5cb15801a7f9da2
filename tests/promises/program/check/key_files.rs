//! Key files, broken in every way: the same words in `oten check` and at the start of `oten serve`.

use axum_oten::jose::Ed25519KeyPair;

use super::doctor::Patient;
use crate::program::process::run;

#[tokio::test]
async fn each_broken_key_file_is_told_with_its_cure() {
    let pem = Ed25519KeyPair::generate().to_pem();
    let public = Ed25519KeyPair::generate().public_pem();
    let cut = &pem[..pem.len() / 2];
    let patient = Patient::with_eddsa().await.hides(&pem).hides(cut);
    for (name, text, help) in [
        ("empty.pem", "", "oten keygen ed25519"),
        ("blank.pem", "\n", "oten keygen ed25519"),
        ("text.pem", "not a key", "oten keygen ed25519"),
        ("cut.pem", cut, "oten keygen ed25519"),
        ("public.pem", &public, "private key"),
    ] {
        let file = patient.folder.private(name, text);
        assert_told(&patient, &file, help).await;
    }
    let nowhere = patient.folder.path("nowhere.pem");
    assert_told(&patient, &nowhere, "correct the path").await;
}

async fn assert_told(patient: &Patient, file: &str, help: &str) {
    let mut check = patient.check(&["--json"]);
    let ended = run(check.env("OTEN_JAR_KEY_FILE", file)).await;
    assert_eq!(ended.status.code(), Some(1), "{file}: {}", ended.stdout);
    assert!(
        ended.stdout.contains("\"jar_key_file\""),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains(help), "{file}: {}", ended.stdout);

    let mut serve = patient.command(&["serve", "--listen", "127.0.0.1:0"]);
    let ended = run(serve.env("OTEN_JAR_KEY_FILE", file)).await;
    assert_eq!(ended.status.code(), Some(1), "{file}: {}", ended.stderr);
    assert!(ended.stderr.contains("jar_key_file"), "{}", ended.stderr);
    assert!(ended.stderr.contains(help), "{file}: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_key_file_that_everybody_may_read_is_told() {
    let patient = Patient::with_eddsa().await;
    let pem = Ed25519KeyPair::generate().to_pem();
    let file = patient.folder.file("open.pem", &pem, 0o644);
    let patient = patient.hides(&pem).set("OTEN_JAR_KEY_FILE", &file);
    let (code, report) = patient.report(&[]).await;
    assert_eq!(code, 0, "outside of production it works: {report:#?}");
    let lines = report.lines("configuration");
    assert!(lines.contains("everybody may read"), "{lines}");
    assert!(lines.contains(&format!("chmod 600 {file}")), "{lines}");
}
