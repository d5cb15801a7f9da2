//! The fault matrix: two `oten serve` processes behind a balancer, 200 signed-in browsers, and one thing
//! that breaks at a time. `benches/faults` runs it.
//!
//! Browsers, balancer and the emulated provider run in this process; the sites and the servers of the
//! stores in processes of their own. Everything listens on 127.0.0.1.

mod balancer;
mod proxy;
pub mod servers;
mod table;
mod traffic;

use std::{fs, path::PathBuf, time::Duration};

use axum_oten::emulator::{Deviation, EmulatedClient, Emulator, Endpoint, Fault};
use bytes::Bytes;
use serde_json::json;
use sqlx::{ConnectOptions, Connection, Executor, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use self::{
    balancer::Balancer,
    proxy::{Network, Proxy},
    servers::{Postgres, RedisSentinels, SmallDisk},
    table::Line,
    traffic::{Phase, Seen, Traffic},
};
use crate::{
    Bad,
    load::{REDIRECT_URI, SECRET, SESSION_KEY},
    process::{ALL_CORES, Redis, Site, free_port},
    report::progress,
};

const BROWSERS: usize = 200;

/// Tokens are refreshed after half of their lifetime.
const TOKEN_LIFETIME: Duration = Duration::from_secs(12);

/// How long the provider takes for a token request, so that several are under way at any time.
const TOKEN_DELAY: Duration = Duration::from_millis(150);

const BEFORE: Duration = Duration::from_secs(2);

/// How long the browsers go on after the repair: a failed refresh is repeated after 10 seconds.
const AFTER: Duration = Duration::from_secs(14);

/// A row takes less than a minute.
const ROW_LIMIT: Duration = Duration::from_secs(150);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreKind {
    Redis,
    /// A Redis master with replicas and sentinels, which the sites reach without the proxy.
    Sentinel,
    Postgres,
    Sqlite,
    /// SQLite on a small file system.
    SmallDisk,
}

/// The faults, and the stores of the sites.
const FAULTS: &[(&str, StoreKind)] = &[
    ("redis-killed", StoreKind::Redis),
    ("redis-paused", StoreKind::Redis),
    ("redis-full", StoreKind::Redis),
    ("redis-read-only", StoreKind::Redis),
    ("redis-too-few-replicas", StoreKind::Redis),
    ("redis-cut", StoreKind::Redis),
    ("redis-silent", StoreKind::Redis),
    ("sentinel-failover", StoreKind::Sentinel),
    ("postgres-killed", StoreKind::Postgres),
    ("postgres-terminated", StoreKind::Postgres),
    ("postgres-failover", StoreKind::Postgres),
    ("postgres-silent", StoreKind::Postgres),
    ("sqlite-locked", StoreKind::Sqlite),
    ("sqlite-disk-full", StoreKind::SmallDisk),
    ("provider-down", StoreKind::Redis),
    ("provider-slow", StoreKind::Redis),
    ("provider-500", StoreKind::Redis),
    ("provider-429", StoreKind::Redis),
    ("provider-garbage", StoreKind::Redis),
    ("provider-keys", StoreKind::Redis),
    ("provider-ahead", StoreKind::Redis),
    ("provider-behind", StoreKind::Redis),
    ("process-killed", StoreKind::Redis),
    ("process-stopped", StoreKind::Redis),
    ("process-paused", StoreKind::Redis),
];

/// Runs the faults of `--only`, or all, and returns whether no row was left out and every goal was met.
#[tokio::main]
pub async fn run(words: &[&str]) -> Result<bool, Bad> {
    let names: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
    let usage = || format!("usage: faults --write | [--only {}]...", names.join("|"));
    let (mut writes, mut only) = (false, Vec::new());
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--write" => writes = true,
            "--only" => {
                let name = words.next().filter(|name| names.contains(name));
                only.push(*name.ok_or_else(usage)?);
            }
            _ => return Err(usage().into()),
        }
    }
    // The table of the guide has all rows.
    if writes && !only.is_empty() {
        return Err(usage().into());
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let chosen = FAULTS
        .iter()
        .filter(|(name, _)| only.is_empty() || only.contains(name));
    let (mut lines, mut is_complete) = (Vec::new(), true);
    println!("{}", table::HEAD.join("\n"));
    for &(name, store) in chosen {
        // Dropping the row ends its processes and removes its files.
        let line = select! {
            line = timeout(ROW_LIMIT, row(name, store)) => line,
            _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
            _ = terminated.recv() => return Err("terminated".into()),
        };
        let line = match line {
            Ok(Ok(Some(seen))) => Line::new(name, &seen),
            Ok(Ok(None)) => {
                eprintln!("{name}: left out, because its server is not installed or needs root");
                is_complete = false;
                continue;
            }
            Ok(Err(error)) => Line::failed(name, &error.to_string()),
            Err(_) => Line::failed(name, "the row did not end in time"),
        };
        println!("{line}");
        for problem in &line.problems {
            eprintln!("{name}: {problem}");
        }
        lines.push(line);
    }
    if writes && is_complete {
        table::write(&lines)?;
    }
    Ok(is_complete && lines.iter().all(|line| line.problems.is_empty()))
}

/// Breaks one thing. Returns `None` if the machine lacks what the row needs.
async fn row(name: &str, store: StoreKind) -> Result<Option<Seen>, Bad> {
    let Some(mut world) = World::new(store).await? else {
        return Ok(None);
    };
    let addresses = world.sites.iter().map(|site| site.address.clone());
    let balancer = Balancer::start(&addresses.collect::<Vec<_>>()).await?;
    let traffic = Traffic::sign_in(&world.emulator, &balancer.address, BROWSERS).await?;
    let (phase, receiver) = watch::channel(Phase::Before);
    let emulator = world.emulator.clone();
    let provider_fails = name.starts_with("provider-");
    let browsers =
        tokio::spawn(async move { traffic.run(&emulator, provider_fails, &receiver).await });
    let mut browsers = Task(browsers);
    sleep(BEFORE).await;
    progress(&format!("{name}: broken"));
    phase.send_replace(Phase::Broken);
    world.break_and_repair(name).await?;
    progress(&format!("{name}: repaired"));
    let repaired = Instant::now();
    phase.send_replace(Phase::Repaired(repaired));
    sleep(AFTER).await;
    phase.send_replace(Phase::Over(repaired));
    let seen = (&mut browsers.0).await?;
    if let Ok(folder) = std::env::var("FAULTS_LOG") {
        fs::copy(
            world.folder.join("serve.log"),
            format!("{folder}/{name}.log"),
        )?;
    }
    Ok(Some(seen))
}

/// A task that is aborted when dropped.
struct Task<T = ()>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The server of a store. Fields are dropped in this order.
enum Store {
    Redis(Redis),
    Sentinel(RedisSentinels),
    Postgres {
        standby: Option<Postgres>,
        primary: Postgres,
    },
    Sqlite,
    SmallDisk(SmallDisk),
}

/// Everything that can break.
struct World {
    emulator: Emulator,
    sites: Vec<Site>,
    settings: Vec<(&'static str, String)>,
    /// `None` if the store is a file or has sentinels.
    proxy: Option<Proxy>,
    store: Store,
    folder: PathBuf,
    _folder: TempDir,
}

impl World {
    async fn new(kind: StoreKind) -> Result<Option<Self>, Bad> {
        let temporary = TempDir::new()?;
        let folder = temporary.path().to_owned();
        let (store, port, url) = match kind {
            StoreKind::Redis => {
                let Some(redis) = Redis::start(&folder).await? else {
                    return Ok(None);
                };
                let port = redis.port();
                (
                    Store::Redis(redis),
                    Some(port),
                    "redis://127.0.0.1:PORT".to_owned(),
                )
            }
            StoreKind::Sentinel => {
                let Some(servers) = RedisSentinels::start(&folder).await? else {
                    return Ok(None);
                };
                let url = servers.url();
                (Store::Sentinel(servers), None, url)
            }
            StoreKind::Postgres => {
                let Some(primary) = Postgres::start().await? else {
                    return Ok(None);
                };
                let (port, standby) = (primary.port, None);
                let url = "postgres://site@127.0.0.1:PORT/postgres".to_owned();
                (Store::Postgres { standby, primary }, Some(port), url)
            }
            StoreKind::Sqlite => (Store::Sqlite, None, "sqlite:faults.sqlite".to_owned()),
            StoreKind::SmallDisk => {
                let Some(disk) = SmallDisk::mount().await? else {
                    return Ok(None);
                };
                let url = format!("sqlite:{}/faults.sqlite", disk.path().display());
                (Store::SmallDisk(disk), None, url)
            }
        };
        let proxy = match port {
            Some(port) => Some(Proxy::to(port).await?),
            None => None,
        };
        let url = match &proxy {
            Some(proxy) => url.replace("PORT", &proxy.port.to_string()),
            None => url,
        };
        let client = EmulatedClient::confidential("load", SECRET).redirect_uri(REDIRECT_URI);
        let emulator = Emulator::builder()
            .client(client)
            .access_token_lifetime(TOKEN_LIFETIME)
            .start()
            .await?;
        let settings = vec![
            ("OTEN_ISSUER", emulator.issuer().to_owned()),
            ("OTEN_CLIENT_ID", "load".to_owned()),
            ("OTEN_CLIENT_SECRET", SECRET.to_owned()),
            ("OTEN_REDIRECT_URI", REDIRECT_URI.to_owned()),
            ("OTEN_SESSION_STORE", url),
            ("OTEN_SESSION_KEY", SESSION_KEY.to_owned()),
            ("OTEN_SESSIONS_PER_USER", "1000".to_owned()),
            ("OTEN_INSTANCES", "2".to_owned()),
            // More than so many short-lived tokens need.
            ("OTEN_TOKEN_REQUESTS_PER_MINUTE", "100000".to_owned()),
        ];
        let mut world = Self {
            emulator,
            sites: Vec::new(),
            settings,
            proxy,
            store,
            folder,
            _folder: temporary,
        };
        world.provider(None);
        for _ in 0..2 {
            let address = format!("127.0.0.1:{}", free_port()?);
            world.sites.push(world.start_site(address).await?);
        }
        Ok(Some(world))
    }

    async fn start_site(&self, address: String) -> Result<Site, Bad> {
        let own = ("OTEN_LISTEN", address.as_str());
        let settings = self
            .settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let settings: Vec<_> = settings.chain([own]).collect();
        Site::start(&self.folder, ALL_CORES, &settings).await
    }

    /// Sets the fault of the provider, or none.
    fn provider(&self, fault: Option<Fault>) {
        self.emulator.clear_faults();
        match fault {
            None => self
                .emulator
                .fault(Endpoint::Token, Fault::Delay(TOKEN_DELAY)),
            Some(fault) => {
                for endpoint in [Endpoint::Token, Endpoint::Discovery, Endpoint::Jwks] {
                    self.emulator.fault(endpoint, fault.clone());
                }
            }
        }
    }

    /// Sets the clock of the provider as its ID tokens show it.
    fn provider_clock(&self, ahead: i64) {
        let now = OffsetDateTime::now_utc().unix_timestamp() + ahead;
        for (claim, time) in [("iat", now), ("exp", now + 3600)] {
            self.emulator.deviate(Deviation::Claim(claim, json!(time)));
        }
    }

    fn network(&self, network: Network) -> Result<(), Bad> {
        self.proxy
            .as_ref()
            .ok_or("the store has no proxy")?
            .set(network);
        Ok(())
    }

    async fn break_and_repair(&mut self, name: &str) -> Result<(), Bad> {
        let seconds = Duration::from_secs;
        match (name, &mut self.store) {
            ("redis-killed", Store::Redis(redis)) => {
                redis.kill();
                sleep(seconds(8)).await;
                redis.restart().await
            }
            ("redis-paused", Store::Redis(redis)) => {
                redis.signal("STOP")?;
                sleep(seconds(20)).await;
                redis.signal("CONT")
            }
            ("redis-full", Store::Redis(redis)) => {
                redis.command("CONFIG SET maxmemory 1")?;
                sleep(seconds(10)).await;
                redis.command("CONFIG SET maxmemory 0")
            }
            ("redis-read-only", Store::Redis(redis)) => {
                // A server that does not exist: the data stay, and can only be read.
                redis.command("REPLICAOF 127.0.0.1 1")?;
                sleep(seconds(10)).await;
                redis.command("REPLICAOF NO ONE")
            }
            ("redis-too-few-replicas", Store::Redis(redis)) => {
                redis.command("CONFIG SET min-replicas-to-write 1")?;
                sleep(seconds(10)).await;
                redis.command("CONFIG SET min-replicas-to-write 0")
            }
            ("redis-cut" | "redis-silent", Store::Redis(redis)) => {
                let port = redis.port();
                self.network(if name == "redis-cut" {
                    Network::Cut
                } else {
                    Network::Silent
                })?;
                sleep(seconds(10)).await;
                self.network(Network::To(port))
            }
            ("postgres-killed", Store::Postgres { primary, .. }) => {
                primary.kill();
                sleep(seconds(8)).await;
                primary.restart().await
            }
            ("postgres-terminated", Store::Postgres { primary, .. }) => {
                for _ in 0..20 {
                    primary
                        .query(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                             WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
                        )
                        .await?;
                    sleep(Duration::from_millis(300)).await;
                }
                Ok(())
            }
            ("postgres-failover", Store::Postgres { standby, primary }) => {
                let standby = &*standby.insert(primary.standby().await?);
                // The standby has what was committed from now on.
                sleep(seconds(2)).await;
                primary.kill();
                sleep(seconds(5)).await;
                standby.promote().await?;
                let port = standby.port;
                self.network(Network::To(port))
            }
            ("postgres-silent", Store::Postgres { primary, .. }) => {
                let port = primary.port;
                self.network(Network::Silent)?;
                sleep(seconds(10)).await;
                self.network(Network::To(port))
            }
            ("sentinel-failover", Store::Sentinel(servers)) => {
                servers.master.kill();
                servers.failed_over().await?;
                servers.master.restart().await
            }
            ("sqlite-locked", Store::Sqlite) => {
                let file = SqliteConnectOptions::new().filename(self.folder.join("faults.sqlite"));
                let mut other = file.busy_timeout(seconds(5)).connect().await?;
                other.execute("BEGIN EXCLUSIVE").await?;
                sleep(seconds(10)).await;
                other.execute("ROLLBACK").await?;
                Ok(other.close().await?)
            }
            ("sqlite-disk-full", Store::SmallDisk(disk)) => {
                disk.fill();
                sleep(seconds(10)).await;
                disk.free()
            }
            ("provider-down", _) => {
                self.emulator.stop().await;
                sleep(seconds(12)).await;
                Ok(self.emulator.resume().await?)
            }
            ("provider-slow", _) => self.provider_fails(Fault::Delay(seconds(5))).await,
            ("provider-500", _) => self.provider_fails(Fault::Status(500)).await,
            ("provider-429", _) => {
                let retry_after = Some(seconds(2));
                self.provider_fails(Fault::TooManyRequests { retry_after })
                    .await
            }
            ("provider-garbage", _) => {
                let content_type = "application/json";
                let bytes = Bytes::from_static(b"{\"access_token\": [\xff\x00");
                self.provider_fails(Fault::Body {
                    content_type,
                    bytes,
                })
                .await
            }
            ("provider-keys", _) => {
                for _ in 0..4 {
                    self.emulator.rotate_keys();
                    sleep(seconds(3)).await;
                }
                Ok(())
            }
            ("provider-ahead" | "provider-behind", _) => {
                self.provider_clock(if name == "provider-ahead" { 300 } else { -300 });
                sleep(seconds(12)).await;
                self.emulator.clear_deviations();
                Ok(())
            }
            ("process-killed", _) => {
                let address = self.sites.remove(0).address.clone();
                sleep(seconds(5)).await;
                let site = self.start_site(address).await?;
                self.sites.push(site);
                Ok(())
            }
            ("process-stopped", _) => {
                let mut site = self.sites.remove(0);
                site.process.signal("TERM")?;
                let status = site.process.exit(seconds(28)).await?;
                status
                    .success()
                    .then_some(())
                    .ok_or("the process failed when it stopped")?;
                let site = self.start_site(site.address.clone()).await?;
                self.sites.push(site);
                Ok(())
            }
            ("process-paused", _) => {
                self.sites[0].process.signal("STOP")?;
                sleep(seconds(20)).await;
                self.sites[0].process.signal("CONT")
            }
            _ => Err("this fault needs another store".into()),
        }
    }

    async fn provider_fails(&self, fault: Fault) -> Result<(), Bad> {
        self.provider(Some(fault));
        sleep(Duration::from_secs(12)).await;
        self.provider(None);
        Ok(())
    }
}
