use std::{collections::BTreeSet, fmt};

use serde_json::{Value, json};
use url::{Host, Url};

use super::EmulatorError;
use crate::{
    jose::{Jwk, JwkSet},
    secret::Secret,
};

/// A client registered with the emulator.
#[derive(Clone)]
pub struct EmulatedClient {
    pub(super) id: String,
    pub(super) secret: Option<Secret>,
    pub(super) redirect_uris: Vec<String>,
    pub(super) post_logout_redirect_uris: Vec<String>,
    pub(super) back_channel_logout_uri: Option<String>,
    jwks: Vec<Value>,
    without_request_object: bool,
}

/// How a client must ask for authorization.
#[derive(Clone, Debug)]
pub(super) enum RequestForm {
    /// A request object signed with the client secret.
    Hs256(Secret),
    /// A request object signed with one of these keys.
    EdDsa(JwkSet),
    /// Plain query parameters.
    Plain,
}

impl RequestForm {
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }
}

impl EmulatedClient {
    /// A confidential client. It sends its secret to the token endpoint and signs its
    /// authorization requests, with `HS256` and the secret by default.
    pub fn confidential(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            secret: Some(Secret::from(secret.into())),
            ..Self::public(client_id)
        }
    }

    /// A public client. It has no secret, must use PKCE and must not send request objects.
    pub fn public(client_id: impl Into<String>) -> Self {
        Self {
            id: client_id.into(),
            secret: None,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            back_channel_logout_uri: None,
            jwks: Vec::new(),
            without_request_object: false,
        }
    }

    /// Registers a redirect URI; call it again for more. Requests must repeat it exactly. It must
    /// be `https`, or `http` on a loopback host, without a fragment.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uris.push(uri.into());
        self
    }

    /// Registers an address where the browser may go after a logout; call it again for more.
    /// Logout requests must repeat it exactly. The same rules as for redirect URIs hold.
    #[must_use]
    pub fn post_logout_redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.post_logout_redirect_uris.push(uri.into());
        self
    }

    /// Registers the address that takes logout tokens. The same rules as for redirect URIs hold.
    /// The emulator calls no app: [`Emulator::back_channel_logout_uri`] tells a test where to post.
    ///
    /// [`Emulator::back_channel_logout_uri`]: super::Emulator::back_channel_logout_uri
    #[must_use]
    pub fn back_channel_logout_uri(mut self, uri: impl Into<String>) -> Self {
        self.back_channel_logout_uri = Some(uri.into());
        self
    }

    /// Registers the public half of the key that signs request objects, as
    /// [`Ed25519KeyPair::public_jwk`](crate::jose::Ed25519KeyPair::public_jwk) gives it; call it
    /// again for more, each with a `kid` of its own. From then on `HS256` is refused, and a request
    /// object must name its key in `kid`. Has no meaning for public clients.
    /// [`Emulator::replace_request_object_keys`](super::Emulator::replace_request_object_keys)
    /// registers others later.
    #[must_use]
    pub fn request_object_key(mut self, jwk: &Value) -> Self {
        self.jwks.push(jwk.clone());
        self
    }

    /// Lets a confidential client send plain parameters, as Oten's support can for a legacy
    /// client. Request objects are then refused.
    ///
    /// Anybody can change such a request on its way through the browser.
    #[must_use]
    pub fn insecure_without_request_object(mut self) -> Self {
        self.without_request_object = true;
        self
    }

    pub(super) fn is_public(&self) -> bool {
        self.secret.is_none()
    }

    pub(super) fn request_form(&self) -> Result<RequestForm, EmulatorError> {
        let Some(secret) = self
            .secret
            .as_ref()
            .filter(|_| !self.without_request_object)
        else {
            return Ok(RequestForm::Plain);
        };
        if self.jwks.is_empty() {
            return Ok(RequestForm::Hs256(secret.clone()));
        }
        request_object_keys(&json!({ "keys": self.jwks }))
            .map(RequestForm::EdDsa)
            .map_err(|problem| self.invalid(problem))
    }

    /// Checks what the developer portal would check at registration.
    pub(super) fn check(&self) -> Result<(), EmulatorError> {
        if self.id.is_empty() {
            return Err(self.invalid("the client id must not be empty"));
        }
        if self.secret.as_ref().is_some_and(Secret::is_empty) {
            return Err(self.invalid("the client secret must not be empty"));
        }
        if self.redirect_uris.is_empty() {
            return Err(self.invalid("a client needs a redirect URI: call `redirect_uri`"));
        }
        if !self.redirect_uris.iter().all(|uri| is_acceptable(uri)) {
            return Err(self.invalid(
                "a redirect URI must be https, or http on a loopback host, without a fragment",
            ));
        }
        let mut logout_uris = self
            .post_logout_redirect_uris
            .iter()
            .chain(&self.back_channel_logout_uri);
        if !logout_uris.all(|uri| is_acceptable(uri)) {
            return Err(self.invalid(
                "a logout URI must be https, or http on a loopback host, without a fragment",
            ));
        }
        Ok(())
    }

    fn invalid(&self, problem: &'static str) -> EmulatorError {
        EmulatorError::Client {
            client_id: self.id.clone(),
            problem,
        }
    }
}

/// The keys in a JWK set, each of which must be usable and told apart from the others.
pub(super) fn request_object_keys(jwk_set: &Value) -> Result<JwkSet, &'static str> {
    let given = jwk_set["keys"].as_array().map_or(&[][..], Vec::as_slice);
    if given.iter().any(|jwk| jwk.get("d").is_some()) {
        return Err("a request object key must not carry its private half `d`");
    }
    let keys = JwkSet::from_json(jwk_set.to_string().as_bytes()).unwrap_or_default();
    let ids: BTreeSet<&str> = keys.keys().iter().filter_map(Jwk::key_id).collect();
    if given.is_empty() || ids.len() != given.len() {
        return Err("a request object key must be a public Ed25519 JWK with a `kid` of its own");
    }
    Ok(keys)
}

fn is_acceptable(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|url| {
        let scheme = url.scheme();
        url.fragment().is_none()
            && url.has_host()
            && (scheme == "https" || scheme == "http" && is_loopback(&url))
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

impl fmt::Debug for EmulatedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmulatedClient")
            .field("id", &self.id)
            .field("public", &self.is_public())
            .field("redirect_uris", &self.redirect_uris)
            .finish_non_exhaustive()
    }
}
