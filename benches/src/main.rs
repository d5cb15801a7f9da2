//! Compares axum-oten with floors and peers, on this machine, in one interleaved run.
//!
//! `benches/check` runs it. Each variant is a server process of its own on core 0; the load comes
//! from this process on core 1. One round measures every variant once, so that a machine that slows
//! down slows all of them; the ratios are medians over the rounds.

mod client;
mod variants;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use client::Load;

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

/// A request of a signed-in user, and the start of a login.
const BUDGETS: &[Budget] = &[
    budget("oten-memory", "sessions-memory", 0.95),
    budget("oten-sqlite", "sessions-sqlite", 0.95),
    budget("oten-redis", "sessions-redis", 0.95),
    budget("login-oten-plain", "login-floor", 0.95),
    budget("login-oten-hs256", "login-floor", 0.80),
    budget("login-oten-eddsa", "login-floor", 0.52),
];

/// Shown for comparison, without a budget.
const PEERS: &[(&str, &str)] = &[
    ("axum", "sessions-memory"),
    ("map", "sessions-memory"),
    ("axum-login", "sessions-memory"),
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
        ["instructions"] => instructions(&["axum", "sessions-memory", "axum-login", "oten-memory"]),
        ["instructions", ref variants @ ..] => instructions(variants),
        _ => Err("usage: axum-oten-benches check [ROUNDS] | instructions [VARIANT...] | serve VARIANT [REQUESTS]".into()),
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
    process: Child,
    address: String,
    cookie: String,
    path: &'static str,
}

impl Server {
    fn start(variant: &str, wrapper: &[&str], requests: Option<u64>) -> Result<Self, Bad> {
        let program = env::current_exe()?;
        let mut words: Vec<String> = wrapper.iter().map(|word| (*word).to_owned()).collect();
        words.push(program.display().to_string());
        words.extend(["serve".to_owned(), variant.to_owned()]);
        words.extend(requests.map(|requests| requests.to_string()));
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .stdout(Stdio::piped())
            .spawn()?;
        let out = process.stdout.take().ok_or("no output")?;
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
            path: if variant.starts_with("login-") {
                "/login"
            } else {
                "/"
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

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn on_core(core: &str) -> Vec<&str> {
    vec!["taskset", "-c", core]
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
    // This process on the other core.
    Command::new("taskset")
        .args(["-p", "-c", "1", &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .ok();
    let servers: Vec<(&str, Server)> = names
        .iter()
        .map(|name| Ok((*name, Server::start(name, &on_core("0"), None)?)))
        .collect::<Result<_, Bad>>()?;
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); servers.len()];
    for round in 0..=rounds {
        eprint!("\rround {round} of {rounds} ");
        for ((_, server), rates) in servers.iter().zip(&mut rates) {
            let rate = client::measure(&server.load(), slice)?;
            // The first round warms up.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    eprintln!();
    let of = |name: &str| names.iter().position(|it| *it == name).map(|at| &rates[at]);
    let ratio = |a: &[f64], b: &[f64]| median(a.iter().zip(b).map(|(a, b)| a / b).collect());
    println!(
        "{:20} {:>12}  {:20} {:>7} {:>7}",
        "variant", "requests/s", "against", "ratio", "budget"
    );
    let mut all_met = true;
    for budget in BUDGETS {
        let (Some(rates), Some(floor)) = (of(budget.variant), of(budget.floor)) else {
            continue;
        };
        let ratio = ratio(rates, floor);
        let met = ratio >= budget.at_least;
        all_met &= met;
        println!(
            "{:20} {:12.0}  {:20} {ratio:7.3} {:7.2}  {}",
            budget.variant,
            median(rates.clone()),
            budget.floor,
            budget.at_least,
            if met { "met" } else { "MISSED" }
        );
    }
    for (variant, floor) in PEERS {
        if let (Some(rates), Some(floor_rates)) = (of(variant), of(floor)) {
            let ratio = ratio(rates, floor_rates);
            println!(
                "{variant:20} {:12.0}  {floor:20} {ratio:7.3}",
                median(rates.clone())
            );
        }
    }
    Ok(all_met)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Counts the user-space instructions of one request with callgrind: the difference of two runs.
fn instructions(variants: &[&str]) -> Result<bool, Bad> {
    let mut all_met = true;
    for variant in variants {
        let (few, many) = (200, 1_200);
        let count = (collected(variant, many)? - collected(variant, few)?) / (many - few);
        let budget = if *variant == "oten-memory" {
            let met = count <= MAX_INSTRUCTIONS;
            all_met &= met;
            format!(
                " of at most {MAX_INSTRUCTIONS}: {}",
                if met { "met" } else { "MISSED" }
            )
        } else {
            String::new()
        };
        println!("{variant:20} {count:8} instructions a request{budget}");
    }
    Ok(all_met)
}

fn collected(variant: &str, requests: u64) -> Result<u64, Bad> {
    let file = env::temp_dir().join(format!("oten-bench-{}-{requests}", std::process::id()));
    let out = format!("--callgrind-out-file={}", file.display());
    let wrapper = ["valgrind", "-q", "--tool=callgrind", &out];
    let mut server = Server::start(variant, &wrapper, Some(requests))?;
    client::send(&server.load(), requests)?;
    server.process.wait()?;
    let text = fs::read_to_string(&file)?;
    fs::remove_file(&file).ok();
    let total = text.lines().find_map(|line| {
        line.strip_prefix("summary: ")
            .or(line.strip_prefix("totals: "))
    });
    Ok(total.ok_or("callgrind wrote no total")?.trim().parse()?)
}
