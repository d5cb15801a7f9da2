//! Forms that one process keeps and several action.

use axum::http::StatusCode;
use axum_oten::{config::StoreUrl, emulator::Deviation};
use serde_json::json;
use tokio::task::JoinSet;

use super::{StoreLocation, another_process};
use crate::kept_forms::{Handled, action_of, click, kept, page_after, submit};

super::on_stores! {
    [memory sqlite postgres redis] {
        x3_two_processes_send_a_form_once
    }
}

async fn x3_two_processes_send_a_form_once(location: StoreLocation) {
    let handled = Handled::default();
    let (site, store) = location.site(handled.app()).await;
    let oten = if matches!(location.url, StoreUrl::Memory) {
        site.oten.clone()
    } else {
        another_process(&site, location.open().await)
    };
    let other = handled.app()(&oten);

    // The user signed in long ago.
    site.emulator
        .deviate(Deviation::Claim("auth_time", json!(1_000_000_000)));
    let mut alice = site.signed_in("alice").await;
    site.emulator.clear_deviations();
    let whole = format!("x={}", "a".repeat(64 * 1024 - 2));
    let link = kept(&submit(&mut alice, "/transfer?a=b", &whole).await);

    let mut elsewhere = alice.clone();
    elsewhere.app(other.clone());
    let (path, page) = page_after(&mut elsewhere, &link, "alice").await;
    alice.cookies = elsewhere.cookies.clone();
    let action = action_of(&page);
    let mut clicks = JoinSet::new();
    for number in 0..50 {
        let (mut alice, action) = (alice.clone(), action.clone());
        if number % 2 == 0 {
            alice.app(other.clone());
        }
        clicks.spawn(async move { click(&mut alice, &action).await });
    }
    let answers = clicks.join_all().await;
    let sent: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status != StatusCode::GONE)
        .collect();
    assert_eq!((sent.len(), handled.count()), (1, 1), "{sent:?}");
    assert!(sent[0].body.ends_with(&whole));
    for browser in [&mut alice, &mut elsewhere] {
        let page = browser.get(&path).await;
        assert!(page.body.contains("Form already sent"), "{page:?}");
    }
    // Nothing of the form is left in its record.
    for key in store.left(&["kept_form"]).await {
        let record = axum_oten::store::OtenStore::load(&store.memory, &key).await;
        assert!(record.unwrap().unwrap().value.len() < 200);
    }
}
