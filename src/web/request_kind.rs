use http::{HeaderMap, Method, header};

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// A browser that goes to a page: it can be sent elsewhere.
    Page,
    /// A browser that sent a form: it shows a page, but what it sent would be lost on the way.
    Form,
    /// A script or a program: it wants JSON.
    Api,
}

impl RequestKind {
    /// Reads Fetch Metadata where the browser sends it, and `Accept` where it does not.
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Self {
        if !is_shown(headers) {
            Self::Api
        } else if matches!(*method, Method::GET | Method::HEAD) {
            Self::Page
        } else {
            Self::Form
        }
    }
}

/// Whether a browser will show the answer as a page.
fn is_shown(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("x-requested-with").is_some_and(|by| by.eq_ignore_ascii_case("XMLHttpRequest")) {
        return false;
    }
    if let Some(dest) = text("sec-fetch-dest")
        && !matches!(dest, "document" | "frame" | "iframe")
    {
        return false;
    }
    if let Some(mode) = text("sec-fetch-mode") {
        return mode == "navigate";
    }
    headers.get_all(header::ACCEPT).iter().any(accepts_html)
}

/// Whether `Accept` names HTML. `*/*` does not: every program sends it.
fn accepts_html(accept: &http::HeaderValue) -> bool {
    let Ok(accept) = accept.to_str() else {
        return false;
    };
    accept.split(',').any(|range| {
        let media_type = range.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("text/html")
            || media_type.eq_ignore_ascii_case("application/xhtml+xml")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_kind(method: &Method, headers: &[(&'static str, &'static str)]) -> RequestKind {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        RequestKind::of(method, &headers)
    }

    #[test]
    fn r2_who_asks_is_told_by_its_headers() {
        use RequestKind::{Api, Form, Page};
        const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
        for (method, headers, expected) in [
            (Method::GET, &[HTML][..], Page),
            (Method::HEAD, &[HTML], Page),
            (Method::POST, &[HTML], Form),
            (Method::GET, &[], Api),
            (Method::GET, &[("accept", "*/*")], Api),
            (Method::GET, &[("accept", "application/json")], Api),
            (Method::GET, &[("accept", "text/htmlx")], Api),
            (Method::GET, &[HTML, NAVIGATE], Page),
            (
                Method::GET,
                &[NAVIGATE, ("sec-fetch-dest", "document")],
                Page,
            ),
            (Method::GET, &[NAVIGATE, ("sec-fetch-dest", "iframe")], Page),
            (Method::GET, &[NAVIGATE, ("sec-fetch-dest", "object")], Api),
            (Method::GET, &[HTML, ("sec-fetch-mode", "cors")], Api),
            (Method::GET, &[HTML, ("sec-fetch-mode", "no-cors")], Api),
            (Method::GET, &[HTML, ("sec-fetch-dest", "image")], Api),
            (
                Method::GET,
                &[HTML, ("x-requested-with", "XMLHttpRequest")],
                Api,
            ),
            (
                Method::POST,
                &[NAVIGATE, ("sec-fetch-dest", "document")],
                Form,
            ),
        ] {
            assert_eq!(
                request_kind(&method, headers),
                expected,
                "{method} {headers:?}"
            );
        }
    }
}
