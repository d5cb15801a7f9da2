//! S7, L9, L13 and O2: the session of a sign-in, and the sessions before it.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
    middleware::{Next, from_fn},
    response::Response,
    routing::get,
};
use axum_oten::{
    Clock, MemoryStore, Oten, User,
    emulator::{
        Deviation,
        Endpoint::{Revocation, Token},
        LogoutTarget,
    },
};
use serde_json::json;
use tower_sessions::Session;

use crate::{
    common::{
        Browser, Log, Operation, TestSite, TestSiteBuilder, WatchedStore, YieldingStore, app,
        eventually, send,
    },
    sign_out::{assert_done, send_token, site},
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

async fn note(browser: &mut Browser) -> String {
    browser.get("/note").await.body
}

async fn write(browser: &mut Browser, text: &str) {
    let answer = browser.fetch(Method::POST, "/note", text).await;
    assert_eq!(answer.status, StatusCode::OK);
}

/// A browser with this session cookie only.
fn with_session(site: &TestSite, cookie: &str) -> Browser {
    let mut browser = site.browser();
    let (name, value) = ("oten_session".to_owned(), cookie.to_owned());
    browser.cookies.insert(name, value);
    browser
}

#[tokio::test]
async fn s7_each_sign_in_creates_a_new_session_id_and_ends_the_old_session() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    write(&mut browser, "a guest's").await;
    let guest = browser.session_cookie().unwrap().to_owned();
    browser.sign_in("alice", "/page").await;
    let first = browser.session_cookie().unwrap().to_owned();
    browser.sign_in("alice", "/page").await;
    let second = browser.session_cookie().unwrap().to_owned();
    browser.sign_in("bob", "/page").await;
    let third = browser.session_cookie().unwrap().to_owned();

    for dead in [guest, first, second] {
        assert_ne!(dead, third);
        let mut browser = with_session(&site, &dead);
        assert_eq!(browser.signed_in_as().await, "guest");
        assert_eq!(note(&mut browser).await, "no note");
    }
    assert_eq!(with_session(&site, &third).signed_in_as().await, "user bob");
    // Three used attempts, one session with its tokens, the pointer to alice's second session, and the marks
    // of that one and of the guest's.
    assert_eq!(site.store.len(), 3 + 2 + 1 + 2);
}

#[tokio::test]
async fn s7_every_bit_of_a_session_id_is_random() {
    let site = TestSite::start().await;
    let (mut ever_set, mut always_set) = (0_i128, -1_i128);
    // A random bit has the same value in all of them once in 2^31 runs.
    for _ in 0..32 {
        let browser = site.signed_in("alice").await;
        let tower_sessions::session::Id(id) = browser.session_cookie().unwrap().parse().unwrap();
        ever_set |= id;
        always_set &= id;
    }
    assert_eq!((ever_set, always_set), (-1, 0));
}

#[tokio::test]
async fn s7_an_app_that_writes_its_session_at_every_request_does_not_replace_the_cookie() {
    async fn visit(session: Session, request: Request<Body>, next: Next) -> Response {
        session.insert("visited", true).await.unwrap();
        next.run(request).await
    }
    let visited = |oten: &Oten| app(oten).layer(from_fn(visit)).layer(oten.layer());
    let site = TestSite::builder().app(visited).start().await;
    let mut browser = site.browser();
    let url = browser.start_login("/").await;
    let callback = browser.approve(&url, "alice");
    browser.cookies.remove("oten_session");
    let answer = browser.get(&callback).await;
    assert_eq!(answer.set_cookies().len(), 1);
    assert_eq!(browser.signed_in_as().await, "user alice");
    // At a sign-out, the cookie is removed and nothing else.
    browser.cookies.remove("oten_session");
    for mut browser in [browser, site.signed_in("bob").await] {
        let answer = browser.post("/logout").await;
        let cookies = answer.set_cookies();
        let is_session = |cookie: &&&str| cookie.starts_with("oten_session=");
        let sent: Vec<_> = cookies.iter().filter(is_session).collect();
        assert!(
            matches!(*sent, [removed] if removed.contains("Max-Age=0")),
            "{cookies:?}"
        );
    }
}

#[tokio::test]
async fn s7_other_login_attempts_of_the_browser_stay_valid() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let mut callbacks = Vec::new();
    for page in ["/a", "/b", "/c"] {
        let url = browser.start_login(page).await;
        callbacks.push((page, browser.approve(&url, "alice")));
    }
    for (page, callback) in callbacks.iter().rev() {
        assert_eq!(browser.get(callback).await.location(), *page);
    }
}

#[tokio::test]
async fn s7_the_session_is_stored_before_the_redirect() {
    let clock = Clock::manual();
    let memory = MemoryStore::default().with_clock(clock.clone());
    let store = YieldingStore(memory.clone());
    let site = TestSite::builder().start_with(store, memory, clock).await;
    let mut browser = site.browser();
    let answer = browser.sign_in("alice", "/profile").await;
    let cookies = answer.set_cookies();
    let [cookie] = cookies[..] else {
        panic!("{cookies:?}");
    };
    let value = cookie.split(['=', ';']).nth(1).unwrap();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Path=/; Max-Age=604800"));
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    let profile = with_session(&site, value).get("/profile").await;
    assert_eq!(profile.json()["sub"], "alice");
}

#[tokio::test]
async fn s7_app_data_stays_with_the_same_user_only() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    write(&mut browser, "a basket").await;

    browser.sign_in("alice", "/page").await;
    assert_eq!(note(&mut browser).await, "a basket", "guest to user");
    browser.sign_in("alice", "/page").await;
    assert_eq!(note(&mut browser).await, "a basket", "same user again");
    browser.sign_in("bob", "/page").await;
    assert_eq!(note(&mut browser).await, "no note", "another user");

    write(&mut browser, "bob's").await;
    assert_eq!(browser.signed_in_as().await, "user bob");
    browser.post("/logout").await;
    assert_eq!(browser.signed_in_as().await, "guest");
    assert_eq!(note(&mut browser).await, "no note", "signed out");
    browser.sign_in("bob", "/page").await;
    assert_eq!(note(&mut browser).await, "no note", "it is gone for good");
}

#[tokio::test]
async fn s7_a_planted_session_id_is_never_signed_in() {
    let site = TestSite::start().await;
    // A guest session with data, one without, an unknown ID, and a session of the attacker.
    let mut guest = site.browser();
    write(&mut guest, "planted").await;
    let mut attacker = site.signed_in("bob").await;
    write(&mut attacker, "bob's").await;
    let never = Browser::new(&site);
    // The site does not know this ID.
    let unused = with_session(&site, "AAAAAAAAAAAAAAAAAAAAAQ");
    for mut planted in [guest, attacker, never, unused] {
        let mut victim = site.browser();
        victim.cookies = planted.cookies.clone();
        victim.sign_in("alice", "/page").await;
        assert_eq!(victim.signed_in_as().await, "user alice");
        assert_ne!(victim.session_cookie(), planted.session_cookie());
        assert_ne!(note(&mut victim).await, "bob's");
        assert_eq!(planted.signed_in_as().await, "guest");
        assert_eq!(note(&mut planted).await, "no note");
    }
}

#[tokio::test]
async fn s7_two_session_cookies_count_as_none() {
    let site = TestSite::start().await;
    let alice = site.signed_in("alice").await;
    let bob = site.signed_in("bob").await;
    let mut request = site.browser().navigation(Method::GET, "/");
    let both = format!(
        "oten_session={}; oten_session={}",
        alice.session_cookie().unwrap(),
        bob.session_cookie().unwrap()
    );
    request
        .headers_mut()
        .insert("cookie", both.parse().unwrap());
    assert_eq!(site.browser().send(request).await.body, "guest");
}

#[tokio::test]
async fn s7_a_callback_with_two_session_cookies_signs_no_user_in() {
    let site = TestSite::start().await;
    let (alice, bob) = (site.signed_in("alice").await, site.signed_in("bob").await);
    let mut browser = site.browser();
    let url = browser.start_login("/page").await;
    let callback = browser.approve(&url, "carol");
    let (login, id) = browser.cookies.first_key_value().unwrap();
    let [alice, bob] = [&alice, &bob].map(|browser| browser.session_cookie().unwrap());
    let calls = site.emulator.calls(Token);
    for sessions in [
        format!("oten_session={alice}; oten_session={bob}"),
        format!("oten_session={alice}; oten_session=planted"),
        format!("oten_session=; oten_session={alice}"),
    ] {
        let log = Log::start();
        let cookies = format!("{login}={id}; {sessions}");
        let request = Request::get(&callback).header(header::COOKIE, cookies);
        let answer = send(&site.app, request.body("".into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{sessions}");
        assert_eq!(log.refusal()["reason"], "several_session_cookies");
        assert!(answer.set_cookies().is_empty());
        assert_eq!(site.emulator.calls(Token), calls);
    }
    // The attempt is not used.
    assert_eq!(browser.get(&callback).await.location(), "/page");
}

#[tokio::test]
async fn s1_a_callback_with_two_login_cookies_signs_no_user_in() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let url = browser.start_login("/page").await;
    let callback = browser.approve(&url, "alice");
    let (name, id) = browser.cookies.first_key_value().unwrap();
    for planted in ["planted.1", id] {
        for cookies in [[id, planted], [planted, id]] {
            let cookies = cookies.map(|id| format!("{name}={id}")).join("; ");
            let request = Request::get(&callback).header(header::COOKIE, cookies);
            let answer = send(&site.app, request.body("".into()).unwrap()).await;
            assert!(!answer.sets_session(), "{answer:?}");
            assert_eq!(site.emulator.calls(Token), 0);
        }
    }
    assert_eq!(browser.get(&callback).await.location(), "/page");
}

async fn callback(browser: &mut Browser) -> String {
    let url = browser.start_login("/").await;
    browser.approve(&url, "alice")
}

#[tokio::test]
async fn s7_a_sign_in_that_fails_leaves_no_tokens_and_no_session() {
    let (site, store) = site().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    let invalid = Deviation::Claim("nonce", json!("another"));
    site.emulator.deviate(invalid);
    let failed = callback(&mut browser).await;
    let failed = browser.get(&failed).await;
    assert_eq!(failed.status, StatusCode::BAD_GATEWAY);
    eventually(|| site.emulator.calls(Revocation) == 1).await;
    site.emulator.clear_deviations();

    let complete = callback(&mut browser).await;
    store.take_calls();
    browser.get(&complete).await.location();
    let mut calls = store.take_calls().into_iter();
    let inserted = calls.rposition(|call| call == Operation::Insert).unwrap();
    let stored = site.store.len();
    let failed = callback(&mut browser).await;
    let pause = store.pause_after(inserted + 1);
    let fail = async {
        pause.reached().await;
        assert!(site.store.len() > stored + 1, "the session is stored");
        store.fails(&[Operation::Replace]);
        pause.go_on();
    };
    let (failed, ()) = tokio::join!(browser.get(&failed), fail);
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!failed.sets_session(), "{failed:?}");
    eventually(|| site.emulator.calls(Revocation) == 2).await;
    // The record of the login attempt stays.
    eventually(|| site.store.len() == stored + 1).await;
    store.recover();
    assert_eq!(browser.signed_in_as().await, "user alice");
}

// O2: signing in over a session

#[tokio::test]
async fn o2_signing_in_over_another_user_ends_that_session_like_a_sign_out() {
    let site = site().start().await;
    let log = Log::start();
    let mut browser = site.signed_in("alice").await;
    let mut old = browser.clone();
    let alice = log.named("signed_in")[0]["subject"].clone();
    browser.sign_in("bob", "/").await;
    assert_eq!(old.signed_in_as().await, "guest");
    let signed_out = log.named("signed_out");
    assert_eq!(signed_out.len(), 1);
    assert_eq!(signed_out[0]["subject"], alice);
    eventually(|| site.emulator.calls(Revocation) == 1).await;

    // The same user again, and a guest, sign no user out.
    browser.sign_in("bob", "/").await;
    let mut guest = site.browser();
    write(&mut guest, "a guest's").await;
    guest.sign_in("alice", "/").await;
    site.oten.shutdown().await;
    assert_eq!(log.named("signed_out").len(), 1);
    assert_eq!(site.emulator.calls(Revocation), 1);
    site.clock.advance(Duration::from_secs(601));
    assert_eq!(site.store.len(), 2 * 2, "two sessions and their tokens");
}

// L9: the number of sessions

fn limited_to(sessions: u32) -> TestSiteBuilder {
    site().config(move |config| config.sessions_per_user(sessions))
}

/// Browsers in which alice has signed in, one each second.
async fn browsers_of_alice(site: &TestSite, count: usize) -> Vec<Browser> {
    let mut browsers = Vec::new();
    for _ in 0..count {
        browsers.push(site.signed_in("alice").await);
        site.clock.advance(SECOND);
    }
    browsers
}

async fn users(browsers: &mut [Browser]) -> Vec<String> {
    let mut users = Vec::new();
    for browser in browsers {
        users.push(browser.signed_in_as().await);
    }
    users
}

#[tokio::test]
async fn l9_a_session_too_many_ends_the_oldest_like_a_sign_out() {
    let site = limited_to(3).start().await;
    let mut bob = site.signed_in("bob").await;
    let log = Log::start();
    let mut browsers = browsers_of_alice(&site, 3).await;
    assert_eq!(users(&mut browsers).await, ["user alice"; 3]);
    assert_eq!(log.named("signed_out").len(), 0);

    browsers.push(site.signed_in("alice").await);
    let [first, others @ ..] = &mut *browsers else {
        panic!("there are four");
    };
    assert_eq!(first.signed_in_as().await, "guest");
    assert_eq!(users(others).await, ["user alice"; 3]);
    assert_eq!(bob.signed_in_as().await, "user bob");
    let signed_out = log.named("signed_out");
    assert_eq!(signed_out.len(), 1);
    assert_eq!(
        signed_out[0]["subject"],
        log.named("signed_in")[0]["subject"]
    );
    eventually(|| site.emulator.calls(Revocation) == 1).await;
    site.clock.advance(Duration::from_secs(601));
    assert_eq!(site.store.len(), 4 * 2, "the sessions and their tokens");
}

#[tokio::test]
async fn l9_the_cost_of_a_sign_in_does_not_grow() {
    async fn calls(site: &TestSite, store: &WatchedStore) -> Vec<Operation> {
        store.take_calls();
        browsers_of_alice(site, 1).await;
        store.take_calls()
    }
    let (site, store) = limited_to(20).start_watched().await;
    let first = calls(&site, &store).await;
    for _ in 1..20 {
        assert_eq!(calls(&site, &store).await, first);
    }
    // Ending the oldest session costs the same with any limit.
    let at_limit = calls(&site, &store).await;
    assert_eq!(at_limit.len(), first.len() + 6);
    assert_eq!(calls(&site, &store).await, at_limit);
    let (site, store) = limited_to(1).start_watched().await;
    assert_eq!(calls(&site, &store).await, first);
    assert_eq!(calls(&site, &store).await, at_limit);
}

#[tokio::test]
async fn l9_a_new_session_id_at_the_limit_ends_no_session() {
    let site = limited_to(3).start().await;
    let mut browsers = browsers_of_alice(&site, 3).await;
    for _ in 0..2 {
        for number in [0, 1, 2, 0] {
            assert!(browsers[number].post("/cycle").await.sets_session());
            assert_eq!(users(&mut browsers).await, ["user alice"; 3]);
        }
    }
    // The session that was not used for the longest time is found under its new ID.
    site.clock.advance(Duration::from_secs(600));
    for number in [0, 2] {
        assert!(browsers[number].post("/cycle").await.sets_session());
    }
    site.signed_in("alice").await;
    let left = users(&mut browsers).await;
    assert_eq!(left, ["user alice", "guest", "user alice"]);
    // And all of them are in the index.
    let site = limited_to(3).start().await;
    let mut browsers = browsers_of_alice(&site, 3).await;
    for browser in &mut browsers {
        browser.post("/cycle").await;
    }
    let target = LogoutTarget::Subject("alice");
    let token = site.emulator.logout_token("test-site", target);
    assert_done(&send_token(&site.app, &token).await);
    assert_eq!(users(&mut browsers).await, ["guest"; 3]);
}

// L13: `session_expiry`

fn expiring_app(oten: &Oten) -> Router {
    let ends_at = async |user: User| user.session_ends_at().unix_timestamp().to_string();
    let ours = Router::new().route("/ends-at", get(ends_at));
    app(oten).merge(ours.layer(oten.layer()))
}

#[tokio::test]
async fn l13_a_session_expiry_caps_the_lifetime() {
    let site = TestSite::builder().app(expiring_app).start().await;
    let ends_at = site.clock.unix_now() + 2 * 3600;
    let expiry = Deviation::Claim("session_expiry", json!(ends_at));
    site.emulator.deviate(expiry);
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.get("/ends-at").await.body, ends_at.to_string());
    // Neither activity nor a refresh nor a new ID extends the session.
    for _ in 0..3 {
        site.clock.advance(HOUR / 2);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        browser.post("/cycle").await;
    }
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(browser.get("/ends-at").await.body, ends_at.to_string());
    site.clock.advance(Duration::from_secs(1799));
    assert_eq!(browser.signed_in_as().await, "user alice");
    site.clock.advance(SECOND);
    assert_eq!(browser.signed_in_as().await, "guest");
    assert!(site.store.is_empty(), "the tokens have expired, too");
}

#[tokio::test]
async fn l13_a_session_expiry_of_a_refresh_caps_the_lifetime() {
    let site = TestSite::builder().app(expiring_app).start().await;
    let mut browser = site.signed_in("alice").await;
    let signed_in_at = site.clock.unix_now();
    let ends_at = signed_in_at + 3 * 3600;
    // A later expiry, or none, does not lift the first one.
    for expiry in [Some(ends_at), Some(ends_at + 3600), None] {
        site.emulator.clear_deviations();
        if let Some(expiry) = expiry {
            let expiry = Deviation::Claim("session_expiry", json!(expiry));
            site.emulator.deviate(expiry);
        }
        site.clock.advance(Duration::from_secs(3599));
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(browser.get("/ends-at").await.body, ends_at.to_string());
    }
    assert_eq!(site.emulator.refreshes(), 3);
    site.clock.advance(3 * SECOND);
    assert_eq!(browser.signed_in_as().await, "guest");
    assert!(site.store.is_empty(), "the tokens have expired, too");
}

#[tokio::test]
async fn l13_a_session_expiry_never_lengthens_the_lifetime() {
    let site = TestSite::builder()
        .app(expiring_app)
        .config(|config| config.session_idle(HOUR).session_lifetime(2 * HOUR))
        .start()
        .await;
    let ends_at = site.clock.unix_now() + 2 * 3600;
    for expiry in [ends_at + 1, ends_at + 86_400, 253_402_300_800, i64::MAX] {
        let expiry = Deviation::Claim("session_expiry", json!(expiry));
        site.emulator.deviate(expiry);
        let mut browser = site.signed_in("alice").await;
        assert_eq!(browser.get("/ends-at").await.body, ends_at.to_string());
        site.emulator.clear_deviations();
    }
}

#[tokio::test]
async fn l13_a_session_expiry_in_the_past_signs_no_user_in() {
    let site = TestSite::start().await;
    let now = site.clock.unix_now();
    for expiry in [now - 61, 0, -1, i64::MIN] {
        let expiry = Deviation::Claim("session_expiry", json!(expiry));
        site.emulator.deviate(expiry);
        let mut browser = site.browser();
        let url = browser.start_login("/").await;
        let callback = browser.approve(&url, "alice");
        let log = Log::start();
        let answer = browser.get(&callback).await;
        assert!(!answer.status.is_success());
        assert!(!answer.sets_session());
        assert_eq!(log.refusal()["reason"], "id_token_session_expiry");
        assert_eq!(browser.signed_in_as().await, "guest");
        site.emulator.clear_deviations();
    }
}
