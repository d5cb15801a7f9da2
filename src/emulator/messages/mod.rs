//! The messages that clients send.

pub(crate) mod authorization;
pub(crate) mod request_object;

use std::collections::BTreeMap;

use http::{HeaderMap, header};
use url::form_urlencoded;

/// The parameters of a query or form. A parameter without a value counts as absent (RFC 6749
/// section 3.1).
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// Parses `application/x-www-form-urlencoded`. The error describes the problem.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut form = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text) {
            if form.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(format!("The parameter {name} appears more than once"));
            }
        }
        form.retain(|_, value| !value.is_empty());
        Ok(Self(form))
    }

    /// Parses the body of a request, which must declare itself a form.
    pub(crate) fn from_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, String> {
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default();
        let expected = "application/x-www-form-urlencoded";
        if !media_type.trim().eq_ignore_ascii_case(expected) {
            return Err(format!("The Content-Type must be {expected}"));
        }
        Self::parse(body)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
