use std::collections::BTreeMap;

use url::form_urlencoded;

/// The parameters of a query or a form. None appears twice, and one without a value counts as
/// absent (RFC 6749 section 3.1).
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`; the error is the repeated parameter's name.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut form = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text) {
            if form.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(name.into_owned());
            }
        }
        form.retain(|_, value| !value.is_empty());
        Ok(Self(form))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Form {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(parameters: I) -> Self {
        Self(parameters.into_iter().collect())
    }
}
