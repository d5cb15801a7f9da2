//! L12: records in the store that cannot be read.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum_oten::{
    Clock, Config, MemoryStore, Oten,
    emulator::{EmulatorBuilder, Endpoint::Token, Fault, LogoutTarget},
};

use crate::{
    common::{Browser, ExternalStore, SECRET, TestSite, TestSiteBuilder, app},
    sign_out::{assert_done, send_token},
};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "/////////////////////////////////////////+4=";

const HOUR: Duration = Duration::from_secs(3600);

/// The last second of the year 9999.
const LATEST: i64 = 253_402_300_799;

/// What a process does with its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Records {
    Plain,
    Sealed,
}

async fn start(site: TestSiteBuilder, records: Records) -> (TestSite, ExternalStore) {
    let clock = Clock::manual();
    let memory = MemoryStore::default().with_clock(clock.clone());
    let store = ExternalStore::new(memory.clone());
    let store = match records {
        Records::Plain => store.in_process(),
        Records::Sealed => store,
    };
    let site = site
        .config(|config| config.session_key(KEY))
        .start_with(store.clone(), memory, clock)
        .await;
    (site, store)
}

/// Values that no process of this build writes under the key of a record.
const LIES: [fn(Vec<u8>) -> Vec<u8>; 9] = [
    |_| Vec::new(),
    |_| b"garbage".to_vec(),
    |_| vec![0xff; 200],
    |_| vec![0; 200],
    // What earlier builds wrote.
    |_| br#"{"axum_oten":{"created_at":1,"user":null,"refresh_due_at":null}}"#.to_vec(),
    |value| value[..value.len() / 2].to_vec(),
    |value| value[..value.len() - 1].to_vec(),
    // Another version of a sealed record; another variant of a plain one.
    |mut value| {
        value[0] = 1 + value[0] % 100;
        value
    },
    |mut value| {
        value[0] = 0xff;
        value
    },
];

async fn note(browser: &mut Browser) -> String {
    browser.get("/note").await.body
}

/// Asserts that the browser is a guest's and can sign in as another user, who sees no data of alice.
async fn assert_absent(browser: &mut Browser, lie: &str) {
    for path in ["/", "/profile", "/token", "/note", "/logout"] {
        let answer = browser.get(path).await;
        assert!(!answer.status.is_server_error(), "{path}, {lie}");
        assert!(!answer.sets_session(), "{path}, {lie}");
    }
    assert_eq!(browser.signed_in_as().await, "guest", "{lie}");
    assert_eq!(note(browser).await, "no note", "{lie}");
    browser.sign_in("bob", "/").await;
    assert_eq!(browser.signed_in_as().await, "user bob", "{lie}");
    assert_eq!(note(browser).await, "no note", "{lie}");
    assert_eq!(browser.get("/token").await.status, StatusCode::OK);
    browser.post("/logout").await;
    assert_eq!(browser.signed_in_as().await, "guest", "{lie}");
}

#[tokio::test]
async fn l12_a_malformed_session_is_absent_with_its_data() {
    for records in [Records::Plain, Records::Sealed] {
        let (site, store) = start(TestSite::builder(), records).await;
        for (number, lie) in LIES.into_iter().enumerate() {
            let mut browser = site.signed_in("alice").await;
            browser.fetch(Method::POST, "/note", "private").await;
            store.tamper("session", lie).await;
            assert_absent(&mut browser, &format!("{records:?}, {number}")).await;
        }
    }
}

#[tokio::test]
async fn l12_a_session_sealed_with_another_key_is_absent_with_its_data() {
    let (site, store) = start(TestSite::builder(), Records::Sealed).await;
    let config = Config::builder()
        .issuer(site.emulator.issuer())
        .client_id("test-site")
        .client_secret(SECRET)
        .redirect_uri("http://127.0.0.1:3000/callback")
        .session_key(OTHER_KEY);
    let other = Oten::builder(config.build().unwrap(), store.clone());
    let other = app(&other.clock(site.clock.clone()).build().unwrap());
    for path in ["/", "/note"] {
        let mut browser = site.browser();
        browser.app(other.clone());
        browser.sign_in("alice", path).await;
        browser.fetch(Method::POST, "/note", "private").await;
        browser.app(site.app.clone());
        assert_absent(&mut browser, path).await;
    }
}

#[tokio::test]
async fn l12_malformed_tokens_require_a_new_sign_in() {
    for records in [Records::Plain, Records::Sealed] {
        let (site, store) = start(TestSite::builder(), records).await;
        for (number, lie) in LIES.into_iter().enumerate() {
            for age in [Duration::from_secs(61), HOUR] {
                let mut browser = site.signed_in("alice").await;
                site.clock.advance(age);
                store.tamper("tokens", lie).await;
                let lie = format!("{records:?}, {number}, {age:?}");
                let denied = browser.get("/token").await;
                assert!(denied.location().starts_with("/login"), "{lie}");
                let answer = browser.get("/profile").await;
                assert!(!answer.status.is_server_error(), "{lie}");
                browser.sign_in("alice", "/").await;
                assert_eq!(browser.get("/token").await.status, StatusCode::OK);
                browser.post("/logout").await;
                assert_eq!(browser.signed_in_as().await, "guest", "{lie}");
            }
        }
    }
}

#[tokio::test]
async fn l12_a_malformed_login_attempt_is_restarted() {
    for records in [Records::Plain, Records::Sealed] {
        let (site, store) = start(TestSite::builder(), records).await;
        for (number, lie) in LIES.into_iter().enumerate() {
            let mut browser = site.browser();
            let url = browser.start_login("/page").await;
            let callback = browser.approve(&url, "alice");
            store.tamper("login_attempt", lie).await;
            let calls = site.emulator.calls(Token);
            let answer = browser.get(&callback).await;
            let url = browser.follow_restart(&answer).await;
            assert_eq!(site.emulator.calls(Token), calls, "{records:?}, {number}");
            let callback = browser.approve(&url, "alice");
            browser.get(&callback).await.location();
            assert_eq!(browser.signed_in_as().await, "user alice");
        }
    }
}

#[tokio::test]
async fn l12_a_malformed_logout_epoch_prevents_no_sign_in_and_no_logout() {
    for records in [Records::Plain, Records::Sealed] {
        let site = TestSite::builder().emulator(EmulatorBuilder::advertise_back_channel_logout);
        let (site, store) = start(site, records).await;
        let log_out = async |user| {
            let target = LogoutTarget::Subject(user);
            let token = site.emulator.logout_token("test-site", target);
            assert_done(&send_token(&site.app, &token).await);
        };
        for lie in LIES {
            log_out("carol").await;
            store.tamper("logout_epoch", lie).await;
            let mut browser = site.signed_in("alice").await;
            assert_eq!(browser.signed_in_as().await, "user alice");
            log_out("alice").await;
            assert_eq!(browser.signed_in_as().await, "guest");
            browser.sign_in("alice", "/").await;
        }
    }
}

/// Replaces a time, as plain records encode it: a variable-length integer in zigzag encoding.
fn replace_time(value: &[u8], old: i64, new: i64) -> Vec<u8> {
    let encoded = |time: i64| postcard::to_stdvec(&time).unwrap();
    let (old, new) = (encoded(old), encoded(new));
    let (mut rest, mut replaced, mut count) = (value, Vec::new(), 0);
    while let [first, others @ ..] = rest {
        if let Some(after) = rest.strip_prefix(&*old) {
            replaced.extend_from_slice(&new);
            (rest, count) = (after, count + 1);
        } else {
            replaced.push(*first);
            rest = others;
        }
    }
    assert!(count > 0, "the record has this time");
    replaced
}

#[tokio::test]
async fn l12_an_absurd_date_of_a_session_is_absent() {
    let (site, store) = start(TestSite::builder(), Records::Plain).await;
    for absurd in [LATEST + 1, -1, i64::MAX, i64::MIN] {
        for of_expiry in [false, true] {
            let mut browser = site.signed_in("alice").await;
            browser.fetch(Method::POST, "/note", "private").await;
            // The times of the creation, the sign-in and the authentication; and of the expiry.
            let now = site.clock.unix_now();
            let expiry = now + 7 * 86_400;
            let date = if of_expiry { expiry } else { now };
            let lie = |value: Vec<u8>| replace_time(&value, date, absurd);
            store.tamper("session", lie).await;
            assert_absent(&mut browser, &format!("{absurd}, {of_expiry}")).await;
        }
    }
}

#[tokio::test]
async fn l12_the_latest_date_causes_no_panic() {
    for is_refreshable in [true, false] {
        for (kind, since_sign_in) in [("session", 0), ("session", 7 * 86_400), ("tokens", 3600)] {
            let site = TestSite::builder().emulator(move |emulator| {
                if is_refreshable {
                    emulator
                } else {
                    emulator.without_refresh_tokens()
                }
            });
            let (site, store) = start(site, Records::Plain).await;
            let mut browser = site.signed_in("alice").await;
            let date = site.clock.unix_now() + since_sign_in;
            let lie = |value: Vec<u8>| replace_time(&value, date, LATEST);
            store.tamper(kind, lie).await;
            site.emulator.fault(Token, Fault::Status(500));
            for age in [Duration::ZERO, HOUR, HOUR] {
                site.clock.advance(age);
                for path in ["/", "/profile", "/token", "/note", "/staff"] {
                    let answer = browser.get(path).await;
                    assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
                }
            }
        }
    }
}
