//! The stores that break.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    Bad,
    process::{Process, Redis, bound, free_port},
};

/// A Redis master with two replicas, and three sentinels of which two decide. A server without a replica
/// rejects writes, as the guide recommends.
pub struct RedisSentinels {
    pub master: Redis,
    replicas: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl RedisSentinels {
    const SERVICE: &str = "sessions";

    /// Starts the servers, or returns `None` if Redis is not installed.
    pub async fn start(folder: &Path) -> Result<Option<Self>, Bad> {
        const ARGUMENTS: [&str; 4] = [
            "--min-replicas-to-write",
            "1",
            // Else the first synchronization waits for further replicas.
            "--repl-diskless-sync-delay",
            "0",
        ];
        let Some(master) = Redis::with(folder, &ARGUMENTS).await? else {
            return Ok(None);
        };
        let port = master.port().to_string();
        let of_master = [&ARGUMENTS[..], &["--replicaof", "127.0.0.1", &port]].concat();
        let (mut replicas, mut sentinels) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            replicas.extend(Redis::with(folder, &of_master).await?);
        }
        for _ in 0..3 {
            sentinels.push(Redis::sentinel(folder, Self::SERVICE, master.port()).await?);
        }
        until(|| master.has("replication", "min_slaves_good_slaves:2")).await?;
        for sentinel in &sentinels {
            until(|| sentinel.has("sentinel", "slaves=2,sentinels=3")).await?;
        }
        Ok(Some(Self {
            master,
            replicas,
            sentinels,
        }))
    }

    pub fn url(&self) -> String {
        let sentinels = self.sentinels.iter();
        let addresses: Vec<_> = sentinels
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port()))
            .collect();
        format!("redis+sentinel://{}/{}", addresses.join(","), Self::SERVICE)
    }

    /// Waits until the sentinels have made a replica the master.
    pub async fn failed_over(&self) -> Result<(), Bad> {
        until(|| {
            for replica in &self.replicas {
                if replica.has("replication", "role:master")? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }
}

async fn until(mut is_reached: impl FnMut() -> Result<bool, Bad>) -> Result<(), Bad> {
    let limit = Instant::now() + Duration::from_secs(30);
    while !is_reached()? {
        if Instant::now() > limit {
            return Err("the Redis servers are not ready".into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A PostgreSQL server with a folder of its own.
pub struct Postgres {
    pub port: u16,
    data: PathBuf,
    /// Arguments in addition to the usual ones.
    options: &'static [&'static str],
    process: Option<Process>,
    /// Removed at the end; the standby shares it.
    _folder: Option<TempDir>,
}

impl Postgres {
    /// Starts a server with a new database, or returns `None` if PostgreSQL is not installed.
    pub async fn start() -> Result<Option<Self>, Bad> {
        Self::with(&["-c", "fsync=off"]).await
    }

    /// Starts a server with arguments in addition to the usual ones.
    pub async fn with(options: &'static [&'static str]) -> Result<Option<Self>, Bad> {
        if Command::new(program("initdb")).arg("-V").output().is_err() {
            return Ok(None);
        }
        let folder = TempDir::new()?;
        if is_root() {
            let owner = Command::new("chown")
                .arg("postgres:")
                .arg(folder.path())
                .status()?;
            owner
                .success()
                .then_some(())
                .ok_or("the user `postgres` is missing")?;
        }
        let data = folder.path().join("data");
        let mut initdb = unprivileged("QUIT", "initdb");
        initdb
            .args(["--username=site", "--auth=trust", "--no-sync", "--pgdata"])
            .arg(&data);
        run(initdb).await?;
        let mut server = Self {
            port: free_port()?,
            data,
            options,
            process: None,
            _folder: Some(folder),
        };
        server.restart().await?;
        Ok(Some(server))
    }

    /// Starts a standby that every commit waits for.
    pub async fn standby(&self) -> Result<Self, Bad> {
        let mut standby = Self {
            port: free_port()?,
            data: self.data.with_file_name("standby"),
            options: self.options,
            process: None,
            _folder: None,
        };
        let mut backup = unprivileged("QUIT", "pg_basebackup");
        backup
            .args(["-h", "127.0.0.1", "-U", "site", "-R", "-c", "fast", "-p"])
            .args([&self.port.to_string(), "-D"])
            .arg(&standby.data);
        run(backup).await?;
        standby.restart().await?;
        self.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
            .await?;
        self.query("SELECT pg_reload_conf()").await?;
        Ok(standby)
    }

    pub async fn promote(&self) -> Result<(), Bad> {
        let mut promote = unprivileged("QUIT", "pg_ctl");
        promote.args(["promote", "-w", "-D"]).arg(&self.data);
        run(promote).await
    }

    pub async fn query(&self, statement: &str) -> Result<(), Bad> {
        let mut psql = Command::new(program("psql"));
        psql.args([
            "-qtA",
            "-h",
            "127.0.0.1",
            "-U",
            "site",
            "-d",
            "postgres",
            "-p",
        ])
        .args([&self.port.to_string(), "-c", statement]);
        run(psql).await
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Shuts the server down.
    pub async fn stop(&mut self) -> Result<(), Bad> {
        if let Some(mut process) = self.process.take() {
            process.signal("INT")?;
            process.exit(Duration::from_secs(60)).await?;
        }
        Ok(())
    }

    /// Starts the server with its data and waits until it answers. It does not start until all processes
    /// of a killed one have exited.
    pub async fn restart(&mut self) -> Result<(), Bad> {
        let port = self.port.to_string();
        let limit = Instant::now() + Duration::from_secs(30);
        while Instant::now() < limit {
            let mut server = unprivileged("QUIT", "postgres");
            server
                .args(["-h", "127.0.0.1", "-p", &port])
                .args(self.options)
                .arg("-k")
                .arg(self.data.with_file_name(""))
                .arg("-D")
                .arg(&self.data)
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut process = Process(server.spawn()?);
            while process.0.try_wait()?.is_none() && Instant::now() < limit {
                let mut ready = Command::new(program("pg_isready"));
                ready.args(["-q", "-h", "127.0.0.1", "-p", &port]);
                if ready.status()?.success() {
                    self.process = Some(process);
                    return Ok(());
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Err("PostgreSQL does not start".into())
    }
}

/// Ends the server with all its processes.
impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("QUIT").ok();
            process.0.wait().ok();
        }
    }
}

/// A folder on a small file system of its own, which needs root.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    pub async fn mount() -> Result<Option<Self>, Bad> {
        if !is_root() {
            return Ok(None);
        }
        let folder = TempDir::new()?;
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=24m", "oten-faults"])
            .arg(folder.path());
        run(mount).await?;
        Ok(Some(Self(folder)))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the file system to the last byte.
    pub fn fill(&self) {
        fs::write(self.path().join("rest"), vec![0; 32 << 20]).ok();
    }

    pub fn free(&self) -> Result<(), Bad> {
        Ok(fs::remove_file(self.path().join("rest"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .status()
            .ok();
    }
}

/// Runs a command to its end.
async fn run(mut command: Command) -> Result<(), Bad> {
    let output = spawn_blocking(move || command.output()).await??;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into())
}

/// Returns the path of a PostgreSQL program, which is not in `PATH` on every system.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin").join(name)))
        .filter(|program| program.exists())
        .max();
    newest.unwrap_or_else(|| name.into())
}

/// Runs a PostgreSQL program as the user `postgres` if this process runs as root, because the server does
/// not.
fn unprivileged(signal: &str, name: &str) -> Command {
    let mut command = bound(signal);
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg(program(name)).current_dir("/");
    command
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n")
}

pub fn postgres_version() -> String {
    let output = Command::new(program("postgres")).arg("-V").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let version = text.split_whitespace().nth(2).unwrap_or("not installed");
    format!("PostgreSQL {version}")
}
