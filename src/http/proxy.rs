use std::fmt;

use url::Url;

use crate::secret::Secret;

/// The way out to the provider: the value of `proxy`.
///
/// Neither `Debug` nor `Display` shows a password.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proxy {
    /// `system`: what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say. A provider on
    /// this machine is called without a proxy, whatever they say.
    #[default]
    System,
    /// `direct`: no proxy, whatever the environment says.
    Direct,
    /// `http://HOST:PORT` or `https://HOST:PORT`, the whole URL, which may hold a user name and a
    /// password. It is told the provider's host and port (`CONNECT`, RFC 9110 section 9.3.6) and
    /// sees nothing of what is said: through it all calls are https.
    Url(Secret),
}

impl Proxy {
    /// The value as an operator writes it, password and all.
    pub(crate) fn setting(&self) -> &str {
        match self {
            Self::System => "system",
            Self::Direct => "direct",
            Self::Url(url) => url.expose(),
        }
    }
}

/// Scheme, host and port.
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
