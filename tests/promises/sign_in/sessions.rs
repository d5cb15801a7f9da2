//! S7: the session of a sign-in, and the session before it.

use axum::http::{Method, StatusCode, header};
use axum_oten::{Clock, MemoryStore};

use crate::common::{Browser, TestSite, YieldingStore};

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
    // Three used attempts, one session, and the tokens of that session only.
    assert_eq!(site.store.len(), 3 + 2);
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
