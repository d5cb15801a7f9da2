//! The messages between clients and the emulator, for a page that explains them.

use http::{Method, StatusCode};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use url::form_urlencoded;

use crate::secret::from_base64url;

/// The number of characters that are kept of a value that may be a secret.
const KEPT_CHARS: usize = 6;

/// The maximum length of any name or value, in characters.
const MAX_CHARS: usize = 160;

/// The maximum number of parameters, members or claims that are kept of a message or token.
const MAX_PARAMETERS: usize = 30;

/// The methods that are kept: a client may send one of any length.
pub(super) const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::OPTIONS,
];

/// Parameters and claims that are random values, some of them secret.
const RANDOM_CLAIMS: [&str; 7] = [
    "state",
    "nonce",
    "jti",
    "sid",
    "at_hash",
    "code_challenge",
    "id_token_hint",
];

/// Parameters that are no secrets and are kept whole.
const PUBLIC_PARAMETERS: [&str; 21] = [
    "client_id",
    "redirect_uri",
    "post_logout_redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "prompt",
    "max_age",
    "ui_locales",
    "code_challenge_method",
    "grant_type",
    "token_type",
    "token_type_hint",
    "expires_in",
    "iss",
    "error",
    "error_description",
    "user",
    "decision",
    "active",
    "as",
];

/// A request to the emulator and its response, without secrets. Returned by
/// [`Emulator::exchanges`](super::Emulator::exchanges).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exchange {
    /// The time at which the request arrived, by the emulator's clock.
    pub time: OffsetDateTime,
    /// The method of the request. `None` for a logout token, which the emulator only issues.
    pub method: Option<Method>,
    /// The path of the request, relative to the issuer, such as `/v1/oauth/token`. Empty for a logout
    /// token.
    pub path: String,
    /// The parameters of the request.
    pub request: Vec<(String, ExchangedValue)>,
    /// The status code of the response. `None` for a logout token.
    pub status: Option<StatusCode>,
    /// The parameters of the URL that the response redirects to, or the members of a token response.
    pub response: Vec<(String, ExchangedValue)>,
}

/// A parameter of an [`Exchange`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ExchangedValue {
    /// A text. One that may be a secret is cut after 6 characters, and a client secret is left out.
    Text(String),
    /// A signed token, without its signature. Random claims are cut.
    Token {
        /// The header.
        header: Map<String, Value>,
        /// The claims.
        claims: Map<String, Value>,
    },
}

/// Returns the exchange that stands for a logout token.
pub(super) fn logout_token(time: OffsetDateTime, token: &str) -> Exchange {
    Exchange {
        time,
        method: None,
        path: String::new(),
        request: Vec::new(),
        status: None,
        response: vec![("logout_token".to_owned(), value_of("logout_token", token))],
    }
}

/// Returns what is kept of the parameters of a query or form.
pub(super) fn parse(form: &[u8]) -> Vec<(String, ExchangedValue)> {
    keep(form_urlencoded::parse(form))
}

/// Returns what is kept of parameters.
pub(super) fn keep<N: AsRef<str>, V: AsRef<str>>(
    parameters: impl Iterator<Item = (N, V)>,
) -> Vec<(String, ExchangedValue)> {
    let values = parameters.take(MAX_PARAMETERS).map(|(name, value)| {
        let name = name.as_ref();
        (cut(name, MAX_CHARS), value_of(name, value.as_ref()))
    });
    values.collect()
}

/// Returns what is kept of a parameter.
fn value_of(name: &str, value: &str) -> ExchangedValue {
    let is_token = ["request", "id_token", "access_token", "logout_token"].contains(&name);
    if let Some(token) = is_token.then(|| decode(value)).flatten() {
        return token;
    }
    ExchangedValue::Text(if name == "client_secret" {
        "not shown".to_owned()
    } else if PUBLIC_PARAMETERS.contains(&name) {
        cut(value, MAX_CHARS)
    } else {
        cut(value, KEPT_CHARS)
    })
}

fn decode(token: &str) -> Option<ExchangedValue> {
    let mut parts = token.split('.').map(from_base64url);
    let mut object = || serde_json::from_slice::<Map<String, Value>>(&parts.next()??).ok();
    let (header, claims) = (bounded(object()?), bounded(object()?));
    Some(ExchangedValue::Token { header, claims })
}

/// Returns the members that are kept of a header or of claims.
fn bounded(object: Map<String, Value>) -> Map<String, Value> {
    let members = object.into_iter().take(MAX_PARAMETERS);
    let members = members.map(|(name, value)| {
        let is_random = RANDOM_CLAIMS.contains(&name.as_str());
        let value = match value {
            Value::String(text) if is_random => cut(&text, KEPT_CHARS).into(),
            Value::String(text) => cut(&text, MAX_CHARS).into(),
            Value::Array(_) | Value::Object(_) => {
                let text = value.to_string();
                let is_short = text.chars().count() <= MAX_CHARS;
                if is_short {
                    value
                } else {
                    cut(&text, MAX_CHARS).into()
                }
            }
            value => value,
        };
        (cut(&name, MAX_CHARS), value)
    });
    members.collect()
}

/// Returns at most this many characters, and at most half of a short value.
fn cut(value: &str, kept: usize) -> String {
    let length = value.chars().count();
    if kept == MAX_CHARS && length <= kept {
        return value.to_owned();
    }
    let kept: String = value.chars().take(kept.min(length / 2)).collect();
    format!("{kept}…")
}
