//! What all pages have in common: the frame around them, the stylesheet, the icon and times.

use askama::Template;
use axum::{
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// The path of the stylesheet.
pub(crate) const STYLESHEET: &str = "/site.css";
pub(crate) const ICON: &str = "/icon.svg";

const CSS: &str = include_str!("../../../../templates/demo/site.css");
const ICON_SVG: &str = include_str!("../../../../templates/demo/icon.svg");

/// The frame of a page. Its own texts are in English.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The language of the content.
    pub(crate) lang: &'static str,
    pub(crate) brand: &'static str,
    pub(crate) home: String,
    pub(crate) stylesheet: String,
    pub(crate) icon: String,
    /// Empty on pages without navigation.
    pub(crate) nav: Vec<Group>,
    /// The name of the signed-in user, and the path that signs out.
    pub(crate) user: Option<(String, String)>,
    /// The path that signs in. `None` if the site has no users.
    pub(crate) login: Option<String>,
}

/// Links with a heading.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) links: Vec<Link>,
}

#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) url: String,
    pub(crate) text: &'static str,
    /// The path data of the icon.
    pub(crate) icon: &'static str,
    pub(crate) is_current: bool,
}

pub(crate) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The stylesheet's path with a fingerprint of its content, so that it can be cached forever.
pub(crate) fn stylesheet_path() -> String {
    let fingerprint = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(CSS)[..9]);
    format!("{STYLESHEET}?v={fingerprint}")
}

pub(crate) async fn stylesheet() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, CSS)
}

pub(crate) async fn icon() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "image/svg+xml"),
        (CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, ICON_SVG)
}

#[derive(Debug)]
pub(crate) struct Time {
    /// For the user, in UTC: the server does not know the user's time zone.
    pub(crate) text: String,
    /// The time of day with seconds.
    pub(crate) clock: String,
    /// For programs, as in RFC 3339.
    pub(crate) rfc3339: String,
}

impl Time {
    pub(crate) fn new(time: OffsetDateTime) -> Self {
        let utc = time.to_offset(UtcOffset::UTC);
        let (hour, minute, second) = utc.to_hms();
        let (day, month, year) = (utc.day(), utc.month(), utc.year());
        Self {
            text: format!("{day} {month} {year}, {hour:02}:{minute:02} UTC"),
            clock: format!("{hour:02}:{minute:02}:{second:02}"),
            rfc3339: rfc3339(time),
        }
    }
}

/// In whole seconds, because HTML allows at most three digits of a fraction.
fn rfc3339(time: OffsetDateTime) -> String {
    let seconds = time.replace_nanosecond(0).unwrap_or(time);
    // RFC 3339 has no form for years after 9999.
    seconds
        .format(&Rfc3339)
        .unwrap_or_else(|_| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_users_and_for_programs() {
        let time = Time::new(OffsetDateTime::from_unix_timestamp(1_777_900_080).unwrap());
        assert_eq!(time.text, "4 May 2026, 13:08 UTC");
        assert_eq!(time.clock, "13:08:00");
        assert_eq!(time.rfc3339, "2026-05-04T13:08:00Z");
    }

    #[test]
    fn the_stylesheet_is_small() {
        assert!(CSS.len() < 20_000, "{} bytes", CSS.len());
    }
}
