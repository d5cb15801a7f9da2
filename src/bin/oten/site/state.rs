use axum::http::HeaderValue;
use axum_oten::Oten;
use url::Url;

/// The path of the stylesheet.
pub(super) const STYLESHEET: &str = "/site.css";

/// The site: the library's handle, and what its pages show.
#[derive(Debug)]
pub(crate) struct Site {
    pub(super) oten: Oten,
    pub(super) stylesheet: String,
    pub(super) content_security_policy: HeaderValue,
    /// Name and email address of the users that can sign in at the emulator.
    pub(super) users: Vec<(&'static str, &'static str)>,
}

impl Site {
    /// The URL of the home page.
    pub(crate) fn url(&self) -> Url {
        let mut url = self.oten.config().redirect_uri().clone();
        url.set_path(&self.path("/"));
        url.set_query(None);
        url
    }

    /// A path of the site as the browser requests it.
    pub(crate) fn path(&self, path: &str) -> String {
        match (self.oten.config().base_path(), path) {
            // A router nested at `/app` has a route for `/app`, but not for `/app/`.
            (base, "/") if !base.is_empty() => base.to_owned(),
            (base, path) => format!("{base}{path}"),
        }
    }
}
