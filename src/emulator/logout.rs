use serde_json::{Map, Value};
use url::Url;

use super::{
    Emulator, EmulatorError, Endpoint, LogoutTarget, end_session, logout_request::LogoutRequest,
    logout_token::logout_token,
};

/// Logout, in both directions: from an app to the provider and back.
impl Emulator {
    /// Does what a browser does with the end-session URL. The answer is where it goes afterwards,
    /// `None` when it stays on a page of the emulator.
    ///
    /// It happens in this process, without a browser and its cookies or planned faults, and counts
    /// as a call. So the session that ends is the one named in the `id_token_hint`, or all of its
    /// person when the hint has no `sid`; without a hint none ends. The tokens of apps live on,
    /// and no logout token is sent.
    ///
    /// # Errors
    ///
    /// [`EmulatorError::Rejected`] when the request breaks a rule of OpenID Connect RP-Initiated
    /// Logout section 2 or 3; [`EmulatorError::NotAnEndSessionUrl`].
    pub fn end_session(
        &self,
        end_session_url: impl AsRef<str>,
    ) -> Result<Option<Url>, EmulatorError> {
        let url = end_session_url.as_ref();
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        if address != self.core.url("/v1/oauth/logout") {
            return Err(EmulatorError::NotAnEndSessionUrl);
        }
        self.core.calls.count(Endpoint::EndSession);
        let request = LogoutRequest::read(&self.core, query.as_bytes());
        let request = request.map_err(EmulatorError::Rejected)?;
        end_session::end_named(&self.core, &request);
        Ok(request.back)
    }

    /// The `sid` of every session of a person that has not ended, the oldest first. Each
    /// [`approve`](Self::approve) starts one, and so does each sign-in in a browser.
    #[must_use]
    pub fn sids_of(&self, user: &str) -> Vec<String> {
        let state = self.core.state();
        let sessions = state.sessions.live(self.core.now());
        sessions
            .filter(|session| session.user.sub == user)
            .map(|session| session.sid.to_string())
            .collect()
    }

    /// The address that a client registered for logout tokens.
    #[must_use]
    pub fn back_channel_logout_uri(&self, client_id: &str) -> Option<&str> {
        let client = self.core.clients.get(client_id)?;
        client.registered.back_channel_logout_uri.as_deref()
    }

    /// A logout token for a client (OpenID Connect Back-Channel Logout section 2.4), good for 2
    /// minutes.
    ///
    /// The emulator calls no app, whoever signs out wherever: a test posts the token itself, as
    /// `logout_token` in a form. It says what it is asked to: nobody checks that the client, the
    /// person and the session exist.
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
    /// // A lie that no app may believe.
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

    /// A logout token whose header and claims, in this order, `change` makes into a lie. It is
    /// signed as the header's `alg` then says: not at all for `none`, with the client secret for
    /// `HS256`, otherwise with the emulator's key. Lies about signatures count too.
    #[must_use]
    pub fn logout_token_with(
        &self,
        client_id: &str,
        target: LogoutTarget<'_>,
        change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>),
    ) -> String {
        logout_token(&self.core, client_id, target, change)
    }
}
