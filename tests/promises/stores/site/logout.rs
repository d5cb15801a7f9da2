//! Logout tokens, on every store that processes share and in another process than the sign-in.

use axum::http::StatusCode;
use axum_oten::emulator::LogoutTarget;

use super::{Place, another_process};
use crate::{
    common::app,
    sign_out::{assert_done, send_token, sign_in_at_once, site},
};

super::on_stores! {
    [sqlite postgres redis] {
        o4_sign_ins_at_once_are_all_ended_elsewhere
        o4_a_sid_ends_its_session_elsewhere
    }
}

async fn o4_sign_ins_at_once_are_all_ended_elsewhere(place: Place) {
    let (site, _store) = place.start(site()).await;
    let elsewhere = app(&another_process(&site, place.open().await));
    let mut browsers = sign_in_at_once(&site, 20).await;
    let mut bob = site.signed_in("bob").await;
    let token = site
        .emulator
        .logout_token("test-site", LogoutTarget::Subject("alice"));
    assert_done(&send_token(&elsewhere, &token).await);
    for browser in &mut browsers {
        assert_eq!(browser.who().await, "guest");
    }
    assert_eq!(bob.who().await, "user bob");
    // Every process knows that it was used.
    let again = send_token(&site.app, &token).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
}

async fn o4_a_sid_ends_its_session_elsewhere(place: Place) {
    let (site, _store) = place.start(site()).await;
    let elsewhere = app(&another_process(&site, place.open().await));
    let mut one = site.signed_in("alice").await;
    let mut other = site.signed_in("alice").await;
    for (round, browser) in [&mut one, &mut other].into_iter().enumerate() {
        assert_eq!(browser.who().await, "user alice");
        let sid = &site.emulator.sids_of("alice")[round];
        let target = match round {
            0 => LogoutTarget::Session(sid),
            _ => LogoutTarget::Both { sub: "alice", sid },
        };
        let token = site.emulator.logout_token("test-site", target);
        assert_done(&send_token(&elsewhere, &token).await);
        assert_eq!(browser.who().await, "guest");
    }
}
