//! `oten keygen`: usable keys, in files that only their owner may read. No file is overwritten.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use axum_oten::{
    Config, Secret,
    config::Environment,
    jose::{Ed25519KeyPair, Ed25519PublicKey},
};
use serde_json::Value;

use super::process::{Ended, command, run};

/// A new folder to run the program in.
pub(super) fn folder() -> PathBuf {
    let name = format!("keygen-{}", Secret::random().expose());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir(&folder).unwrap();
    folder
}

pub(super) async fn keygen(folder: &Path, arguments: &[&str]) -> Ended {
    let arguments = [&["keygen"], arguments].concat();
    run(command(&arguments).current_dir(folder)).await
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| PathBuf::from(entry.unwrap().file_name()))
        .collect();
    names.sort();
    names
}

#[cfg(unix)]
fn assert_private(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    let mode = fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600, "{}", path.display());
}

#[cfg(not(unix))]
fn assert_private(_: &Path) {}

#[tokio::test]
async fn a_private_key_is_written_and_its_public_half_printed() {
    let folder = folder();
    let ended = keygen(&folder, &["ed25519"]).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(names(&folder), [Path::new("oten-jar.pem")]);
    let file = folder.join("oten-jar.pem");
    assert_private(&file);
    let pem = fs::read_to_string(&file).unwrap();
    let pair = Ed25519KeyPair::from_pem(&pem).unwrap();

    // Stdout contains the public half only, and each of its forms can be read again.
    let (public_pem, rest) = ended.stdout.split_at(pair.public_pem().len());
    let public = Ed25519PublicKey::from_pem(public_pem).unwrap();
    assert_eq!(public.key_id(), pair.key_id());
    let lines: Vec<_> = rest.lines().collect();
    let [jwk, key_id] = lines[..] else {
        panic!("{lines:?}")
    };
    let jwk: Value = serde_json::from_str(jwk).unwrap();
    assert_eq!(jwk, pair.public_jwk());
    assert_eq!(key_id, pair.key_id());

    for part in [
        "Register",
        "OTEN_JAR=EdDSA",
        "OTEN_JAR_KEY_FILE=oten-jar.pem",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    let secret = pem.lines().nth(1).unwrap();
    for output in [&ended.stdout, &ended.stderr] {
        assert!(!output.contains(&secret[20..]), "{output}");
    }

    // The key can be configured.
    let mut register = command(&["register"]);
    register.current_dir(&folder).envs([
        ("OTEN_ENVIRONMENT", "production"),
        ("OTEN_REDIRECT_URI", "https://app.example.com/callback"),
        ("OTEN_JAR", "EdDSA"),
        ("OTEN_JAR_KEY_FILE", "oten-jar.pem"),
    ]);
    let sheet = run(&mut register).await;
    assert!(
        sheet.stdout.contains(&pair.public_pem()),
        "{}",
        sheet.stderr
    );
}

#[tokio::test]
async fn an_existing_file_is_never_overwritten() {
    let folder = folder();
    let path = folder.join("here.pem");
    fs::write(&path, "precious").unwrap();
    for kind in ["ed25519", "session"] {
        let ended = keygen(&folder, &[kind, "--out", "here.pem"]).await;
        assert_eq!(ended.status.code(), Some(1), "{kind}");
        assert_eq!(ended.stdout, "");
        for part in ["here.pem", "already exists", "--out"] {
            assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
        }
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(names(&folder), [Path::new("here.pem")]);

    let nowhere = keygen(&folder, &["ed25519", "--out", "missing/key.pem"]).await;
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(nowhere.stderr.contains("folder"), "{}", nowhere.stderr);
}

#[tokio::test]
async fn b3_a_truncated_key_is_rejected_with_its_path_and_help() {
    let folder = folder();
    keygen(&folder, &["ed25519"]).await;
    let pem = fs::read(folder.join("oten-jar.pem")).unwrap();
    fs::write(folder.join("half.pem"), &pem[..60]).unwrap();
    let mut serve = command(&["serve"]);
    serve.current_dir(&folder).envs([
        ("OTEN_ENVIRONMENT", "sandbox"),
        ("OTEN_CLIENT_ID", "site"),
        (
            "OTEN_CLIENT_SECRET",
            "a secret of the test, of more than 32 bytes",
        ),
        ("OTEN_REDIRECT_URI", "https://app.example.com/callback"),
        ("OTEN_JAR", "EdDSA"),
        ("OTEN_JAR_KEY_FILE", "oten-jar.pem,half.pem"),
    ]);
    let ended = run(&mut serve).await;
    assert_eq!(ended.status.code(), Some(1));
    for part in [
        "1 problem",
        "OTEN_JAR_KEY_FILE",
        "cut off",
        "half.pem",
        "whole",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn only_the_session_key_is_printed_on_stdout() {
    let folder = folder();
    let ended = keygen(&folder, &["session"]).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let key = ended.stdout.strip_suffix('\n').unwrap();
    assert!(!ended.stderr.contains(key));
    assert!(
        ended.stderr.contains("OTEN_SESSION_KEY"),
        "{}",
        ended.stderr
    );
    assert_ne!(keygen(&folder, &["session"]).await.stdout, ended.stdout);
    assert!(names(&folder).is_empty());

    let ended = keygen(&folder, &["session", "--out", "session.key"]).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    let file = folder.join("session.key");
    assert_private(&file);
    let written = fs::read_to_string(&file).unwrap();
    assert!(!ended.stderr.contains(written.trim_end()));
    for key in [key, written.trim_end()] {
        let config = Config::builder()
            .environment(Environment::Sandbox)
            .client_id("my-site")
            .client_secret(Secret::random())
            .redirect_uri("https://app.example.com/callback")
            .session_key(key);
        assert_eq!(config.build().unwrap().session_keys().len(), 1);
    }
}

/// A truncated key must not look like a whole one.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_an_error() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut keygen = command(&["keygen", "session"]);
    keygen.stdout(full).stderr(Stdio::piped());
    let output = keygen.spawn().unwrap().wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("stdout"), "{stderr}");
}
