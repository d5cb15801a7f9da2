//! What the promises are tested with: a site with axum-oten inside, a strict local Oten beside it,
//! and browsers. Time is a manual clock that all of them share.

mod browser;
mod log;
mod site;
mod watched_store;

pub use self::{
    browser::{Answer, Browser, send},
    log::Log,
    site::{ClientKind, SECRET, TestSite, TestSiteBuilder, app},
    watched_store::{Asked, WatchedStore},
};
