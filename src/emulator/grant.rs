use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    expiring::Expiring, parameters::AuthorizationRequest, pkce::Challenge, session::SignedIn,
    user::User,
};
use crate::secret::Secret;

/// How long a code waits, in seconds.
const CODE_LIFETIME: i64 = 10 * 60;

/// What a person granted a client. All tokens of one sign-in share it, and end with it.
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) user: &'static User,
    pub(super) scope: String,
    pub(super) auth_time: i64,
    pub(super) nonce: Option<String>,
    /// The session in which it was granted. The grant outlives it.
    pub(super) sid: Arc<str>,
    revoked: AtomicBool,
}

impl Grant {
    pub(super) fn new(request: &AuthorizationRequest, person: SignedIn) -> Arc<Self> {
        Arc::new(Self {
            client_id: request.client_id.clone(),
            user: person.user,
            scope: request.scope.clone(),
            auth_time: person.auth_time,
            nonce: request.nonce.clone(),
            sid: person.sid,
            revoked: AtomicBool::new(false),
        })
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
    }
}

/// What is known of an access token.
#[derive(Clone)]
pub(super) struct AccessToken {
    pub(super) grant: Arc<Grant>,
    pub(super) scope: String,
    pub(super) issued_at: i64,
    pub(super) expires_at: i64,
}

/// Codes, refresh tokens and access tokens.
pub(super) struct Grants {
    codes: Expiring<Code>,
    refresh_tokens: Expiring<RefreshToken>,
    access_tokens: Expiring<AccessToken>,
    /// How often a client asked for a refresh.
    pub(super) refreshes: u64,
    /// How often a used refresh token came back.
    pub(super) reuse_detected: u64,
}

struct Code {
    grant: Arc<Grant>,
    redirect_uri: String,
    challenge: Option<Challenge>,
    used: bool,
}

struct RefreshToken {
    grant: Arc<Grant>,
    used: bool,
}

impl Grants {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            codes: Expiring::new(capacity),
            refresh_tokens: Expiring::new(capacity),
            access_tokens: Expiring::new(capacity),
            refreshes: 0,
            reuse_detected: 0,
        }
    }

    pub(super) fn new_code(
        &mut self,
        grant: Arc<Grant>,
        request: &AuthorizationRequest,
        now: i64,
    ) -> String {
        let code = Code {
            grant,
            redirect_uri: request.callback.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            used: false,
        };
        let key = Secret::random().expose().to_owned();
        self.codes
            .insert(key.clone(), code, now + CODE_LIFETIME, now);
        key
    }

    /// Redeems a code, once. A second try proves a leak and ends all tokens of the first (RFC
    /// 6749 section 4.1.2); a try by another client changes nothing.
    pub(super) fn redeem(
        &mut self,
        code: &str,
        client_id: &str,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
        now: i64,
    ) -> Result<Arc<Grant>, &'static str> {
        let code = self
            .codes
            .get_mut(code, now)
            .filter(|code| code.grant.client_id == client_id)
            .ok_or("Invalid authorization code: unknown or expired")?;
        if code.used {
            code.grant.revoke();
            return Err("Invalid authorization code: used before");
        }
        code.used = true;
        if redirect_uri != Some(code.redirect_uri.as_str()) {
            return Err("The redirect_uri is not the one of the authorization request");
        }
        match (&code.challenge, verifier) {
            (None, None) => Ok(Arc::clone(&code.grant)),
            (Some(challenge), Some(verifier)) if challenge.accepts(verifier) => {
                Ok(Arc::clone(&code.grant))
            }
            (Some(_), Some(_)) => Err("The code_verifier does not fit the code_challenge"),
            (Some(_), None) => Err("code_verifier is missing"),
            // RFC 9700 section 2.1.1: a verifier without a challenge is a downgrade.
            (None, Some(_)) => Err("The authorization request had no code_challenge"),
        }
    }

    pub(super) fn new_refresh_token(
        &mut self,
        grant: &Arc<Grant>,
        expires_at: i64,
        now: i64,
    ) -> String {
        let token = RefreshToken {
            grant: Arc::clone(grant),
            used: false,
        };
        let key = Secret::random().expose().to_owned();
        self.refresh_tokens
            .insert(key.clone(), token, expires_at, now);
        key
    }

    /// The grant of a refresh token that was not used yet. A used one proves a leak and ends the
    /// whole grant (RFC 9700 section 4.14.2).
    pub(super) fn refresh(
        &mut self,
        token: &str,
        client_id: &str,
        now: i64,
    ) -> Result<Arc<Grant>, &'static str> {
        self.refreshes += 1;
        let token = self
            .refresh_tokens
            .get_mut(token, now)
            .filter(|token| token.grant.client_id == client_id)
            .ok_or("Invalid refresh token: unknown or expired")?;
        if token.used {
            self.reuse_detected += 1;
            token.grant.revoke();
            return Err("Invalid refresh token: used before");
        }
        if token.grant.is_revoked() {
            return Err("Invalid refresh token: revoked");
        }
        Ok(Arc::clone(&token.grant))
    }

    /// Marks a refresh token as used.
    pub(super) fn use_refresh_token(&mut self, token: &str, now: i64) {
        if let Some(token) = self.refresh_tokens.get_mut(token, now) {
            token.used = true;
        }
    }

    /// Revokes a token of this client: a refresh token, used or not, with everything of its grant,
    /// an access token alone. A token nobody knows is as good as revoked (RFC 7009 section 2.2).
    pub(super) fn revoke(
        &mut self,
        token: &str,
        client_id: &str,
        now: i64,
    ) -> Result<(), &'static str> {
        let own = |grant: &Grant| {
            let is_own = grant.client_id == client_id;
            is_own
                .then_some(())
                .ok_or("The token was issued to another client")
        };
        if let Some(found) = self.refresh_tokens.get(token, now) {
            own(&found.grant)?;
            found.grant.revoke();
        } else if let Some(found) = self.access_tokens.get(token, now) {
            own(&found.grant)?;
            self.access_tokens.remove(token, now);
        }
        Ok(())
    }

    pub(super) fn add_access_token(&mut self, jwt: String, token: AccessToken) {
        let (issued_at, expires_at) = (token.issued_at, token.expires_at);
        self.access_tokens.insert(jwt, token, expires_at, issued_at);
    }

    /// A live access token.
    pub(super) fn access_token(&self, jwt: &str, now: i64) -> Option<&AccessToken> {
        let token = self.access_tokens.get(jwt, now);
        token.filter(|token| !token.grant.is_revoked())
    }
}
