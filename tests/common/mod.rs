//! What the promises are tested with: a site with axum-oten inside, a strict local Oten beside it,
//! and browsers. Time is a manual clock that all of them share.

mod browser;
mod site;

pub use self::{
    browser::{Answer, Browser},
    site::{ClientKind, SECRET, TestSite, TestSiteBuilder},
};
