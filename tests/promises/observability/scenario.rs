//! A scenario that emits every event and changes every metric.

use std::time::Duration;

use axum::http::Method;
use axum_oten::{
    Clock, MemoryStore,
    config::ConfigBuilder,
    emulator::{
        Endpoint::{Jwks, Revocation, Token},
        Fault, LogoutTarget,
    },
    web::OtenBuilder,
};

use crate::{
    common::{ExternalStore, Operation, TestSite},
    kept_forms::{self, Handled, submit},
    session_list,
    sign_out::{self, send_token},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Runs the scenario. `build` configures each of its apps.
pub async fn run(build: impl Fn(OtenBuilder) -> OtenBuilder + Clone + 'static) {
    signing_in_and_out(build.clone()).await;
    refreshes(build.clone()).await;
    a_kept_form(build.clone()).await;
    a_tampered_record(build).await;
}

fn configure(config: ConfigBuilder) -> ConfigBuilder {
    config
        .post_logout_redirect_uri("http://127.0.0.1:3000/logout")
        .token_requests_per_minute(60)
}

async fn signing_in_and_out(build: impl FnOnce(OtenBuilder) -> OtenBuilder + 'static) {
    let site = sign_out::site().app(session_list::app);
    let site = site.config(configure).oten(build).start().await;
    let mut guest = site.browser();
    guest.fetch(Method::GET, "/profile", "").await;
    let restarted = guest.get("/callback?state=unknown&code=x").await;
    guest.follow_restart(&restarted).await;
    for back in [
        site.emulator.deny(guest.start_login("/").await),
        site.emulator
            .reject(guest.start_login("/").await, "server_error"),
    ] {
        guest.get(back.unwrap().as_str()).await;
    }

    let mut alice = site.signed_in("alice").await;
    let refused = Fault::OAuthError("invalid_client");
    site.emulator.fault(Revocation, refused);
    alice.post("/logout").await;
    site.oten.shutdown().await;

    site.signed_in("bob").await;
    for target in [
        LogoutTarget::Subject("bob"),
        LogoutTarget::Session("unknown"),
    ] {
        let token = site.emulator.logout_token("test-site", target);
        send_token(&site.app, &token).await;
    }

    let mut alice = site.signed_in("alice").await;
    let end = "end=subject&subject=alice";
    session_list::ended(&mut alice, "/admin/sessions/end", end).await;
    site.oten.shutdown().await;
}

async fn refreshes(build: impl FnOnce(OtenBuilder) -> OtenBuilder + 'static) {
    let site = TestSite::builder().config(configure).oten(build);
    let (site, store) = site.start_watched().await;
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    site.emulator.fault(Token, Fault::Status(500));
    alice.get("/profile").await;
    site.emulator.clear_faults();
    site.clock.advance(MINUTE);
    alice.get("/profile").await;

    // The key set is fetched again once. The next fetch fails.
    site.clock.advance(HOUR);
    site.emulator.rotate_keys();
    alice.get("/profile").await;
    site.clock.advance(HOUR);
    site.emulator.rotate_keys();
    site.emulator.fault(Jwks, Fault::Status(404));
    alice.get("/profile").await;
    site.emulator.clear_faults();
    site.clock.advance(MINUTE);

    let mut bob = site.signed_in("bob").await;
    bob.get("/staff").await;
    site.emulator.disable_user("bob");
    site.clock.advance(HOUR);
    bob.get("/profile").await;

    // It does not work again: the tokens would be stored at an unknown time.
    store.fails(&[Operation::Replace]);
    alice.get("/profile").await;
}

async fn a_kept_form(build: impl FnOnce(OtenBuilder) -> OtenBuilder + 'static) {
    let site = TestSite::builder().app(Handled::default().app());
    let site = site.config(configure).oten(build).start().await;
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(7 * MINUTE);
    let link = kept_forms::kept(&submit(&mut alice, "/transfer", "").await);
    let (_, page) = kept_forms::page_after(&mut alice, &link, "alice").await;
    kept_forms::click(&mut alice, &kept_forms::action_of(&page)).await;
}

async fn a_tampered_record(build: impl FnOnce(OtenBuilder) -> OtenBuilder + 'static) {
    let clock = Clock::manual();
    let memory = MemoryStore::default().with_clock(clock.clone());
    let store = ExternalStore::new(memory.clone());
    let site = TestSite::builder()
        .config(|config| config.session_key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))
        .oten(build)
        .start_with(store.clone(), memory, clock)
        .await;
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(MINUTE);
    store.tamper("tokens", |_| Vec::new()).await;
    alice.fetch(Method::GET, "/token", "").await;
}
