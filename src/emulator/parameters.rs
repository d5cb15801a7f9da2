use super::{
    Rejection,
    callback::Callback,
    core::{Client, Core},
    form::Form,
    pkce::Challenge,
};

/// An authorization request that breaks no rule.
#[derive(Clone)]
pub(super) struct AuthorizationRequest {
    pub(super) client_id: String,
    pub(super) callback: Callback,
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
    pub(super) challenge: Option<Challenge>,
    pub(super) prompt: Vec<String>,
    /// In seconds.
    pub(super) max_age: Option<i64>,
}

impl AuthorizationRequest {
    pub(super) fn prompts(&self, value: &str) -> bool {
        self.prompt.iter().any(|prompt| prompt == value)
    }
}

/// Checks the parameters of OpenID Connect Core section 3.1.2.1, wherever they came from.
pub(super) fn check(
    core: &Core,
    client: &Client,
    form: &Form,
    callback: &Callback,
) -> Result<AuthorizationRequest, Rejection> {
    let refuse = |error, description| callback.refusal(core, error, description);
    let invalid = |description| refuse("invalid_request", description);

    if form.get("redirect_uri").is_none() {
        return Err(invalid("redirect_uri is missing"));
    }
    match form.get("response_type") {
        Some("code") => {}
        Some(_) => {
            return Err(refuse(
                "unsupported_response_type",
                "Only code is supported",
            ));
        }
        None => return Err(invalid("response_type is missing")),
    }
    if form
        .get("response_mode")
        .is_some_and(|mode| mode != "query")
    {
        return Err(invalid("Only the response_mode query is supported"));
    }
    let scope = form.get("scope").unwrap_or_default();
    if !scope.split(' ').any(|value| value == "openid") {
        return Err(refuse("invalid_scope", "The scope must contain openid"));
    }
    if callback.state.is_none() {
        return Err(invalid("state is missing"));
    }
    let challenge = challenge(client, form).map_err(invalid)?;
    let prompt = prompt(form.get("prompt")).map_err(invalid)?;
    let max_age = form.get("max_age").map(str::parse).transpose();
    let max_age = max_age
        .ok()
        .filter(|age| age.is_none_or(|seconds: i64| seconds >= 0));
    Ok(AuthorizationRequest {
        client_id: client.registered.id.clone(),
        callback: callback.clone(),
        scope: scope.to_owned(),
        nonce: form.get("nonce").map(str::to_owned),
        challenge,
        prompt,
        max_age: max_age.ok_or_else(|| invalid("max_age is not a number of seconds"))?,
    })
}

/// PKCE is optional for one kind only: the confidential client whose request object Oten's support
/// switched off.
fn challenge(client: &Client, form: &Form) -> Result<Option<Challenge>, &'static str> {
    let is_optional = !client.registered.is_public() && client.request_form.is_plain();
    match (
        form.get("code_challenge"),
        form.get("code_challenge_method"),
    ) {
        (Some(challenge), Some(method)) => Challenge::new(challenge, method).map(Some),
        (None, None) if is_optional => Ok(None),
        (None, _) => Err("code_challenge is missing"),
        (Some(_), None) => Err("code_challenge_method is missing"),
    }
}

fn prompt(prompt: Option<&str>) -> Result<Vec<String>, &'static str> {
    let known = ["none", "login", "consent", "select_account"];
    let values: Vec<String> = prompt
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    if values.iter().any(|value| !known.contains(&value.as_str())) {
        return Err("prompt has an unknown value");
    }
    if values.len() > 1 && values.iter().any(|value| value == "none") {
        return Err("prompt=none stands alone");
    }
    Ok(values)
}
