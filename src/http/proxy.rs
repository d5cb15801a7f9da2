use std::fmt;

use url::Url;

use crate::secret::Secret;

/// The proxy for calls to the provider, the value of the setting `proxy`.
///
/// Defaults to [`System`](Self::System). Neither `Debug` nor `Display` shows a password.
///
/// ```
/// use axum_oten::{Config, config::{Environment, Proxy}};
///
/// let config = Config::builder()
///     .environment(Environment::Sandbox)
///     .client_id("my-site")
///     .public_client()
///     .redirect_uri("https://app.example.com/callback");
///
/// let proxy = Proxy::Url("http://user:password@proxy.example:3128".into());
/// assert_eq!(proxy.to_string(), "http://proxy.example:3128");
/// assert!(config.clone().proxy(proxy).build().is_ok());
///
/// // A proxy must speak HTTP:
/// assert!(config.proxy(Proxy::Url("socks5://proxy.example".into())).build().is_err());
/// # Ok::<_, axum_oten::config::ConfigError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proxy {
    /// `system`: the proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name. A
    /// provider on this machine is always called without a proxy.
    #[default]
    System,
    /// `direct`: no proxy, whatever the environment variables contain.
    Direct,
    /// `http://HOST:PORT` or `https://HOST:PORT`, optionally with a user name and a password.
    ///
    /// The proxy learns the provider's host and port (`CONNECT`, RFC 9110 section 9.3.6) and cannot
    /// read the calls: all of them must be https.
    Url(Secret),
}

impl Proxy {
    /// The value as it is written in the configuration, including the password.
    pub(crate) fn setting(&self) -> &str {
        match self {
            Self::System => "system",
            Self::Direct => "direct",
            Self::Url(url) => url.expose(),
        }
    }
}

/// `system`, `direct`, or the proxy's scheme, host and port.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Url(url) = self else {
            return f.write_str(self.setting());
        };
        let Ok(url) = Url::parse(url.expose()) else {
            return f.write_str("[not a URL]");
        };
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or(""))?;
        match url.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}
