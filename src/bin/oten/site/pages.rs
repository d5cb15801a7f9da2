use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use axum_oten::User;
use time::{OffsetDateTime, UtcOffset};

use super::{Site, api::rfc3339};

#[derive(Template)]
#[template(path = "demo/home.html")]
struct Home<'a> {
    site: &'a Site,
    name: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "demo/profile.html")]
struct Profile<'a> {
    site: &'a Site,
    facts: Vec<Fact>,
}

/// A line of the profile.
struct Fact {
    label: &'static str,
    value: String,
    /// The value as machines read it, if it is a time.
    datetime: Option<String>,
}

impl Fact {
    fn text(label: &'static str, value: Option<&str>) -> Self {
        Self {
            label,
            value: value.unwrap_or("not told").to_owned(),
            datetime: None,
        }
    }

    fn time(label: &'static str, time: OffsetDateTime) -> Self {
        Self {
            label,
            value: plain(time),
            datetime: Some(rfc3339(time)),
        }
    }
}

/// `/`: open to everyone, and it knows who is signed in.
pub(super) async fn home(State(site): State<Arc<Site>>, user: Option<User>) -> Response {
    let name = user
        .as_ref()
        .map(|user| user.name().unwrap_or(user.subject()));
    page(&Home { site: &site, name })
}

/// `/profile`: protected.
pub(super) async fn profile(State(site): State<Arc<Site>>, user: User) -> Response {
    let facts = vec![
        Fact::text("Subject", Some(user.subject())),
        Fact::text("Name", user.name()),
        Fact::text("Email", user.email()),
        Fact::time("Signed in", user.signed_in_at()),
        Fact::time("Session ends", user.session_ends_at()),
    ];
    page(&Profile { site: &site, facts })
}

/// Renders a template.
pub(super) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A time as people read it. The server does not know the reader's time zone, so it says its own.
fn plain(time: OffsetDateTime) -> String {
    let time = time.to_offset(UtcOffset::UTC);
    format!(
        "{} {} {}, {:02}:{:02} UTC",
        time.day(),
        time.month(),
        time.year(),
        time.hour(),
        time.minute(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_plain() {
        let time = OffsetDateTime::from_unix_timestamp(1_777_900_080).unwrap();
        assert_eq!(plain(time), "4 May 2026, 13:08 UTC");
        assert_eq!(rfc3339(time), "2026-05-04T13:08:00Z");
    }
}
