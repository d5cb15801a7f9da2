//! Promise X4: users and operators list and end sessions.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Method, Request, StatusCode, header},
};
use axum_oten::{
    Oten, Rule,
    audit::{Event, EventKind},
    emulator::{EmulatorBuilder, Endpoint},
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::common::{Answer, Browser, Log, Operation, TestSite, TestSiteBuilder, eventually};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
                      Gecko) Chrome/142.0.0.0 Safari/537.36";

/// The app of all tests, with the routes of this chapter. Alice is an operator.
pub fn app(oten: &Oten) -> Router {
    let operators = oten.operator_routes(Rule::subjects(["alice"]));
    Router::new()
        .nest("/account", oten.account_routes())
        .nest("/admin/sessions", operators)
        .merge(crate::common::app(oten))
        .layer(oten.layer())
}

fn site() -> TestSiteBuilder {
    TestSite::builder().app(app)
}

/// Signs a user in with a `User-Agent`, from an address.
async fn sign_in(site: &TestSite, user: &str, user_agent: &[u8]) -> Browser {
    let mut browser = site.browser();
    let url = browser.start_login("/").await;
    let callback = browser.approve(&url, user);
    let mut request = browser.navigation(Method::GET, &callback);
    let user_agent = HeaderValue::from_bytes(user_agent).unwrap();
    request.headers_mut().insert(header::USER_AGENT, user_agent);
    let peer: SocketAddr = "203.0.113.9:4711".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    assert_eq!(browser.send(request).await.location(), "/");
    browser
}

/// Returns the list as a script gets it.
pub async fn list(browser: &mut Browser, path: &str) -> Value {
    let answer = browser.fetch(Method::GET, path, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    answer.json()
}

async fn own(browser: &mut Browser) -> Vec<Value> {
    let list = list(browser, "/account").await;
    list["sessions"].as_array().unwrap().clone()
}

/// Returns the handle of a browser's own session.
pub async fn handle(browser: &mut Browser) -> String {
    let sessions = own(browser).await;
    let mut current = sessions.iter().filter(|session| session["current"] == true);
    current.next().unwrap()["session"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A form of a script on a page of the site.
fn form(path: &str, body: &str) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
        .header("sec-fetch-mode", "cors")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

pub async fn end(browser: &mut Browser, path: &str, body: &str) -> Answer {
    browser.send(form(path, body)).await
}

/// Returns how many sessions a form ended.
pub async fn ended(browser: &mut Browser, path: &str, body: &str) -> u64 {
    let answer = end(browser, path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["ended"].as_u64().unwrap()
}

#[tokio::test]
async fn x4_a_user_sees_own_sessions_and_ends_them() {
    let site = site()
        .emulator(EmulatorBuilder::advertise_revocation)
        .start()
        .await;
    let mut laptop = sign_in(&site, "alice", FIREFOX.as_bytes()).await;
    let mut phone = sign_in(&site, "alice", CHROME.as_bytes()).await;
    let mut third = sign_in(&site, "alice", b"").await;
    sign_in(&site, "bob", FIREFOX.as_bytes()).await;
    let sessions = own(&mut laptop).await;
    assert_eq!(sessions.len(), 3, "{sessions:?}");
    let current: Vec<_> = sessions.iter().map(|session| &session["current"]).collect();
    assert_eq!(
        current.iter().filter(|current| **current == true).count(),
        1
    );
    let devices: BTreeSet<_> = sessions
        .iter()
        .map(|session| session["device"].as_str())
        .collect();
    let expected = [None, Some("Chrome (Windows)"), Some("Firefox (Linux)")];
    assert_eq!(devices, expected.into());
    for session in &sessions {
        assert_eq!(session["subject"], "alice");
        assert_eq!(session["address"], Value::Null, "off by default");
        let started = session["started_at"].as_str().unwrap();
        assert!(started.ends_with('Z') && session["last_used_at"] == started);
    }

    let of_phone = handle(&mut phone).await;
    let end_phone = format!("end=one&session={of_phone}");
    assert_eq!(ended(&mut laptop, "/account/end", &end_phone).await, 1);
    assert_eq!(phone.signed_in_as().await, "guest");
    assert_eq!(laptop.signed_in_as().await, "user alice");
    eventually(|| site.emulator.calls(Endpoint::Revocation) == 1).await;
    assert_eq!(
        ended(&mut laptop, "/account/end", &end_phone).await,
        0,
        "again"
    );

    // The page of the same list, whose form returns to it.
    let page = laptop.get("/account").await.body;
    assert!(
        page.contains("This device") && page.contains("Firefox (Linux)"),
        "{page}"
    );
    let mut request = form("/account/end", "end=others");
    let headers = request.headers_mut();
    headers.insert("sec-fetch-mode", "navigate".parse().unwrap());
    headers.insert("sec-fetch-dest", "document".parse().unwrap());
    assert_eq!(laptop.send(request).await.location(), "/account");
    assert_eq!(third.signed_in_as().await, "guest");
    assert_eq!(own(&mut laptop).await.len(), 1);

    // The session of the request ends like a sign-out.
    let own = format!("end=one&session={}", handle(&mut laptop).await);
    let answer = end(&mut laptop, "/account/end", &own).await;
    assert!(answer.headers.contains_key("clear-site-data"), "{answer:?}");
    assert_eq!(laptop.session_cookie(), None);
}

/// The store fails between the record under the new ID and the pointer from the old one.
#[tokio::test]
async fn x4_a_session_whose_new_id_was_not_completed_is_listed_once_and_ends() {
    let (site, store) = site().start_watched().await;
    let mut laptop = site.signed_in("alice").await;
    let mut phone = site.signed_in("alice").await;
    store.fails(&[Operation::Replace]);
    let answer = phone.post("/cycle").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    store.recover();
    assert_eq!(phone.signed_in_as().await, "user alice");
    assert_eq!(own(&mut laptop).await.len(), 2);
    let end_phone = format!("end=one&session={}", handle(&mut phone).await);
    let log = Log::start();
    assert_eq!(ended(&mut laptop, "/account/end", &end_phone).await, 1);
    assert_eq!(log.named("signed_out").len(), 1);
    assert_eq!(phone.signed_in_as().await, "guest");
    assert_eq!(own(&mut laptop).await.len(), 1);
}

#[tokio::test]
async fn x4_a_user_ends_no_session_of_another_user() {
    let site = site().start().await;
    let mut alice = site.signed_in("alice").await;
    let mut bob = site.signed_in("bob").await;
    let of_alice = handle(&mut alice).await;
    let cookie = alice.session_cookie().unwrap().to_owned();
    assert!(!of_alice.contains(&cookie) && !cookie.contains(&of_alice));
    let forged = "0".repeat(32);
    for session in [&of_alice, &forged] {
        for subject in ["", "&subject=alice"] {
            let body = format!("end=one&session={session}{subject}");
            assert_eq!(ended(&mut bob, "/account/end", &body).await, 0, "{body}");
        }
    }
    for body in [
        "",
        "end=one",
        "end=all",
        "end=subject&subject=alice",
        "end=others&end=others",
        &format!("end=one&session={cookie}"),
        &format!("end=one&session={of_alice}&session={of_alice}"),
        &format!("end=one&session={of_alice}x"),
        &format!("end=others&{}", "x".repeat(5_000)),
    ] {
        let answer = end(&mut bob, "/account/end", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.json()["reason"], "session_request", "{body}");
    }
    // The handle is not a cookie.
    let mut thief = alice.clone();
    thief.keep(&format!("oten_session={of_alice};"));
    assert_eq!(thief.signed_in_as().await, "guest");
    assert_eq!(alice.signed_in_as().await, "user alice");
    assert_eq!(bob.signed_in_as().await, "user bob");
}

#[tokio::test]
async fn x4_only_pages_of_this_site_end_sessions() {
    let site = site().start().await;
    let mut alice = site.signed_in("alice").await;
    let body = format!("end=one&session={}", handle(&mut alice).await);
    for path in ["/account/end", "/admin/sessions/end"] {
        for site in ["cross-site", "same-site", "none"] {
            let mut request = form(path, &body);
            request
                .headers_mut()
                .insert("sec-fetch-site", site.parse().unwrap());
            let answer = alice.send(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {site}");
            assert_eq!(answer.json()["reason"], "foreign_origin");
        }
        let get = alice.get(path).await.status;
        assert_ne!(get, StatusCode::SEE_OTHER, "GET changes nothing");
        let mut guest = site.browser();
        let answer = end(&mut guest, path, &body).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(alice.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn x4_only_operators_see_and_end_the_sessions_of_others() {
    let site = site().start().await;
    let mut alice = site.signed_in("alice").await;
    let mut bob = site.signed_in("bob").await;
    let mut other = site.signed_in("bob").await;
    let of_bob = handle(&mut bob).await;
    let body = format!("end=one&subject=bob&session={of_bob}");
    for path in [
        "/admin/sessions",
        "/admin/sessions/end",
        "/admin/sessions?subject=bob",
    ] {
        assert_eq!(bob.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
        let guest = site.browser().get(path).await;
        assert!(guest.location().starts_with("/login"), "{guest:?}");
    }
    for body in [&body[..], "end=all", "end=subject&subject=alice"] {
        let answer = end(&mut bob, "/admin/sessions/end", body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{body}");
    }
    let all = list(&mut alice, "/admin/sessions").await;
    assert_eq!(all["sessions"].as_array().unwrap().len(), 3);
    assert_eq!(all["next"], Value::Null);
    let of_bob = list(&mut alice, "/admin/sessions?subject=bob").await;
    assert_eq!(of_bob["sessions"].as_array().unwrap().len(), 2);
    let of_unknown = list(&mut alice, "/admin/sessions?subject=unknown").await;
    assert!(of_unknown["sessions"].as_array().unwrap().is_empty());

    // A handle ends only the session of its subject.
    let path = "/admin/sessions/end";
    let wrong = body.replace("bob", "alice");
    assert_eq!(ended(&mut alice, path, &wrong).await, 0);
    assert_eq!(ended(&mut alice, path, &body).await, 1);
    assert_eq!(bob.signed_in_as().await, "guest");
    assert_eq!(other.signed_in_as().await, "user bob");
    assert_eq!(ended(&mut alice, path, "end=subject&subject=bob").await, 1);
    assert_eq!(other.signed_in_as().await, "guest");
    let confirm = alice.get("/admin/sessions/end").await;
    assert!(confirm.body.contains("End all sessions?"), "{confirm:?}");
    assert_eq!(ended(&mut alice, path, "end=all").await, 1);
    assert_eq!(alice.signed_in_as().await, "guest");
    let left = site.oten.sessions_page(None, 10).await.unwrap();
    assert!(left.sessions.is_empty() && left.next.is_none());
}

/// Starts a site, and returns the list of its events, too.
async fn audited_site() -> (TestSite, Arc<Mutex<Vec<Event>>>) {
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let log = Arc::clone(&events);
    let site = site()
        .config(|config| config.log_subjects(true))
        .oten(move |oten| oten.audit(move |event: &Event| log.lock().unwrap().push(event.clone())))
        .start()
        .await;
    (site, events)
}

#[tokio::test]
async fn x4_each_end_is_an_event_that_names_the_operator() {
    let (site, events) = audited_site().await;
    let mut alice = site.signed_in("alice").await;
    for _ in 0..2 {
        site.signed_in("bob").await;
    }
    events.lock().unwrap().clear();
    let path = "/admin/sessions/end";
    assert_eq!(ended(&mut alice, path, "end=subject&subject=bob").await, 2);
    assert_eq!(site.oten.end_all_sessions().await.unwrap(), 1);
    let events = events.lock().unwrap();
    let of_kind = |kind| events.iter().filter(move |event| event.kind() == kind);
    let ends: Vec<_> = of_kind(EventKind::SessionsEnded)
        .map(|event| (event.subject(), event.operator(), event.sessions()))
        .collect();
    assert_eq!(
        ends,
        [(Some("bob"), Some("alice"), Some(2)), (None, None, Some(1))]
    );
    let subjects: Vec<_> = of_kind(EventKind::SignedOut).map(Event::subject).collect();
    assert_eq!(subjects, [Some("bob"), Some("bob"), Some("alice")]);
}

/// Also for one session, and for all users.
#[tokio::test]
async fn x4_the_event_of_an_end_says_who_ended_how_many_sessions() {
    let (site, events) = audited_site().await;
    let mut alice = site.signed_in("alice").await;
    let mut bob = site.signed_in("bob").await;
    site.signed_in("carol").await;
    let path = "/admin/sessions/end";
    let one = format!("end=one&subject=bob&session={}", handle(&mut bob).await);
    assert_eq!(ended(&mut alice, path, &one).await, 1);
    // Nothing ends, so nothing is recorded.
    assert_eq!(ended(&mut alice, path, &one).await, 0);
    // An end of own sessions is a sign-out.
    let own = format!("end=one&session={}", handle(&mut alice).await);
    let mut other = site.signed_in("alice").await;
    assert_eq!(ended(&mut other, "/account/end", &own).await, 1);
    assert_eq!(ended(&mut other, path, "end=subject&subject=dave").await, 0);
    assert_eq!(ended(&mut other, path, "end=all").await, 2);
    let events = events.lock().unwrap();
    let ends = events
        .iter()
        .filter(|event| event.kind() == EventKind::SessionsEnded);
    let ends: Vec<_> = ends
        .map(|event| {
            assert!(event.client_address().is_none() || event.correlation_id().is_some());
            (event.subject(), event.operator(), event.sessions())
        })
        .collect();
    assert_eq!(
        ends,
        [
            (Some("bob"), Some("alice"), Some(1)),
            (Some("dave"), Some("alice"), Some(0)),
            (None, Some("alice"), Some(2)),
        ]
    );
}

#[tokio::test]
async fn x4_ending_the_sessions_of_others_can_require_a_fresh_sign_in() {
    const MINUTE: Duration = Duration::from_secs(60);
    let app = |oten: &Oten| {
        let rule = Rule::subjects(["alice"]);
        let operators = oten.operator_routes_with_fresh_login(rule, 5 * MINUTE);
        crate::common::app(oten)
            .nest("/admin/sessions", operators)
            .layer(oten.layer())
    };
    let site = TestSite::builder().app(app).start().await;
    let mut alice = site.signed_in("alice").await;
    let mut bob = site.signed_in("bob").await;
    site.clock.advance(7 * MINUTE);
    // The list remains open, and a user without access is not asked to sign in.
    let all = list(&mut alice, "/admin/sessions").await;
    assert_eq!(all["sessions"].as_array().unwrap().len(), 2);
    let path = "/admin/sessions/end";
    for target in ["/admin/sessions", path] {
        assert_eq!(bob.get(target).await.status, StatusCode::FORBIDDEN);
    }
    let answer = end(&mut bob, path, "end=all").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    for body in ["end=all", "end=subject&subject=bob", "end=one&subject=bob"] {
        let answer = end(&mut alice, path, body).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{body}");
        assert_eq!(answer.json()["reason"], "login_too_old");
    }
    assert_eq!(bob.signed_in_as().await, "user bob");
    // The page on which the operator confirms leads to the provider and back.
    let confirm = "/admin/sessions/end?subject=bob";
    let login = alice.get(confirm).await.location().to_owned();
    assert!(login.starts_with("/login?fresh=300&return_to="), "{login}");
    let url = alice.get(&login).await.location().parse().unwrap();
    let callback = alice.approve(&url, "alice");
    assert_eq!(alice.get(&callback).await.location(), confirm);
    assert_eq!(ended(&mut alice, path, "end=subject&subject=bob").await, 1);
    assert_eq!(bob.signed_in_as().await, "guest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x4_of_a_hundred_parallel_ends_one_succeeds() {
    let site = site().start().await;
    let mut alice = site.signed_in("alice").await;
    let mut other = site.signed_in("alice").await;
    let body = format!("end=one&session={}", handle(&mut other).await);
    let mut ends = JoinSet::new();
    for _ in 0..100 {
        let (mut alice, body) = (alice.clone(), body.clone());
        ends.spawn(async move { ended(&mut alice, "/account/end", &body).await });
    }
    assert_eq!(ends.join_all().await.iter().sum::<u64>(), 1);
    assert_eq!(other.signed_in_as().await, "guest");
    assert_eq!(alice.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn x4_a_handle_is_stable_and_the_last_use_is_known() {
    let site = site()
        .config(|config| {
            let hour = Duration::from_secs(3_600);
            config.session_idle(hour).session_lifetime(hour)
        })
        .start()
        .await;
    let mut alice = site.signed_in("alice").await;
    let before = handle(&mut alice).await;
    let cookie = alice.session_cookie().unwrap().to_owned();
    alice.post("/cycle").await;
    assert_ne!(alice.session_cookie().unwrap(), cookie);
    assert_eq!(handle(&mut alice).await, before);
    // The lifetime is not extended any more, and the use is known nevertheless.
    let mut last = own(&mut alice).await[0]["last_used_at"].clone();
    for _ in 0..5 {
        site.clock.advance(Duration::from_secs(600));
        alice.signed_in_as().await;
        let now = own(&mut alice).await[0].clone();
        assert!(now["last_used_at"].as_str() > last.as_str(), "{now}");
        last = now["last_used_at"].clone();
    }
    assert_eq!(own(&mut alice).await[0]["session"], before.as_str());
}

#[tokio::test]
async fn x4_a_user_agent_is_bounded_and_escaped() {
    let site = site()
        .config(|config| config.session_addresses(true))
        .start()
        .await;
    let markup = b"<script>alert(1)</script> \"'>&\xff\xfe Firefox/1";
    let mut alice = sign_in(&site, "alice", markup).await;
    sign_in(&site, "alice", &vec![b'<'; 64 * 1024]).await;
    let sessions = own(&mut alice).await;
    let mut lengths: Vec<_> = sessions
        .iter()
        .map(|session| session["user_agent"].as_str().unwrap().len())
        .collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [markup.len() - 2, 256]);
    assert!(
        sessions
            .iter()
            .all(|session| session["address"] == "203.0.113.9")
    );
    for path in [
        "/account",
        "/admin/sessions",
        "/admin/sessions?subject=%3Cscript%3E",
    ] {
        let page = alice.get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.body.contains("<script"), "{}", page.body);
        let policy = page.header(header::CONTENT_SECURITY_POLICY).unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
    }
}

#[tokio::test]
async fn x4_pages_contain_each_session_once() {
    let site = site().start().await;
    for user in ["alice", "bob"] {
        for _ in 0..60 {
            site.signed_in(user).await;
        }
    }
    let mut alice = site.signed_in("alice").await;
    let mut sizes = BTreeMap::new();
    for path in ["/admin/sessions", "/admin/sessions?subject=bob", "/account"] {
        let (mut seen, mut pages, mut next) = (BTreeSet::new(), 0, String::new());
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = list(&mut alice, &format!("{path}{separator}next={next}")).await;
            for session in page["sessions"].as_array().unwrap() {
                let handle = session["session"].as_str().unwrap().to_owned();
                assert!(seen.insert(handle), "{path}: a session is listed twice");
            }
            pages += 1;
            match page["next"].as_str() {
                Some(to) => next = to.to_owned(),
                None => break,
            }
        }
        sizes.insert(path, (seen.len(), pages));
    }
    assert_eq!(sizes["/admin/sessions"], (121, 3));
    assert_eq!(sizes["/admin/sessions?subject=bob"], (60, 2));
    assert_eq!(sizes["/account"], (61, 2));
    let page = alice.get("/admin/sessions?subject=bob").await.body;
    assert!(page.contains("subject=bob&#38;next=50"), "{page}");
    // Any other position is the beginning.
    for next in ["x", "zz00", "ff", "%00", &"f".repeat(66)] {
        let path = format!("/admin/sessions?next={next}");
        let page = list(&mut alice, &path).await;
        let count = page["sessions"].as_array().unwrap().len();
        assert!(count == 50 || next.len() == 66, "{next}: {count}");
    }
    let ended = site.oten.end_all_sessions().await.unwrap();
    assert_eq!(ended, 121);
    let page = site.oten.sessions_page(None, 10).await.unwrap();
    assert!(page.sessions.is_empty() && page.next.is_none());
}
