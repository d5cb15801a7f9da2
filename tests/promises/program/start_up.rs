use std::path::PathBuf;

use super::process::{Ended, Running, command, run};

/// A configuration file for one test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

fn assert_rejected(ended: &Ended, code: i32) {
    assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

/// The demo's emulator has paths below `/oten`.
#[tokio::test]
async fn b3_a_callback_at_the_emulator_of_the_demo_is_rejected() {
    let file = File::new(
        "demo.toml",
        "environment = \"sandbox\"\nclient_id = \"shop\"\nclient_secret = \"of-the-demo\"\nredirect_uri = \"http://127.0.0.1:1/oten/control\"\n",
    );
    let ended = run(&mut command(&["demo", "--config", file.path()])).await;
    assert_rejected(&ended, 1);
    assert!(ended.stderr.contains("`/oten`"), "{}", ended.stderr);
}

#[tokio::test]
async fn b3_an_invalid_file_is_rejected_with_every_problem_and_its_help() {
    let file = File::new(
        "bad.toml",
        "environment = \"moon\"\nclient_idd = \"shop\"\nredirect_uri = \"http://example.com/callback\"\n",
    );
    for program in ["serve", "demo"] {
        let ended = run(&mut command(&[program, "--config", file.path()])).await;
        assert_rejected(&ended, 1);
    }
    let ended = run(&mut command(&["serve", "--config", file.path()])).await;
    for part in [
        "5 problems",
        "environment",
        "`sandbox` or `production`",
        "client_idd",
        "Did you mean `client_id`?",
        "client_secret",
        "OTEN_CLIENT_SECRET",
    ] {
        assert!(
            ended.stderr.contains(part),
            "no {part} in:\n{}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn b3_a_missing_file_is_rejected_with_its_path() {
    let ended = run(&mut command(&["serve", "--config", "/nowhere/oten.toml"])).await;
    assert_rejected(&ended, 1);
    assert!(
        ended.stderr.contains("/nowhere/oten.toml"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn b3_an_empty_environment_is_rejected_with_the_variables_to_set() {
    let ended = run(&mut command(&["serve"])).await;
    assert_rejected(&ended, 1);
    for variable in ["OTEN_ENVIRONMENT", "OTEN_CLIENT_ID", "OTEN_REDIRECT_URI"] {
        assert!(ended.stderr.contains(variable), "{}", ended.stderr);
    }
}

/// Production rejects it.
#[tokio::test]
async fn s2_a_short_secret_is_a_visible_warning_in_the_sandbox() {
    let with_settings = |line: &[&str]| {
        let mut command = command(line);
        command
            .env("OTEN_ENVIRONMENT", "sandbox")
            .env("OTEN_CLIENT_ID", "shop")
            .env("OTEN_CLIENT_SECRET", "short")
            .env("OTEN_REDIRECT_URI", "http://localhost:3000/callback")
            .env("OTEN_SESSION_STORE", "memory:");
        command
    };
    let mut serve = with_settings(&["serve", "--listen", "127.0.0.1:0"]);
    let (_, log) = Running::start(&mut serve).await.end().await;
    let check = run(&mut with_settings(&["check", "--offline"])).await;
    assert_eq!(check.status.code(), Some(0), "{}", check.stdout);
    for (text, mark) in [(&log, "WARN"), (&check.stdout, "! configuration")] {
        let mut lines = text.lines();
        let words = "is shorter than 32 bytes";
        let line = lines.find(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("no {words} in:\n{text}"));
        assert!(line.contains(mark), "{line}");
        assert!(line.contains("client_secret"), "{line}");
    }
}

#[tokio::test]
async fn b2_a_rejected_secret_is_not_printed() {
    let mut serve = command(&["serve"]);
    serve.env("OTEN_CLIENT_SECRET", "hunter2 with a line\nbreak");
    let ended = run(&mut serve).await;
    assert_rejected(&ended, 1);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[tokio::test]
async fn b3_an_invalid_log_filter_is_rejected() {
    let ended = run(command(&["demo"]).env("RUST_LOG", "info,=nonsense=")).await;
    assert_rejected(&ended, 1);
    assert!(ended.stderr.contains("RUST_LOG"), "{}", ended.stderr);
}

#[tokio::test]
async fn b3_an_invalid_command_line_is_a_usage_error() {
    for line in [
        &[][..],
        &["demo", "--client", "secret"],
        &["demo", "--client", "public", "--config", "x.toml"],
        &["serve", "--listen", "everywhere"],
    ] {
        let ended = run(&mut command(line)).await;
        assert_eq!(ended.status.code(), Some(2), "{line:?}");
        assert!(
            ended.stderr.contains("--help"),
            "{line:?}: {}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn a_port_in_use_is_rejected_with_another_to_try() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&mut command(&["demo", "--listen", &address])).await;
    assert_rejected(&ended, 1);
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
    assert!(ended.stderr.contains("--listen"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_program_stops_after_sigterm() {
    let demo = Running::start(&mut command(&["demo", "--listen", "127.0.0.1:0"])).await;
    let (status, log) = demo.end().await;
    assert!(status.success(), "{status}:\n{log}");
}

#[tokio::test]
async fn the_sandbox_configuration_needs_credentials_only() {
    let arguments = [
        "serve",
        "--config",
        concat!(env!("CARGO_MANIFEST_DIR"), "/config/sandbox.toml"),
    ];
    let arguments = [&arguments[..], &["--listen", "127.0.0.1:0"]].concat();
    let mut serve = command(&arguments);
    serve.envs([
        ("OTEN_CLIENT_ID", "a-client-of-the-sandbox"),
        (
            "OTEN_CLIENT_SECRET",
            "a secret of the test, of more than 32 bytes",
        ),
    ]);
    let (status, log) = Running::start(&mut serve).await.end().await;
    assert!(status.success(), "{log}");
    assert!(log.contains("https://account.sbx.oten.dev"), "{log}");

    let ended = run(&mut command(&arguments)).await;
    assert_rejected(&ended, 1);
    assert!(ended.stderr.contains("2 problems"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_production_configuration_needs_credentials_and_keys_only() {
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--config",
        concat!(env!("CARGO_MANIFEST_DIR"), "/config/production.toml"),
    ];
    let ca = crate::common::TestCa::new();
    let key = ca.folder().join("jar.pem");
    let key = key.to_str().unwrap();
    let made = run(&mut command(&["keygen", "ed25519", "--out", key])).await;
    assert!(made.status.success(), "{}", made.stderr);
    let store = format!("sqlite:{}", ca.folder().join("sessions.db").display());
    let settings = [
        ("OTEN_CLIENT_ID", "a-client-of-production"),
        (
            "OTEN_CLIENT_SECRET",
            "a secret of the test, of more than 32 bytes",
        ),
        ("OTEN_JAR_KEY_FILE", key),
        (
            "OTEN_SESSION_KEY",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        ),
        ("OTEN_SESSION_STORE", &store),
    ];
    let (status, log) = Running::start(command(&arguments).envs(settings))
        .await
        .end()
        .await;
    assert!(status.success(), "{log}");
    assert!(log.contains("https://account.oten.com"), "{log}");
    assert!(!log.contains("WARN"), "{log}");

    // Missing and forbidden settings are reported together, with their help.
    let settings = settings.map(|(name, value)| match name {
        "OTEN_SESSION_STORE" => (name, "memory:"),
        "OTEN_SESSION_KEY" | "OTEN_JAR_KEY_FILE" => (name, ""),
        _ => (name, value),
    });
    let ended = run(command(&arguments).envs(settings)).await;
    assert_rejected(&ended, 1);
    for part in [
        "/etc/oten/jar.pem",
        "/etc/oten/session.key",
        "session_store (from OTEN_SESSION_STORE): is `memory:`, which production forbids",
    ] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
}

/// Without a configured store the program keeps sessions in a file. In production it generates no key
/// for that file.
#[tokio::test]
async fn l7_in_production_a_session_key_is_required() {
    let mut serve = command(&["serve", "--listen", "127.0.0.1:0"]);
    serve.envs([
        ("OTEN_ENVIRONMENT", "production"),
        ("OTEN_CLIENT_ID", "a-client-of-production"),
        (
            "OTEN_CLIENT_SECRET",
            "a secret of the test, of more than 32 bytes",
        ),
        ("OTEN_REDIRECT_URI", "https://app.example.com/callback"),
    ]);
    let ended = run(&mut serve).await;
    assert_rejected(&ended, 1);
    assert!(ended.stderr.contains("1 problem"), "{}", ended.stderr);
    assert!(ended.stderr.contains("session_key"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("OTEN_SESSION_KEY"),
        "{}",
        ended.stderr
    );
}
