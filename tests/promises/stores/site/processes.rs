//! Several `oten serve` processes that share a store.

use std::time::{Duration, Instant};

use axum_oten::{
    config::StoreUrl,
    emulator::{Deviation, EmulatedClient, Emulator, Endpoint::Token, Fault},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    process::Command,
    task::JoinSet,
    time::{interval, timeout},
};

use super::{KEY, StoreLocation};
use crate::{
    common::{Answer, Visitor, eventually},
    program::process::{Running, command, run},
};

const CLIENT: &str = "several-processes";
const SECRET: &str = "a secret of the test, of more than 32 bytes";

/// The redirect URI of all processes. The tests replace its origin with that of a process.
const REDIRECT_URI: &str = "http://127.0.0.1:1/callback";

/// The longest time that a request waits for another process, 5 seconds, with a margin for a busy machine.
const LONGEST: Duration = Duration::from_secs(8);

/// The lifetime of a lease, with this margin.
const LEASE: Duration = Duration::from_secs(32);

super::on_stores! {
    [sqlite postgres redis] {
        l2_two_processes_make_one_call
        o2_a_sign_out_applies_to_all_processes
        x4_the_program_lists_and_ends_the_sessions_of_a_running_site
    }
}

async fn l2_two_processes_make_one_call(location: StoreLocation) {
    let (emulator, first) = start(&location).await;
    let second = serve(&location, &emulator).await;
    let visitor = due(&emulator, &first).await;
    let held = emulator.hold(Token);
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        for process in [&first, &second] {
            let (mut visitor, url) = (visitor.clone(), process.at("/profile"));
            requests.spawn(async move { visitor.get(&url).await });
        }
    }
    held.wait_for(1).await;
    // No second call arrives within this time.
    let second_call = timeout(Duration::from_millis(500), held.wait_for(2)).await;
    assert!(second_call.is_err());
    held.release();
    for answer in requests.join_all().await {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert!(answer.body.contains("alice"));
    }
    assert_eq!((emulator.refreshes(), emulator.reuse_detected()), (1, 0));
}

async fn o2_a_sign_out_applies_to_all_processes(location: StoreLocation) {
    let (emulator, first) = start(&location).await;
    let second = serve(&location, &emulator).await;
    // The sign-in starts in one process and completes in the other.
    let mut visitor = Visitor::default();
    let login = visitor.get(&first.at("/login?return_to=/profile")).await;
    let callback = emulator.approve(login.location(), "alice").unwrap();
    let callback = format!("/callback?{}", callback.query().unwrap());
    let signed_in = visitor.get(&second.at(&callback)).await;
    assert_eq!(signed_in.location(), "/profile");
    let mut old = visitor.clone();
    for process in [&first, &second] {
        let page = visitor.get(&process.at("/profile")).await;
        assert_eq!(page.status, StatusCode::OK);
    }
    let button = visitor.post(&first.at("/logout")).await;
    assert_eq!(button.status, StatusCode::SEE_OTHER);
    for process in [&second, &first] {
        assert_sent_to_login(&old.get(&process.at("/profile")).await);
    }
}

async fn x4_the_program_lists_and_ends_the_sessions_of_a_running_site(location: StoreLocation) {
    let (emulator, site) = start(&location).await;
    let mut visitors = Vec::new();
    for _ in 0..3 {
        visitors.push(sign_in(&emulator, &site).await);
    }
    let program = async |arguments: &[&str]| {
        let arguments = [&["sessions"], arguments].concat();
        let ended = run(&mut configured(&arguments, &location, &emulator)).await;
        assert!(ended.status.success(), "{ended:?}");
        ended.stdout
    };
    let table = program(&["list"]).await;
    assert!(table.starts_with("SESSION"), "{table}");
    assert_eq!(table.matches(" alice ").count(), 3, "{table}");
    let listed: Value = serde_json::from_str(&program(&["list", "--json"]).await).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    let of_bob = program(&["list", "--json", "--subject", "bob"]).await;
    assert_eq!(of_bob.trim(), "[]");

    // With the key of another site, neither command succeeds.
    for arguments in [&["list"][..], &["end", "--all", "--yes"]] {
        let arguments = [&["sessions"], arguments].concat();
        let mut command = configured(&arguments, &location, &emulator);
        command.env("OTEN_SESSION_KEY", KEY.replace('H', "I"));
        let ended = run(&mut command).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains("with the session key"), "{ended:?}");
    }

    let handle = listed[0]["session"].as_str().unwrap();
    let one = ["end", "--subject", "alice", "--session", handle];
    assert_eq!(program(&one).await, "1 session ended\n");
    assert_eq!(program(&one).await, "0 sessions ended\n");
    let mut left = 0;
    for visitor in &mut visitors {
        let answer = visitor.get(&site.at("/profile")).await;
        left += usize::from(answer.status == StatusCode::OK);
    }
    assert_eq!(left, 2);

    // Ending all sessions has to be confirmed.
    let unconfirmed = configured(&["sessions", "end", "--all"], &location, &emulator);
    assert_eq!(run(&mut { unconfirmed }).await.status.code(), Some(2));
    let all = program(&["end", "--all", "--yes", "--json"]).await;
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all, json!({ "ended": 2 }));
    for visitor in &mut visitors {
        assert_sent_to_login(&visitor.get(&site.at("/profile")).await);
    }
}

#[tokio::test]
async fn x4_the_program_needs_a_store_that_exists() {
    let emulator = Emulator::builder().start().await.unwrap();
    let path = std::env::temp_dir().join("oten-no-such-store.sqlite");
    for (url, expected) in [
        (StoreUrl::Memory, "`memory:`"),
        (StoreUrl::Sqlite(path.clone()), "there is no session store"),
    ] {
        let location = StoreLocation {
            url,
            _temp_dir: None,
        };
        let mut list = configured(&["sessions", "list"], &location, &emulator);
        let ended = run(&mut list).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains(expected), "{ended:?}");
    }
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_signs_no_user_out() {
    let location = StoreLocation::sqlite();
    let (emulator, first) = start(&location).await;
    let mut visitor = sign_in(&emulator, &first).await;
    let (status, log) = first.end().await;
    assert!(status.success(), "{log}");
    for _ in 0..2 {
        let mut process = serve(&location, &emulator).await;
        let page = visitor.get(&process.at("/profile")).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        // The next restart follows a kill instead of an orderly shutdown.
        process.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l2_a_process_killed_before_the_response_delays_the_refresh_by_thirty_seconds() {
    let location = StoreLocation::redis();
    let (emulator, doomed) = start(&location).await;
    let answer = after_the_kill(&location, &emulator, doomed, Fault::Hang, |emulator| {
        emulator.calls(Token)
    })
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!((emulator.refreshes(), emulator.reuse_detected()), (1, 0));
}

/// The new refresh token is lost with the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l2_a_process_killed_after_the_response_requires_a_new_sign_in() {
    let location = StoreLocation::redis();
    let (emulator, doomed) = start(&location).await;
    let fault = Fault::DelayAfter(2 * LEASE);
    let answer = after_the_kill(&location, &emulator, doomed, fault, Emulator::refreshes).await;
    assert_sent_to_login(&answer);
    assert_eq!((emulator.refreshes(), emulator.reuse_detected()), (2, 1));
}

/// Kills a process during a token call, once `count` has increased, and returns the response of
/// another process.
async fn after_the_kill(
    location: &StoreLocation,
    emulator: &Emulator,
    mut doomed: Running,
    fault: Fault,
    count: fn(&Emulator) -> u64,
) -> Answer {
    let other = serve(location, emulator).await;
    let mut visitor = due(emulator, &doomed).await;
    emulator.fault(Token, fault.times(1));
    let (mut first, url) = (visitor.clone(), doomed.at("/profile"));
    let before = count(emulator);
    let cut_off = tokio::spawn(async move { first.try_get(&url).await });
    eventually(|| count(emulator) > before).await;
    let taken = Instant::now();
    doomed.kill().await;
    assert!(cut_off.await.unwrap().is_err());

    let requested = Instant::now();
    let page = visitor.get(&other.at("/profile")).await;
    assert!(requested.elapsed() < LONGEST, "{:?}", requested.elapsed());
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    // From now on pages need not wait, until the lease expires.
    let calls = emulator.calls(Token);
    let mut pause = interval(Duration::from_millis(250));
    let refreshed = async {
        loop {
            pause.tick().await;
            let answer = visitor.get(&other.at("/profile")).await;
            if emulator.calls(Token) > calls {
                return answer;
            }
        }
    };
    let answer = timeout(LEASE, refreshed).await.unwrap();
    assert!(
        taken.elapsed() > Duration::from_secs(29),
        "not its turn yet"
    );
    answer
}

async fn start(location: &StoreLocation) -> (Emulator, Running) {
    let emulator = Emulator::builder()
        .client(EmulatedClient::confidential(CLIENT, SECRET).redirect_uri(REDIRECT_URI))
        .start()
        .await
        .unwrap();
    let process = serve(location, &emulator).await;
    (emulator, process)
}

async fn serve(location: &StoreLocation, emulator: &Emulator) -> Running {
    Running::start(&mut configured(&["serve"], location, emulator)).await
}

/// Returns the program with the settings of the site.
fn configured(arguments: &[&str], location: &StoreLocation, emulator: &Emulator) -> Command {
    let mut command = command(arguments);
    command.envs([
        ("OTEN_ISSUER", emulator.issuer()),
        ("OTEN_CLIENT_ID", CLIENT),
        ("OTEN_CLIENT_SECRET", SECRET),
        ("OTEN_REDIRECT_URI", REDIRECT_URI),
        ("OTEN_SESSION_STORE", &location.setting()),
        ("OTEN_SESSION_KEY", KEY),
        ("OTEN_LISTEN", "127.0.0.1:0"),
        // The proxy must not be used for a provider on this machine.
        ("http_proxy", "http://127.0.0.1:1"),
    ]);
    command
}

async fn sign_in(emulator: &Emulator, process: &Running) -> Visitor {
    let mut visitor = Visitor::default();
    let login = visitor.get(&process.at("/login?return_to=/profile")).await;
    let callback = emulator.approve(login.location(), "alice").unwrap();
    let callback = format!("/callback?{}", callback.query().unwrap());
    let answer = visitor.get(&process.at(&callback)).await;
    assert_eq!(answer.location(), "/profile");
    visitor
}

/// Returns a signed-in visitor whose tokens have expired.
async fn due(emulator: &Emulator, process: &Running) -> Visitor {
    emulator.deviate(Deviation::TokenField("expires_in", json!(0)));
    let visitor = sign_in(emulator, process).await;
    emulator.clear_deviations();
    visitor
}

fn assert_sent_to_login(answer: &Answer) {
    assert_eq!(answer.location(), "/login?return_to=%2Fprofile");
}
