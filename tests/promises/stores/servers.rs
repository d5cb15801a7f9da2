//! Real servers, started by the tests on free ports with folders of their own.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use super::folder::Folder;

/// What to do when there is nothing to test with.
const HELP: &str = "install it: apt-get install --no-install-recommends redis-server postgresql";

/// Long enough for a busy machine; a server that takes as long does not start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a server until the tests close the pipe, or end in whatever way: then the pipe closes by
/// itself. The folder goes with it unless it is asked to stay.
const KEEPER: &str = r#"
folder=$1 signal=$2; shift 2
exec 2>>"$folder/log"
"$@" >&2 &
echo $!
read -r wish
kill -"$signal" $!
wait $!
[ "$wish" = keep ] || rm -rf "$folder"
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Redis,
    Postgres,
}

/// A server of a test's own, or the one all share.
#[derive(Debug)]
pub(super) struct Server {
    kind: Kind,
    folder: PathBuf,
    port: u16,
    keeper: Option<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    shell: Child,
    wish: Option<ChildStdin>,
    server: u32,
}

/// The server that all tests share which do not stop it.
pub(super) fn shared(kind: Kind) -> &'static Server {
    static REDIS: OnceLock<Server> = OnceLock::new();
    static POSTGRES: OnceLock<Server> = OnceLock::new();
    let server = match kind {
        Kind::Redis => &REDIS,
        Kind::Postgres => &POSTGRES,
    };
    server.get_or_init(|| {
        let mut server = Server::new(kind);
        server.start();
        server
    })
}

impl Server {
    /// A server that does not run yet.
    pub(super) fn new(kind: Kind) -> Self {
        let folder = Folder::unused();
        fs::create_dir(&folder).unwrap();
        if kind == Kind::Postgres {
            own(&folder);
            let data = folder.join("data");
            let mut initdb = unprivileged(&postgres_program("initdb"));
            initdb
                .args(["--username=site", "--auth=trust", "--no-sync", "--pgdata"])
                .arg(data);
            let made = initdb.output().unwrap_or_else(|error| missing(&error));
            assert!(made.status.success(), "{made:?}");
        }
        Self {
            kind,
            folder,
            port: free_port(),
            keeper: None,
        }
    }

    /// Where it is, as an operator would write it.
    pub(super) fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// The same through another port.
    pub(super) fn url_by(&self, port: u16) -> String {
        match self.kind {
            Kind::Redis => format!("redis://127.0.0.1:{port}"),
            Kind::Postgres => format!("postgres://site@127.0.0.1:{port}/postgres"),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Starts it, or starts it again on the same port with the same data.
    pub(super) fn start(&mut self) {
        let limit = Instant::now() + PATIENCE;
        loop {
            self.spawn();
            while self.runs() {
                if self.answers() {
                    return;
                }
                assert!(Instant::now() < limit, "{}", self.log());
                std::thread::sleep(Duration::from_millis(10));
            }
            // PostgreSQL does not start before the last process of one that was killed has ended.
            assert!(Instant::now() < limit, "{}", self.log());
            self.release(true);
        }
    }

    /// Ends it at once, in the middle of whatever it does.
    pub(super) fn kill(&mut self) {
        self.signal("KILL");
        self.release(true);
    }

    pub(super) fn signal(&self, signal: &str) {
        let server = self.keeper.as_ref().unwrap().server.to_string();
        let sent = Command::new("kill").args(["-s", signal, &server]).status();
        assert!(sent.unwrap().success());
    }

    fn spawn(&mut self) {
        let (signal, server) = match self.kind {
            Kind::Redis => ("TERM", self.redis()),
            Kind::Postgres => ("QUIT", self.postgres()),
        };
        let mut shell = Command::new("sh");
        shell
            .args(["-c", KEEPER, "sh"])
            .arg(&self.folder)
            .arg(signal)
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        self.keeper = Some(Keeper {
            wish: shell.stdin.take(),
            shell,
            server: line.trim().parse().unwrap(),
        });
    }

    fn redis(&self) -> Command {
        let mut server = Command::new("redis-server");
        server
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--dir"])
            .arg(&self.folder);
        server
    }

    fn postgres(&self) -> Command {
        let mut server = unprivileged(&postgres_program("postgres"));
        server
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            // What was written stays written when the server is killed; only a loss of power
            // would undo it.
            .args(["-c", "fsync=off", "-c", "max_connections=200", "-k"])
            .arg(&self.folder)
            .arg("-D")
            .arg(self.folder.join("data"));
        server
    }

    /// Whether the process is there.
    fn runs(&self) -> bool {
        let server = self.keeper.as_ref().unwrap().server.to_string();
        let asked = Command::new("kill")
            .args(["-s", "0", &server])
            .stderr(Stdio::null())
            .status();
        asked.unwrap().success()
    }

    fn answers(&self) -> bool {
        match self.kind {
            Kind::Redis => self.redis_answers().unwrap_or_default(),
            Kind::Postgres => {
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
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    }

    /// Lets go of a server that has ended, or ends it.
    fn release(&mut self, keep: bool) {
        if let Some(mut keeper) = self.keeper.take() {
            let mut wish = keeper.wish.take().unwrap();
            if keep {
                wish.write_all(b"keep\n").unwrap();
            }
            drop(wish);
            keeper.shell.wait().unwrap();
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        format!("{:?} does not start; {HELP}\n{log}", self.kind)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release(false);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port that nothing else takes meanwhile: below those that are given out to clients.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let from = std::process::id() % 8_000;
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (u16::try_from(from).unwrap() + offset) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// PostgreSQL's programs are not in the path everywhere.
fn postgres_program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin").join(name)))
        .filter(|program| program.exists())
        .max();
    newest.unwrap_or_else(|| name.into())
}

/// PostgreSQL refuses to run as root.
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

fn own(folder: &Path) {
    if is_root() {
        let mut own = Command::new("chown");
        let owned = own.arg("postgres:").arg(folder).status().unwrap();
        assert!(owned.success(), "there is no user `postgres`; {HELP}");
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
