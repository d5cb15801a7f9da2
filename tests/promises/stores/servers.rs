//! Real servers that the tests start on free ports with their own data directories.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::temp_dir::TempDir;
use crate::common::{TestCa, free_port};

/// The hint for a missing server.
const HELP: &str = "install it: apt-get install --no-install-recommends redis-server postgresql";

/// The password of the administrators of a protected Redis server.
pub(super) const ADMIN_PASSWORD: &str = "admin-password";

/// The time limit for a server's start, even on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a server until its input is closed, which also happens when the tests exit or crash. Removes
/// the data directory unless the input contains `keep`.
const SUPERVISOR: &str = r#"
dir=$1 signal=$2; shift 2
exec 2>>"$dir/log"
"$@" >&2 &
echo $!
read -r command
kill -"$signal" $!
# A stopped process handles the signal only when it continues.
kill -CONT $! 2>/dev/null
wait $!
[ "$command" = keep ] || rm -rf "$dir"
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerKind {
    Redis,
    Postgres,
}

/// A server that one test owns or several tests share.
#[derive(Debug)]
pub(crate) struct Server {
    kind: ServerKind,
    /// The program that runs Redis.
    program: PathBuf,
    /// Arguments in addition to the usual ones.
    arguments: Vec<String>,
    /// The arguments with which `redis-cli` reaches it as an administrator.
    cli: Vec<String>,
    dir: PathBuf,
    port: u16,
    supervisor: Option<Supervisor>,
}

#[derive(Debug)]
struct Supervisor {
    shell: Child,
    stdin: Option<ChildStdin>,
    server: u32,
}

/// Returns the server that is shared by all tests that do not stop it.
pub(crate) fn shared(kind: ServerKind) -> &'static Server {
    static REDIS: OnceLock<Server> = OnceLock::new();
    static POSTGRES: OnceLock<Server> = OnceLock::new();
    let server = match kind {
        ServerKind::Redis => &REDIS,
        ServerKind::Postgres => &POSTGRES,
    };
    server.get_or_init(|| {
        let mut server = Server::new(kind);
        server.start();
        server
    })
}

impl Server {
    /// Creates a server without starting it.
    pub(super) fn new(kind: ServerKind) -> Self {
        let dir = TempDir::unused();
        fs::create_dir(&dir).unwrap();
        if kind == ServerKind::Postgres {
            change_owner(&dir);
            let data = dir.join("data");
            let mut initdb = unprivileged(&postgres_program("initdb"));
            initdb
                .args(["--username=site", "--auth=trust", "--no-sync", "--pgdata"])
                .arg(data);
            let output = initdb.output().unwrap_or_else(|error| missing(&error));
            assert!(output.status.success(), "{output:?}");
        }
        Self {
            kind,
            program: "redis-server".into(),
            arguments: Vec::new(),
            cli: Vec::new(),
            dir,
            port: free_port(),
            supervisor: None,
        }
    }

    /// Creates a Redis server that this program runs, with arguments that override the usual ones.
    pub(super) fn redis_with(program: &Path, arguments: &[&str]) -> Self {
        let mut server = Self::new(ServerKind::Redis);
        program.clone_into(&mut server.program);
        server.argue(arguments);
        server
    }

    /// Creates a server that accepts TLS connections, besides others in the case of PostgreSQL.
    pub(crate) fn with_tls(kind: ServerKind, (certificate, key): &(PathBuf, PathBuf)) -> Self {
        let mut server = Self::new(kind);
        let [certificate, key] = [certificate, key].map(|from| {
            let to = server.dir.join(from.file_name().unwrap());
            fs::copy(from, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
            if kind == ServerKind::Postgres {
                change_owner(&to);
            }
            to.to_str().unwrap().to_owned()
        });
        server.arguments = match kind {
            ServerKind::Redis => {
                let port = server.port.to_string();
                ["--port", "0", "--tls-port", &port]
                    .into_iter()
                    .chain(["--tls-cert-file", &certificate, "--tls-key-file", &key])
                    .chain([
                        "--tls-ca-cert-file",
                        &certificate,
                        "--tls-auth-clients",
                        "no",
                    ])
                    .map(str::to_owned)
                    .collect()
            }
            ServerKind::Postgres => ["ssl=on".to_owned()]
                .into_iter()
                .chain([format!("ssl_cert_file={certificate}")])
                .chain([format!("ssl_key_file={key}")])
                .flat_map(|setting| ["-c".to_owned(), setting])
                .collect(),
        };
        server
    }

    /// Creates a Redis server with TLS for `localhost`, a password for administrators, and a user `site`
    /// with these rules.
    pub(super) fn protected(ca: &TestCa, rules: &[String]) -> Self {
        let mut server = Self::with_tls(ServerKind::Redis, &ca.server("localhost", |_| ()));
        let ca_file = server.ca_file().to_str().unwrap().to_owned();
        fs::copy(ca.file(), &ca_file).unwrap();
        server.argue(&["--tls-ca-cert-file", &ca_file, "--tls-cluster", "yes"]);
        // `localhost` can have two addresses.
        server.argue(&["--tls-replication", "yes", "--bind", "127.0.0.1", "-::1"]);
        server.argue(&["--requirepass", ADMIN_PASSWORD]);
        server.argue(&["--masterauth", ADMIN_PASSWORD, "--user", "site"]);
        server.arguments.extend_from_slice(rules);
        let cli = ["--tls", "--cacert", &ca_file, "-a", ADMIN_PASSWORD];
        let cli = cli.into_iter().chain(["--no-auth-warning"]);
        server.cli = cli.map(str::to_owned).collect();
        server
    }

    /// Makes this Redis server a sentinel with a configuration file.
    pub(super) fn become_sentinel(&mut self, configuration: &str) {
        let file = self.dir.join("sentinel.conf");
        fs::write(&file, configuration).unwrap();
        let file = file.to_str().unwrap().to_owned();
        self.arguments.insert(0, file);
        self.argue(&["--sentinel"]);
    }

    /// The file with the authority of a protected server.
    pub(super) fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Returns `redis-cli` with the arguments that reach the server.
    pub(super) fn cli(&self) -> Command {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &self.port.to_string()]).args(&self.cli);
        cli
    }

    /// Executes a command of Redis, and returns its output.
    pub(super) fn execute(&self, command: &[&str]) -> String {
        let output = self.cli().args(command).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Adds arguments.
    pub(super) fn argue(&mut self, arguments: &[&str]) {
        self.arguments
            .extend(arguments.iter().map(|&one| one.to_owned()));
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn kind(&self) -> ServerKind {
        self.kind
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the URL of the server for `session_store`.
    pub(crate) fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// Returns the URL with another port.
    pub(super) fn url_by(&self, port: u16) -> String {
        match self.kind {
            ServerKind::Redis => format!("redis://127.0.0.1:{port}"),
            ServerKind::Postgres => format!("postgres://site@127.0.0.1:{port}/postgres"),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Starts or restarts the server on the same port with the same data.
    pub(crate) fn start(&mut self) {
        let limit = Instant::now() + START_TIMEOUT;
        loop {
            self.spawn();
            while self.is_running() {
                if self.answers() {
                    return;
                }
                assert!(Instant::now() < limit, "{}", self.log());
                std::thread::sleep(Duration::from_millis(10));
            }
            // PostgreSQL does not start until all processes of a killed server have exited.
            assert!(Instant::now() < limit, "{}", self.log());
            self.release(true);
        }
    }

    /// Kills the server.
    pub(super) fn kill(&mut self) {
        self.signal("KILL");
        self.release(true);
    }

    pub(super) fn signal(&self, signal: &str) {
        let server = self.supervisor.as_ref().unwrap().server.to_string();
        let sent = Command::new("kill").args(["-s", signal, &server]).status();
        assert!(sent.unwrap().success());
    }

    fn spawn(&mut self) {
        let (signal, server) = match self.kind {
            ServerKind::Redis => ("TERM", self.redis()),
            ServerKind::Postgres => ("QUIT", self.postgres()),
        };
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SUPERVISOR, "sh"])
            .arg(&self.dir)
            .arg(signal)
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        self.supervisor = Some(Supervisor {
            stdin: shell.stdin.take(),
            shell,
            server: line.trim().parse().unwrap(),
        });
    }

    fn redis(&self) -> Command {
        let mut server = Command::new(&self.program);
        if self.arguments.iter().any(|one| one == "--sentinel") {
            server.args(&self.arguments);
            return server;
        }
        server
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--dir"])
            .arg(&self.dir)
            .args(&self.arguments);
        server
    }

    fn postgres(&self) -> Command {
        let mut server = unprivileged(&postgres_program("postgres"));
        server
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            // Without fsync, only a power failure loses data, not a killed server.
            .args(["-c", "fsync=off", "-c", "max_connections=200", "-k"])
            .arg(&self.dir)
            .arg("-D")
            .arg(self.dir.join("data"))
            .args(&self.arguments);
        server
    }

    /// Returns whether the process is running. One that has exited remains until the shell waits for it.
    fn is_running(&self) -> bool {
        let server = self.supervisor.as_ref().unwrap().server;
        let state = fs::read_to_string(format!("/proc/{server}/stat"));
        state.is_ok_and(|state| !state.contains(") Z "))
    }

    fn answers(&self) -> bool {
        match self.kind {
            ServerKind::Redis => self.redis_answers().unwrap_or_default(),
            ServerKind::Postgres => {
                let mut ready = Command::new(postgres_program("pg_isready"));
                ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
                ready
                    .status()
                    .unwrap_or_else(|error| missing(&error))
                    .success()
            }
        }
    }

    fn redis_answers(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        if self.arguments.iter().any(|one| one == "--tls-port") {
            return Ok(true);
        }
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    }

    /// Stops the server if it is still running.
    fn release(&mut self, keep: bool) {
        if let Some(mut supervisor) = self.supervisor.take() {
            let mut stdin = supervisor.stdin.take().unwrap();
            if keep {
                stdin.write_all(b"keep\n").unwrap();
            }
            drop(stdin);
            supervisor.shell.wait().unwrap();
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        format!("{:?} does not start; {HELP}\n{log}", self.kind)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release(false);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Returns the path of a PostgreSQL program, which is not in `PATH` on every system.
fn postgres_program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin").join(name)))
        .filter(|program| program.exists())
        .max();
    newest.unwrap_or_else(|| name.into())
}

/// Runs a program as the user `postgres` if the tests run as root, because PostgreSQL does not.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--",
        ])
        .arg(program)
        .current_dir("/");
    command
}

fn change_owner(dir: &Path) {
    if is_root() {
        let mut own = Command::new("chown");
        let owned = own.arg("postgres:").arg(dir).status().unwrap();
        assert!(
            owned.success(),
            "the user `postgres` does not exist; {HELP}"
        );
    }
}

fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        let id = Command::new("id").arg("-u").output().unwrap();
        id.stdout == b"0\n"
    })
}

fn missing(error: &std::io::Error) -> ! {
    panic!("PostgreSQL is missing ({error}); {HELP}")
}
