use std::fmt;

use http::Uri;
use url::form_urlencoded;

/// A request's URI for logs: the path and the names of the query parameters, without their values.
///
/// The callback's query contains a code and a state, which must not be logged.
///
/// ```
/// use axum_oten::RedactedUri;
///
/// let uri = "/callback?code=secret&state=secret".parse()?;
/// assert_eq!(RedactedUri(&uri).to_string(), "/callback?code=[redacted]&state=[redacted]");
///
/// let uri = "/profile".parse()?;
/// assert_eq!(RedactedUri(&uri).to_string(), "/profile");
/// # Ok::<_, axum::http::uri::InvalidUri>(())
/// ```
///
/// With tower-http's `TraceLayer`, record it in the request's span:
///
/// ```
/// # #[cfg(feature = "cli")] fn app() -> axum::Router {
/// # use axum::{Router, body::Body, http::Request};
/// # use axum_oten::RedactedUri;
/// # use tower_http::trace::TraceLayer;
/// Router::new().layer(TraceLayer::new_for_http().make_span_with(|request: &Request<Body>| {
///     let uri = RedactedUri(request.uri());
///     tracing::info_span!("request", method = %request.method(), %uri)
/// }))
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct RedactedUri<'a>(pub &'a Uri);

/// A longer name is omitted: it may be a value without a name.
const MAX_NAME_CHARS: usize = 32;

impl fmt::Display for RedactedUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `http` accepts all non-ASCII bytes, including those that control a terminal.
        write!(f, "{}", self.0.path().escape_default())?;
        let query = self.0.query().unwrap_or_default();
        for (i, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
            f.write_str(if i == 0 { "?" } else { "&" })?;
            let is_name = name.chars().count() <= MAX_NAME_CHARS
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-.[]".contains(c));
            if is_name && !value.is_empty() {
                f.write_str(&name)?;
            }
            f.write_str("=[redacted]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedactedUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
