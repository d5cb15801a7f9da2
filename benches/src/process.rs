//! The processes under load. They are killed when dropped, also after a failure or Ctrl-C, and by the
//! kernel if this process is killed.

use std::{
    fmt,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::Bad;

/// A child process.
pub struct Process(pub Child);

impl Process {
    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, name: &str) -> Result<(), Bad> {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status()?;
        sent.success().then_some(()).ok_or("no such process")?;
        Ok(())
    }

    /// Waits until the process has exited.
    pub async fn exit(&mut self, limit: Duration) -> Result<ExitStatus, Bad> {
        let end = Instant::now() + limit;
        loop {
            match self.0.try_wait()? {
                Some(status) => return Ok(status),
                None if Instant::now() > end => return Err("a process did not stop in time".into()),
                None => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<f64, Bad> {
        status(self.0.id(), "VmRSS:")
    }

    /// Resident memory in bytes without the pages of files, such as the program's own.
    pub fn own_memory(&self) -> Result<f64, Bad> {
        status(self.0.id(), "RssAnon:")
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

/// Returns a number of bytes in the status of a process, which can be `self`.
pub fn status(process: impl fmt::Display, name: &str) -> Result<f64, Bad> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = kib.ok_or("the process has ended")?;
    Ok(1024.0 * kib.trim().trim_end_matches(" kB").parse::<f64>()?)
}

/// A command whose process gets this signal when the thread that started it ends.
pub fn bound(signal: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]);
    command
}

/// A free port of 127.0.0.1.
pub fn free_port() -> Result<u16, Bad> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
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
        let mut command = bound("KILL");
        command
            .args(["taskset", "-c", cores])
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
    /// Arguments in addition to the usual ones, or instead of them if they begin with a file.
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Redis {
    /// Starts a server on a free port, or returns `None` if Redis is not installed.
    pub async fn start(folder: &Path) -> Result<Option<Self>, Bad> {
        Self::with(folder, &[]).await
    }

    /// Starts a server with arguments in addition to the usual ones.
    pub async fn with(folder: &Path, arguments: &[&str]) -> Result<Option<Self>, Bad> {
        if Command::new("redis-server")
            .arg("--version")
            .output()
            .is_err()
        {
            eprintln!("redis-server is missing: Redis is not measured");
            return Ok(None);
        }
        let port = free_port()?;
        let mut redis = Self {
            port,
            folder: folder.join(format!("redis-{port}")),
            arguments: arguments.iter().map(|&one| one.to_owned()).collect(),
            process: None,
        };
        fs::create_dir(&redis.folder)?;
        redis.restart().await?;
        Ok(Some(redis))
    }

    /// Starts a sentinel that watches a master, together with another one.
    pub async fn sentinel(folder: &Path, service: &str, master: u16) -> Result<Self, Bad> {
        let port = free_port()?;
        let mut sentinel = Self {
            port,
            folder: folder.join(format!("redis-{port}")),
            arguments: vec!["sentinel.conf".to_owned(), "--sentinel".to_owned()],
            process: None,
        };
        fs::create_dir(&sentinel.folder)?;
        let configuration = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor {service} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {service} 1000\n\
             sentinel failover-timeout {service} 4000\n"
        );
        fs::write(sentinel.folder.join("sentinel.conf"), configuration)?;
        sentinel.restart().await?;
        Ok(sentinel)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn signal(&self, name: &str) -> Result<(), Bad> {
        self.process.as_ref().ok_or("Redis is down")?.signal(name)
    }

    /// Sends an inline command and requires `OK`.
    pub fn command(&self, command: &str) -> Result<(), Bad> {
        match &*self.ask(command)? {
            "+OK" => Ok(()),
            answer => Err(format!("{command}: {answer}").into()),
        }
    }

    /// Returns whether a section of the server's information has this text.
    pub fn has(&self, section: &str, text: &str) -> Result<bool, Bad> {
        Ok(self.information(section)?.contains(text))
    }

    /// Returns a number in the server's information.
    pub fn number(&self, name: &str) -> Result<f64, Bad> {
        let information = self.information("")?;
        let mut lines = information.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(value.ok_or("the server has no such number")?.parse()?)
    }

    fn information(&self, section: &str) -> Result<String, Bad> {
        let mut reader = self.send(&format!("INFO {section}"))?;
        let mut length = String::new();
        reader.read_line(&mut length)?;
        let length = length.trim_end().trim_start_matches('$').parse()?;
        let mut information = String::new();
        reader.take(length).read_to_string(&mut information)?;
        Ok(information)
    }

    /// Sends an inline command and returns the first line of the answer.
    fn ask(&self, command: &str) -> Result<String, Bad> {
        let mut answer = String::new();
        self.send(command)?.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }

    fn send(&self, command: &str) -> Result<BufReader<TcpStream>, Bad> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        Ok(BufReader::new(stream))
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the server with its data and waits until it answers.
    pub async fn restart(&mut self) -> Result<(), Bad> {
        let port = self.port.to_string();
        let mut command = bound("KILL");
        command.arg("redis-server").current_dir(&self.folder);
        if !self.arguments.iter().any(|one| one == "--sentinel") {
            command
                .args(["--bind", "127.0.0.1", "--port", &port, "--save", ""])
                .args(["--appendonly", "yes"]);
        }
        let process = command
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn()?;
        self.process = Some(Process(process));
        for _ in 0..1000 {
            if self.ask("PING").is_ok_and(|answer| answer == "+PONG") {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err("redis-server does not answer".into())
    }
}
