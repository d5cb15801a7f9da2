use std::{collections::BTreeMap, sync::Arc, time::Duration};

use url::Url;

use super::{
    client::EmulatedClient,
    error::EmulatorError,
    handle::Emulator,
    preset::Preset,
    rate_limits::RateLimits,
    server::Server,
    state::{Core, Extension, Settings},
};
use crate::{clock::Clock, jose::Algorithm};

/// Builder of an [`Emulator`], created by [`Emulator::builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "call `start` or `mount`"]
pub struct EmulatorBuilder {
    clients: Vec<EmulatedClient>,
    clock: Clock,
    settings: Settings,
}

impl Emulator {
    /// Returns a builder, with which you register clients and start the emulator.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::default()
    }
}

impl EmulatorBuilder {
    /// Registers a client. May be called several times.
    pub fn client(mut self, client: EmulatedClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Sets the clock, which tests can move. Defaults to the system's clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the lifetime of access tokens, in whole seconds. Defaults to 1 hour.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.access_token_lifetime = whole_seconds(lifetime);
        self
    }

    /// Sets the lifetime of refresh tokens, in whole seconds. Defaults to 30 days.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.refresh_token_lifetime = whole_seconds(lifetime);
        self
    }

    /// Disables refresh tokens. By default every token response contains one.
    pub fn without_refresh_tokens(mut self) -> Self {
        self.settings.refresh_tokens = false;
        self
    }

    /// Disables refresh token rotation, so that a refresh token can be used repeatedly.
    ///
    /// By default a refresh token can be used once, and the response contains its successor (RFC
    /// 9700 section 4.14.2).
    pub fn without_rotation(mut self) -> Self {
        self.settings.rotation = false;
        self
    }

    /// Omits the ID token from the response to a refresh, as OpenID Connect Core section 12.2
    /// allows. By default the response contains one.
    pub fn without_id_token_on_refresh(mut self) -> Self {
        self.settings.id_token_on_refresh = false;
        self
    }

    /// Issues access tokens that are random values. By default they are JWTs (RFC 9068).
    pub fn opaque_access_tokens(mut self) -> Self {
        self.settings.opaque_access_tokens = true;
        self
    }

    /// Sends `iss` to callbacks and advertises it in discovery (RFC 9207). Off by default, because
    /// Oten does not document it.
    pub fn advertise_iss(self) -> Self {
        self.with(Extension::Iss)
    }

    /// Advertises `end_session_endpoint` in discovery (OpenID Connect RP-Initiated Logout). Off by
    /// default, because Oten does not document it.
    ///
    /// The endpoint, `/v1/oauth/logout`, works either way.
    pub fn advertise_end_session(self) -> Self {
        self.with(Extension::EndSession)
    }

    /// Advertises `revocation_endpoint` in discovery (RFC 7009). Off by default, because Oten does
    /// not document it.
    ///
    /// The endpoint, `/v1/oauth/revoke`, works either way.
    pub fn advertise_revocation(self) -> Self {
        self.with(Extension::Revocation)
    }

    /// Adds `sid` to ID tokens and advertises back-channel logout in discovery (OpenID Connect
    /// Back-Channel Logout section 2.1). Off by default, because Oten does not document it.
    ///
    /// The emulator never calls an app; a test posts the logout token, see
    /// [`Emulator::logout_token`].
    pub fn advertise_back_channel_logout(self) -> Self {
        self.with(Extension::BackChannelLogout)
    }

    /// Advertises `userinfo_endpoint` in discovery. Off by default, because Oten documents the endpoint,
    /// `/v1/userinfo`, but not in its discovery document.
    pub fn advertise_userinfo(self) -> Self {
        self.with(Extension::Userinfo)
    }

    /// Signs userinfo responses (OpenID Connect Core section 5.3.2). By default they are JSON.
    pub fn signed_userinfo(mut self) -> Self {
        self.settings.signed_userinfo = true;
        self
    }

    /// Responds with 429 and `Retry-After` to calls beyond the limits of an Oten environment. Off by
    /// default, because the calls of a test suite come from one client.
    ///
    /// Each limit counts from the first call of a client, token or address for a minute.
    pub fn rate_limits(mut self, limits: RateLimits) -> Self {
        self.settings.rate_limits = Some(limits);
        self
    }

    /// Names the signature algorithm `Ed25519` (RFC 9864) in tokens, keys and discovery. Defaults to
    /// `EdDSA` (RFC 8037), the older name of the same algorithm.
    pub fn rfc9864_algorithm_name(mut self) -> Self {
        self.settings.algorithm_name = "Ed25519";
        self
    }

    /// Signs with `RS256` (RFC 7518 section 3.3). Defaults to `EdDSA`.
    pub fn sign_with_rs256(mut self) -> Self {
        self.settings.sign_with(Algorithm::Rs256);
        self
    }

    /// Signs with `PS256` (RFC 7518 section 3.5). Defaults to `EdDSA`.
    pub fn sign_with_ps256(mut self) -> Self {
        self.settings.sign_with(Algorithm::Ps256);
        self
    }

    /// Signs with `ES256` (RFC 7518 section 3.4). Defaults to `EdDSA`.
    pub fn sign_with_es256(mut self) -> Self {
        self.settings.sign_with(Algorithm::Es256);
        self
    }

    /// Imitates the form of another provider. Defaults to Oten's.
    ///
    /// Clients keep the rules of their registration, which for these providers are usually
    /// [`insecure_without_request_object`](EmulatedClient::insecure_without_request_object) and either of
    /// the authentication methods.
    pub fn preset(mut self, preset: Preset) -> Self {
        let extensions: &[Extension] = match preset {
            Preset::Keycloak => &[
                Extension::Iss,
                Extension::EndSession,
                Extension::Revocation,
                Extension::BackChannelLogout,
            ],
            Preset::Entra => &[Extension::EndSession],
            Preset::Google => &[Extension::Revocation],
            Preset::Zitadel => &[
                Extension::EndSession,
                Extension::Revocation,
                Extension::BackChannelLogout,
            ],
        };
        self.settings.preset = Some(preset);
        self.settings.sign_with(Algorithm::Rs256);
        self.settings.opaque_access_tokens = preset != Preset::Keycloak;
        self.settings.rotation = preset != Preset::Google;
        self.settings.extensions.insert(Extension::Userinfo);
        self.settings.extensions.extend(extensions);
        self
    }

    /// Writes the scheme and host of the issuer in capitals, such as `HTTP://LOCALHOST:9000`, which
    /// is the same URL (RFC 3986 section 6.2.2.1). By default they are in lower case.
    pub fn issuer_in_capitals(self) -> Self {
        self.with(Extension::IssuerInCapitals)
    }

    /// Starts the emulator on a free port of 127.0.0.1.
    ///
    /// It stops when the last clone of the [`Emulator`] is dropped.
    ///
    /// # Errors
    ///
    /// Returns [`EmulatorError::Listen`] if no port is free, and [`EmulatorError::Client`] or
    /// [`EmulatorError::DuplicateClient`] if a registration is invalid.
    pub async fn start(self) -> Result<Emulator, EmulatorError> {
        let listener = Server::listen().await.map_err(EmulatorError::Listen)?;
        let address = listener.local_addr().map_err(EmulatorError::Listen)?;
        let issuer = Url::parse(&format!("http://{address}")).map_err(|_| EmulatorError::Issuer)?;
        let core = self.core(&issuer)?;
        let server = Server::start(listener, address, &core);
        Ok(Emulator::new(core, Some(server)))
    }

    /// Creates an emulator without a listener, for an app that nests its
    /// [`router`](Emulator::router).
    ///
    /// ```
    /// use axum_oten::emulator::{EmulatedClient, Emulator};
    ///
    /// let emulator = Emulator::builder()
    ///     .client(EmulatedClient::public("spa").redirect_uri("http://127.0.0.1:3000/callback"))
    ///     .mount("http://127.0.0.1:3000/oten".parse()?)?;
    /// let app: axum::Router = axum::Router::new().nest("/oten", emulator.router());
    ///
    /// // An issuer has no query.
    /// assert!(Emulator::builder().mount("http://127.0.0.1:3000/?oten".parse()?).is_err());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`EmulatorError::Issuer`] if the URL cannot be an issuer, and
    /// [`EmulatorError::Client`] or [`EmulatorError::DuplicateClient`] if a registration is invalid.
    // By value, because callers parse the URL for this call: `mount("…".parse()?)`.
    #[allow(clippy::needless_pass_by_value)]
    pub fn mount(self, issuer: Url) -> Result<Emulator, EmulatorError> {
        let is_web = matches!(issuer.scheme(), "http" | "https");
        if !is_web || issuer.query().is_some() || issuer.fragment().is_some() {
            return Err(EmulatorError::Issuer);
        }
        Ok(Emulator::new(self.core(&issuer)?, None))
    }

    /// Keeps the last `limit` messages for [`Emulator::exchanges`]. Defaults to 0.
    pub fn record_exchanges(mut self, limit: usize) -> Self {
        self.settings.recorded_exchanges = limit;
        self
    }

    fn with(mut self, extension: Extension) -> Self {
        self.settings.extensions.insert(extension);
        self
    }

    fn core(self, issuer: &Url) -> Result<Arc<Core>, EmulatorError> {
        let mut clients = BTreeMap::new();
        for client in self.clients {
            let client = client.register()?;
            let id = client.id().to_owned();
            if clients.insert(id.clone(), client).is_some() {
                return Err(EmulatorError::DuplicateClient(id));
            }
        }
        let core = Core::new(issuer, clients, self.clock, self.settings);
        Ok(Arc::new(core))
    }
}

fn whole_seconds(lifetime: Duration) -> i64 {
    i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / 2)
}
