use std::{collections::BTreeMap, sync::Arc, time::Duration};

use url::Url;

use super::{
    EmulatedClient, Emulator, EmulatorError,
    core::{Client, Core, Extra, Settings},
    server::Server,
};
use crate::clock::Clock;

/// Sets up an [`Emulator`].
#[derive(Clone, Debug, Default)]
#[must_use = "call `start` or `mount`"]
pub struct EmulatorBuilder {
    clients: Vec<EmulatedClient>,
    clock: Clock,
    settings: Settings,
}

impl EmulatorBuilder {
    /// Registers a client; call it again for more.
    pub fn client(mut self, client: EmulatedClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Sets the clock. The default is the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how long access tokens live, in whole seconds. The default is 1 hour.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.access_token_lifetime = whole_seconds(lifetime);
        self
    }

    /// Sets how long a refresh token lives, in whole seconds. The default is 30 days.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.refresh_token_lifetime = whole_seconds(lifetime);
        self
    }

    /// Gives no refresh tokens. The default is one in every answer.
    pub fn without_refresh_tokens(mut self) -> Self {
        self.settings.refresh.tokens = false;
        self
    }

    /// Lets a refresh token be used again and again, and answers refreshes without a new one. The
    /// default is that each is good for one use and brings its successor (RFC 9700 section 4.14.2).
    pub fn without_rotation(mut self) -> Self {
        self.settings.refresh.rotate = false;
        self
    }

    /// Answers refreshes without an ID token (OpenID Connect Core section 12.2 allows both). The
    /// default is one in every answer.
    pub fn without_id_token_on_refresh(mut self) -> Self {
        self.settings.refresh.id_token = false;
        self
    }

    /// Sends `iss` to callbacks and announces it in discovery (RFC 9207). Oten documents neither,
    /// so the default is not to.
    pub fn advertise_iss(self) -> Self {
        self.with(Extra::Iss)
    }

    /// Names `end_session_endpoint` in discovery (OpenID Connect RP-Initiated Logout). Oten
    /// documents none, so the default is not to; the endpoint, `/v1/oauth/logout`, works anyway.
    pub fn advertise_end_session(self) -> Self {
        self.with(Extra::EndSession)
    }

    /// Names `revocation_endpoint` in discovery (RFC 7009). Oten documents none, so the default is
    /// not to; the endpoint, `/v1/oauth/revoke`, works anyway.
    pub fn advertise_revocation(self) -> Self {
        self.with(Extra::Revocation)
    }

    /// Writes `sid` into ID tokens and announces back-channel logout in discovery (OpenID Connect
    /// Back-Channel Logout section 2.1). Oten documents neither, so the default is not to.
    ///
    /// The emulator calls no app: see [`Emulator::logout_token`].
    pub fn advertise_back_channel_logout(self) -> Self {
        self.with(Extra::BackChannelLogout)
    }

    /// Writes the signature algorithm as `Ed25519` (RFC 9864) in tokens, keys and discovery. The
    /// default is the older name of the same algorithm, `EdDSA` (RFC 8037).
    pub fn rfc9864_algorithm_name(mut self) -> Self {
        self.settings.algorithm_name = "Ed25519";
        self
    }

    /// Starts the emulator on a free port of 127.0.0.1. It ends when the last copy of the
    /// [`Emulator`] is dropped.
    ///
    /// # Errors
    ///
    /// [`EmulatorError::Listen`] without a free port; [`EmulatorError::Client`] and
    /// [`EmulatorError::DuplicateClient`] for registrations that Oten would not take.
    pub async fn start(self) -> Result<Emulator, EmulatorError> {
        let listener = Server::listen().await.map_err(EmulatorError::Listen)?;
        let address = listener.local_addr().map_err(EmulatorError::Listen)?;
        let core = Arc::new(self.core(format!("http://{address}"), String::new())?);
        let server = Server::start(listener, address, &core);
        Ok(Emulator::new(core, Some(server)))
    }

    /// Makes an emulator without a listener, for an app that carries it under a path.
    ///
    /// ```
    /// use axum_oten::emulator::{EmulatedClient, Emulator};
    ///
    /// let emulator = Emulator::builder()
    ///     .client(EmulatedClient::public("spa").redirect_uri("http://127.0.0.1:3000/callback"))
    ///     .mount("http://127.0.0.1:3000/oten".parse()?)?;
    /// let app: axum::Router = axum::Router::new().nest("/oten", emulator.router());
    ///
    /// // A query is no part of an issuer.
    /// assert!(Emulator::builder().mount("http://127.0.0.1:3000/?oten".parse()?).is_err());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EmulatorError::Issuer`] when the URL cannot be an issuer, and as [`start`](Self::start).
    // The URL is parsed for this call: `mount("…".parse()?)`.
    #[allow(clippy::needless_pass_by_value)]
    pub fn mount(self, issuer: Url) -> Result<Emulator, EmulatorError> {
        let is_web = matches!(issuer.scheme(), "http" | "https");
        if !is_web || issuer.query().is_some() || issuer.fragment().is_some() {
            return Err(EmulatorError::Issuer);
        }
        let path = issuer.path().trim_end_matches('/').to_owned();
        let issuer = issuer.as_str().trim_end_matches('/').to_owned();
        let core = self.core(issuer, path)?;
        Ok(Emulator::new(Arc::new(core), None))
    }

    fn with(mut self, extra: Extra) -> Self {
        self.settings.extras.insert(extra);
        self
    }

    fn core(self, issuer: String, path: String) -> Result<Core, EmulatorError> {
        let mut clients = BTreeMap::new();
        for registered in self.clients {
            registered.check()?;
            let id = registered.id.clone();
            let client = Client {
                request_form: registered.request_form()?,
                registered,
            };
            if clients.insert(id.clone(), client).is_some() {
                return Err(EmulatorError::DuplicateClient(id));
            }
        }
        Ok(Core::new(issuer, path, clients, self.clock, self.settings))
    }
}

fn whole_seconds(lifetime: Duration) -> i64 {
    i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / 2)
}
