//! What the operator decides, checked whole before anything starts.

mod client;
mod issuer;

pub use self::{
    client::{Client, ClientType, Jar},
    issuer::{Environment, Issuer},
};

pub(crate) use self::issuer::is_loopback;

use std::{net::SocketAddr, time::Duration};

use url::Url;

/// A configuration that passed every check. There is no way to make one that did not.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) issuer: Issuer,
    pub(crate) client: Client,
    pub(crate) redirect_uri: Url,
    pub(crate) post_logout_redirect_uri: Option<Url>,
    /// Empty, or `/app` without a slash at its end.
    pub(crate) base_path: String,
    /// The redirect URI's path less the base path.
    pub(crate) callback_path: String,
    /// A local path, as a browser sees it.
    pub(crate) home: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) prompt: Option<String>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) ui_locales: Option<String>,
    pub(crate) request_object_lifetime: Duration,
    pub(crate) session_idle: Duration,
    pub(crate) session_lifetime: Duration,
    pub(crate) session_store: StoreUrl,
    pub(crate) cookie_name: String,
    pub(crate) log_subjects: bool,
    pub(crate) listen: SocketAddr,
    pub(crate) warnings: Vec<String>,
}

/// Which store keeps the sessions: the value of `session_store`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// `memory:`, gone when the process ends.
    Memory,
}
