//! L7 and L10: records in a store are useless to its readers and writers, and to other clients.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum_oten::{
    Clock, Config, MemoryStore, Oten, Secret,
    config::{ConfigBuilder, Environment},
    emulator::Endpoint,
    web::SetupError,
};

use crate::common::{ExternalStore, Log, Recorder, SECRET, TestSite, app};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "/////////////////////////////////////////+4=";

/// Later than this, a sign-in is no longer recent, and signing in again can help.
const MINUTE: Duration = Duration::from_secs(60);

async fn start(keys: &'static str) -> (TestSite, ExternalStore) {
    let clock = Clock::manual();
    let memory = MemoryStore::default().with_clock(clock.clone());
    let store = ExternalStore::new(memory.clone());
    let site = TestSite::builder()
        .config(move |config| config.session_key(keys))
        .start_with(store.clone(), memory, clock)
        .await;
    (site, store)
}

fn config() -> ConfigBuilder {
    Config::builder()
        .environment(Environment::Sandbox)
        .client_id("my-site")
        .client_secret(Secret::random())
        .redirect_uri("http://localhost:3000/callback")
}

#[test]
fn l7_an_external_store_without_a_session_key_is_rejected() {
    let outside = || ExternalStore::new(MemoryStore::default());
    let refused = Oten::new(config().build().unwrap(), outside()).unwrap_err();
    assert!(matches!(refused, SetupError::NoSessionKey));
    let message = refused.to_string();
    assert!(message.contains("openssl rand -base64 32"), "{message}");
    assert!(message.contains("OTEN_SESSION_KEY"), "{message}");

    let with_key = config().session_key(KEY).build().unwrap();
    Oten::new(with_key, outside()).unwrap();
    Oten::new(config().build().unwrap(), MemoryStore::default()).unwrap();
}

#[test]
fn an_in_process_store_is_rejected_in_production() {
    let production = || {
        let config = config().environment(Environment::Production);
        config
            .redirect_uri("https://app.example.com/callback")
            .session_key(KEY)
            .build()
            .unwrap()
    };
    let refused = Oten::new(production(), MemoryStore::default()).unwrap_err();
    assert!(matches!(refused, SetupError::StoreInProcess));
    assert!(refused.to_string().contains("store::open"), "{refused}");
    Oten::new(production(), ExternalStore::new(MemoryStore::default())).unwrap();
    Oten::new(config().build().unwrap(), MemoryStore::default()).unwrap();
}

#[tokio::test]
async fn l7_sessions_tokens_and_login_attempts_are_encrypted_in_the_store() {
    let (site, store) = start(KEY).await;
    let recorder = Recorder::before(&site.emulator).await;
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.get("/token").await.status, StatusCode::OK);

    let call = recorder.calls().pop().unwrap();
    let secrets = [
        &call.form["code_verifier"],
        call.answer["access_token"].as_str().unwrap(),
        call.answer["id_token"].as_str().unwrap(),
    ];
    for kind in ["session", "tokens", "login_attempt"] {
        assert!(!store.written(kind).is_empty(), "nothing of kind {kind}");
    }
    let cookie = browser.session_cookie().unwrap().as_bytes();
    for (key, value) in store.all_written() {
        let text = String::from_utf8_lossy(&value);
        for word in ["access_token", "nonce", "return_to", "alice"] {
            assert!(!text.contains(word), "{key:?}");
        }
        assert!(
            secrets.iter().all(|secret| !text.contains(*secret)),
            "{key:?}"
        );
        let place = [key.as_bytes(), key.kind().as_bytes()].concat();
        assert!(!place.windows(cookie.len()).any(|part| part == cookie));
    }
}

#[tokio::test]
async fn l7_tampered_tokens_count_as_absent() {
    for change in CHANGES {
        let (site, store) = start(KEY).await;
        let mut browser = site.signed_in("alice").await;
        assert_eq!(browser.get("/token").await.status, StatusCode::OK);
        site.clock.advance(MINUTE);
        store.tamper("tokens", change).await;
        let log = Log::start();
        let refused = browser.fetch(Method::GET, "/token", "").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert_unsealed(&log, "tokens");
    }
}

#[tokio::test]
async fn l7_a_tampered_session_signs_no_user_in() {
    // What a writer of the store without the key would insert to sign in as any user.
    let forged = |_| {
        let user = r#"{"iss":"http://127.0.0.1","sub":"mine","claims":{},"signed_in_at":0,"session_ends_at":9999999999}"#;
        format!(
            r#"{{"axum_oten":{{"created_at":9999999999,"user":{user},"refresh_due_at":null}}}}"#
        )
        .into_bytes()
    };
    for change in CHANGES.into_iter().chain([forged as fn(_) -> _]) {
        let (site, store) = start(KEY).await;
        let mut browser = site.signed_in("alice").await;
        store.tamper("session", change).await;
        let log = Log::start();
        assert_eq!(browser.signed_in_as().await, "guest");
        assert_unsealed(&log, "session");
    }
}

#[tokio::test]
async fn l7_a_session_moved_to_another_id_counts_as_absent() {
    let (site, store) = start(KEY).await;
    site.signed_in("alice").await;
    let (_, alices) = store.written("session").pop().unwrap();
    let mut bob = site.signed_in("bob").await;
    store.tamper("session", |_| alices).await;
    let log = Log::start();
    assert_eq!(bob.signed_in_as().await, "guest");
    assert_unsealed(&log, "session");
}

#[tokio::test]
async fn l7_a_tampered_login_attempt_signs_no_user_in() {
    for change in CHANGES {
        let (site, store) = start(KEY).await;
        let mut browser = site.browser();
        let url = browser.start_login("/page").await;
        let callback = browser.approve(&url, "alice");
        store.tamper("login_attempt", change).await;
        let log = Log::start();
        let answer = browser.get(&callback).await;
        assert!(!answer.sets_session());
        assert_eq!(log.named("login_restarted").len(), 1);
        assert_unsealed(&log, "login_attempt");
        assert_eq!(site.emulator.calls(Endpoint::Token), 0);
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

/// A writer of the store can move a record to another key, where it does not open.
#[tokio::test]
async fn l7_tokens_moved_to_another_session_count_as_absent() {
    let (site, store) = start(KEY).await;
    site.signed_in("bob").await;
    let (_, bobs) = store.written("tokens").pop().unwrap();
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(MINUTE);
    store.tamper("tokens", |_| bobs).await;
    let log = Log::start();
    let refused = alice.fetch(Method::GET, "/token", "").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_unsealed(&log, "tokens");
}

#[tokio::test]
async fn l7_a_key_change_signs_users_out_only_without_the_old_key() {
    let (old, store) = start(KEY).await;
    let mut alice = old.signed_in("alice").await;
    let token = alice.get("/token").await.body;
    old.clock.advance(MINUTE);
    for (keys, user, status) in [
        ([OTHER_KEY, KEY].join(","), "user alice", StatusCode::OK),
        (OTHER_KEY.to_owned(), "guest", StatusCode::UNAUTHORIZED),
    ] {
        let config = Config::builder()
            .issuer(old.emulator.issuer())
            .client_id("test-site")
            .client_secret(SECRET)
            .redirect_uri("http://127.0.0.1:3000/callback")
            .session_key(keys);
        let oten = Oten::builder(config.build().unwrap(), store.clone()).clock(old.clock.clone());
        let mut browser = alice.clone();
        browser.app(app(&oten.build().unwrap()));
        assert_eq!(browser.signed_in_as().await, user);
        let answer = browser.fetch(Method::GET, "/token", "").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.body == token, status == StatusCode::OK);
    }
}

/// Ways to tamper with a record: flip a bit, store plain text, truncate, empty.
const CHANGES: [fn(Vec<u8>) -> Vec<u8>; 4] = [
    |mut value| {
        *value.last_mut().unwrap() ^= 1;
        value
    },
    |_| br#"{"access_token":"mine","access_token_expires_at":9999999999,"scope":null}"#.to_vec(),
    |value| value[..value.len() - 1].to_vec(),
    |_| Vec::new(),
];

/// Asserts that one event reports the record without its content.
fn assert_unsealed(log: &Log, kind: &str) {
    let events = log.named("unsealed_record");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["kind"], kind);
    assert!(!log.contains("mine"));
}

#[tokio::test]
async fn l10_records_of_another_client_or_issuer_do_not_exist() {
    let clock = Clock::manual();
    let store = MemoryStore::default().with_clock(clock.clone());
    let start = || TestSite::builder().start_with(store.clone(), store.clone(), clock.clone());
    let (site, other_issuer) = (start().await, start().await);
    let browser = site.signed_in("alice").await;
    let user_at = async |oten: &Oten| {
        let mut browser = browser.clone();
        browser.app(app(oten));
        browser.signed_in_as().await
    };
    let with_client = |client_id: &str| {
        let config = Config::builder()
            .issuer(site.emulator.issuer())
            .client_id(client_id)
            .client_secret(SECRET)
            .redirect_uri("http://127.0.0.1:3000/callback");
        let oten = Oten::builder(config.build().unwrap(), store.clone());
        oten.clock(clock.clone()).build().unwrap()
    };
    assert_eq!(user_at(&with_client("test-site")).await, "user alice");
    assert_eq!(user_at(&with_client("another-site")).await, "guest");
    assert_eq!(user_at(&other_issuer.oten).await, "guest");
    assert_eq!(user_at(&site.oten).await, "user alice");

    // Nor does the login attempt of one site complete at another.
    let mut browser = site.browser();
    let url = browser.start_login("/page").await;
    let callback = browser.approve(&url, "bob");
    let mut elsewhere = browser.clone();
    elsewhere.app(app(&other_issuer.oten));
    let restarted = elsewhere.get(&callback).await;
    let restarted = elsewhere.get(restarted.location()).await;
    assert!(
        restarted
            .location()
            .starts_with(other_issuer.emulator.issuer())
    );
    assert_eq!(browser.get(&callback).await.location(), "/page");
}
