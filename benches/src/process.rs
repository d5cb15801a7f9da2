//! The processes under load. They are killed when dropped, also after a failure or Ctrl-C.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::Bad;

/// A child process.
pub struct Process(pub Child);

impl Process {
    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<f64, Bad> {
        self.status("VmRSS:")
    }

    /// Resident memory in bytes without the pages of files, such as the program's own.
    pub fn own_memory(&self) -> Result<f64, Bad> {
        self.status("RssAnon:")
    }

    fn status(&self, name: &str) -> Result<f64, Bad> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let kib = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = kib.ok_or("the process has ended")?;
        Ok(1024.0 * kib.trim().trim_end_matches(" kB").parse::<f64>()?)
    }

    /// The number of open descriptors.
    pub fn descriptors(&self) -> Result<f64, Bad> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.0.id()))?.count() as f64)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Core 0: the load and the provider run on core 1.
pub const FIRST_CORE: &str = "0";
pub const ALL_CORES: &str = "0-1023";

/// `oten serve`.
pub struct Site {
    pub address: String,
    pub process: Process,
    /// Open, so that the process can print.
    _stdout: BufReader<ChildStdout>,
}

impl Site {
    /// Starts the program, which logs to `serve.log` in the folder.
    pub async fn start(folder: &Path, cores: &str, settings: &[(&str, &str)]) -> Result<Self, Bad> {
        let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/oten");
        let program = std::env::var_os("OTEN_PROGRAM").unwrap_or_else(|| built.into());
        let log = folder.join("serve.log");
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("taskset");
        command
            .args(["-c", cores])
            .arg(program)
            .arg("serve")
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(log);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEN_")) {
            command.env_remove(name);
        }
        command
            .env("RUST_LOG", "warn")
            .envs(settings.iter().copied());
        let mut process = Process(command.spawn()?);
        let mut stdout = BufReader::new(process.0.stdout.take().ok_or("no output")?);
        let url = spawn_blocking(move || {
            let mut line = String::new();
            while stdout.read_line(&mut line)? > 0 {
                if let Some((_, address)) = line.split_once("http://") {
                    return Ok((address.trim_end().to_owned(), stdout));
                }
                line.clear();
            }
            Err(Bad::from("`oten serve` did not start"))
        });
        let (address, _stdout) = timeout(Duration::from_secs(20), url).await???;
        Ok(Self {
            address,
            process,
            _stdout,
        })
    }
}

/// A Redis server that survives a SIGKILL without loss.
pub struct Redis {
    port: u16,
    folder: PathBuf,
    process: Option<Process>,
}

impl Redis {
    /// Starts a server on a free port, or returns `None` if Redis is not installed.
    pub async fn start(folder: &Path) -> Result<Option<Self>, Bad> {
        if Command::new("redis-server")
            .arg("--version")
            .output()
            .is_err()
        {
            eprintln!("redis-server is missing: Redis is not measured");
            return Ok(None);
        }
        let mut redis = Self {
            port: TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
            folder: folder.to_owned(),
            process: None,
        };
        redis.restart().await?;
        Ok(Some(redis))
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the server with its data and waits until it answers.
    pub async fn restart(&mut self) -> Result<(), Bad> {
        let port = self.port.to_string();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port, "--save", ""])
            .args(["--appendonly", "yes", "--dir"])
            .arg(&self.folder)
            .stdout(Stdio::null())
            .spawn()?;
        self.process = Some(Process(process));
        for _ in 0..1000 {
            if self.answers().unwrap_or(false) {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err("redis-server does not answer".into())
    }

    fn answers(&self) -> Result<bool, Bad> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    }
}
