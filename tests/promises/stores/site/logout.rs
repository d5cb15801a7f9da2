//! Logout tokens that another process than that of the sign-in receives.

use axum::http::StatusCode;
use axum_oten::emulator::LogoutTarget;

use super::{StoreLocation, another_process};
use crate::{
    common::app,
    sign_out::{assert_done, send_token, sign_in_at_once, site},
};

super::on_stores! {
    [sqlite postgres redis] {
        o4_another_process_ends_all_concurrent_sign_ins
        o4_another_process_ends_the_session_of_a_sid
    }
}

async fn o4_another_process_ends_all_concurrent_sign_ins(location: StoreLocation) {
    let (site, _store) = location.start(site()).await;
    let elsewhere = app(&another_process(&site, location.open().await));
    let mut browsers = sign_in_at_once(&site, 20).await;
    let mut bob = site.signed_in("bob").await;
    let token = site
        .emulator
        .logout_token("test-site", LogoutTarget::Subject("alice"));
    assert_done(&send_token(&elsewhere, &token).await);
    for browser in &mut browsers {
        assert_eq!(browser.signed_in_as().await, "guest");
    }
    assert_eq!(bob.signed_in_as().await, "user bob");
    // Every process rejects the used token.
    let again = send_token(&site.app, &token).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
}

async fn o4_another_process_ends_the_session_of_a_sid(location: StoreLocation) {
    let (site, _store) = location.start(site()).await;
    let elsewhere = app(&another_process(&site, location.open().await));
    let mut one = site.signed_in("alice").await;
    let mut other = site.signed_in("alice").await;
    for (round, browser) in [&mut one, &mut other].into_iter().enumerate() {
        assert_eq!(browser.signed_in_as().await, "user alice");
        let sid = &site.emulator.sids_of("alice")[round];
        let target = match round {
            0 => LogoutTarget::Session(sid),
            _ => LogoutTarget::Both { sub: "alice", sid },
        };
        let token = site.emulator.logout_token("test-site", target);
        assert_done(&send_token(&elsewhere, &token).await);
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}
