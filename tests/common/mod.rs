//! What the promises are tested with: a site with axum-oten inside, a strict local Oten beside it,
//! and browsers. Time is a manual clock that all of them share.

mod browser;
mod log;
mod query;
mod site;
mod yielding_store;

pub use self::{
    browser::{Answer, Browser, path_and_query},
    log::Log,
    query::{jws_part, parameters, with_parameter, without_parameter},
    site::{ClientKind, SECRET, TestSite, TestSiteBuilder},
    yielding_store::YieldingStore,
};
