use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::session::{SignedIn, User};
use crate::{
    clock::Clock,
    emulator::{
        expiring::Expiring,
        messages::authorization::{AuthorizationRequest, Challenge},
    },
};

/// How long an authorization code is valid, in seconds.
const CODE_LIFETIME: i64 = 10 * 60;

/// A user's grant to a client. All tokens of a sign-in share it and are revoked with it.
pub(crate) struct Grant {
    pub(crate) client_id: String,
    /// `None` for a grant to the client itself (RFC 6749 section 4.4).
    pub(crate) user: Option<&'static User>,
    pub(crate) scope: String,
    pub(crate) auth_time: i64,
    pub(crate) nonce: Option<String>,
    /// The session of the sign-in, which the grant outlives.
    pub(crate) sid: Arc<str>,
    /// Whether the request has asked for a refresh token with `access_type=offline`.
    pub(crate) is_offline: bool,
    is_revoked: AtomicBool,
}

impl Grant {
    fn new(request: &AuthorizationRequest, session: SignedIn) -> Arc<Self> {
        Arc::new(Self {
            client_id: request.client_id.clone(),
            user: Some(session.user),
            scope: request.scope.clone(),
            auth_time: session.auth_time,
            nonce: request.nonce.clone(),
            sid: session.sid,
            is_offline: request.is_offline,
            is_revoked: AtomicBool::new(false),
        })
    }

    /// Returns a grant without an authorization request.
    pub(crate) fn direct(client_id: &str, scope: &str, session: SignedIn) -> Arc<Self> {
        Arc::new(Self {
            client_id: client_id.to_owned(),
            user: Some(session.user),
            scope: scope.to_owned(),
            auth_time: session.auth_time,
            nonce: None,
            sid: session.sid,
            is_offline: false,
            is_revoked: AtomicBool::new(false),
        })
    }

    /// Returns a grant to the client itself.
    pub(crate) fn to_client(client_id: &str, scope: &str, now: i64) -> Arc<Self> {
        Arc::new(Self {
            client_id: client_id.to_owned(),
            user: None,
            scope: scope.to_owned(),
            auth_time: now,
            nonce: None,
            sid: Arc::default(),
            is_offline: false,
            is_revoked: AtomicBool::new(false),
        })
    }

    /// The subject of the grant's tokens (RFC 9068 section 2.2).
    pub(crate) fn subject(&self) -> &str {
        self.user.map_or(&self.client_id, |user| user.sub)
    }

    fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::SeqCst)
    }

    fn revoke(&self) {
        self.is_revoked.store(true, Ordering::SeqCst);
    }
}

#[derive(Clone)]
pub(crate) struct AccessToken {
    pub(crate) grant: Arc<Grant>,
    pub(crate) scope: String,
    pub(crate) issued_at: i64,
    pub(crate) expires_at: i64,
}

/// The authorization codes, refresh tokens and access tokens.
pub(crate) struct Grants {
    codes: Expiring<Code>,
    refresh_tokens: Expiring<RefreshToken>,
    access_tokens: Expiring<AccessToken>,
    /// The number of refreshes by authenticated clients.
    pub(crate) refreshes: u64,
    /// The number of refreshes with a used refresh token.
    pub(crate) reuse_detected: u64,
}

struct Code {
    grant: Arc<Grant>,
    redirect_uri: String,
    challenge: Option<Challenge>,
    is_used: bool,
}

struct RefreshToken {
    grant: Arc<Grant>,
    is_used: bool,
}

impl Grants {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self {
            codes: Expiring::new(clock),
            refresh_tokens: Expiring::new(clock),
            access_tokens: Expiring::new(clock),
            refreshes: 0,
            reuse_detected: 0,
        }
    }

    pub(crate) fn add_code(&mut self, request: &AuthorizationRequest, session: SignedIn) -> String {
        let code = Code {
            grant: Grant::new(request, session),
            redirect_uri: request.callback.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            is_used: false,
        };
        self.codes.add(code, CODE_LIFETIME)
    }

    /// Redeems a code once. A second attempt proves a leak and revokes the tokens of the first (RFC
    /// 6749 section 4.1.2); an attempt by another client has no effect.
    pub(crate) fn redeem(
        &mut self,
        code: &str,
        client_id: &str,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
    ) -> Result<Arc<Grant>, &'static str> {
        let code = self
            .codes
            .get_mut(code)
            .filter(|code| code.grant.client_id == client_id)
            .ok_or("Invalid authorization code: unknown or expired")?;
        if code.is_used {
            code.grant.revoke();
            return Err("Invalid authorization code: already used");
        }
        code.is_used = true;
        if redirect_uri != Some(code.redirect_uri.as_str()) {
            return Err("redirect_uri must repeat the one of the authorization request");
        }
        match (&code.challenge, verifier) {
            (None, None) => {}
            (Some(challenge), Some(verifier)) if challenge.accepts(verifier) => {}
            (Some(_), Some(_)) => return Err("code_verifier does not match the code_challenge"),
            (Some(_), None) => return Err("code_verifier is missing"),
            // RFC 9700 section 2.1.1: a verifier without a challenge is a downgrade.
            (None, Some(_)) => {
                return Err("code_verifier was sent for a request without code_challenge");
            }
        }
        Ok(Arc::clone(&code.grant))
    }

    pub(crate) fn add_refresh_token(&mut self, grant: &Arc<Grant>, lifetime: i64) -> String {
        let token = RefreshToken {
            grant: Arc::clone(grant),
            is_used: false,
        };
        self.refresh_tokens.add(token, lifetime)
    }

    /// Returns the grant of an unused refresh token. A used one proves a leak and revokes the whole
    /// grant (RFC 9700 section 4.14.2).
    pub(crate) fn refresh(
        &mut self,
        token: &str,
        client_id: &str,
    ) -> Result<Arc<Grant>, &'static str> {
        self.refreshes += 1;
        let token = self
            .refresh_tokens
            .get(token)
            .filter(|token| token.grant.client_id == client_id)
            .ok_or("Invalid refresh token: unknown or expired")?;
        if token.is_used {
            self.reuse_detected += 1;
            token.grant.revoke();
            return Err("Invalid refresh token: already used");
        }
        if token.grant.is_revoked() {
            return Err("Invalid refresh token: revoked");
        }
        Ok(Arc::clone(&token.grant))
    }

    pub(crate) fn use_refresh_token(&mut self, token: &str) {
        if let Some(token) = self.refresh_tokens.get_mut(token) {
            token.is_used = true;
        }
    }

    /// Revokes a token of this client: a refresh token, used or not, with its whole grant; an access
    /// token alone. Unknown tokens count as revoked (RFC 7009 section 2.2).
    pub(crate) fn revoke(&mut self, token: &str, client_id: &str) -> Result<(), &'static str> {
        let check_client = |grant: &Grant| {
            let is_own = grant.client_id == client_id;
            is_own
                .then_some(())
                .ok_or("The token was issued to another client")
        };
        if let Some(found) = self.refresh_tokens.get(token) {
            check_client(&found.grant)?;
            found.grant.revoke();
        } else if let Some(found) = self.access_tokens.get(token) {
            check_client(&found.grant)?;
            self.access_tokens.remove(token);
        }
        Ok(())
    }

    pub(crate) fn add_access_token(&mut self, jwt: String, token: AccessToken) {
        let expires_at = token.expires_at;
        self.access_tokens.insert(jwt, token, expires_at);
    }

    pub(crate) fn access_token(&self, jwt: &str) -> Option<&AccessToken> {
        let token = self.access_tokens.get(jwt);
        token.filter(|token| !token.grant.is_revoked())
    }
}
