use sha2::{Digest, Sha256};
use url::Url;

use super::Form;
use crate::{
    emulator::{client::RegisteredClient, error::Rejection, faults::Deviation},
    secret::{base64url, constant_time_eq},
};

/// An authorization request with valid parameters (OpenID Connect Core section 3.1.2.1).
#[derive(Clone)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client_id: String,
    pub(crate) callback: Callback,
    pub(crate) scope: String,
    pub(crate) nonce: Option<String>,
    pub(crate) challenge: Option<Challenge>,
    /// Whether `access_type` is `offline`, which is a parameter of Google's.
    pub(crate) is_offline: bool,
    prompt: Vec<String>,
    /// In seconds.
    pub(crate) max_age: Option<i64>,
}

impl AuthorizationRequest {
    /// Validates parameters, whether a query or a request object carries them.
    pub(crate) fn new(
        client: &RegisteredClient,
        parameters: &Form,
        callback: &Callback,
    ) -> Result<Self, Rejection> {
        let invalid = |description: &str| callback.reject("invalid_request", description);

        if parameters.get("redirect_uri").is_none() {
            return Err(invalid("redirect_uri is missing"));
        }
        match parameters.get("response_type") {
            Some("code") => {}
            Some(_) => {
                let description = "response_type must be code";
                return Err(callback.reject("unsupported_response_type", description));
            }
            None => return Err(invalid("response_type is missing: send response_type=code")),
        }
        if !matches!(parameters.get("response_mode"), None | Some("query")) {
            return Err(invalid("response_mode must be query or absent"));
        }
        let scope = parameters.get("scope").unwrap_or_default();
        if !scope.split(' ').any(|value| value == "openid") {
            return Err(callback.reject("invalid_scope", "scope must contain openid"));
        }
        if callback.state.is_none() {
            return Err(invalid("state is missing"));
        }
        let challenge = challenge(client, parameters).map_err(invalid)?;
        let prompt = prompt(parameters.get("prompt").unwrap_or_default()).map_err(invalid)?;
        let max_age = parameters.get("max_age").map(str::parse).transpose();
        let max_age = max_age
            .ok()
            .filter(|age| age.is_none_or(|seconds: i64| seconds >= 0))
            .ok_or_else(|| invalid("max_age must be a number of seconds"))?;
        Ok(Self {
            client_id: client.id().to_owned(),
            callback: callback.clone(),
            scope: scope.to_owned(),
            nonce: parameters.get("nonce").map(str::to_owned),
            challenge,
            is_offline: parameters.get("access_type") == Some("offline"),
            prompt,
            max_age,
        })
    }

    pub(crate) fn prompts(&self, value: &str) -> bool {
        self.prompt.iter().any(|prompt| prompt == value)
    }
}

/// The client's redirect URI and the parameters of every response sent to it.
#[derive(Clone)]
pub(crate) struct Callback {
    /// Exactly as registered.
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    /// Set if the emulator sends `iss` (RFC 9207).
    pub(crate) iss: Option<String>,
    pub(crate) deviations: Vec<Deviation>,
}

impl Callback {
    /// Takes the redirect URI from `parameters`, or the registered one if there is only one.
    pub(crate) fn new(
        client: &RegisteredClient,
        parameters: &Form,
        iss: Option<String>,
        deviations: Vec<Deviation>,
    ) -> Result<Self, Rejection> {
        let registered = &client.registration.redirect_uris;
        let invalid = |description| Rejection::page("invalid_request", description);
        let redirect_uri = match (parameters.get("redirect_uri"), registered.as_slice()) {
            (Some(uri), _) if registered.iter().any(|known| known == uri) => uri,
            (None, [only]) => only,
            (Some(_), _) => {
                let description = "redirect_uri must repeat a registered redirect URI exactly";
                return Err(invalid(description));
            }
            (None, _) => return Err(invalid("redirect_uri is missing")),
        };
        Ok(Self {
            redirect_uri: redirect_uri.to_owned(),
            state: parameters.get("state").map(str::to_owned),
            iss,
            deviations,
        })
    }

    /// Returns the URL of a successful response.
    pub(crate) fn with_code(&self, code: &str) -> Url {
        self.url(&[("code", code)])
    }

    /// Returns the URL of an error response.
    pub(crate) fn with_error(&self, error: &str, description: &str) -> Url {
        self.url(&[("error", error), ("error_description", description)])
    }

    pub(crate) fn reject(&self, error: &str, description: &str) -> Rejection {
        Rejection {
            error: error.to_owned(),
            description: description.to_owned(),
            redirect: Some(Box::new(self.with_error(error, description))),
        }
    }

    fn url(&self, parameters: &[(&str, &str)]) -> Url {
        let mut url = Url::parse(&self.redirect_uri).expect("a registered redirect URI is a URL");
        let mut parameters = parameters.to_vec();
        parameters.extend(self.state.iter().map(|state| ("state", &**state)));
        parameters.extend(self.iss.iter().map(|iss| ("iss", &**iss)));
        for deviation in &self.deviations {
            match deviation {
                Deviation::CallbackParameter(name, value) => {
                    parameters.retain(|(known, _)| known != name);
                    parameters.push((name, value));
                }
                Deviation::WithoutCallbackParameter(name) => {
                    parameters.retain(|(known, _)| known != name);
                }
                _ => {}
            }
        }
        url.query_pairs_mut().extend_pairs(parameters);
        url
    }
}

/// A PKCE `code_challenge` (RFC 7636).
#[derive(Clone)]
pub(crate) enum Challenge {
    S256(String),
    Plain(String),
}

impl Challenge {
    /// Parses a challenge. The method is required, because its default (`plain`) is weak.
    fn new(challenge: &str, method: &str) -> Result<Self, &'static str> {
        match method {
            "S256" if challenge.len() == 43 && is_verifier(challenge) => {
                Ok(Self::S256(challenge.to_owned()))
            }
            "plain" if is_verifier(challenge) => Ok(Self::Plain(challenge.to_owned())),
            "S256" => Err("code_challenge must be 43 characters of base64url"),
            "plain" => Err("code_challenge must be 43 to 128 unreserved characters"),
            _ => Err("code_challenge_method must be S256 or plain"),
        }
    }

    pub(crate) fn accepts(&self, verifier: &str) -> bool {
        is_verifier(verifier)
            && match self {
                Self::S256(challenge) => {
                    let hash = base64url(Sha256::digest(verifier));
                    constant_time_eq(hash.as_bytes(), challenge.as_bytes())
                }
                Self::Plain(challenge) => {
                    constant_time_eq(verifier.as_bytes(), challenge.as_bytes())
                }
            }
    }
}

/// Whether `text` has the form of RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)
}

/// PKCE is optional only for a confidential client that sends plain parameters.
fn challenge(
    client: &RegisteredClient,
    parameters: &Form,
) -> Result<Option<Challenge>, &'static str> {
    let is_optional = !client.is_public() && client.sends_plain_parameters();
    match (
        parameters.get("code_challenge"),
        parameters.get("code_challenge_method"),
    ) {
        (Some(challenge), Some(method)) => Challenge::new(challenge, method).map(Some),
        (None, None) if is_optional => Ok(None),
        (None, _) => Err("code_challenge is missing"),
        (Some(_), None) => Err("code_challenge_method is missing: send S256"),
    }
}

fn prompt(prompt: &str) -> Result<Vec<String>, &'static str> {
    let values: Vec<&str> = prompt.split_ascii_whitespace().collect();
    let known = ["none", "login", "consent", "select_account"];
    if !values.iter().all(|value| known.contains(value)) {
        return Err("prompt must be none, login, consent or select_account");
    }
    if values.len() > 1 && values.contains(&"none") {
        return Err("prompt must not combine none with other values");
    }
    Ok(values.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    #[test]
    fn rfc7636_b() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let challenge = Challenge::new(challenge, "S256").unwrap_or_else(|e| panic!("{e}"));
        assert!(challenge.accepts("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert!(!challenge.accepts("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK"));
        assert!(!challenge.accepts("short"));
    }
}
