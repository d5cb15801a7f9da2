//! A site whose configuration is checked, and the report.

use std::collections::BTreeMap;

use axum_oten::{
    Clock,
    emulator::{EmulatedClient, Emulator, Endpoint},
    jose::Ed25519KeyPair,
    store::SqliteStore,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::program::process::{command, run};

pub(super) const SECRET: &str = "the-client-secret-of-the-checked-site";
pub(super) const SESSION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const CLIENT: &str = "checked-site";
const REDIRECT_URI: &str = "http://127.0.0.1:3000/callback";

/// An emulator, and the environment of a site whose client is registered there.
pub(super) struct CheckedSite {
    pub(super) emulator: Emulator,
    pub(super) folder: Folder,
    environment: BTreeMap<&'static str, String>,
    /// Texts that must not be printed, besides the secrets in the environment.
    secrets: Vec<String>,
}

impl CheckedSite {
    /// A confidential client with HS256, and an encrypted store.
    pub(super) async fn valid() -> Self {
        let client = EmulatedClient::confidential(CLIENT, SECRET);
        Self::new(client, Clock::system())
            .await
            .set("OTEN_CLIENT_SECRET", SECRET)
    }

    /// The same with a clock that is 10 minutes behind the provider's.
    pub(super) async fn with_slow_clock() -> Self {
        let clock = Clock::manual();
        clock.advance(std::time::Duration::from_secs(600));
        let client = EmulatedClient::confidential(CLIENT, SECRET);
        Self::new(client, clock)
            .await
            .set("OTEN_CLIENT_SECRET", SECRET)
    }

    pub(super) async fn with_eddsa() -> Self {
        let pair = Ed25519KeyPair::generate();
        let client = EmulatedClient::confidential(CLIENT, SECRET);
        let client = client.request_object_key(&pair.public_jwk());
        let mut site = Self::new(client, Clock::system()).await;
        let file = site.folder.private("request.pem", &pair.to_pem());
        site.secrets.push(pair.to_pem().to_string());
        site.set("OTEN_CLIENT_SECRET", SECRET)
            .set("OTEN_JAR", "EdDSA")
            .set("OTEN_JAR_KEY_FILE", &file)
    }

    pub(super) async fn public() -> Self {
        Self::new(EmulatedClient::public(CLIENT), Clock::system())
            .await
            .set("OTEN_CLIENT_TYPE", "public")
    }

    async fn new(client: EmulatedClient, clock: Clock) -> Self {
        let emulator = Emulator::builder()
            .client(client.redirect_uri(REDIRECT_URI))
            .clock(clock)
            .start()
            .await
            .unwrap();
        let issuer = emulator.issuer().to_owned();
        let folder = Folder(TempDir::new().unwrap());
        let store = folder.path("sessions.sqlite");
        // The store of a site that has run before.
        SqliteStore::open(&store).await.unwrap();
        let store = format!("sqlite:{store}");
        let site = Self {
            emulator,
            folder,
            environment: BTreeMap::new(),
            secrets: Vec::new(),
        };
        site.set("OTEN_ISSUER", &issuer)
            .set("OTEN_CLIENT_ID", CLIENT)
            .set("OTEN_REDIRECT_URI", REDIRECT_URI)
            .set("OTEN_SESSION_STORE", &store)
            .set("OTEN_SESSION_KEY", SESSION_KEY)
    }

    /// Sets a variable.
    pub(super) fn set(mut self, variable: &'static str, value: &str) -> Self {
        self.environment.insert(variable, value.to_owned());
        self
    }

    pub(super) fn unset(mut self, variable: &'static str) -> Self {
        self.environment.remove(variable);
        self
    }

    /// Adds a text that must not be printed.
    pub(super) fn with_secret(mut self, secret: &str) -> Self {
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
            .current_dir(self.folder.0.path())
            .envs(&self.environment)
            // Ignores a proxy of this machine.
            .env("NO_PROXY", "*");
        command
    }

    /// The exit code and the report of `oten check --json`. Checks that neither it nor the table
    /// contains a secret.
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
        // The table contains the same texts.
        for finding in &report.0 {
            for part in ["message", "help"] {
                let text = finding[part].as_str().unwrap_or_default();
                // Times differ.
                let texts = [" answered in", " verification time"];
                let end = texts.iter().find_map(|varies| text.find(varies));
                let text = &text[..end.unwrap_or(text.len())];
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

    pub(super) fn assert_requested_once(&self) {
        for endpoint in [Endpoint::Discovery, Endpoint::Jwks, Endpoint::Token] {
            assert_eq!(self.emulator.calls(endpoint), 1, "{endpoint:?}");
        }
        assert_eq!(self.emulator.calls(Endpoint::Authorization), 0);
    }

    pub(super) fn assert_not_requested(&self) {
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

    /// The messages and help texts of a check's findings, without passed ones.
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

/// A folder that is removed when the test ends.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// The names of its files, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Writes a file that only its owner may read.
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
