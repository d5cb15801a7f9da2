use url::Url;

use super::{
    Rejection,
    core::{Client, Core},
    form::Form,
    id_token_hint::{self, Hint},
    session::SignedIn,
};

/// A logout request that breaks no rule (OpenID Connect RP-Initiated Logout section 2).
pub(super) struct LogoutRequest {
    pub(super) client_id: Option<String>,
    /// Where the browser goes afterwards.
    pub(super) back: Option<Url>,
    hint: Option<Hint>,
}

impl LogoutRequest {
    /// Reads the parameters and checks everything about them. A refusal is never redirected: what
    /// would say where to is not believed.
    pub(super) fn read(core: &Core, parameters: &[u8]) -> Result<Self, Rejection> {
        let form = Form::parse(parameters)
            .map_err(|name| invalid(format!("The parameter {name} appears more than once")))?;
        Self::check(core, &form).map_err(invalid)
    }

    /// Checks the parameters of a request.
    pub(super) fn check(core: &Core, form: &Form) -> Result<Self, &'static str> {
        let client_id = form.get("client_id");
        let (hint, client) = match (form.get("id_token_hint"), client_id) {
            (Some(hint), _) => {
                let (hint, client) = id_token_hint::check(core, client_id, hint)?;
                (Some(hint), Some(client))
            }
            (None, Some(id)) => {
                let client = core.clients.get(id);
                (None, Some(client.ok_or("The client is not registered")?))
            }
            (None, None) => (None, None),
        };
        Ok(Self {
            client_id: client.map(|client| client.registered.id.clone()),
            back: back(client, form)?,
            hint,
        })
    }

    /// Whether it proves to be about this session. Otherwise the person has to be asked.
    pub(super) fn names(&self, session: &SignedIn) -> bool {
        self.hint.as_ref().is_some_and(|hint| hint.names(session))
    }
}

/// The registered address that the request names, with its `state`.
fn back(client: Option<&Client>, form: &Form) -> Result<Option<Url>, &'static str> {
    let Some(uri) = form.get("post_logout_redirect_uri") else {
        return Ok(None);
    };
    let client = client.ok_or("post_logout_redirect_uri needs id_token_hint or client_id")?;
    let registered = &client.registered.post_logout_redirect_uris;
    if !registered.iter().any(|known| known == uri) {
        return Err("The post_logout_redirect_uri is not registered");
    }
    // A registered URI always parses; should it not, the person learns of it.
    let mut url = Url::parse(uri).map_err(|_| "The post_logout_redirect_uri cannot be used")?;
    if let Some(state) = form.get("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    Ok(Some(url))
}

pub(super) fn invalid(description: impl Into<String>) -> Rejection {
    Rejection::page("invalid_request", description)
}
