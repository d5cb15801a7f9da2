//! Promises L1 to L5 and L11, and the budget of D5: token refresh.

use std::{net::SocketAddr, time::Duration};

use axum::{
    RequestExt, Router,
    extract::{ConnectInfo, Request},
    http::{Method, StatusCode, header},
    routing::{get, post},
};
use axum_oten::{
    AccessToken, Clock, MemoryStore, Oten, User,
    config::RefreshPolicy,
    emulator::{
        Deviation, EmulatorBuilder,
        Endpoint::{Jwks, Revocation, Token},
        Fault,
    },
    store::OtenStore,
};
use serde_json::json;
use tokio::task::JoinSet;
use tower_sessions::Session;

use crate::common::{
    Answer, Browser, ClientKind, ExternalStore, Log, Operation, Recorder, TestSite, WatchedStore,
    app, eventually, with_parameter,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Another process of the same site, on the same store.
fn another_process(site: &TestSite) -> Oten {
    process(site, site.store.clone(), &site.clock)
}

fn process(site: &TestSite, store: impl OtenStore, clock: &Clock) -> Oten {
    Oten::builder(site.oten.config().clone(), store)
        .clock(clock.clone())
        .build()
        .unwrap()
}

/// The same browser at another process, which has loaded the provider's metadata.
async fn at_process(browser: &Browser, app: Router) -> Browser {
    let mut elsewhere = browser.clone();
    elsewhere.app(app);
    elsewhere.clone().start_login("/").await;
    elsewhere
}

async fn get_all(browsers: impl IntoIterator<Item = Browser>, path: &'static str) -> Vec<Answer> {
    let mut requests = JoinSet::new();
    for mut browser in browsers {
        requests.spawn(async move { browser.get(path).await });
    }
    requests.join_all().await
}

fn assert_all_ok(answers: &[Answer], count: usize) {
    let good = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::OK);
    assert_eq!(good.count(), count);
}

#[tokio::test]
async fn l1_a_token_near_expiry_is_refreshed_before_a_protected_request() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(HOUR / 2);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 0, "too early");

    site.clock.advance(29 * MINUTE);
    browser.get("/").await;
    assert_eq!(site.emulator.refreshes(), 0, "the page is open to all");
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1, "it is fresh again");

    // And again an hour later, with the new refresh token.
    site.clock.advance(HOUR);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 2);
    assert_eq!(site.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn l1_each_token_request_has_its_grant_and_the_last_refresh_token() {
    for kind in ClientKind::ALL {
        let site = TestSite::builder().client(kind).start().await;
        let recorder = Recorder::before(&site.emulator).await;
        let mut browser = site.signed_in("alice").await;
        for _ in 0..2 {
            site.clock.advance(HOUR);
            assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        }
        let calls = recorder.calls();
        assert_eq!(calls.len(), 3, "{kind:?}");
        assert_eq!(calls[0].form["grant_type"], "authorization_code");
        for (before, call) in calls.iter().zip(&calls[1..]) {
            assert_eq!(call.form["grant_type"], "refresh_token");
            let refresh_token = &call.form["refresh_token"];
            assert_eq!(before.answer["refresh_token"], refresh_token.as_str());
        }
        assert_eq!(site.emulator.reuse_detected(), 0);
    }
}

#[tokio::test]
async fn l1_a_disabled_user_is_denied_within_the_lifetime_of_a_token() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    site.emulator.disable_user("alice");
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    site.clock.advance(HOUR);
    assert_eq!(
        browser.get("/profile").await.location(),
        "/login?return_to=%2Fprofile"
    );
}

#[tokio::test]
async fn l1_with_the_policy_on_demand_only_the_access_token_extractor_refreshes() {
    let site = TestSite::builder()
        .config(|config| config.refresh(RefreshPolicy::OnDemand))
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 0);
    assert_eq!(browser.get("/token").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
}

#[tokio::test]
async fn l1_a_session_without_refresh_token_lives_until_its_own_limits() {
    let site = TestSite::builder()
        .emulator(EmulatorBuilder::without_refresh_tokens)
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.get("/token").await.status, StatusCode::OK);
    site.clock.advance(2 * HOUR);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(
        browser.get("/token").await.location(),
        "/login?return_to=%2Ftoken"
    );
}

#[tokio::test]
async fn l2_two_hundred_requests_of_one_session_make_one_call() {
    let site = TestSite::start().await;
    let browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    let held = site.emulator.hold(Token);
    let requests = tokio::spawn(get_all(vec![browser; 200], "/profile"));
    held.wait_for(1).await;
    held.release();
    assert_all_ok(&requests.await.unwrap(), 200);
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(site.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn l2_two_processes_that_share_a_store_make_one_call() {
    let (site, store) = TestSite::builder().start_watched().await;
    let browser = site.signed_in("alice").await;
    let other = app(&process(&site, store.clone(), &site.clock));
    let elsewhere = at_process(&browser, other).await;
    site.clock.advance(HOUR);
    store.take_calls();
    let held = site.emulator.hold(Token);
    let browsers = [vec![browser; 100], vec![elsewhere; 100]].concat();
    let requests = tokio::spawn(get_all(browsers, "/profile"));
    held.wait_for(1).await;
    // Each process has tried to acquire the lease.
    eventually(|| store.count(Operation::Insert) >= 2).await;
    held.release();
    assert_all_ok(&requests.await.unwrap(), 200);
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(site.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn l2_a_process_that_dies_with_the_lease_delays_others_until_it_expires() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    // The access token expired less than `refresh_grace` ago, which counts, not when its refresh was due.
    site.clock.advance(HOUR + Duration::from_secs(285));
    // The provider never handles the first call.
    site.emulator.fault(Token, Fault::Hang.times(1));
    let calls = site.emulator.calls(Token);

    // A separate process, which is killed during the call.
    let doomed = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut first = browser.clone();
    first.app(app(&another_process(&site)));
    doomed.spawn(async move { first.get("/profile").await });
    eventually(|| site.emulator.calls(Token) > calls).await;
    doomed.shutdown_background();

    store.take_calls();
    let mut tab = browser.clone();
    let waiting = tokio::spawn(async move { tab.get("/profile").await });
    // It finds the lease twice, so it does not call the provider in between.
    eventually(|| store.count(Operation::Insert) >= 2).await;
    // The page is shown without a refresh.
    site.clock.advance(Duration::from_secs(6));
    assert_eq!(waiting.await.unwrap().status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 0);
    site.clock.advance(Duration::from_secs(24));
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(site.emulator.reuse_detected(), 0);
}

/// A process stalls for longer than its lease, and another one acquires it.
#[tokio::test]
async fn l2_a_lease_is_released_by_its_owner_only() {
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let clock = Clock::manual();
    let memory = MemoryStore::default().with_clock(clock.clone());
    let store = ExternalStore::new(memory.clone());
    let site = TestSite::builder()
        .emulator(EmulatorBuilder::without_rotation)
        .config(|config| config.session_key(KEY))
        .start_with(store.clone(), memory, clock)
        .await;
    let mut browser = site.signed_in("alice").await;
    let other = app(&process(&site, store.clone(), &site.clock));
    let mut elsewhere = at_process(&browser, other).await;
    site.clock.advance(HOUR);

    let held = site.emulator.hold(Token);
    let stalled = tokio::spawn(async move { browser.get("/profile").await });
    held.wait_for(1).await;
    site.clock.advance(Duration::from_secs(30));
    let also_held = site.emulator.hold(Token);
    let second = tokio::spawn(async move { elsewhere.get("/profile").await });
    held.wait_for(2).await;
    held.release();
    assert_eq!(stalled.await.unwrap().status, StatusCode::OK);
    let (lease, owner) = store.written("lease").pop().unwrap();
    let found = store.memory.load(&lease).await.unwrap();
    assert_eq!(found.unwrap().value, owner, "the lease of the second one");
    also_held.release();
    assert_eq!(second.await.unwrap().status, StatusCode::OK);
    assert_eq!(store.left(&["lease"]).await, []);
}

/// The clocks of two processes differ by a minute, and the store's by more.
#[tokio::test]
async fn l11_processes_whose_clocks_differ_make_one_call() {
    // Ahead of the system's clock, in seconds: the processes and the store.
    for ([first, second], of_store) in
        [([0, 60], 80), ([60, 0], 80), ([80, 140], 0), ([140, 80], 0)]
    {
        let [first, second, of_store] = [first, second, of_store].map(|seconds| {
            let clock = Clock::manual();
            clock.advance(Duration::from_secs(seconds));
            clock
        });
        let memory = MemoryStore::default().with_clock(of_store.clone());
        let store = WatchedStore::new(memory.clone());
        let site = TestSite::builder()
            .start_with(store.clone(), memory, first.clone())
            .await;
        let mut browser = site.signed_in("alice").await;
        let other = app(&process(&site, store.clone(), &second));
        let mut elsewhere = at_process(&browser, other).await;
        let advance = |by: Duration| {
            for clock in [&first, &second, &of_store] {
                clock.advance(by);
            }
        };
        advance(HOUR);
        store.take_calls();
        let held = site.emulator.hold(Token);
        let mut tab = browser.clone();
        let refreshing = tokio::spawn(async move { tab.get("/profile").await });
        held.wait_for(1).await;
        // For 5 seconds the other process waits.
        advance(Duration::from_secs(4));
        let mut tab = elsewhere.clone();
        let waiting = tokio::spawn(async move { tab.get("/profile").await });
        eventually(|| store.count(Operation::Insert) >= 3).await;
        held.release();
        for request in [refreshing, waiting] {
            assert_eq!(request.await.unwrap().status, StatusCode::OK);
        }
        for browser in [&mut browser, &mut elsewhere] {
            assert_eq!(browser.get("/token").await.status, StatusCode::OK);
        }
        assert_eq!(site.emulator.refreshes(), 1);
        assert_eq!(site.emulator.reuse_detected(), 0);
    }
}

#[tokio::test]
async fn l2_cancelled_requests_do_not_stop_the_call() {
    let site = TestSite::start().await;
    let browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    let held = site.emulator.hold(Token);
    let mut impatient = browser.clone();
    let request = tokio::spawn(async move { impatient.get("/profile").await });
    held.wait_for(1).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    held.release();
    site.oten.shutdown().await;
    let mut browser = browser;
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
}

#[tokio::test]
async fn l3_a_refreshed_id_token_must_match_the_sign_in() {
    for (claim, value) in [
        ("sub", json!("mallory")),
        ("iss", json!("https://evil.example")),
        ("aud", json!("another-client")),
        ("nonce", json!("of-another-sign-in")),
        ("auth_time", json!(1)),
        ("session_expiry", json!(1)),
    ] {
        let site = TestSite::start().await;
        let mut browser = site.signed_in("alice").await;
        site.clock.advance(HOUR);
        site.emulator.deviate(Deviation::Claim(claim, value));
        let log = Log::start();
        browser.get("/profile").await.location();
        let ended = log.named("sign_in_ended");
        assert!(
            ended[0]["cause"].contains(&format!("`{claim}`")),
            "{ended:?}"
        );
        assert_eq!(browser.signed_in_as().await, "guest");
        assert!(site.store.is_empty());
    }
}

#[tokio::test]
async fn l3_a_refreshed_id_token_must_be_signed() {
    for (deviation, said) in [
        (Deviation::BadSignature, "the token's signature is invalid"),
        (Deviation::AlgNone, "the token is not signed"),
    ] {
        let site = TestSite::start().await;
        let mut browser = site.signed_in("alice").await;
        site.clock.advance(HOUR);
        site.emulator.deviate(deviation);
        let log = Log::start();
        browser.get("/profile").await.location();
        let ended = log.named("sign_in_ended");
        // Once: an error and its sources are joined.
        assert_eq!(ended[0]["cause"].matches(said).count(), 1, "{ended:?}");
        assert_eq!(browser.signed_in_as().await, "guest");
        assert!(site.store.is_empty());
    }
}

#[tokio::test]
async fn l3_the_tokens_that_come_with_an_invalid_id_token_are_revoked() {
    let site = TestSite::builder()
        .emulator(EmulatorBuilder::advertise_revocation)
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    let another = Deviation::Claim("sub", json!("mallory"));
    site.emulator.deviate(another);
    browser.get("/profile").await.location();
    eventually(|| site.emulator.calls(Revocation) == 1).await;
}

#[tokio::test]
async fn l3_tokens_that_the_response_omits_are_kept() {
    let site = TestSite::builder()
        .emulator(|emulator| emulator.without_id_token_on_refresh().without_rotation())
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    for refreshes in 1..=3 {
        site.clock.advance(HOUR);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(site.emulator.refreshes(), refreshes);
    }
}

/// A page for the staff, and pages that show what a request sees of the user's workspace.
fn staff_app(oten: &Oten) -> Router {
    fn workspace(user: &User) -> String {
        let claim = user.claim("workspace").and_then(|claim| claim.as_str());
        claim.unwrap_or("no workspace").to_owned()
    }
    let is_staff = |user: &User| workspace(user) == "staff";
    let cycle_first = async |session: Session, mut request: Request| {
        session.cycle_id().await.unwrap();
        let user: User = request.extract_parts().await.unwrap();
        workspace(&user)
    };
    let ours = Router::new()
        .route("/admin", get(async || "for the staff"))
        .route_layer(oten.require_login().authorize(is_staff))
        .route("/workspace", get(async |user: User| workspace(&user)))
        .route(
            "/seen",
            get(async |user: Option<User>| {
                user.map_or("guest".to_owned(), |user| workspace(&user))
            }),
        )
        .route(
            "/call-api",
            get(async |_: AccessToken, user: Option<User>| workspace(&user.unwrap())),
        )
        .route("/cycle-first", post(cycle_first));
    app(oten).merge(ours.layer(oten.layer()))
}

/// Signs a member of the staff in, who then leaves it.
async fn former_staff(site: &TestSite) -> Browser {
    let staff = Deviation::Claim("workspace", json!("staff"));
    site.emulator.deviate(staff);
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.get("/workspace").await.body, "staff");
    site.emulator.clear_deviations();
    assert_eq!(browser.get("/admin").await.status, StatusCode::OK);
    site.clock.advance(HOUR);
    browser
}

/// Asserts that the user has no workspace any longer, without another call to the provider.
async fn assert_left(site: &TestSite, browser: &mut Browser) {
    assert_eq!(browser.get("/seen").await.body, "no workspace");
    assert_eq!(browser.get("/workspace").await.body, "no workspace");
    assert_eq!(browser.get("/call-api").await.body, "no workspace");
    let answer = browser.get("/admin").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(site.emulator.refreshes(), 1);
}

#[tokio::test]
async fn l3_a_withdrawn_claim_is_gone_in_the_request_that_refreshes() {
    for policy in [RefreshPolicy::Always, RefreshPolicy::OnDemand] {
        for path in ["/workspace", "/admin", "/call-api"] {
            if policy == RefreshPolicy::OnDemand && path != "/call-api" {
                continue;
            }
            let site = TestSite::builder()
                .app(staff_app)
                .config(move |config| config.refresh(policy))
                .start()
                .await;
            let mut browser = former_staff(&site).await;
            assert_eq!(browser.get("/seen").await.body, "staff", "not refreshed");
            let answer = browser.get(path).await;
            if path == "/admin" {
                assert_eq!(answer.status, StatusCode::FORBIDDEN);
            } else {
                assert_eq!(answer.body, "no workspace", "{policy:?}, {path}");
            }
            assert_left(&site, &mut browser).await;
        }
    }
}

#[tokio::test]
async fn l3_a_claim_is_gone_if_another_process_refreshes() {
    let (site, store) = TestSite::builder().app(staff_app).start_watched().await;
    let browser = former_staff(&site).await;
    let other = staff_app(&process(&site, store.clone(), &site.clock));
    let elsewhere = at_process(&browser, other).await;
    store.take_calls();
    let held = site.emulator.hold(Token);
    let browsers = [browser.clone(), elsewhere.clone()];
    let requests = tokio::spawn(get_all(browsers, "/workspace"));
    held.wait_for(1).await;
    eventually(|| store.count(Operation::Insert) >= 2).await;
    held.release();
    for answer in requests.await.unwrap() {
        assert_eq!(answer.body, "no workspace");
    }
    for mut browser in [browser, elsewhere] {
        assert_left(&site, &mut browser).await;
    }
}

#[tokio::test]
async fn l3_a_claim_is_gone_if_the_session_id_changes_during_the_refresh() {
    let site = TestSite::builder().app(staff_app).start().await;
    let mut browser = former_staff(&site).await;
    let held = site.emulator.hold(Token);
    let mut tab = browser.clone();
    let refreshing = tokio::spawn(async move { tab.get("/workspace").await });
    held.wait_for(1).await;
    assert!(browser.post("/cycle").await.sets_session());
    held.release();
    // The request started with a valid session.
    let answer = refreshing.await.unwrap();
    assert_eq!(answer.body, "no workspace");
    assert!(!answer.sets_session());
    assert_left(&site, &mut browser).await;
}

#[tokio::test]
async fn l3_a_request_can_change_the_session_id_and_refresh() {
    let site = TestSite::builder().app(staff_app).start().await;
    let mut browser = former_staff(&site).await;
    let mut old = browser.clone();
    let answer = browser.post("/cycle-first").await;
    assert_eq!(answer.body, "no workspace");
    assert!(answer.sets_session());
    assert_eq!(browser.signed_in_as().await, "user alice");
    assert_eq!(old.signed_in_as().await, "guest");
    assert_left(&site, &mut browser).await;
}

/// Another request changes the ID while this one, which is about to change it as well, refreshes.
#[tokio::test]
async fn o2_of_two_requests_that_change_the_id_during_a_refresh_one_sets_a_cookie() {
    let site = TestSite::builder().app(staff_app).start().await;
    let mut browser = former_staff(&site).await;
    let held = site.emulator.hold(Token);
    let mut tab = browser.clone();
    let refreshing = tokio::spawn(async move { tab.post("/cycle-first").await });
    held.wait_for(1).await;
    assert!(browser.post("/cycle").await.sets_session());
    held.release();
    let answer = refreshing.await.unwrap();
    assert_eq!(answer.body, "no workspace");
    assert!(!answer.sets_session());
    assert_left(&site, &mut browser).await;
}

#[tokio::test]
async fn l3_a_refresh_without_id_token_keeps_the_claims() {
    let site = TestSite::builder()
        .app(staff_app)
        .emulator(EmulatorBuilder::without_id_token_on_refresh)
        .start()
        .await;
    let mut browser = former_staff(&site).await;
    assert_eq!(browser.get("/workspace").await.body, "staff");
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(browser.get("/admin").await.status, StatusCode::OK);
}

/// Signs a former member of the staff in, whose tokens are refreshed by a request that cannot store the new
/// claims in the session.
async fn with_unstored_claims(policy: RefreshPolicy, path: &'static str) -> (TestSite, Browser) {
    let start = || {
        let site = TestSite::builder().app(staff_app);
        let site = site.config(move |config| config.refresh(policy));
        site.start_watched()
    };
    let (site, store) = start().await;
    let mut browser = former_staff(&site).await;
    store.take_calls();
    browser.get(path).await;
    let calls = store.take_calls();
    // The activity is stored afterwards.
    let activity = calls.iter().position(|call| *call == Operation::AddMember);
    let mut writes = calls[..activity.unwrap()].iter();
    let last_write = writes.rposition(|call| *call == Operation::Replace);

    let (site, store) = start().await;
    let browser = former_staff(&site).await;
    let session_write = store.pause_after(last_write.unwrap());
    let mut tab = browser.clone();
    let request = tokio::spawn(async move { tab.get(path).await });
    session_write.reached().await;
    store.fails(&[Operation::Replace]);
    session_write.go_on();
    let answer = request.await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    store.recover();
    (site, browser)
}

#[tokio::test]
async fn l3_claims_that_could_not_be_stored_count_in_the_grace_period() {
    let (site, mut browser) = with_unstored_claims(RefreshPolicy::Always, "/workspace").await;
    site.emulator.fault(Token, Fault::Status(500));
    site.clock.advance(HOUR);
    assert_eq!(browser.get("/workspace").await.body, "no workspace");
    let (site, mut browser) = with_unstored_claims(RefreshPolicy::Always, "/admin").await;
    site.emulator.fault(Token, Fault::Status(500));
    site.clock.advance(HOUR);
    let answer = browser.get("/admin").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn l3_claims_that_cannot_be_stored_deny_the_request_and_reach_the_next() {
    for (policy, path) in [
        (RefreshPolicy::Always, "/workspace"),
        (RefreshPolicy::Always, "/admin"),
        (RefreshPolicy::OnDemand, "/call-api"),
    ] {
        let (site, mut browser) = with_unstored_claims(policy, path).await;
        let answer = browser.get(path).await;
        if path == "/admin" {
            assert_eq!(answer.status, StatusCode::FORBIDDEN);
        } else {
            assert_eq!(answer.body, "no workspace", "{path}");
        }
        assert_left(&site, &mut browser).await;
    }
}

/// Handlers that fail after their request refreshed the tokens.
fn failing_handlers(oten: &Oten) -> Router {
    let protected = Router::new()
        .route(
            "/fails",
            get(async |_: User| StatusCode::INTERNAL_SERVER_ERROR),
        )
        .route("/panics", get(panics))
        .route(
            "/hangs",
            get(async |_: User| std::future::pending::<()>().await),
        )
        .route_layer(oten.require_login());
    app(oten).merge(protected.layer(oten.layer()))
}

async fn panics(_: User) {
    panic!("on purpose")
}

#[tokio::test]
async fn l4_a_failing_handler_loses_no_refreshed_tokens() {
    for path in ["/fails", "/panics", "/hangs"] {
        let site = TestSite::builder().app(failing_handlers).start().await;
        let mut browser = site.signed_in("alice").await;
        site.clock.advance(HOUR);
        let mut failing = browser.clone();
        let request = tokio::spawn(async move { failing.get(path).await });
        if path == "/hangs" {
            eventually(|| site.emulator.refreshes() == 1).await;
            request.abort();
        }
        let _ = request.await;
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(site.emulator.refreshes(), 1, "{path}");
        site.clock.advance(HOUR);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(site.emulator.reuse_detected(), 0, "{path}");
    }
}

/// The store fails between the answer of the provider, which has replaced the refresh token, and the write.
#[tokio::test]
async fn l4_tokens_that_the_store_does_not_accept_are_stored_when_it_works_again() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    let mut elsewhere = at_process(&browser, app(&another_process(&site))).await;
    site.clock.advance(HOUR);
    let held = site.emulator.hold(Token);
    let mut tab = browser.clone();
    let request = tokio::spawn(async move { tab.get("/profile").await });
    held.wait_for(1).await;
    store.fails(&[Operation::Replace, Operation::RemoveIf]);
    held.release();
    let answer = request.await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    // The process refreshes no tokens of this session meanwhile.
    let answer = browser.get("/profile").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    store.recover();
    // Neither does another one, which waits for the lease.
    assert_eq!(elsewhere.get("/profile").await.status, StatusCode::OK);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
    site.clock.advance(HOUR);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(
        (site.emulator.refreshes(), site.emulator.reuse_detected()),
        (2, 0)
    );
}

/// The store executes the write of a lease whose answer the process does not receive.
#[tokio::test]
async fn l2_a_lease_that_may_be_acquired_is_released() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    let mut elsewhere = at_process(&browser, app(&another_process(&site))).await;
    site.clock.advance(HOUR);
    store.loses_answers(&[Operation::Insert]);
    let answer = browser.get("/profile").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    store.recover();
    // The clock stands still, so the lease does not expire.
    assert_eq!(elsewhere.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
}

/// The clock of the provider, or that of this machine, is wrong.
#[tokio::test]
async fn l3_an_id_token_with_wrong_dates_signs_no_user_out() {
    for (claim, seconds) in [("iat", 300), ("nbf", 300), ("exp", -300)] {
        let site = TestSite::start().await;
        let mut browser = site.signed_in("alice").await;
        for refreshes in 1..=2 {
            site.clock.advance(HOUR);
            site.emulator.clear_deviations();
            let date = site.clock.unix_now() + seconds;
            site.emulator.deviate(Deviation::Claim(claim, json!(date)));
            let name = Deviation::Claim("name", json!("Mallory"));
            site.emulator.deviate(name);
            let profile = browser.get("/profile").await;
            assert_eq!(profile.status, StatusCode::OK, "{claim}");
            assert_eq!(profile.json()["name"], "Alice Adams", "not accepted");
            assert_eq!(site.emulator.refreshes(), refreshes);
        }
    }
}

#[tokio::test]
async fn l5_an_invalid_grant_ends_the_sign_in() {
    let site = TestSite::start().await;
    for (method, status) in [
        (None, StatusCode::SEE_OTHER),
        (Some(()), StatusCode::UNAUTHORIZED),
    ] {
        let mut browser = site.signed_in("alice").await;
        site.emulator.disable_user("alice");
        site.clock.advance(HOUR);
        let answer = match method {
            None => browser.get("/profile").await,
            Some(()) => browser.fetch(Method::GET, "/profile", "").await,
        };
        assert_eq!(answer.status, status);
        assert_eq!(browser.signed_in_as().await, "guest");
        site.emulator.enable_user("alice");
    }
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn l5_a_definite_refusal_ends_the_sign_in_with_any_status() {
    let site = TestSite::start().await;
    for code in [
        "invalid_grant",
        "login_required",
        "interaction_required",
        "consent_required",
        "access_denied",
    ] {
        for status in [200, 400, 401, 403, 429, 500, 503] {
            let mut browser = site.signed_in("alice").await;
            site.clock.advance(HOUR);
            let refusal = Fault::OAuthErrorWithStatus(code, status);
            site.emulator.fault(Token, refusal.times(1));
            let calls = site.emulator.calls(Token);
            let log = Log::start();
            let answer = browser.get("/profile").await;
            assert_eq!(answer.location(), "/login?return_to=%2Fprofile");
            let ended = log.named("sign_in_ended");
            assert!(ended[0]["cause"].contains(code), "{ended:?}");
            assert_eq!(browser.signed_in_as().await, "guest", "{code}, {status}");
            assert!(site.store.is_empty());
            assert_eq!(site.emulator.calls(Token), calls + 1, "never repeated");
        }
    }
}

#[tokio::test]
async fn l5_a_refusal_with_a_byte_order_mark_ends_the_sign_in() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    let refusal = Fault::Body {
        content_type: "application/json",
        bytes: "\u{feff}{\"error\": \"invalid_grant\"}".into(),
    };
    site.emulator.fault(Token, refusal);
    let answer = browser.get("/profile").await;
    assert_eq!(answer.location(), "/login?return_to=%2Fprofile");
    assert_eq!(browser.signed_in_as().await, "guest");
}

#[tokio::test]
async fn l5_an_unusable_answer_leads_to_sign_in_when_the_grace_is_over() {
    for fault in [
        Fault::OAuthError("a_code_of_tomorrow"),
        Fault::OAuthError("invalid_client"),
        Fault::OAuthErrorWithStatus("a_code_of_tomorrow", 200),
        Fault::OAuthErrorWithStatus("", 200),
        Fault::Status(200),
        Fault::Status(400),
        Fault::Status(404),
        Fault::Redirect("https://x.example/".into()),
        Fault::Html,
        Fault::Empty,
        Fault::Huge,
        Fault::Body {
            content_type: "application/json",
            bytes: r#"{"error":["invalid_grant"]}"#.into(),
        },
    ] {
        let site = TestSite::start().await;
        let mut browser = site.signed_in("alice").await;
        site.emulator.fault(Token, fault.clone());
        // While the grace lasts, the old tokens serve.
        site.clock.advance(59 * MINUTE);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(browser.get("/token").await.status, StatusCode::OK);
        site.clock.advance(5 * MINUTE);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        let refused = browser.get("/token").await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        // Then pages lead to sign-in and APIs get 401, with and without a call to the provider.
        site.clock.advance(MINUTE);
        for _ in 0..2 {
            for path in ["/profile", "/extracted", "/token"] {
                let page = browser.get(path).await;
                let login = format!("/login?return_to=%2F{}", &path[1..]);
                assert_eq!(page.location(), login, "{fault:?}");
                let api = browser.fetch(Method::GET, path, "").await;
                assert_eq!(api.status, StatusCode::UNAUTHORIZED);
                assert_eq!(api.json()["login_url"], "/login");
            }
        }
        // The sign-in has not ended: it continues as soon as the answers are right.
        assert_eq!(browser.signed_in_as().await, "user alice");
        let mut other = browser.clone();
        site.emulator.clear_faults();
        site.clock.advance(Duration::from_secs(10));
        assert_eq!(other.get("/profile").await.status, StatusCode::OK);
        // And the user can sign in again.
        browser.sign_in("alice", "/profile").await;
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    }
}

/// Without grace, and with tokens that expire at once.
#[tokio::test]
async fn l5_an_unusable_answer_after_a_sign_in_is_no_redirect_loop() {
    let site = TestSite::builder()
        .config(|config| config.refresh_grace(Duration::ZERO))
        .start()
        .await;
    site.emulator
        .deviate(Deviation::TokenField("expires_in", json!(0)));
    let mut browser = site.signed_in("alice").await;
    site.emulator.fault(Token, Fault::Status(400));
    let page = browser.get("/profile").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    site.clock.advance(MINUTE);
    browser.get("/profile").await.location();
}

/// A process whose lease has expired gets `invalid_grant`, because another one used the token.
#[tokio::test]
async fn l5_a_failed_call_does_not_count_after_another_process_refreshed() {
    for fault in [Fault::OAuthError("invalid_grant"), Fault::Status(500)] {
        let (site, store) = TestSite::builder().start_watched().await;
        let mut browser = site.signed_in("alice").await;
        let mut elsewhere = at_process(&browser, app(&another_process(&site))).await;
        site.clock.advance(HOUR);
        site.emulator.fault(Token, fault.times(1));
        // The session, the tokens twice, the lease and the tokens again come before the call.
        let after_call = store.pause_after(5);
        let mut tab = browser.clone();
        let late = tokio::spawn(async move { tab.get("/token").await });
        after_call.reached().await;
        site.clock.advance(Duration::from_secs(30));
        assert_eq!(elsewhere.get("/profile").await.status, StatusCode::OK);
        after_call.go_on();
        assert_eq!(late.await.unwrap().status, StatusCode::OK);
        assert_eq!(browser.get("/token").await.status, StatusCode::OK);
        assert_eq!(site.emulator.refreshes(), 1);
    }
}

#[tokio::test]
async fn l5_a_temporary_failure_signs_no_user_out() {
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::TooManyRequests {
            retry_after: Some(MINUTE),
        },
        Fault::OAuthError("temporarily_unavailable"),
        Fault::OAuthErrorWithStatus("a_code_of_tomorrow", 500),
        Fault::OAuthErrorWithStatus("temporarily_unavailable", 200),
        Fault::Close,
    ] {
        let site = TestSite::start().await;
        let mut browser = site.signed_in("alice").await;
        site.emulator.fault(Token, fault);
        // A minute before expiry the token is still valid.
        site.clock.advance(59 * MINUTE);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        assert_eq!(browser.get("/token").await.status, StatusCode::OK);
        // After expiry, pages are served during the grace period.
        site.clock.advance(3 * MINUTE);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        let refused = browser.get("/token").await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.header(header::RETRY_AFTER).is_some());
        // After the grace period requests get 503, and the user is still not signed out.
        site.clock.advance(5 * MINUTE);
        let refused = browser.get("/profile").await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.header(header::RETRY_AFTER).is_some());
        assert!(refused.set_cookies().is_empty());
        // The page offers what to do next, and so does the answer to an API.
        assert!(refused.body.contains(r#"href="/profile">Try again"#));
        let login = r#"href="/login?return_to=%2Fprofile">Sign in again"#;
        assert!(refused.body.contains(login), "{}", refused.body);
        let api = browser.fetch(Method::GET, "/profile", "").await.json();
        assert_eq!(api["login_url"], "/login");
        assert!(api["retry_after"].is_u64(), "{api}");
        assert_eq!(browser.signed_in_as().await, "user alice");
        site.emulator.clear_faults();
        site.clock.advance(2 * MINUTE);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn l5_the_next_request_does_not_repeat_a_failed_call() {
    let site = TestSite::start().await;
    let browser = site.signed_in("alice").await;
    site.emulator.fault(Token, Fault::Status(500));
    site.clock.advance(HOUR);
    let before = site.emulator.calls(Token);
    for answer in get_all(vec![browser; 20], "/profile").await {
        assert_eq!(answer.status, StatusCode::OK, "within the grace");
    }
    assert_eq!(site.emulator.calls(Token), before + 1);
}

#[tokio::test]
async fn d5_the_token_request_budget_is_kept() {
    let site = TestSite::builder()
        .config(|config| config.token_requests_per_minute(4))
        .start()
        .await;
    let mut browsers = [site.signed_in("alice").await, site.signed_in("bob").await];
    site.clock.advance(HOUR);
    let before = site.emulator.calls(Token);
    for browser in &mut browsers {
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    }
    for _ in 0..2 {
        site.signed_in("carol").await;
    }
    assert_eq!(site.emulator.calls(Token), before + 4);
    // The budget is exhausted: a sign-in gets 503 with `Retry-After`.
    let log = Log::start();
    let mut late = site.browser();
    let authorization_url = late.start_login("/").await;
    let callback = late.approve(&authorization_url, "carol");
    let answer = late.get(&callback).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header(header::RETRY_AFTER).is_some());
    assert_eq!(site.emulator.calls(Token), before + 4);
    let refusal = log.refusal();
    assert_eq!(refusal["reason"], "token_endpoint_busy");
    assert!(refusal["cause"].contains("`token_requests_per_minute`"));
}

/// An address exchanges made-up codes, each with a login attempt of its own.
#[tokio::test]
async fn d5_made_up_codes_of_one_address_leave_sign_ins_to_others() {
    let site = TestSite::builder()
        .config(|config| config.token_requests_per_minute(60))
        .start()
        .await;
    let call_back = async |code: Option<&str>, address: &str| {
        let mut browser = site.browser();
        let url = browser.start_login("/page").await;
        let callback = browser.approve(&url, "alice");
        let callback = match code {
            Some(code) => with_parameter(&callback, "code", code),
            None => callback,
        };
        let mut request = browser.navigation(Method::GET, &callback);
        let peer = SocketAddr::new(address.parse().unwrap(), 4711);
        request.extensions_mut().insert(ConnectInfo(peer));
        browser.send(request).await
    };
    let log = Log::start();
    for _ in 0..60 {
        let answer = call_back(Some("made-up-code"), "203.0.113.9").await;
        assert!(answer.status.is_client_error() || answer.status.is_server_error());
    }
    assert_eq!(site.emulator.calls(Token), 34);
    let refusals = log.named("refused");
    assert!(refusals[59]["cause"].contains("`trusted_proxies`"));
    for host in 1..=5 {
        let answer = call_back(None, &format!("2001:db8::{host}")).await;
        assert_eq!(answer.location(), "/page");
    }
    // A minute later, the budget is complete again.
    site.clock.advance(MINUTE);
    let answer = call_back(None, "203.0.113.9").await;
    assert_eq!(answer.location(), "/page");
}

#[tokio::test]
async fn l3_tokens_are_kept_if_the_key_of_the_id_token_is_unavailable() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    site.emulator.rotate_keys();
    site.emulator.fault(Jwks, Fault::Status(404));
    let name = Deviation::Claim("name", json!("Mallory"));
    site.emulator.deviate(name);
    for _ in 0..2 {
        let profile = browser.get("/profile").await;
        assert_eq!(profile.status, StatusCode::OK);
        assert_eq!(profile.json()["name"], "Alice Adams", "not verified");
    }
    site.emulator.clear_deviations();
    site.emulator.clear_faults();
    site.clock.advance(HOUR);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(
        (site.emulator.refreshes(), site.emulator.reuse_detected()),
        (2, 0)
    );
}
