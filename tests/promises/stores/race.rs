//! Two processes that share a store: the test binary runs itself twice.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum_oten::{
    Secret,
    config::StoreUrl,
    store::{self, OtenStore, RecordKey},
};

use super::{
    servers::{ServerKind, shared},
    temp_dir::TempDir,
};

const ROUNDS: usize = 300;

const TTL: Duration = Duration::from_secs(600);

/// The environment variables of a process: the kind and address of the store, and the prefix of the
/// keys.
const TASK: [&str; 3] = ["RACE_KIND", "RACE_ADDRESS", "RACE_KEYS"];

/// The prefix of a racer's output, which distinguishes it from that of the test harness.
const OUTPUT: &str = "race: ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_processes_succeeds_on_sqlite() {
    let dir = TempDir::new();
    let path = dir.path().join("new/dir/sessions.db");
    race("sqlite", path.to_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_processes_succeeds_on_postgres() {
    race("postgres", &shared(ServerKind::Postgres).url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_processes_succeeds_on_redis() {
    race("redis", &shared(ServerKind::Redis).url()).await;
}

/// The operations of a round, in the order of a racer's results.
const RACES: [&str; 5] = ["insert", "take", "replace", "insert_over", "remove_if"];

/// Inserts a record for a race. On a busy machine this can take several attempts.
async fn prepare(store: &dyn OtenStore, key: &RecordKey, ttl: Duration) {
    for _ in 0..20 {
        if store.insert(key, b"before", ttl).await.is_ok() {
            return;
        }
    }
    panic!("the store does not answer");
}

async fn race(kind: &str, address: &str) {
    let keys = Secret::random().expose().to_owned();
    // The racers are the first to open the store, at the same time.
    let mut racers = [0, 1].map(|_| Racer::start([kind, address, &keys]));
    for racer in &mut racers {
        assert_eq!(racer.output(), "open");
    }

    let store = open(kind, address).await;
    let past = Duration::ZERO;
    for round in 0..ROUNDS {
        for (race, ttl) in [
            ("take", TTL),
            ("replace", TTL),
            ("remove_if", TTL),
            ("insert_over", past),
        ] {
            prepare(&*store, &key(race, &keys, round), ttl).await;
        }
    }
    for round in 0..ROUNDS {
        racers.iter_mut().for_each(Racer::step);
        for racer in &mut racers {
            assert_eq!(racer.output(), "ready");
        }
        racers.iter_mut().for_each(Racer::step);
        let results = racers.each_mut().map(Racer::output);
        for (race, name) in RACES.iter().enumerate() {
            let succeeded = results.iter().filter(|won| won.as_bytes()[race] == b'1');
            assert_eq!(succeeded.count(), 1, "{name} in round {round}: {results:?}");
        }
    }
    let members = store.members(&key("set", &keys, 0)).await.unwrap();
    assert_eq!(members.len(), 2 * ROUNDS, "a member was lost");
    for racer in racers {
        racer.end();
    }
}

/// The main function of each process.
#[tokio::test]
#[ignore = "started by the tests above"]
async fn racer() {
    let task = TASK.map(|variable| std::env::var(variable).unwrap());
    let [kind, address, keys] = task;
    let mut lines = std::io::stdin().lines();
    let mut wait = || drop(lines.next().unwrap().unwrap());
    let store = open(&kind, &address).await;
    println!("\n{OUTPUT}open");
    let pid = std::process::id().to_string();
    for round in 0..ROUNDS {
        let key = |race| key(race, &keys, round);
        wait();
        let found = store.load(&key("replace")).await.unwrap().unwrap();
        let version = Some(found.version);
        println!("{OUTPUT}ready");
        wait();
        let won = [
            store
                .insert(&key("insert"), pid.as_bytes(), TTL)
                .await
                .unwrap(),
            store.take(&key("take")).await.unwrap().is_some(),
            store
                .replace(&key("replace"), version, b"after", TTL)
                .await
                .unwrap(),
            store
                .insert(&key("insert_over"), b"after", TTL)
                .await
                .unwrap(),
            store.remove_if(&key("remove_if"), b"before").await.unwrap(),
        ];
        let set = self::key("set", &keys, 0);
        store
            .add_member(&set, &format!("{pid} {round}"), TTL, usize::MAX)
            .await
            .unwrap();
        let won: String = won.iter().map(|won| if *won { '1' } else { '0' }).collect();
        println!("{OUTPUT}{won}");
    }
}

async fn open(kind: &str, address: &str) -> Arc<dyn OtenStore> {
    let url = match kind {
        "sqlite" => StoreUrl::Sqlite(address.into()),
        "postgres" => StoreUrl::Postgres(address.into()),
        _ => StoreUrl::Redis(address.into()),
    };
    store::open(&url).await.unwrap()
}

fn key(race: &str, keys: &str, round: usize) -> RecordKey {
    RecordKey::new("race", &format!("{race} {keys} {round}"))
}

/// A process that performs one step at a time.
struct Racer {
    process: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Racer {
    fn start(task: [&str; 3]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["stores::race::racer", "--exact", "--ignored", "--nocapture"])
            .envs(TASK.into_iter().zip(task))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: process.stdin.take().unwrap(),
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
        }
    }

    fn step(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    fn output(&mut self) -> String {
        for line in &mut self.lines {
            if let Some(output) = line.unwrap().strip_prefix(OUTPUT) {
                return output.to_owned();
            }
        }
        panic!("a racer has exited");
    }

    fn end(mut self) {
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
