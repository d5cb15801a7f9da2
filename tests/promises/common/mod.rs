//! What the promises are tested with: a site with axum-oten inside, a strict local Oten beside it,
//! and browsers. Time is a manual clock that all of them share.

mod browser;
mod ca;
mod connect_proxy;
mod log;
mod outside_store;
mod query;
mod recorder;
mod site;
mod watched_store;
mod yielding_store;

pub use self::{
    browser::{Answer, Browser, path_and_query, send},
    ca::TestCa,
    connect_proxy::ConnectProxy,
    log::Log,
    outside_store::OutsideStore,
    query::{jws_part, parameters, with_parameter, without_parameter},
    recorder::{Recorder, TokenCall},
    site::{ClientKind, SECRET, TestSite, TestSiteBuilder, app},
    watched_store::{Asked, Pause, WatchedStore},
    yielding_store::YieldingStore,
};

/// Lets everything else run until `holds`; nothing else would say that work in the background is
/// done.
pub async fn eventually(mut holds: impl FnMut() -> bool) {
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !holds() {
        assert!(std::time::Instant::now() < limit, "it never holds");
        tokio::task::yield_now().await;
    }
}
