//! The program as a child process.

use std::{
    path::PathBuf,
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

/// Long enough for a busy machine; a program that takes as long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program with nothing of ours in its environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oten"));
    command
        .args(arguments)
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

/// A folder for what the program keeps, of this run of the tests.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("oten-tests-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What the program said before it ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program to its end.
pub(crate) async fn run(command: &mut Command) -> Ended {
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("the program must end by itself")
        .unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The running program; it is killed when dropped.
pub(crate) struct Running {
    /// Where it listens, as it says itself.
    pub(crate) url: Url,
    child: Child,
    log: Arc<Mutex<String>>,
    listeners: [JoinHandle<()>; 2],
}

impl Running {
    /// Starts the program and waits until it says where it listens.
    pub(crate) async fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (said, mut hear) = tokio::sync::mpsc::unbounded_channel();
        let (stderr, stdout) = (child.stderr.take().unwrap(), child.stdout.take().unwrap());
        let listeners = [
            tokio::spawn(listen(stderr, Arc::clone(&log), None)),
            tokio::spawn(listen(stdout, Arc::clone(&log), Some(said))),
        ];
        let url = async {
            while let Some(line) = hear.recv().await {
                let mut words = line.split_whitespace();
                if let Some(url) =
                    words.find(|word| word.starts_with("http://") || word.starts_with("https://"))
                {
                    return Some(Url::parse(url).unwrap());
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, url).await {
            Ok(Some(url)) => Self {
                url,
                child,
                log,
                listeners,
            },
            _ => panic!("the program does not listen:\n{}", log.lock().unwrap()),
        }
    }

    /// What it said about itself at start beside this label.
    pub(crate) async fn said(&self, label: &str) -> String {
        let said = async {
            loop {
                let log = self.log.lock().unwrap().clone();
                let mut lines = log.lines().map(str::trim);
                if let Some(text) = lines.find_map(|line| line.strip_prefix(label)) {
                    return text.trim().to_owned();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let said = tokio::time::timeout(PATIENCE, said).await;
        said.unwrap_or_else(|_| panic!("the program does not say `{label}`"))
    }

    /// A URL of the site.
    pub(crate) fn at(&self, path: &str) -> String {
        self.url.join(path).unwrap().into()
    }

    /// Ends it at once, in the middle of whatever it does.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop, as a supervisor does, and gives its last status and all it ever wrote.
    pub(crate) async fn end(self) -> (ExitStatus, String) {
        self.terminate().await;
        self.ended().await
    }

    /// Sends the signal to stop, as a supervisor does, and goes on.
    pub(crate) async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// Sends the signal to stop, as Ctrl-C does, and goes on.
    pub(crate) async fn interrupt(&self) {
        self.signal("-INT").await;
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").args([name, &id]).status();
        assert!(kill.await.unwrap().success());
    }

    /// Waits for its end, and gives its last status and all it ever wrote.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let ended = async {
            let status = self.child.wait().await.unwrap();
            for listener in &mut self.listeners {
                listener.await.unwrap();
            }
            status
        };
        let status = tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("the program must end when asked");
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        (status, log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the program said:\n{}", self.log.lock().unwrap());
        }
    }
}

type Said = tokio::sync::mpsc::UnboundedSender<String>;

async fn listen(pipe: impl AsyncRead + Unpin, log: Arc<Mutex<String>>, said: Option<Said>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut log = log.lock().unwrap();
        log.push_str(&line);
        log.push('\n');
        drop(log);
        if let Some(said) = &said {
            // Nobody needs to hear it after the address.
            let _ = said.send(line);
        }
    }
}
