//! What sessions cost in each store, from a thousand to a million measured, and calculated from there.
//! `benches/sizing` runs it.
//!
//! The stores run on this machine beside the load, on 127.0.0.1. The memory store runs in a process of its
//! own for each size.

mod page;
mod partitions;
mod picture;
mod session;
mod stores;

use std::{
    collections::BTreeMap,
    fs,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use self::{
    partitions::Partitions,
    session::{Operation, Recorded, noise, replay},
    stores::{EXPIRING, Filled, Kind},
};
use crate::{Bad, faults::servers::postgres_version, report::Conditions};

const JSON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/sizing.json");

const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// One store with one size takes less.
const LIMIT: Duration = Duration::from_secs(480);

/// The requests at the same time, for throughput.
const TASKS: u64 = 8;

const LASTS: Duration = Duration::from_secs(2);

/// The figures of one store with one number of sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Figures {
    kind: Kind,
    sessions: u64,
    fill_seconds: f64,
    bytes_per_session: f64,
    page: Event,
    refresh: Event,
    extension: Event,
    /// `None` if the store removes sessions with later writes.
    expiry_seconds: Option<f64>,
    /// The part of the expired records that were removed then.
    expiry_share: Option<f64>,
    page_p99_ms_meanwhile: f64,
    wal_bytes_per_refresh: Option<f64>,
    crash: Option<Crash>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Event {
    /// With one request at a time.
    p50_ms: f64,
    p99_ms: f64,
    /// With [`TASKS`] requests at a time.
    per_second: f64,
}

/// What a crash of PostgreSQL does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Crash {
    /// The part of the records that is left after a crash, and how long the server takes to start.
    left: f64,
    start_seconds: f64,
    left_after_shutdown: f64,
    /// How long the logged tables are locked to make them unlogged.
    switch_seconds: Option<f64>,
    /// The part of the records that is left after the switch, and after another crash.
    left_after_switch: Option<f64>,
}

/// The results of all runs with the same versions.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Results {
    conditions: Conditions,
    /// By store and size.
    figures: BTreeMap<String, Figures>,
    partitions: Option<Partitions>,
}

impl Results {
    fn read() -> Self {
        let text = fs::read_to_string(JSON).unwrap_or_default();
        let results: Self = serde_json::from_str(&text).unwrap_or_default();
        let mut conditions = Conditions::new();
        conditions.0.insert(2, postgres_version());
        if results.conditions == conditions {
            return results;
        }
        Self {
            conditions,
            ..Self::default()
        }
    }

    fn save(&self) -> Result<(), Bad> {
        Ok(fs::write(JSON, serde_json::to_string_pretty(self)?)?)
    }

    fn find(&self, kind: Kind, sessions: u64) -> Option<&Figures> {
        let mut figures = self.figures.values();
        figures.find(|it| it.kind == kind && it.sessions == sessions)
    }
}

/// Measures the stores of `--only`, or all, and returns whether every size was measured.
#[tokio::main]
pub async fn run(words: &[&str]) -> Result<bool, Bad> {
    let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
    names.push("partitions");
    let usage = || {
        let names = names.join("|");
        format!("usage: sizing [--only {names}|nothing]... [--max SESSIONS] [--write]")
    };
    if let ["--memory", sessions] = words {
        let recorded = Arc::new(Recorded::new(false).await?);
        let figures = measure(Kind::Memory, sessions.parse()?, &recorded).await?;
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(true);
    }
    let (mut writes, mut only, mut max) = (false, Vec::new(), u64::MAX);
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--write" => writes = true,
            "--max" => max = words.next().ok_or_else(usage)?.parse()?,
            "--only" => {
                let name = words.next().ok_or_else(usage)?;
                if *name != "nothing" && !names.contains(name) {
                    return Err(usage().into());
                }
                only.push(*name);
            }
            _ => return Err(usage().into()),
        }
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let mut results = Results::read();
    let mut is_complete = true;
    let is_chosen = |name: &str| only.is_empty() || only.contains(&name);
    let sealed = Arc::new(Recorded::new(true).await?);
    for kind in Kind::ALL.into_iter().filter(|kind| is_chosen(kind.word())) {
        for sessions in SIZES.into_iter().filter(|sessions| *sessions <= max) {
            // Dropping the store ends its server and removes its files.
            let figures = select! {
                figures = timeout(LIMIT, figures(kind, sessions, &sealed)) => figures,
                _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
                _ = terminated.recv() => return Err("terminated".into()),
            };
            let name = format!("{} {sessions:>9}", kind.word());
            match figures {
                Ok(Ok(Some(figures))) => {
                    println!("{name}: {}", serde_json::to_string(&figures)?);
                    results.figures.insert(name, figures);
                    results.save()?;
                }
                Ok(Ok(None)) => {
                    eprintln!("{name}: left out, because its server is not installed");
                    is_complete = false;
                }
                Ok(Err(error)) => return Err(format!("{name}: {error}").into()),
                Err(_) => {
                    eprintln!("{name}: left out, because it takes too long");
                    is_complete = false;
                }
            }
        }
    }
    if is_chosen("partitions") {
        let partitions = select! {
            partitions = timeout(LIMIT, partitions::measure()) => partitions??,
            _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
            _ = terminated.recv() => return Err("terminated".into()),
        };
        println!("partitions: {}", serde_json::to_string(&partitions)?);
        is_complete &= partitions.is_some();
        results.partitions = partitions;
        results.save()?;
    }
    if writes {
        let plain = Recorded::new(false).await?;
        page::write(&results, &sealed, &plain)?;
    }
    Ok(is_complete)
}

async fn figures(
    kind: Kind,
    sessions: u64,
    sealed: &Arc<Recorded>,
) -> Result<Option<Figures>, Bad> {
    if kind != Kind::Memory {
        return measure(kind, sessions, sealed).await;
    }
    let mut process = tokio::process::Command::new(std::env::current_exe()?);
    process
        .args(["sizing", "--memory", &sessions.to_string()])
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let output = process.output().await?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Fills a store and measures it. Returns `None` if its server is not installed.
async fn measure(
    kind: Kind,
    sessions: u64,
    recorded: &Arc<Recorded>,
) -> Result<Option<Figures>, Bad> {
    let Some(mut filled) = Filled::empty(kind, recorded).await? else {
        return Ok(None);
    };
    let begin = Instant::now();
    filled.fill(sessions).await?;
    let fill_seconds = begin.elapsed().as_secs_f64();
    eprintln!(
        "{}: {sessions} sessions in {fill_seconds:.0} s",
        kind.word()
    );
    let bytes_per_session = filled.bytes_per_session().await?;

    let load = |operations: &Vec<Operation>, tasks, lasts| Load {
        filled: &filled,
        sessions,
        operations: operations.clone().into(),
        tasks,
        until: Arc::new(AtomicBool::new(false)),
        lasts,
    };
    let event = async |operations| {
        let one = load(operations, 1, LASTS).run().await?;
        let many = load(operations, TASKS, LASTS).run().await?;
        Ok::<_, Bad>(Event {
            p50_ms: percentile(&one, 0.5),
            p99_ms: percentile(&one, 0.99),
            per_second: many.len() as f64 / LASTS.as_secs_f64(),
        })
    };
    let page = event(&recorded.page).await?;
    let extension = event(&recorded.extension).await?;
    let refresh = event(&recorded.refresh).await?;
    let wal = filled.wal().await?;
    let refreshes = load(&recorded.refresh, TASKS, LASTS).run().await?.len();
    let wal_bytes_per_refresh = filled.wal().await?.zip(wal);
    let wal_bytes_per_refresh =
        wal_bytes_per_refresh.map(|(after, before)| (after - before) / refreshes as f64);

    let pages = load(&recorded.page, 1, LIMIT);
    let writes = load(&recorded.refresh, 1, LASTS);
    let expiry = async {
        let expiry = filled.expire().await?;
        if expiry.is_none() {
            writes.run().await?;
        }
        pages.until.store(true, Ordering::Relaxed);
        Ok::<_, Bad>(expiry)
    };
    let (expiry, meanwhile) = tokio::try_join!(expiry, pages.run())?;
    let crash = match kind {
        Kind::Postgres | Kind::Unlogged => crash(&mut filled).await?,
        _ => None,
    };
    Ok(Some(Figures {
        kind,
        sessions,
        fill_seconds,
        bytes_per_session,
        page,
        refresh,
        extension,
        expiry_seconds: expiry.map(|(took, _)| took.as_secs_f64()),
        expiry_share: expiry.map(|(_, share)| share),
        page_p99_ms_meanwhile: percentile(&meanwhile, 0.99),
        wal_bytes_per_refresh,
        crash,
    }))
}

/// Shuts PostgreSQL down and kills it. Makes logged tables unlogged and kills it again.
async fn crash(filled: &mut Filled) -> Result<Option<Crash>, Bad> {
    let Some((_, left_after_shutdown)) = filled.restart(false).await? else {
        return Ok(None);
    };
    let Some((start, left)) = filled.restart(true).await? else {
        return Ok(None);
    };
    let mut crash = Crash {
        left,
        start_seconds: start.as_secs_f64(),
        left_after_shutdown,
        switch_seconds: None,
        left_after_switch: None,
    };
    if filled.kind == Kind::Postgres {
        let locked = filled.set_unlogged().await?;
        crash.switch_seconds = locked.map(|locked| locked.as_secs_f64());
        // Not lost by the switch, but by the next crash.
        let left = filled.restart(false).await?.map_or(0.0, |(_, left)| left);
        crash.left_after_switch = Some(left);
        if filled
            .restart(true)
            .await?
            .is_none_or(|(_, left)| left > 0.0)
        {
            return Err("unlogged tables have survived a crash".into());
        }
    }
    Ok(Some(crash))
}

/// Requests for random sessions.
struct Load<'a> {
    filled: &'a Filled,
    sessions: u64,
    operations: Arc<[Operation]>,
    tasks: u64,
    until: Arc<AtomicBool>,
    lasts: Duration,
}

impl Load<'_> {
    /// Returns how long each request took, sorted.
    async fn run(&self) -> Result<Vec<Duration>, Bad> {
        /// Each run asks for other sessions.
        static RUNS: AtomicU64 = AtomicU64::new(1);
        let run = RUNS.fetch_add(1, Ordering::Relaxed) << 32;
        let end = Instant::now() + self.lasts;
        let tasks = (0..self.tasks).map(|task| {
            let Self {
                sessions, tasks, ..
            } = *self;
            let store = Arc::clone(&self.filled.store);
            let (operations, until) = (Arc::clone(&self.operations), Arc::clone(&self.until));
            tokio::spawn(async move {
                let (mut took, mut random) = (Vec::new(), run + task);
                while Instant::now() < end && !until.load(Ordering::Relaxed) {
                    let bytes = noise(random ^ sessions, 8);
                    random = u64::from_le_bytes(*bytes.first_chunk().ok_or("no bytes")?);
                    // No session is refreshed by two tasks at a time.
                    let session = random % (sessions / tasks) * tasks + task;
                    if session.is_multiple_of(EXPIRING) {
                        continue;
                    }
                    let begin = Instant::now();
                    replay(&*store, &operations[..], session, None).await?;
                    took.push(begin.elapsed());
                }
                Ok::<_, Bad>(took)
            })
        });
        let mut all = Vec::new();
        for took in try_join_all(tasks).await? {
            all.extend(took?);
        }
        all.sort_unstable();
        Ok(all)
    }
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    let found = sorted.get(at.min(sorted.len().saturating_sub(1)));
    found.map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}
