//! Somebody to look at, and what was found.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use axum_oten::{
    Clock,
    emulator::{EmulatedClient, Emulator, Endpoint},
    jose::Ed25519KeyPair,
    store::SqliteStore,
};
use serde_json::Value;
use tokio::process::Command;

use crate::program::process::{command, run};

pub(super) const SECRET: &str = "the-client-secret-of-the-checked-site";
pub(super) const SESSION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const CLIENT: &str = "checked-site";
const REDIRECT_URI: &str = "http://127.0.0.1:3000/callback";

/// An emulator, and the environment of a site that fits it.
pub(super) struct Patient {
    pub(super) emulator: Emulator,
    pub(super) folder: Folder,
    environment: BTreeMap<&'static str, String>,
    /// Besides those in the environment, what must not be printed.
    secrets: Vec<String>,
}

impl Patient {
    /// A confidential client with HS256, and a sealed store.
    pub(super) async fn healthy() -> Self {
        let client = EmulatedClient::confidential(CLIENT, SECRET);
        Self::of(client, Clock::system())
            .await
            .set("OTEN_CLIENT_SECRET", SECRET)
    }

    /// Whose provider lives 10 minutes later.
    pub(super) async fn behind() -> Self {
        let clock = Clock::manual();
        clock.advance(std::time::Duration::from_secs(600));
        let client = EmulatedClient::confidential(CLIENT, SECRET);
        Self::of(client, clock)
            .await
            .set("OTEN_CLIENT_SECRET", SECRET)
    }

    pub(super) async fn with_eddsa() -> Self {
        let pair = Ed25519KeyPair::generate();
        let client = EmulatedClient::confidential(CLIENT, SECRET);
        let client = client.request_object_key(&pair.public_jwk());
        let mut patient = Self::of(client, Clock::system()).await;
        let file = patient.folder.private("request.pem", &pair.to_pem());
        patient.secrets.push(pair.to_pem().to_string());
        patient
            .set("OTEN_CLIENT_SECRET", SECRET)
            .set("OTEN_JAR", "EdDSA")
            .set("OTEN_JAR_KEY_FILE", &file)
    }

    pub(super) async fn public() -> Self {
        Self::of(EmulatedClient::public(CLIENT), Clock::system())
            .await
            .set("OTEN_CLIENT_TYPE", "public")
    }

    async fn of(client: EmulatedClient, clock: Clock) -> Self {
        let emulator = Emulator::builder()
            .client(client.redirect_uri(REDIRECT_URI))
            .clock(clock)
            .start()
            .await
            .unwrap();
        let issuer = emulator.issuer().to_owned();
        let folder = Folder::new();
        let store = folder.path("sessions.sqlite");
        // As a site leaves it that ran before.
        SqliteStore::open(&store).await.unwrap();
        let store = format!("sqlite:{store}");
        let patient = Self {
            emulator,
            folder,
            environment: BTreeMap::new(),
            secrets: Vec::new(),
        };
        patient
            .set("OTEN_ISSUER", &issuer)
            .set("OTEN_CLIENT_ID", CLIENT)
            .set("OTEN_REDIRECT_URI", REDIRECT_URI)
            .set("OTEN_SESSION_STORE", &store)
            .set("OTEN_SESSION_KEY", SESSION_KEY)
    }

    /// Sets a variable otherwise.
    pub(super) fn set(mut self, variable: &'static str, value: &str) -> Self {
        self.environment.insert(variable, value.to_owned());
        self
    }

    pub(super) fn unset(mut self, variable: &'static str) -> Self {
        self.environment.remove(variable);
        self
    }

    /// Something that must not be printed.
    pub(super) fn hides(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }

    /// `oten check` with these arguments.
    pub(super) fn check(&self, arguments: &[&str]) -> Command {
        self.command(&[&["check"], arguments].concat())
    }

    pub(super) fn command(&self, line: &[&str]) -> Command {
        let mut command = command(line);
        command
            .current_dir(&self.folder.0)
            .envs(&self.environment)
            // Nothing of the machine's is in the way.
            .env("NO_PROXY", "*");
        command
    }

    /// The exit code and the report of `oten check --json`. No secret is in it, nor in the table.
    pub(super) async fn report(&self, arguments: &[&str]) -> (i32, Report) {
        let table = run(&mut self.check(arguments)).await;
        let json = run(&mut self.check(&[arguments, &["--json"]].concat())).await;
        assert_eq!(table.status.code(), json.status.code(), "{}", table.stdout);
        assert_eq!(json.stderr, "");
        for output in [&table.stdout, &table.stderr, &json.stdout] {
            assert!(!output.contains("panicked"), "{output}");
            for secret in self.secrets() {
                assert!(!output.contains(secret), "{secret} in:\n{output}");
            }
        }
        let report: Value = serde_json::from_str(&json.stdout).unwrap();
        let report = Report(report["findings"].as_array().unwrap().clone());
        // The table says the same.
        for finding in &report.0 {
            for part in ["message", "help"] {
                let text = finding[part].as_str().unwrap_or_default();
                // Times differ.
                let text = text.split(" answered in").next().unwrap();
                assert!(table.stdout.contains(text), "{text}\n{}", table.stdout);
            }
        }
        (json.status.code().unwrap(), report)
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        let of_environment = ["OTEN_CLIENT_SECRET", "OTEN_SESSION_KEY"]
            .iter()
            .filter_map(|name| self.environment.get(name));
        of_environment.chain(&self.secrets).map(String::as_str)
    }

    pub(super) fn assert_asked_once(&self) {
        for endpoint in [Endpoint::Discovery, Endpoint::Jwks, Endpoint::Token] {
            assert_eq!(self.emulator.calls(endpoint), 1, "{endpoint:?}");
        }
        assert_eq!(self.emulator.calls(Endpoint::Authorization), 0);
    }

    pub(super) fn assert_not_asked(&self) {
        for endpoint in [Endpoint::Discovery, Endpoint::Jwks, Endpoint::Token] {
            assert_eq!(self.emulator.calls(endpoint), 0, "{endpoint:?}");
        }
    }

    pub(super) async fn assert_store_is_empty(&self) {
        use sqlx::{ConnectOptions, Connection, Row};
        let options = sqlx::sqlite::SqliteConnectOptions::new();
        let options = options.filename(self.folder.path("sessions.sqlite"));
        let mut connection = options.connect().await.unwrap();
        let row = sqlx::query("SELECT count(*) FROM oten_records")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(row.get::<i64, _>(0), 0);
        connection.close().await.unwrap();
    }
}

/// The findings.
#[derive(Debug)]
pub(super) struct Report(Vec<Value>);

impl Report {
    /// The checks, one for each finding.
    pub(super) fn checks(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .map(|finding| finding["check"].as_str().unwrap())
    }

    /// The checks that failed, each once.
    pub(super) fn failed(&self) -> Vec<&str> {
        let failed = self
            .0
            .iter()
            .filter(|finding| finding["status"] == "failed");
        let mut names: Vec<_> = failed.map(|f| f["check"].as_str().unwrap()).collect();
        names.dedup();
        names
    }

    /// The worst status of a check.
    pub(super) fn status(&self, check: &str) -> &str {
        let findings = self.0.iter().filter(|finding| finding["check"] == check);
        let statuses: Vec<_> = findings.map(|f| f["status"].as_str().unwrap()).collect();
        ["failed", "warning", "skipped", "passed"]
            .into_iter()
            .find(|status| statuses.contains(status))
            .unwrap_or("nothing")
    }

    /// Message and help of all findings of a check that are open.
    pub(super) fn lines(&self, check: &str) -> String {
        let findings = self.0.iter().filter(|finding| finding["check"] == check);
        let open = findings.filter(|finding| finding["help"].is_string());
        let line = |finding: &Value| {
            let text = |part: &str| finding[part].as_str().unwrap_or_default().to_owned();
            let (setting, message, help) = (text("setting"), text("message"), text("help"));
            format!("[{setting}] {message} {help}")
        };
        open.map(line).collect::<Vec<_>>().join("\n")
    }
}

/// A folder of one test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("oten-check-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// What is in it, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A file for its owner's eyes only.
    pub(super) fn private(&self, name: &str, text: &str) -> String {
        self.file(name, text, 0o600)
    }

    pub(super) fn file(&self, name: &str, text: &str, mode: u32) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
