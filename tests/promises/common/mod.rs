//! Test support: a site with axum-oten, a strict emulated Oten, and browsers. All of them share a
//! manual clock.

mod browser;
mod ca;
mod connect_proxy;
mod external_store;
mod free_port;
mod log;
mod query;
mod recorder;
mod site;
mod visitor;
mod watched_store;
mod yielding_store;

pub use self::{
    browser::{Answer, Browser, path_and_query, send},
    ca::TestCa,
    connect_proxy::ConnectProxy,
    external_store::ExternalStore,
    free_port::free_port,
    log::Log,
    query::{jws_part, parameters, with_parameter, without_parameter},
    recorder::{Recorder, TokenCall},
    site::{ClientKind, SECRET, TestSite, TestSiteBuilder, app},
    visitor::Visitor,
    watched_store::{Operation, Pause, WatchedStore},
    yielding_store::YieldingStore,
};

/// Yields to other tasks until `holds` returns true. Background tasks give no other signal when they
/// are done.
pub async fn eventually(mut holds: impl FnMut() -> bool) {
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !holds() {
        assert!(std::time::Instant::now() < limit, "it never holds");
        tokio::task::yield_now().await;
    }
}
