use url::Url;

use super::{
    Rejection,
    core::{Core, Extra},
};

/// Where the answer to an authorization request goes, and the `state` that goes with it.
#[derive(Clone)]
pub(super) struct Callback {
    /// Exactly as registered.
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
}

impl Callback {
    pub(super) fn with_code(&self, core: &Core, value: &str) -> Option<Url> {
        self.url(core, &[("code", value)])
    }

    pub(super) fn refusal(
        &self,
        core: &Core,
        error: impl Into<String>,
        description: impl Into<String>,
    ) -> Rejection {
        let (error, description) = (error.into(), description.into());
        let parameters = [
            ("error", error.as_str()),
            ("error_description", description.as_str()),
        ];
        Rejection {
            redirect: self.url(core, &parameters).map(Box::new),
            error,
            description,
        }
    }

    /// `None` cannot happen: a redirect URI is checked to be a URL when it is registered.
    fn url(&self, core: &Core, parameters: &[(&str, &str)]) -> Option<Url> {
        let mut url = Url::parse(&self.redirect_uri).ok()?;
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(parameters);
            if let Some(state) = &self.state {
                query.append_pair("state", state);
            }
            if core.offers(Extra::Iss) {
                query.append_pair("iss", &core.issuer);
            }
        }
        Some(url)
    }
}
