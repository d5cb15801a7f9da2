use std::{fmt, sync::Arc};

use axum::Router;
use serde_json::{Map, Value};
use url::Url;

use super::{
    endpoints::{self, authorize::read_request, end_session::LogoutRequest, sign_in},
    error::EmulatorError,
    exchanges::{self, Exchange},
    faults::{Deviation, Endpoint, PlannedFault, hold::HoldGuard},
    messages::{Form, authorization::AuthorizationRequest},
    server::Server,
    state::{
        Core,
        grant::Grant,
        session::{SignedIn, USERS, User},
    },
    tokens::{self, LogoutTarget},
};

/// A running emulator. Clones share the same emulator.
///
/// See the [module documentation](super) for an example.
#[derive(Clone)]
pub struct Emulator {
    core: Arc<Core>,
    /// `None` if the emulator is mounted in an app.
    server: Option<Arc<Server>>,
}

/// A user of the emulator, from [`Emulator::users`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmulatedUser {
    /// The subject identifier, such as `alice`.
    pub subject: &'static str,
    /// The name.
    pub name: &'static str,
    /// The email address.
    pub email: &'static str,
    /// Whether the user can sign in.
    pub is_enabled: bool,
}

/// Methods that act as the user, without a browser.
///
/// They run in the test process, without cookies and planned faults, and count as calls of their
/// endpoint. They are as strict as the endpoints, so each request object can be used only once.
impl Emulator {
    /// Signs `user` in and approves the authorization request, as the user does in a browser.
    /// Returns the client's callback URL, which contains the code.
    ///
    /// `user` is `alice`, `bob` or `carol`. Each call starts a new session at the provider.
    ///
    /// # Errors
    ///
    /// Returns [`EmulatorError::Rejected`] if the request is invalid or has `prompt=none`,
    /// [`EmulatorError::NotAnAuthorizationUrl`] and [`EmulatorError::UnknownUser`].
    pub fn approve(
        &self,
        authorization_url: impl AsRef<str>,
        user: &str,
    ) -> Result<Url, EmulatorError> {
        let found = self.core.state().find_user(user);
        let user = found.ok_or_else(|| EmulatorError::UnknownUser(user.to_owned()))?;
        let request = self.read_request(authorization_url.as_ref())?;
        let session = SignedIn::new(user, self.core.now());
        self.core.state().start_session(session.clone());
        Ok(sign_in::approve(&self.core, &request, session))
    }

    /// Denies the authorization request, as the user does on the consent page. Returns the client's
    /// callback URL with `error=access_denied`.
    ///
    /// # Errors
    ///
    /// Returns [`EmulatorError::Rejected`] if the request is invalid or has `prompt=none`, and
    /// [`EmulatorError::NotAnAuthorizationUrl`].
    pub fn deny(&self, authorization_url: impl AsRef<str>) -> Result<Url, EmulatorError> {
        let request = self.read_request(authorization_url.as_ref())?;
        Ok(sign_in::deny(&request))
    }

    /// Responds to a valid authorization request with an error of the provider, such as
    /// `server_error`. Returns the client's callback URL with this error.
    ///
    /// # Errors
    ///
    /// Returns [`EmulatorError::Rejected`] if the request is invalid or has `prompt=none`, and
    /// [`EmulatorError::NotAnAuthorizationUrl`].
    pub fn reject(
        &self,
        authorization_url: impl AsRef<str>,
        error: &str,
    ) -> Result<Url, EmulatorError> {
        let request = self.read_request(authorization_url.as_ref())?;
        let description = "Error requested by the test";
        Ok(request.callback.with_error(error, description))
    }

    /// Opens the end-session URL, as a browser does. Returns the URL to which the browser returns,
    /// or `None` if it stays on a page of the emulator.
    ///
    /// Ends the session that `id_token_hint` names, or all sessions of its user if the hint has no
    /// `sid`. Without a hint no session ends. Apps keep their tokens and receive no logout token.
    ///
    /// # Errors
    ///
    /// Returns [`EmulatorError::Rejected`] if the request breaks a rule of OpenID Connect
    /// RP-Initiated Logout section 2 or 3, and [`EmulatorError::NotAnEndSessionUrl`].
    pub fn end_session(
        &self,
        end_session_url: impl AsRef<str>,
    ) -> Result<Option<Url>, EmulatorError> {
        let query = self
            .query(end_session_url.as_ref(), Endpoint::EndSession)
            .ok_or(EmulatorError::NotAnEndSessionUrl)?;
        let request = LogoutRequest::new(&self.core, Form::parse(query.as_bytes()));
        let request = request.map_err(EmulatorError::Rejected)?;
        request.end_named_sessions(&self.core);
        Ok(request.return_to)
    }

    fn read_request(&self, url: &str) -> Result<AuthorizationRequest, EmulatorError> {
        let query = self
            .query(url, Endpoint::Authorization)
            .ok_or(EmulatorError::NotAnAuthorizationUrl)?;
        let request = read_request(&self.core, query).map_err(EmulatorError::Rejected)?;
        if request.prompts("none") {
            let description = "The user has to sign in: send the request without prompt=none";
            let rejection = request.callback.reject("login_required", description);
            return Err(EmulatorError::Rejected(rejection));
        }
        Ok(request)
    }

    /// Counts a call and returns its query. `None` if the URL is not one of the endpoint.
    fn query<'a>(&self, url: &'a str, endpoint: Endpoint) -> Option<&'a str> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        if address != self.core.url(endpoint) {
            return None;
        }
        self.core.count_call(endpoint);
        Some(query)
    }
}

/// Methods that act as the provider or its administrator.
impl Emulator {
    pub(super) fn new(core: Arc<Core>, server: Option<Server>) -> Self {
        Self {
            core,
            server: server.map(Arc::new),
        }
    }

    /// Returns the issuer URL without a trailing slash: `http://127.0.0.1:PORT` after
    /// [`start`](super::EmulatorBuilder::start).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.core.issuer
    }

    /// Returns the routes, relative to the issuer, for an app that nests the emulator.
    ///
    /// See [`EmulatorBuilder::mount`](super::EmulatorBuilder::mount) for an example.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        endpoints::router(&self.core)
    }

    /// Returns every user, including disabled ones.
    pub fn users(&self) -> impl Iterator<Item = EmulatedUser> + use<> {
        let disabled = self.core.state().disabled_users.clone();
        USERS.iter().map(move |user| EmulatedUser {
            subject: user.sub,
            name: user.name,
            email: user.email,
            is_enabled: !disabled.contains(user.sub),
        })
    }

    /// Disables a user, as an administrator does. Has no effect for an unknown user.
    ///
    /// A disabled user cannot sign in, refreshes fail with `invalid_grant`, and the userinfo and
    /// validation endpoints reject the user's access tokens.
    pub fn disable_user(&self, user: &str) {
        if let Some(user) = User::find(user) {
            self.core.state().disabled_users.insert(user.sub);
        }
    }

    /// Enables a disabled user.
    pub fn enable_user(&self, user: &str) {
        self.core.state().disabled_users.remove(user);
    }

    /// Replaces the request object keys of a client with those of a JWK set (RFC 7517 section 5), as
    /// the client's JWKS URI serves it. The emulator does not fetch that URI.
    ///
    /// # Errors
    ///
    /// Returns [`EmulatorError::Client`] if the client has no
    /// [`request_object_key`](super::EmulatedClient::request_object_key), or if the set is empty or
    /// contains a key that is not a public Ed25519 key with a `kid` of its own. The registered keys
    /// then stay.
    pub fn replace_request_object_keys(
        &self,
        client_id: &str,
        jwk_set: &Value,
    ) -> Result<(), EmulatorError> {
        let client = self.core.clients.get(client_id);
        client
            .ok_or("the client is not registered")
            .and_then(|client| client.replace_request_object_keys(jwk_set))
            .map_err(|problem| EmulatorError::Client {
                client_id: client_id.to_owned(),
                problem,
            })
    }

    /// Replaces the signing key. The former key is no longer published; the end-session endpoint
    /// still accepts ID tokens signed with it.
    pub fn rotate_keys(&self) {
        self.core.state().rotate_keys(self.core.settings.algorithm);
    }

    /// Returns the `sid` of every live session of a user, oldest first. Each
    /// [`approve`](Self::approve) and each sign-in in a browser starts a session.
    #[must_use]
    pub fn sids_of(&self, user: &str) -> Vec<String> {
        let state = self.core.state();
        let sessions = state.sessions.values();
        sessions
            .filter(|session| session.user.sub == user)
            .map(|session| session.sid.to_string())
            .collect()
    }

    /// Ends every session of a user at the provider, as an administrator does. Apps keep theirs until they
    /// receive a [logout token](Self::logout_token).
    pub fn end_sessions_of(&self, user: &str) {
        let sessions = &mut self.core.state().sessions;
        sessions.remove_if(|session| session.user.sub == user);
    }

    /// Returns the URI that a client registered for logout tokens.
    #[must_use]
    pub fn back_channel_logout_uri(&self, client_id: &str) -> Option<&str> {
        let client = self.core.clients.get(client_id)?;
        client.registration.back_channel_logout_uri.as_deref()
    }

    /// Returns a logout token for a client (OpenID Connect Back-Channel Logout section 2.4), valid
    /// for 2 minutes.
    ///
    /// The emulator never calls an app. A test posts the token itself, as `logout_token` in a form.
    /// The client, the user and the session need not exist.
    ///
    /// ```
    /// use axum_oten::emulator::{EmulatedClient, Emulator, LogoutTarget};
    ///
    /// let emulator = Emulator::builder()
    ///     .client(EmulatedClient::public("spa").redirect_uri("http://127.0.0.1:3000/callback"))
    ///     .mount("http://127.0.0.1:3000/oten".parse()?)?;
    ///
    /// let token = emulator.logout_token("spa", LogoutTarget::Subject("alice"));
    ///
    /// // A logout token with a nonce, which apps must reject.
    /// let nonce = emulator.logout_token_with("spa", LogoutTarget::Subject("alice"), |_, claims| {
    ///     claims.insert("nonce".into(), "n-0S6_WzA2Mj".into());
    /// });
    /// # assert_ne!(token, nonce);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn logout_token(&self, client_id: &str, target: LogoutTarget<'_>) -> String {
        self.logout_token_with(client_id, target, |_, _| ())
    }

    /// Returns a logout token after `change` has modified its header and its claims, in this order.
    ///
    /// The resulting `alg` decides on the signature: none for `none`, the client secret for `HS256`,
    /// and the emulator's key otherwise. Deviations of signatures and keys also apply.
    #[must_use]
    pub fn logout_token_with(
        &self,
        client_id: &str,
        target: LogoutTarget<'_>,
        change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>),
    ) -> String {
        let token = tokens::logout_token(&self.core, client_id, target, change);
        let now = self.core.clock().now();
        self.core.add_exchange(exchanges::logout_token(now, &token));
        token
    }

    /// Returns an access token of a user for a client, as after a sign-in with these scopes, which are
    /// separated by spaces. To test an API that accepts Oten's access tokens.
    ///
    /// ```
    /// use axum_oten::emulator::{EmulatedClient, Emulator};
    ///
    /// let emulator = Emulator::builder()
    ///     .client(EmulatedClient::public("spa").redirect_uri("http://127.0.0.1:3000/callback"))
    ///     .mount("http://127.0.0.1:3000/oten".parse()?)?;
    ///
    /// let token = emulator.access_token("spa", "alice", "openid orders")?;
    /// assert!(emulator.access_token("spa", "mallory", "openid orders").is_err());
    /// # drop(token);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`EmulatorError::UnknownUser`] for a user that does not exist or is disabled.
    pub fn access_token(
        &self,
        client_id: &str,
        user: &str,
        scope: &str,
    ) -> Result<String, EmulatorError> {
        self.access_token_with(client_id, user, scope, |_, _| ())
    }

    /// Returns an access token after `change` has modified its header and its claims, in this order.
    /// The signature is that of [`logout_token_with`](Self::logout_token_with).
    ///
    /// # Errors
    ///
    /// Returns the same error as [`access_token`](Self::access_token).
    pub fn access_token_with(
        &self,
        client_id: &str,
        user: &str,
        scope: &str,
        change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>),
    ) -> Result<String, EmulatorError> {
        let state = &mut *self.core.state();
        let found = state.find_user(user);
        let user = found.ok_or_else(|| EmulatorError::UnknownUser(user.to_owned()))?;
        let session = SignedIn::new(user, self.core.now());
        let grant = Grant::direct(client_id, scope, session);
        Ok(tokens::access_token(
            &self.core, state, &grant, scope, change,
        ))
    }
}

/// Methods that control faults, deviations and counters.
impl Emulator {
    /// Adds a deviation to the emulator's responses, until
    /// [`clear_deviations`](Self::clear_deviations).
    pub fn deviate(&self, deviation: Deviation) {
        self.core.state().deviations.push(deviation);
    }

    /// Removes all deviations.
    pub fn clear_deviations(&self) {
        self.core.state().deviations.clear();
    }

    /// Plans a fault: for the next calls with [`Fault::times`](super::Fault::times), otherwise until
    /// [`clear_faults`](Self::clear_faults). The faults of an endpoint happen in the order in which
    /// they were planned.
    pub fn fault(&self, endpoint: Endpoint, fault: impl Into<PlannedFault>) {
        self.core.state().faults.plan(endpoint, fault.into());
    }

    /// Removes all planned faults.
    pub fn clear_faults(&self) {
        self.core.state().faults.clear();
    }

    /// Holds requests to an endpoint until the returned guard is released or dropped.
    ///
    /// This lets a test collect concurrent requests without sleeping. Held requests count as calls,
    /// and planned faults apply after the release.
    pub fn hold(&self, endpoint: Endpoint) -> HoldGuard {
        self.core.state().holds.add(endpoint)
    }

    /// Returns how often an endpoint was called, including calls that failed by a fault.
    #[must_use]
    pub fn calls(&self, endpoint: Endpoint) -> u64 {
        let state = self.core.state();
        state.calls.get(&endpoint).copied().unwrap_or_default()
    }

    /// Returns how often authenticated clients requested a refresh, successful or not. Calls
    /// that fail by a fault before they reach the endpoint do not count.
    #[must_use]
    pub fn refreshes(&self) -> u64 {
        self.core.state().grants.refreshes
    }

    /// Returns how often a client sent a refresh token that was already used. Each time the emulator
    /// revokes all tokens of that sign-in (RFC 9700 section 4.14.2).
    #[must_use]
    pub fn reuse_detected(&self) -> u64 {
        self.core.state().grants.reuse_detected
    }

    /// Returns the last messages between clients and the emulator, oldest first: requests to the
    /// endpoints, the decisions of users, and logout tokens. For a page or a log that explains a sign-in.
    ///
    /// Empty unless [`record_exchanges`](super::EmulatorBuilder::record_exchanges) is set. Tokens are
    /// decoded and have no signature; secrets, codes and other random values are cut.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.core.state().exchanges.iter().cloned().collect()
    }

    /// Removes the recorded messages.
    pub fn clear_exchanges(&self) {
        self.core.state().exchanges.clear();
    }

    /// Stops the emulator: open connections close and new ones are refused. An emulator mounted in
    /// an app responds with 503 instead.
    ///
    /// The state survives; [`resume`](Self::resume) continues with it.
    pub async fn stop(&self) {
        self.core.state().is_stopped = true;
        if let Some(server) = &self.server {
            server.stop().await;
        }
    }

    /// Resumes a stopped emulator at the same address.
    ///
    /// # Errors
    ///
    /// Returns [`EmulatorError::Listen`] if another program has taken the port.
    pub async fn resume(&self) -> Result<(), EmulatorError> {
        if let Some(server) = &self.server {
            server.resume().await.map_err(EmulatorError::Listen)?;
        }
        self.core.state().is_stopped = false;
        Ok(())
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("issuer", &self.core.issuer)
            .finish_non_exhaustive()
    }
}
