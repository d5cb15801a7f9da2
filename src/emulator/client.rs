use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

use serde_json::{Value, json};
use tokio::sync::watch;
use url::{Host, Url};

use super::error::EmulatorError;
use crate::{
    jose::{Jwk, JwkSet},
    secret::Secret,
};

/// The registration of a client with the emulator.
///
/// The emulator validates it when it starts, by the rules of Oten's developer portal.
///
/// ```
/// use axum_oten::emulator::EmulatedClient;
///
/// let client = EmulatedClient::confidential("shop", "a client secret of 32 bytes or more")
///     .redirect_uri("http://127.0.0.1:3000/callback")
///     .post_logout_redirect_uri("http://127.0.0.1:3000/");
/// ```
#[derive(Clone)]
pub struct EmulatedClient {
    pub(super) id: String,
    pub(super) secret: Option<Secret>,
    pub(super) redirect_uris: Vec<String>,
    pub(super) post_logout_redirect_uris: Vec<String>,
    pub(super) back_channel_logout_uri: Option<String>,
    request_object_keys: Vec<Value>,
    without_request_object: bool,
    pub(super) uses_basic: bool,
    is_service: bool,
    pub(super) allowed_addresses: Vec<IpAddr>,
}

impl EmulatedClient {
    /// Creates a confidential client.
    ///
    /// It authenticates at the token endpoint with its secret (`client_secret_post`) and must sign
    /// its authorization requests: with `HS256` and the secret, or with the keys registered by
    /// [`request_object_key`](Self::request_object_key).
    pub fn confidential(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            secret: Some(Secret::from(secret.into())),
            ..Self::public(client_id)
        }
    }

    /// Creates a public client, which has no secret.
    ///
    /// It must use PKCE, and its authorization requests must not contain a request object.
    pub fn public(client_id: impl Into<String>) -> Self {
        Self {
            id: client_id.into(),
            secret: None,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            back_channel_logout_uri: None,
            request_object_keys: Vec::new(),
            without_request_object: false,
            uses_basic: false,
            is_service: false,
            allowed_addresses: Vec::new(),
        }
    }

    /// Creates a confidential client that signs no user in and needs no redirect URI. Its only grant is
    /// that of client credentials (RFC 6749 section 4.4), which every confidential client may use.
    pub fn service(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            is_service: true,
            ..Self::confidential(client_id, secret)
        }
    }

    /// Allows calls of the token endpoint from this address, and from no other but those of further
    /// calls of this method. By default every address is allowed. Others get `invalid_client`.
    ///
    /// An emulator without a listener of its own knows the address only if the app provides
    /// [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo).
    #[must_use]
    pub fn allow_address(mut self, address: IpAddr) -> Self {
        self.allowed_addresses.push(address);
        self
    }

    /// Makes a confidential client send its credentials in the header `Authorization`
    /// (`client_secret_basic`). The emulator then rejects a secret in the form. Defaults to
    /// `client_secret_post`, the only method that Oten documents.
    #[must_use]
    pub fn client_secret_basic(mut self) -> Self {
        self.uses_basic = true;
        self
    }

    /// Registers a redirect URI. May be called several times; every client needs at least one, except a
    /// [`service`](Self::service).
    ///
    /// The URI must be `https`, or `http` on a loopback host, and must not have a fragment.
    /// Requests must repeat it exactly.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uris.push(uri.into());
        self
    }

    /// Registers a URI to which the browser may return after logout. May be called several times.
    /// Defaults to none.
    ///
    /// The rules of [`redirect_uri`](Self::redirect_uri) apply.
    #[must_use]
    pub fn post_logout_redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.post_logout_redirect_uris.push(uri.into());
        self
    }

    /// Registers the URI that accepts logout tokens. Defaults to none.
    ///
    /// The rules of [`redirect_uri`](Self::redirect_uri) apply. The emulator never sends a request
    /// to it; a test posts the token and reads the URI from
    /// [`Emulator::back_channel_logout_uri`](super::Emulator::back_channel_logout_uri).
    #[must_use]
    pub fn back_channel_logout_uri(mut self, uri: impl Into<String>) -> Self {
        self.back_channel_logout_uri = Some(uri.into());
        self
    }

    /// Registers a public key that verifies request objects, as returned by
    /// [`Ed25519KeyPair::public_jwk`](crate::jose::Ed25519KeyPair::public_jwk). May be called
    /// several times; each key needs a `kid` of its own.
    ///
    /// A client with a key can no longer sign with `HS256`, and its request objects must name the
    /// key in `kid`. Has no effect on public clients. To change the keys of a running emulator, see
    /// [`Emulator::replace_request_object_keys`](super::Emulator::replace_request_object_keys).
    #[must_use]
    pub fn request_object_key(mut self, jwk: &Value) -> Self {
        self.request_object_keys.push(jwk.clone());
        self
    }

    /// Makes a confidential client send plain parameters instead of request objects, which Oten's
    /// support can enable for a legacy client. The emulator then rejects request objects.
    ///
    /// Insecure: such requests can be altered on their way through the browser.
    #[must_use]
    pub fn insecure_without_request_object(mut self) -> Self {
        self.without_request_object = true;
        self
    }

    /// Validates the registration.
    pub(super) fn register(self) -> Result<RegisteredClient, EmulatorError> {
        match self.validate().and_then(|()| self.request_form()) {
            Ok(form) => Ok(RegisteredClient {
                registration: self,
                request_form: watch::Sender::new(Arc::new(form)),
            }),
            Err(problem) => Err(EmulatorError::Client {
                client_id: self.id,
                problem,
            }),
        }
    }

    fn validate(&self) -> Result<(), &'static str> {
        if self.id.is_empty() {
            return Err("the client ID must not be empty");
        }
        if self.secret.as_ref().is_some_and(Secret::is_empty) {
            return Err("the client secret must not be empty");
        }
        if self.uses_basic && self.secret.is_none() {
            return Err("a public client has no secret to send: remove `client_secret_basic`");
        }
        if self.redirect_uris.is_empty() && !self.is_service {
            return Err("a client needs a redirect URI: call `redirect_uri`");
        }
        if !self.redirect_uris.iter().all(|uri| is_acceptable(uri)) {
            return Err(
                "a redirect URI must be https, or http on a loopback host, without a fragment",
            );
        }
        let mut logout_uris = self
            .post_logout_redirect_uris
            .iter()
            .chain(&self.back_channel_logout_uri);
        if !logout_uris.all(|uri| is_acceptable(uri)) {
            return Err(
                "a logout URI must be https, or http on a loopback host, without a fragment",
            );
        }
        Ok(())
    }

    fn request_form(&self) -> Result<RequestForm, &'static str> {
        match &self.secret {
            Some(_) if self.without_request_object => Ok(RequestForm::Plain),
            Some(secret) if self.request_object_keys.is_empty() => {
                Ok(RequestForm::Hs256(secret.clone()))
            }
            Some(_) => {
                let jwk_set = json!({ "keys": self.request_object_keys });
                parse_request_object_keys(&jwk_set).map(RequestForm::EdDsa)
            }
            None => Ok(RequestForm::Plain),
        }
    }
}

impl fmt::Debug for EmulatedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmulatedClient")
            .field("id", &self.id)
            .field("public", &self.secret.is_none())
            .field("redirect_uris", &self.redirect_uris)
            .finish_non_exhaustive()
    }
}

/// A client with a valid registration.
pub(super) struct RegisteredClient {
    pub(super) registration: EmulatedClient,
    request_form: watch::Sender<Arc<RequestForm>>,
}

/// The form of a client's authorization requests.
pub(super) enum RequestForm {
    /// A request object signed with the client secret.
    Hs256(Secret),
    /// A request object signed with one of these keys.
    EdDsa(JwkSet),
    /// Plain query parameters.
    Plain,
}

impl RegisteredClient {
    pub(super) fn id(&self) -> &str {
        &self.registration.id
    }

    pub(super) fn is_public(&self) -> bool {
        self.registration.secret.is_none()
    }

    pub(super) fn request_form(&self) -> Arc<RequestForm> {
        self.request_form.borrow().clone()
    }

    pub(super) fn sends_plain_parameters(&self) -> bool {
        matches!(*self.request_form(), RequestForm::Plain)
    }

    pub(super) fn replace_request_object_keys(&self, jwk_set: &Value) -> Result<(), &'static str> {
        if !matches!(*self.request_form(), RequestForm::EdDsa(_)) {
            return Err(
                "the client has no request object key to replace: call `request_object_key`",
            );
        }
        let keys = parse_request_object_keys(jwk_set)?;
        self.request_form
            .send_replace(Arc::new(RequestForm::EdDsa(keys)));
        Ok(())
    }
}

/// Parses a JWK set, in which every key must be usable and have a `kid` of its own.
fn parse_request_object_keys(jwk_set: &Value) -> Result<JwkSet, &'static str> {
    let jwks = jwk_set["keys"].as_array().map_or(&[][..], Vec::as_slice);
    if jwks.iter().any(|jwk| jwk.get("d").is_some()) {
        return Err("a request object key must not contain the private half `d`");
    }
    let keys = JwkSet::from_json(jwk_set.to_string().as_bytes()).unwrap_or_default();
    let ids: BTreeSet<&str> = keys.keys().iter().filter_map(Jwk::key_id).collect();
    if jwks.is_empty() || ids.len() != jwks.len() {
        return Err("a request object key must be a public Ed25519 JWK with a `kid` of its own");
    }
    Ok(keys)
}

fn is_acceptable(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|url| {
        url.fragment().is_none()
            && url.has_host()
            && (url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url))
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
