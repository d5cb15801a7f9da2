//! Promises O1 to O4: signing out at the app and at the provider.

mod at_provider;
mod back_channel;
mod disconnects;
mod in_flight;
mod local;
mod logout_token;
mod races;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use axum_oten::emulator::{Emulator, EmulatorBuilder};
use tokio::task::{JoinHandle, JoinSet};
use url::form_urlencoded;

use crate::common::{Answer, Browser, Pause, TestSite, TestSiteBuilder, send};

const FORM: &str = "application/x-www-form-urlencoded";

/// A site with a provider that supports every kind of logout.
pub fn site() -> TestSiteBuilder {
    TestSite::builder()
        .emulator(all_of_logout)
        .config(|config| config.post_logout_redirect_uri("http://127.0.0.1:3000/logout"))
}

fn all_of_logout(emulator: EmulatorBuilder) -> EmulatorBuilder {
    emulator
        .advertise_end_session()
        .advertise_revocation()
        .advertise_back_channel_logout()
}

/// Sends a logout token as the provider does, without cookies.
pub async fn send_token(app: &Router, token: &str) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", token)
        .finish();
    send_form(app, FORM, body).await
}

async fn send_form(app: &Router, content_type: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post("/backchannel-logout")
        .header(header::CONTENT_TYPE, content_type)
        .body(body.into())
        .unwrap();
    send(app, request).await
}

#[track_caller]
pub fn assert_done(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    assert!(answer.set_cookies().is_empty() && answer.body.is_empty());
    assert!(!answer.headers.contains_key("clear-site-data"));
}

/// Returns whether the task reached the pause before it completed.
async fn reaches<T>(pause: &Pause, work: &mut JoinHandle<T>) -> bool {
    tokio::select! {
        () = pause.reached() => true,
        _ = work => false,
    }
}

/// Returns whether the provider accepts a refresh token. Uses it up.
async fn is_alive(emulator: &Emulator, refresh_token: &str) -> bool {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", refresh_token)
        .append_pair("client_id", "test-site")
        .append_pair("client_secret", crate::common::SECRET)
        .finish();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .post(format!("{}/v1/oauth/token", emulator.issuer()))
        .header(header::CONTENT_TYPE, FORM)
        .body(form)
        .send();
    answer.await.unwrap().status().is_success()
}

/// Signs in this number of browsers at the same time.
pub async fn sign_in_at_once(site: &TestSite, count: usize) -> Vec<Browser> {
    let mut sign_ins = JoinSet::new();
    for _ in 0..count {
        let mut browser = site.browser();
        sign_ins.spawn(async move {
            browser.sign_in("alice", "/").await;
            browser
        });
    }
    sign_ins.join_all().await
}
