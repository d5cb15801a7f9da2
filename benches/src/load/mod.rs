//! Load on `oten serve`, one scenario after the other. `benches/load` runs it.
//!
//! The load and the emulated provider run in this process on core 1, the sites in processes of their
//! own, everything on 127.0.0.1.

pub mod browser;
mod scenarios;
mod soak;

use std::{fs, path::PathBuf, time::Duration};

use axum_oten::emulator::{Deviation, EmulatedClient, Emulator};
use futures_util::future::{join_all, try_join_all};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use self::browser::Browser;
use crate::{
    Bad,
    process::{Redis, Site},
    report::{Limit, Report, Row, progress},
};

pub const SECRET: &str = "a secret of the load, of more than 32 bytes";
pub const SESSION_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/// No server listens there: the load sends callbacks to the site itself.
pub const REDIRECT_URI: &str = "http://127.0.0.1:1/callback";
pub const USERS: [&str; 3] = ["alice", "bob", "carol"];

const SCENARIOS: &[&str] = &[
    "steady", "storm", "expiry", "provider", "store", "attempts", "memory", "soak",
];

/// Runs the named scenarios, or all, and returns whether every expectation was met.
#[tokio::main]
pub async fn run(words: &[&str]) -> Result<bool, Bad> {
    let usage = || format!("usage: load [--minutes M] [{}]...", SCENARIOS.join("|"));
    let (mut minutes, mut names) = (10.0, Vec::new());
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match SCENARIOS.iter().find(|name| **name == word) {
            Some(&name) => names.push(name),
            None if word == "--minutes" => {
                minutes = words.next().ok_or_else(usage)?.parse()?;
            }
            None => return Err(usage().into()),
        }
    }
    if names.is_empty() {
        names = SCENARIOS.to_vec();
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let mut all_met = true;
    for name in names {
        // Dropping the scenario kills its processes and removes its files.
        let rows = select! {
            ended = scenario(name, minutes) => ended?,
            _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
            _ = terminated.recv() => return Err("terminated".into()),
        };
        let met = rows.iter().all(Row::is_met);
        println!("{name}: {}", if met { "ok" } else { "MISSED" });
        all_met &= met;
        Report::add(&rows)?;
    }
    Ok(all_met)
}

/// Runs one scenario and returns its figures.
async fn scenario(name: &'static str, minutes: f64) -> Result<Vec<Row>, Bad> {
    let folder = TempDir::new()?;
    let client = EmulatedClient::confidential("load", SECRET).redirect_uri(REDIRECT_URI);
    let mut run = Run {
        scenario: name,
        emulator: Emulator::builder().client(client).start().await?,
        folder: folder.path().to_owned(),
        rows: Vec::new(),
    };
    let outcome = match name {
        "steady" => scenarios::steady(&mut run).await,
        "storm" => scenarios::storm(&mut run).await,
        "expiry" => scenarios::expiry(&mut run).await,
        "provider" => scenarios::provider(&mut run).await,
        "store" => scenarios::store(&mut run).await,
        "attempts" => soak::attempts(&mut run).await,
        "memory" => soak::memory(&mut run).await,
        _ => soak::soak(&mut run, Duration::from_secs_f64(60.0 * minutes)).await,
    };
    if let Err(error) = outcome {
        let log = fs::read_to_string(folder.path().join("serve.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(10)..].join("\n");
        println!("{error}\nThe last lines of the log:\n{last}");
        run.row("ended early", (1.0, ""), Limit::Exactly(0.0));
    }
    Ok(run.rows)
}

/// A scenario that runs.
struct Run {
    scenario: &'static str,
    emulator: Emulator,
    folder: PathBuf,
    rows: Vec<Row>,
}

impl Run {
    /// Starts a site on a store.
    async fn site(&self, store: &str, cores: &str) -> Result<Site, Bad> {
        let settings = [
            ("OTEN_ISSUER", self.emulator.issuer()),
            ("OTEN_CLIENT_ID", "load"),
            ("OTEN_CLIENT_SECRET", SECRET),
            ("OTEN_REDIRECT_URI", REDIRECT_URI),
            ("OTEN_LISTEN", "127.0.0.1:0"),
            ("OTEN_SESSION_STORE", store),
            ("OTEN_SESSION_KEY", SESSION_KEY),
            // In a storm a millisecond may have more sign-ins than the default.
            ("OTEN_SESSIONS_PER_USER", "1000"),
        ];
        Site::start(&self.folder, cores, &settings).await
    }

    /// The names and addresses of the stores, and the server of the last.
    async fn stores(&self) -> Result<(Vec<(&'static str, String)>, Option<Redis>), Bad> {
        let redis = Redis::start(&self.folder).await?;
        let mut stores = vec![
            ("memory", "memory:".to_owned()),
            ("SQLite", "sqlite:load.sqlite".to_owned()),
        ];
        stores.extend(redis.iter().map(|redis| ("Redis", redis.url())));
        Ok((stores, redis))
    }

    fn row(&mut self, name: &str, figure: (f64, &str), limit: impl Into<Option<Limit>>) {
        let row = Row::new([self.scenario, name], figure, limit.into());
        println!("{row}");
        self.rows.push(row);
    }

    /// Adds the percentiles of latencies, with a limit in milliseconds for the 99th.
    fn latencies(&mut self, name: &str, mut took: Vec<Duration>, limit: Option<f64>) -> f64 {
        took.sort_unstable();
        let last = took.len().saturating_sub(1);
        let percentile = |share: f64| {
            let at = (took.len() as f64 * share) as usize;
            took.get(at.min(last)).copied().map_or(f64::NAN, millis)
        };
        let (p99, limit) = (percentile(0.99), limit.map(Limit::AtMost));
        self.row(&format!("{name}: p50"), (percentile(0.5), "ms"), None);
        self.row(&format!("{name}: p99"), (p99, "ms"), limit);
        self.row(&format!("{name}: p99.9"), (percentile(0.999), "ms"), None);
        p99
    }

    /// Signs in that many browsers, four at a time.
    async fn browsers(&self, site: &Site, count: usize) -> Result<Vec<Browser>, Bad> {
        let lanes = (0..4).map(async |lane| {
            let mut browsers = Vec::new();
            for number in (lane..count).step_by(4) {
                let mut browser = Browser::new(&site.address);
                let user = USERS[number % USERS.len()];
                browser.sign_in(&self.emulator, user).await?;
                browsers.push(browser);
            }
            Ok::<_, Bad>(browsers)
        });
        let signed_in = try_join_all(lanes);
        let lanes = show(&format!("sign in {count} browsers"), signed_in).await?;
        Ok(lanes.into_iter().flatten().collect())
    }

    /// Signs in browsers whose access tokens then expire. Later tokens live for an hour.
    async fn expired(&self, site: &Site, count: usize) -> Result<Vec<Browser>, Bad> {
        const LIFETIME: u64 = 6;
        let lifetime = Deviation::TokenField("expires_in", json!(LIFETIME));
        self.emulator.deviate(lifetime);
        let browsers = self.browsers(site, count).await;
        self.emulator.clear_deviations();
        let expire = sleep(Duration::from_secs(LIFETIME));
        show("wait until the access tokens expire", expire).await;
        browsers
    }

    /// Gives a new subject to the ID tokens of each millisecond, until the task is aborted: a user may
    /// not have more than a number of sessions.
    fn many_users(&self) -> Task {
        let emulator = self.emulator.clone();
        Task(tokio::spawn(async move {
            for number in 0.. {
                emulator.clear_deviations();
                let subject = json!(format!("alice-{number}"));
                emulator.deviate(Deviation::Claim("sub", subject));
                sleep(Duration::from_millis(1)).await;
            }
        }))
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A task that is aborted when dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Requests pages with each browser until the end, with a pause between two requests of a browser.
/// Returns how long each answer took.
async fn pages(
    browsers: &mut [Browser],
    lasts: Duration,
    pause: Duration,
) -> Result<Vec<Duration>, Bad> {
    let end = Instant::now() + lasts;
    let count = u32::try_from(browsers.len())?.max(1);
    let lanes = browsers.iter_mut().zip(0..).map(async |(browser, lane)| {
        // The browsers do not start at once.
        sleep(pause * lane / count).await;
        let mut took = Vec::new();
        while Instant::now() < end {
            took.push(browser.page().await?.took);
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        Ok::<_, Bad>(took)
    });
    let lanes = show("pages", try_join_all(lanes)).await?;
    Ok(lanes.into_iter().flatten().collect())
}

/// Requests the page with all browsers at once. Returns how many received their page, and the longest
/// answer in milliseconds.
async fn pages_at_once(browsers: Vec<Browser>) -> (f64, f64) {
    let answers = browsers.into_iter().map(async |mut browser| {
        // The connection closes with the browser: the site serves 512 at a time.
        browser.page().await.map(|answer| answer.took)
    });
    let begin = Instant::now();
    let answers = show("pages at once", join_all(answers)).await;
    let took = millis(begin.elapsed());
    (right(answers).len() as f64, took)
}

/// Shows the first failure and drops the others.
fn right<T>(outcomes: Vec<Result<T, Bad>>) -> Vec<T> {
    if let Some(Err(error)) = outcomes.iter().find(|outcome| outcome.is_err()) {
        eprintln!("{error}");
    }
    outcomes.into_iter().flatten().collect()
}

/// Shows progress while work lasts.
async fn show<T>(what: &str, work: impl Future<Output = T>) -> T {
    let begin = Instant::now();
    let second = Duration::from_secs(1);
    let mut tick = interval_at(begin + second, second);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tokio::pin!(work);
    loop {
        select! {
            biased;
            done = &mut work => {
                progress("");
                return done;
            }
            _ = tick.tick() => {
                progress(&format!("{what}: {} s", begin.elapsed().as_secs()));
            }
        }
    }
}
