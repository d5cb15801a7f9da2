//! Compares axum-oten with floors and peers, on this machine, in one interleaved run.
//!
//! `benches/check` runs it. Each variant is a server process of its own on core 0; the load comes
//! from this process on core 1. One round measures every variant once, so that a machine that slows
//! down slows all of them; the ratios are medians over the rounds.

mod bearer;
mod chart;
mod client;
mod faults;
mod load;
mod process;
mod report;
mod sizing;
mod variants;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use client::Load;
use process::Process;
use report::{Limit, Report, Row, progress};

type Bad = Box<dyn std::error::Error + Send + Sync>;

/// A budget: `variant` against `floor`, as a ratio of throughputs.
struct Budget {
    variant: &'static str,
    floor: &'static str,
    at_least: f64,
}

const fn budget(variant: &'static str, floor: &'static str, at_least: f64) -> Budget {
    Budget {
        variant,
        floor,
        at_least,
    }
}

/// A request of a signed-in user, the start of a login, and a call to an API on core 1.
const BUDGETS: &[Budget] = &[
    budget("oten-memory", "sessions-memory", 0.95),
    budget("oten-sqlite", "sessions-sqlite", 0.95),
    budget("oten-redis", "sessions-redis", 0.95),
    budget("login-oten-plain", "login-floor", 0.95),
    budget("login-oten-hs256", "login-floor", 0.80),
    budget("login-oten-eddsa", "login-floor", 0.52),
    budget("proxy-oten", "proxy-floor", 0.80),
];

/// Shown for comparison, without a budget.
const PEERS: &[(&str, &str)] = &[
    ("axum", "sessions-memory"),
    ("map", "sessions-memory"),
    ("axum-login", "sessions-memory"),
    ("proxy-oten", "proxy-without-session"),
    ("login-floor-hs256", "login-floor"),
    ("login-floor-eddsa", "login-floor"),
];

/// User-space instructions of one request of a signed-in user, hyper included, with the memory store.
const MAX_INSTRUCTIONS: u64 = 46_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["serve", variant] => variants::serve(variant, None).map(|()| true),
        ["serve", variant, requests] => requests
            .parse()
            .map_err(Bad::from)
            .and_then(|requests| variants::serve(variant, Some(requests)))
            .map(|()| true),
        ["check"] => check(20, Duration::from_millis(400)),
        ["check", rounds] => rounds
            .parse()
            .map_err(Bad::from)
            .and_then(|rounds| check(rounds, Duration::from_millis(400))),
        ["bearer"] => bearer::check(),
        ["instructions"] => instructions(&["axum", "sessions-memory", "axum-login", "oten-memory"]),
        ["instructions", ref variants @ ..] => instructions(variants),
        ["load", ref words @ ..] => {
            on_core_1();
            load::run(words)
        }
        ["faults", ref words @ ..] => faults::run(words),
        ["sizing", ref words @ ..] => sizing::run(words),
        ["chart"] => chart::write().map(|()| true),
        _ => Err(
            "usage: axum-oten-benches check [ROUNDS] | bearer | instructions [VARIANT...] | \
                  load [--minutes M] [SCENARIO...] | faults --write | faults [--only NAME]... | \
                  sizing [--only NAME]... [--write] | chart | serve VARIANT [REQUESTS]"
                .into(),
        ),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// A server process of one variant.
struct Server {
    process: Process,
    address: String,
    cookie: String,
    path: &'static str,
}

impl Server {
    fn start(variant: &str, wrapper: &[&str], requests: Option<u64>) -> Result<Self, Bad> {
        Self::start_before("", variant, wrapper, requests)
    }

    /// Starts a variant that calls the API at this address.
    fn start_before(
        api: &str,
        variant: &str,
        wrapper: &[&str],
        requests: Option<u64>,
    ) -> Result<Self, Bad> {
        let program = env::current_exe()?;
        let mut words: Vec<String> = wrapper.iter().map(|word| (*word).to_owned()).collect();
        words.push(program.display().to_string());
        words.extend(["serve".to_owned(), variant.to_owned()]);
        words.extend(requests.map(|requests| requests.to_string()));
        let process = Command::new(&words[0])
            .args(&words[1..])
            .env("API", format!("http://{api}"))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut process = Process(process);
        let out = process.0.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let mut parts = line.trim_end().splitn(2, ' ');
        let address = parts.next().unwrap_or_default().to_owned();
        if address.is_empty() {
            return Err(format!("{variant} did not start").into());
        }
        Ok(Self {
            process,
            address,
            cookie: parts.next().unwrap_or_default().to_owned(),
            path: match variant.split_once('-') {
                Some(("login", _)) => "/login",
                Some(("proxy", _)) => "/api/",
                _ => "/",
            },
        })
    }

    fn load(&self) -> Load<'_> {
        Load {
            address: &self.address,
            cookie: &self.cookie,
            path: self.path,
        }
    }
}

fn on_core(core: &str) -> Vec<&str> {
    vec!["taskset", "-c", core]
}

/// Moves this process to the core that no server uses.
fn on_core_1() {
    Command::new("taskset")
        .args(["-p", "-c", "1", &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .ok();
}

fn check(rounds: usize, slice: Duration) -> Result<bool, Bad> {
    let has_redis = env::var_os("REDIS_URL").is_some();
    let mut names: Vec<&str> = Vec::new();
    let pairs = BUDGETS.iter().map(|budget| (budget.variant, budget.floor));
    for (variant, floor) in pairs.chain(PEERS.iter().copied()) {
        for name in [floor, variant] {
            if !names.contains(&name) && (has_redis || !name.ends_with("redis")) {
                names.push(name);
            }
        }
    }
    if !has_redis {
        println!("REDIS_URL is not set: Redis is not measured");
    }
    on_core_1();
    let api = Server::start("axum", &on_core("1"), None)?;
    let start = |name: &str| Server::start_before(&api.address, name, &on_core("0"), None);
    let mut servers = names
        .iter()
        .map(|name| start(name))
        .collect::<Result<Vec<_>, Bad>>()?;
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); servers.len()];
    for round in 0..=rounds {
        progress(&format!("round {round} of {rounds}"));
        for ((name, server), rates) in names.iter().zip(&mut servers).zip(&mut rates) {
            if name.starts_with("login-") {
                // tower-sessions' memory store keeps every attempt, so the floor would slow down.
                *server = start(name)?;
                client::measure(&server.load(), slice / 4)?;
            }
            let rate = client::measure(&server.load(), slice)?;
            // The first round warms up.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    progress("");
    let of = |name: &str| names.iter().position(|it| *it == name).map(|at| &rates[at]);
    let ratio = |a: &[f64], b: &[f64]| median(a.iter().zip(b).map(|(a, b)| a / b).collect());
    let mut rows = Vec::new();
    let budgets = BUDGETS
        .iter()
        .map(|it| (it.variant, it.floor, Some(Limit::AtLeast(it.at_least))));
    let peers = PEERS
        .iter()
        .map(|(variant, floor)| (*variant, *floor, None));
    for (variant, floor, limit) in budgets.chain(peers) {
        let (Some(rates), Some(floor_rates)) = (of(variant), of(floor)) else {
            continue;
        };
        let rate = (median(rates.clone()), "/s");
        let rate = Row::new(["requests", variant], rate, None);
        let against = format!("{variant} / {floor}");
        let ratio = ratio(rates, floor_rates);
        let ratio = Row::new(["throughput", &against], (ratio, "x"), limit);
        println!("{ratio}  {:.0} requests/s", rate.value);
        rows.extend([rate, ratio]);
    }
    Report::add(&rows)?;
    Ok(rows.iter().all(Row::is_met))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Counts the user-space instructions of one request with callgrind: the difference of two runs.
fn instructions(variants: &[&str]) -> Result<bool, Bad> {
    let mut rows = Vec::new();
    for variant in variants {
        let (few, many) = (200, 1_200);
        let count = (collected(variant, many)? - collected(variant, few)?) / (many - few);
        let limit = (*variant == "oten-memory").then_some(Limit::AtMost(MAX_INSTRUCTIONS as f64));
        let names = ["instructions", variant];
        let row = Row::new(names, (count as f64, ""), limit);
        println!("{row}");
        rows.push(row);
    }
    Report::add(&rows)?;
    Ok(rows.iter().all(Row::is_met))
}

fn collected(variant: &str, requests: u64) -> Result<u64, Bad> {
    let file = env::temp_dir().join(format!("oten-bench-{}-{requests}", std::process::id()));
    let out = format!("--callgrind-out-file={}", file.display());
    let wrapper = ["valgrind", "-q", "--tool=callgrind", &out];
    let mut server = Server::start(variant, &wrapper, Some(requests))?;
    client::send(&server.load(), requests)?;
    server.process.0.wait()?;
    let text = fs::read_to_string(&file)?;
    fs::remove_file(&file).ok();
    let total = text.lines().find_map(|line| {
        line.strip_prefix("summary: ")
            .or(line.strip_prefix("totals: "))
    });
    Ok(total.ok_or("callgrind wrote no total")?.trim().parse()?)
}
