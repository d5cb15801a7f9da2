use std::{mem, sync::Arc};

use axum::Router;
use serde_json::Value;
use url::Url;

use super::{
    Deviation, EmulatorBuilder, EmulatorError, Endpoint, HoldGuard, PlannedFault, Rejection,
    client::{self, RequestForm},
    core::Core,
    interaction,
    keys::ProviderKey,
    parameters::AuthorizationRequest,
    request, router,
    server::Server,
    session::{self, SignedIn},
    user::{USERS, User},
};

/// A local Oten that does what it is told. A copy is the same emulator.
#[derive(Clone, Debug)]
pub struct Emulator {
    pub(super) core: Arc<Core>,
    /// `None` when an app carries the emulator.
    server: Option<Arc<Server>>,
}

impl Emulator {
    /// Sets up an emulator.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::default()
    }

    pub(super) fn new(core: Arc<Core>, server: Option<Server>) -> Self {
        Self {
            core,
            server: server.map(Arc::new),
        }
    }

    /// The issuer URL, without a trailing slash: `http://127.0.0.1:PORT` after
    /// [`start`](EmulatorBuilder::start).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.core.issuer
    }

    /// The routes, relative to the issuer, for an app that carries the emulator.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        router::router(&self.core)
    }

    /// The name and the email address of everybody who lives here, disabled or not.
    pub fn users(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        USERS.iter().map(|user| (user.name, user.email))
    }

    /// Registers other public keys for a client that signs its request objects with one, in place of
    /// those it has: a JWK set (RFC 7517 section 5), as the client's JWKS URI serves it. The emulator
    /// fetches nothing by itself.
    ///
    /// # Errors
    ///
    /// [`EmulatorError::Client`] when the client does not sign with such a key, or the set is not one
    /// of public Ed25519 keys with a `kid` each; what was registered before then stays.
    pub fn replace_request_object_keys(
        &self,
        client_id: &str,
        jwk_set: &Value,
    ) -> Result<(), EmulatorError> {
        let invalid = |problem| EmulatorError::Client {
            client_id: client_id.to_owned(),
            problem,
        };
        let form = self.core.clients.get(client_id).map(|it| &it.request_form);
        if !matches!(form, Some(RequestForm::EdDsa(_))) {
            return Err(invalid(
                "it has no request object key to replace: call `request_object_key`",
            ));
        }
        let keys = client::request_object_keys(jwk_set).map_err(invalid)?;
        let replaced = &mut self.core.state().replaced_keys;
        replaced.insert(client_id.to_owned(), keys);
        Ok(())
    }

    /// Does what a person does with the authorization URL: signs in as `user` (`alice`, `bob` or
    /// `carol`) in a new session, agrees, and ends at the client's callback, whose URL is the
    /// answer.
    ///
    /// It happens in this process, without a browser, its cookies or planned faults, and counts as
    /// a call. The request is checked as strictly as any, so it is good for one use.
    ///
    /// # Errors
    ///
    /// [`EmulatorError::Rejected`] when the request breaks a rule, or asks with `prompt=none` for
    /// what needs a person; [`EmulatorError::NotAnAuthorizationUrl`] and
    /// [`EmulatorError::UnknownUser`].
    pub fn approve(
        &self,
        authorization_url: impl AsRef<str>,
        user: &str,
    ) -> Result<Url, EmulatorError> {
        let user = User::find(user)
            .filter(|user| !self.core.state().disabled_users.contains(user.sub))
            .ok_or_else(|| EmulatorError::UnknownUser(user.to_owned()))?;
        let request = self.open(authorization_url.as_ref())?;
        let person = SignedIn::new(&self.core, user);
        session::remember(&self.core, person.clone());
        interaction::approve(&self.core, &request, person).map_err(EmulatorError::Rejected)
    }

    /// Does what a person does who changes their mind. The answer is the client's callback URL
    /// with `error=access_denied`.
    ///
    /// # Errors
    ///
    /// As [`approve`](Self::approve).
    pub fn deny(&self, authorization_url: impl AsRef<str>) -> Result<Url, EmulatorError> {
        let request = self.open(authorization_url.as_ref())?;
        redirect(interaction::deny(&self.core, &request))
    }

    /// Sends a good request back with an error of Oten's own, such as `server_error`. The answer
    /// is the client's callback URL.
    ///
    /// # Errors
    ///
    /// As [`approve`](Self::approve).
    pub fn reject(
        &self,
        authorization_url: impl AsRef<str>,
        error: &str,
    ) -> Result<Url, EmulatorError> {
        let request = self.open(authorization_url.as_ref())?;
        let description = "The test wants it so";
        redirect(request.callback.refusal(&self.core, error, description))
    }

    /// Starts to tell a lie, beside those it tells already.
    pub fn deviate(&self, lie: Deviation) {
        self.core.state().lies.push(lie);
    }

    /// Ends all lies.
    pub fn clear_deviations(&self) {
        self.core.state().lies.clear();
    }

    /// Plans a fault: for the next calls with [`Fault::times`](super::Fault::times), otherwise until
    /// [`clear_faults`](Self::clear_faults). The faults of an endpoint happen in the order they
    /// were planned.
    pub fn fault(&self, endpoint: Endpoint, fault: impl Into<PlannedFault>) {
        self.core.state().faults.plan(endpoint, fault.into());
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.core.state().faults.clear();
    }

    /// Lets requests to an endpoint wait until the answer is released or dropped, so that a test
    /// needs no sleep to have many of them at once. They count as calls meanwhile, and planned
    /// faults happen afterwards.
    pub fn hold(&self, endpoint: Endpoint) -> HoldGuard {
        HoldGuard::new(&self.core, endpoint)
    }

    /// Replaces the signing key. The old one is no longer published; what it signed is still
    /// accepted here until it ends.
    pub fn rotate_keys(&self) {
        let state = &mut *self.core.state();
        let former = mem::replace(&mut state.key, ProviderKey::generate());
        state.former_keys.push(former);
    }

    /// Disables a person, as an administrator does: they cannot sign in, refresh tokens are
    /// refused with `invalid_grant`, and access tokens are worth nothing here. Unknown names have
    /// no effect.
    pub fn disable_user(&self, user: &str) {
        if let Some(user) = User::find(user) {
            self.core.state().disabled_users.insert(user.sub);
        }
    }

    /// Lets a disabled person in again.
    pub fn enable_user(&self, user: &str) {
        self.core.state().disabled_users.remove(user);
    }

    /// How often an endpoint was called, faults included.
    #[must_use]
    pub fn calls(&self, endpoint: Endpoint) -> u64 {
        self.core.calls.of(endpoint)
    }

    /// How often a client that proved who it is asked for a refresh, whatever the answer. Calls
    /// that a fault answered instead of the token endpoint are not among them.
    #[must_use]
    pub fn refreshes(&self) -> u64 {
        self.core.state().grants.refreshes
    }

    /// How often a refresh token came back that was used before. Each time all tokens of its
    /// sign-in ended (RFC 9700 section 4.14.2).
    #[must_use]
    pub fn reuse_detected(&self) -> u64 {
        self.core.state().grants.reuse_detected
    }

    /// Takes the emulator down: connections end and new ones are refused. One that an app carries
    /// answers 503 instead. What it knows survives.
    pub async fn stop(&self) {
        self.core.set_stopped(true);
        if let Some(server) = &self.server {
            server.stop().await;
        }
    }

    /// Brings the emulator back, at the same address.
    ///
    /// # Errors
    ///
    /// [`EmulatorError::Listen`] when another program has taken the port.
    pub async fn resume(&self) -> Result<(), EmulatorError> {
        if let Some(server) = &self.server {
            server.resume().await.map_err(EmulatorError::Listen)?;
        }
        self.core.set_stopped(false);
        Ok(())
    }

    fn open(&self, url: &str) -> Result<AuthorizationRequest, EmulatorError> {
        let endpoint = self.core.url("/v1/oauth/authorize");
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        if address != endpoint {
            return Err(EmulatorError::NotAnAuthorizationUrl);
        }
        self.core.calls.count(Endpoint::Authorization);
        let request = request::read(&self.core, query).map_err(EmulatorError::Rejected)?;
        if request.prompts("none") {
            let description = "Nobody is signed in";
            let refusal = request
                .callback
                .refusal(&self.core, "login_required", description);
            return Err(EmulatorError::Rejected(refusal));
        }
        Ok(request)
    }
}

fn redirect(refusal: Rejection) -> Result<Url, EmulatorError> {
    match refusal.redirect.clone() {
        Some(callback) => Ok(*callback),
        None => Err(EmulatorError::Rejected(refusal)),
    }
}
