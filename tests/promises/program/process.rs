//! The program as a child process.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};
use url::Url;

/// Long enough for a busy machine: a program that takes longer hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(30);

/// The program without the `OTEN_` variables and `RUST_LOG` of this environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = without_settings(env!("CARGO_BIN_EXE_oten").as_ref());
    command.args(arguments);
    command
}

/// A program of `examples/`, without these variables either. `cargo test` builds it, but not for a
/// single test target.
pub(crate) fn example(name: &str) -> Command {
    let folder = Path::new(env!("CARGO_BIN_EXE_oten")).with_file_name("examples");
    let program = folder.join(name);
    assert!(
        is_current(&program),
        "{name} is not built, or was changed; build it: cargo build --examples --all-features"
    );
    without_settings(&program)
}

/// Whether a program is newer than the sources that cargo lists beside it.
fn is_current(program: &Path) -> bool {
    let written = |path: &Path| std::fs::metadata(path)?.modified();
    let sources = std::fs::read_to_string(program.with_extension("d"));
    let (Ok(built), Ok(sources)) = (written(program), sources) else {
        return false;
    };
    let mut sources = sources.split_whitespace().skip(1);
    sources.all(|source| written(source.as_ref()).is_ok_and(|source| source <= built))
}

fn without_settings(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder())
        .env_remove("RUST_LOG")
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEN_") {
            command.env_remove(name);
        }
    }
    command
}

/// The working directory of the program during this test run.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("oten-tests-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The output of a program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program until it ends.
pub(crate) async fn run(command: &mut Command) -> Ended {
    let output = tokio::time::timeout(HANG_TIMEOUT, command.output())
        .await
        .expect("the program must end")
        .unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The running program; it is killed when dropped.
pub(crate) struct Running {
    /// The URL at which it listens, as printed by it.
    pub(crate) url: Url,
    child: Child,
    log: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
}

impl Running {
    /// Starts the program and waits until it prints the URL at which it listens.
    pub(crate) async fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
        let (stderr, stdout) = (child.stderr.take().unwrap(), child.stdout.take().unwrap());
        let readers = [
            tokio::spawn(read(stderr, Arc::clone(&log), None)),
            tokio::spawn(read(stdout, Arc::clone(&log), Some(sender))),
        ];
        let url = async {
            while let Some(line) = lines.recv().await {
                let mut words = line.split_whitespace();
                if let Some(url) =
                    words.find(|word| word.starts_with("http://") || word.starts_with("https://"))
                {
                    return Some(Url::parse(url).unwrap());
                }
            }
            None
        };
        match tokio::time::timeout(HANG_TIMEOUT, url).await {
            Ok(Some(url)) => Self {
                url,
                child,
                log,
                readers,
            },
            _ => panic!("the program printed no URL:\n{}", log.lock().unwrap()),
        }
    }

    /// The text that it printed after this label at start.
    pub(crate) async fn banner_text(&self, label: &str) -> String {
        let text = async {
            loop {
                let log = self.log.lock().unwrap().clone();
                let mut lines = log.lines().map(str::trim);
                if let Some(text) = lines.find_map(|line| line.strip_prefix(label)) {
                    return text.trim().to_owned();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let text = tokio::time::timeout(HANG_TIMEOUT, text).await;
        text.unwrap_or_else(|_| panic!("the program did not print `{label}`"))
    }

    /// A URL of the site.
    pub(crate) fn at(&self, path: &str) -> String {
        self.url.join(path).unwrap().into()
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Stops it with SIGTERM and returns its exit status and output.
    pub(crate) async fn end(self) -> (ExitStatus, String) {
        self.terminate().await;
        self.ended().await
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) async fn interrupt(&self) {
        self.signal("-INT").await;
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").args([name, &id]).status();
        assert!(kill.await.unwrap().success());
    }

    /// Waits until it ends and returns its exit status and output.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let ended = async {
            let status = self.child.wait().await.unwrap();
            for reader in &mut self.readers {
                reader.await.unwrap();
            }
            status
        };
        let status = tokio::time::timeout(HANG_TIMEOUT, ended)
            .await
            .expect("the program must end after a signal");
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        (status, log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("output of the program:\n{}", self.log.lock().unwrap());
        }
    }
}

type Lines = tokio::sync::mpsc::UnboundedSender<String>;

async fn read(pipe: impl AsyncRead + Unpin, log: Arc<Mutex<String>>, sender: Option<Lines>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut log = log.lock().unwrap();
        log.push_str(&line);
        log.push('\n');
        drop(log);
        if let Some(sender) = &sender {
            // The receiver is dropped after the URL.
            let _ = sender.send(line);
        }
    }
}
