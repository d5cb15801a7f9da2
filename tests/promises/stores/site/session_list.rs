//! Sessions that another process than that of the sign-in lists and ends.

use std::collections::BTreeSet;

use super::{OF_A_SESSION, StoreLocation, another_process};
use crate::{
    common::{TestSite, TestSiteBuilder},
    session_list,
    sign_out::sign_in_at_once,
};

super::on_stores! {
    [memory sqlite postgres redis] {
        x4_a_process_lists_and_ends_the_sessions_of_another
    }
}

fn site() -> TestSiteBuilder {
    TestSite::builder().app(session_list::app)
}

async fn x4_a_process_lists_and_ends_the_sessions_of_another(location: StoreLocation) {
    let (site, store) = location.start(site()).await;
    let is_shared = !matches!(location.url, axum_oten::config::StoreUrl::Memory);
    let elsewhere = if is_shared {
        another_process(&site, location.open().await)
    } else {
        site.oten.clone()
    };
    let mut alice = sign_in_at_once(&site, 20).await;
    let mut bob = site.signed_in("bob").await;
    let handle = session_list::handle(&mut alice[0]).await;
    let listed = elsewhere.sessions_of("alice").await.unwrap();
    assert_eq!(listed.len(), 20);
    let named = listed
        .iter()
        .find(|session| session.handle().to_string() == handle);
    let named = named.unwrap().handle();
    assert!(!elsewhere.end_session("bob", named).await.unwrap());
    assert!(elsewhere.end_session("alice", named).await.unwrap());
    assert!(!elsewhere.end_session("alice", named).await.unwrap());
    assert_eq!(alice[0].signed_in_as().await, "guest");
    assert_eq!(alice[1].signed_in_as().await, "user alice");

    // Other sites share the store of the test, and their sessions are not listed.
    let (mut seen, mut next) = (BTreeSet::new(), None);
    loop {
        let page = elsewhere.sessions_page(next.as_deref(), 6).await.unwrap();
        seen.extend(
            page.sessions
                .iter()
                .map(|session| session.handle().to_string()),
        );
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 20);
    assert_eq!(elsewhere.end_sessions_of("alice").await.unwrap(), 19);
    for browser in &mut alice {
        assert_eq!(browser.signed_in_as().await, "guest");
    }
    assert_eq!(bob.signed_in_as().await, "user bob");
    let mut again = site.signed_in("alice").await;
    assert_eq!(elsewhere.end_all_sessions().await.unwrap(), 2);
    for browser in [&mut again, &mut bob] {
        assert_eq!(browser.signed_in_as().await, "guest");
    }
    assert!(store.left(&OF_A_SESSION).await.is_empty());
}
