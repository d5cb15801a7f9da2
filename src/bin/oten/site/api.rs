use axum::{Json, response::IntoResponse};
use axum_oten::User;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The signed-in user as JSON. Never a token: those stay on the server.
#[derive(Debug, Serialize)]
struct Me {
    subject: String,
    name: Option<String>,
    email: Option<String>,
    signed_in_at: String,
    session_ends_at: String,
}

pub(super) async fn me(user: User) -> impl IntoResponse {
    Json(Me {
        subject: user.subject().to_owned(),
        name: user.name().map(str::to_owned),
        email: user.email().map(str::to_owned),
        signed_in_at: rfc3339(user.signed_in_at()),
        session_ends_at: rfc3339(user.session_ends_at()),
    })
}

/// A time as machines read it: `2026-05-04T12:30:00Z`.
pub(super) fn rfc3339(time: OffsetDateTime) -> String {
    // Only a year past 9999 has no such form.
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
