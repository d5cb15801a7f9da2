//! Two processes on one store: the program of the tests runs itself twice.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use axum_oten::{
    Secret,
    config::StoreUrl,
    store::{self, OtenStore, RecordKey},
};
use time::{Duration, OffsetDateTime};

use super::{
    folder::Folder,
    servers::{Kind, shared},
};

const ROUNDS: usize = 300;

/// In the environment of each of the two: the store's kind, its address, what the keys begin with.
const TASK: [&str; 3] = ["RACE_KIND", "RACE_ADDRESS", "RACE_KEYS"];

/// What a racer's lines begin with, to be told from the test harness's.
const SAID: &str = "race: ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_processes_wins_on_sqlite() {
    let folder = Folder::new();
    let path = folder.path().join("new/folder/sessions.db");
    race("sqlite", path.to_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_processes_wins_on_postgres() {
    race("postgres", &shared(Kind::Postgres).url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_processes_wins_on_redis() {
    race("redis", &shared(Kind::Redis).url()).await;
}

/// What of a round is raced for, in the order of a racer's answer.
const RACES: [&str; 5] = ["insert", "take", "replace", "insert_over", "remove_if"];

/// Puts a record to race for. On a busy machine a store may need more than one try.
async fn prepare(store: &dyn OtenStore, key: &RecordKey, end: OffsetDateTime) {
    for _ in 0..20 {
        if store.insert(key, b"before", end).await.is_ok() {
            return;
        }
    }
    panic!("the store does not answer");
}

async fn race(kind: &str, address: &str) {
    let keys = Secret::random().expose().to_owned();
    // They open the store at the same time, before anybody else does.
    let mut racers = [0, 1].map(|_| Racer::start([kind, address, &keys]));
    for racer in &mut racers {
        assert_eq!(racer.said(), "open");
    }

    let store = open(kind, address).await;
    let (end, over) = (seconds_from_now(600), seconds_from_now(-1));
    for round in 0..ROUNDS {
        for (race, end) in [
            ("take", end),
            ("replace", end),
            ("remove_if", end),
            ("insert_over", over),
        ] {
            prepare(&*store, &key(race, &keys, round), end).await;
        }
    }
    for round in 0..ROUNDS {
        racers.iter_mut().for_each(Racer::go);
        for racer in &mut racers {
            assert_eq!(racer.said(), "ready");
        }
        racers.iter_mut().for_each(Racer::go);
        let results = racers.each_mut().map(Racer::said);
        for (race, name) in RACES.iter().enumerate() {
            let winners = results.iter().filter(|won| won.as_bytes()[race] == b'1');
            assert_eq!(winners.count(), 1, "{name} in round {round}: {results:?}");
        }
    }
    let members = store.members(&key("set", &keys, 0)).await.unwrap();
    assert_eq!(members.len(), 2 * ROUNDS, "an add was lost");
    for racer in racers {
        racer.end();
    }
}

/// One of the two processes.
#[tokio::test]
#[ignore = "it is started by those above"]
async fn racer() {
    let task = TASK.map(|variable| std::env::var(variable).unwrap());
    let [kind, address, keys] = task;
    let mut lines = std::io::stdin().lines();
    let mut wait = || drop(lines.next().unwrap().unwrap());
    let store = open(&kind, &address).await;
    println!("\n{SAID}open");
    let end = seconds_from_now(600);
    let me = std::process::id().to_string();
    for round in 0..ROUNDS {
        let key = |race| key(race, &keys, round);
        wait();
        let found = store.load(&key("replace")).await.unwrap().unwrap();
        let version = Some(found.version);
        println!("{SAID}ready");
        wait();
        let won = [
            store
                .insert(&key("insert"), me.as_bytes(), end)
                .await
                .unwrap(),
            store.take(&key("take")).await.unwrap().is_some(),
            store
                .replace(&key("replace"), version, b"after", end)
                .await
                .unwrap(),
            store
                .insert(&key("insert_over"), b"after", end)
                .await
                .unwrap(),
            store.remove_if(&key("remove_if"), b"before").await.unwrap(),
        ];
        let set = self::key("set", &keys, 0);
        store
            .add_member(&set, &format!("{me} {round}"), end)
            .await
            .unwrap();
        let won: String = won.iter().map(|won| if *won { '1' } else { '0' }).collect();
        println!("{SAID}{won}");
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

fn seconds_from_now(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::seconds(seconds)
}

/// A process that does what it is told, one step at a time.
struct Racer {
    process: Child,
    say: ChildStdin,
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
            say: process.stdin.take().unwrap(),
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
        }
    }

    fn go(&mut self) {
        self.say.write_all(b"\n").unwrap();
    }

    fn said(&mut self) -> String {
        for line in &mut self.lines {
            if let Some(said) = line.unwrap().strip_prefix(SAID) {
                return said.to_owned();
            }
        }
        panic!("a racer has ended");
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
