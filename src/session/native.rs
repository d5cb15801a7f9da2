//! The sign-ins of native apps, from the callback to the session (RFC 8252, RFC 7636).
//!
//! The user has signed in at the provider, and the app has no session yet: first the user confirms the
//! sign-in in the browser, then the app exchanges a code. Until then there is no session, so a page that
//! starts sign-ins in a user's browser leaves none behind.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower_sessions::session::Id;
use url::form_urlencoded;

use super::{
    Identity, Sessions, Tokens,
    back_channel::ROUNDING,
    sessions::{NewSession, SignInStart},
};
use crate::{
    audit::EventOrigin,
    protocol::CodeVerifier,
    secret::{Secret, constant_time_eq, exposed},
    store::{RecordId, RecordKind, StoreError},
};

/// The start of every credential, by which the layers and scanners for leaked secrets recognize it.
pub(crate) const NATIVE_PREFIX: &str = "oten_native_";

/// How long the user can take to confirm.
const CONFIRM_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How long a code is valid: the app follows the link at once.
const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// How long a second use of a code is recognized.
const USED_CODE_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How much longer a sign-in is kept, so that the tokens of one that comes too late can be revoked.
const LATE: Duration = Duration::from_secs(10 * 60);

/// What a native app asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NativeRequest {
    /// One of the configured links, possibly with a port.
    pub(crate) redirect_uri: String,
    /// Returned to the app, which compares it.
    #[serde(with = "exposed")]
    pub(crate) state: Secret,
    pub(crate) code_challenge: String,
}

impl NativeRequest {
    /// Whether the user must confirm before a code is sent: another app may have registered the scheme,
    /// or listen on the port. Platforms verify the owner of an https link (RFC 8252 section 8.6).
    pub(crate) fn needs_confirmation(&self) -> bool {
        !self.redirect_uri.starts_with("https://")
    }

    /// Returns the link with the response (RFC 6749 sections 4.1.2 and 4.1.2.1).
    pub(crate) fn respond(&self, name: &str, value: &str) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair(name, value)
            .append_pair("state", self.state.expose())
            .finish();
        format!("{}?{query}", self.redirect_uri)
    }
}

/// A verified sign-in without a session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NativeSignIn {
    pub(crate) request: NativeRequest,
    start: SignInStart,
    /// The time from the start until the record was written.
    age: Duration,
    identity: Identity,
    pub(crate) tokens: Tokens,
}

impl NativeSignIn {
    pub(crate) fn new(
        request: NativeRequest,
        start: SignInStart,
        identity: Identity,
        tokens: Tokens,
    ) -> Self {
        Self {
            request,
            start,
            age: Duration::ZERO,
            identity,
            tokens,
        }
    }

    /// Returns the user's name and address as far as they are known, or else the subject.
    pub(crate) fn user(&self) -> String {
        let claims = self.tokens.complete(self.identity.claims.clone());
        let claim = |name| claims.get(name).and_then(Value::as_str);
        match (claim("name"), claim("email")) {
            (Some(name), Some(email)) => format!("{name} ({email})"),
            (Some(user), None) | (None, Some(user)) => user.to_owned(),
            (None, None) => self.identity.subject.clone(),
        }
    }
}

/// The parameters of a token request (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
#[derive(Debug)]
pub(crate) struct TokenRequest {
    pub(crate) code: Secret,
    pub(crate) code_verifier: Secret,
    pub(crate) redirect_uri: String,
}

/// The session of a native app.
#[derive(Debug)]
pub(crate) struct NativeSession {
    pub(crate) credential: Secret,
    /// The lifetime without a request.
    pub(crate) ttl: Duration,
}

/// Error returned when a code yields no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrantError {
    #[error("the code is unknown or has expired")]
    Unknown,
    #[error("the code was used before; the session that it made has ended")]
    Reused,
    #[error("the `{0}` is not that of the sign-in; the code is used up")]
    Mismatch(&'static str),
    #[error("the user was signed out before the app used the code")]
    SignedOut,
}

/// The record of a code.
#[derive(Serialize, Deserialize)]
pub(super) enum Code {
    Open(Box<NativeSignIn>),
    /// With the record of the session.
    Used([u8; 32]),
    /// The session must not live.
    Reused([u8; 32]),
}

/// Returns the ID of the session of a credential. A hash, so that the ID, which the app on the server can
/// read, is not a credential, and no cookie value is one either.
pub(crate) fn session_id(credential: &str) -> Id {
    let hash = Sha256::digest(credential);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Id(i128::from_le_bytes(bytes))
}

impl Sessions {
    /// Keeps a sign-in until its user confirms it. `login` is the ID of the login attempt, which only the
    /// browser's cookie contains.
    pub(crate) async fn keep_native(
        &self,
        login: &Secret,
        sign_in: &mut NativeSignIn,
    ) -> Result<(), StoreError> {
        let id = self.native_sign_in(login);
        self.set_age(sign_in);
        let ttl = CONFIRM_LIFETIME + LATE;
        self.records.insert_new(&id, sign_in, ttl).await
    }

    /// Returns a sign-in that its user has not confirmed.
    pub(crate) async fn find_native(
        &self,
        login: &Secret,
    ) -> Result<Option<NativeSignIn>, StoreError> {
        let loaded = self.load_native(login).await?;
        let valid = loaded.filter(|(_, kept_for)| *kept_for < CONFIRM_LIFETIME);
        Ok(valid.map(|(sign_in, _)| sign_in))
    }

    /// Removes a sign-in that its user confirms or cancels. Of concurrent calls, only one receives it. The
    /// tokens of one that comes too late are revoked.
    pub(crate) async fn take_native(
        &self,
        login: &Secret,
        origin: &EventOrigin,
    ) -> Result<Option<NativeSignIn>, StoreError> {
        let Some((sign_in, kept_for)) = self.load_native(login).await? else {
            return Ok(None);
        };
        let id = self.native_sign_in(login);
        let is_first = self.records.take::<NativeSignIn>(&id).await?.is_some();
        if is_first && kept_for >= CONFIRM_LIFETIME {
            self.revoke(&sign_in.tokens, origin);
            return Ok(None);
        }
        Ok(is_first.then_some(sign_in))
    }

    /// Returns a sign-in and for how long it has been kept.
    async fn load_native(
        &self,
        login: &Secret,
    ) -> Result<Option<(NativeSignIn, Duration)>, StoreError> {
        let id = self.native_sign_in(login);
        let loaded = self.records.load::<NativeSignIn>(&id).await?;
        Ok(loaded.map(|loaded| {
            let kept_for = (CONFIRM_LIFETIME + LATE).saturating_sub(loaded.ttl);
            (self.resumed(loaded.value, kept_for), kept_for)
        }))
    }

    /// Notes how old a sign-in is that is about to be kept.
    fn set_age(&self, sign_in: &mut NativeSignIn) {
        let age = self.records.clock().now() - sign_in.start.at;
        sign_in.age = age.try_into().unwrap_or_default();
    }

    /// Returns a sign-in that was kept, with the time at which it started by the clock of this process. The
    /// clock of the one that kept it may differ; the store knows for how long it was kept.
    fn resumed(&self, mut sign_in: NativeSignIn, kept_for: Duration) -> NativeSignIn {
        let age = sign_in.age + kept_for + ROUNDING;
        sign_in.start.at = self.records.clock().now() - age;
        sign_in
    }

    /// Takes a sign-in that the user has confirmed, and returns its request and its code. Completes even if the
    /// caller is cancelled.
    pub(crate) async fn confirm_native(
        &self,
        login: &Secret,
        origin: &EventOrigin,
    ) -> Result<Option<(NativeRequest, Result<Secret, StoreError>)>, StoreError> {
        let (this, login, origin) = (self.clone(), login.clone(), origin.clone());
        self.run_to_completion(async move {
            let Some(sign_in) = this.take_native(&login, &origin).await? else {
                return Ok(None);
            };
            let request = sign_in.request.clone();
            Ok(Some((request, this.issue_code(sign_in, &origin).await)))
        })
        .await
    }

    /// Returns a code for the session of a confirmed sign-in. If the store does not take it, the tokens are
    /// revoked, even if the caller is cancelled.
    pub(crate) async fn issue_code(
        &self,
        mut sign_in: NativeSignIn,
        origin: &EventOrigin,
    ) -> Result<Secret, StoreError> {
        let code = Secret::random();
        self.set_age(&mut sign_in);
        let (id, ttl) = (self.native_code(&code), CODE_LIFETIME + LATE);
        let (this, origin) = (self.clone(), origin.clone());
        self.run_to_completion(async move {
            let record = Code::Open(Box::new(sign_in));
            let inserted = this.records.insert_new(&id, &record, ttl).await;
            if let (Err(_), Code::Open(sign_in)) = (&inserted, &record) {
                this.revoke(&sign_in.tokens, &origin);
            }
            inserted.map(|()| code)
        })
        .await
    }

    /// Exchanges a code for a session. A code is used up by the first request, whatever its other
    /// parameters; a second one ends the session (RFC 6749 section 10.5). Completes even if the caller is
    /// cancelled.
    pub(crate) async fn redeem(
        &self,
        request: TokenRequest,
        origin: EventOrigin,
    ) -> Result<Result<NativeSession, GrantError>, StoreError> {
        let this = self.clone();
        self.run_to_completion(async move { this.redeem_now(&request, &origin).await })
            .await
    }

    async fn redeem_now(
        &self,
        request: &TokenRequest,
        origin: &EventOrigin,
    ) -> Result<Result<NativeSession, GrantError>, StoreError> {
        let code = self.native_code(&request.code);
        let Some(loaded) = self.records.load::<Code>(&code).await? else {
            return Ok(Err(GrantError::Unknown));
        };
        let Code::Open(sign_in) = loaded.value else {
            return self.end_reused(&code, origin).await.map(Err);
        };
        let credential = [NATIVE_PREFIX, Secret::random().expose()].concat();
        let session = self.record_id(session_id(&credential));
        let used = Code::Used(*session.as_bytes());
        let version = Some(loaded.version);
        let is_first = self
            .records
            .replace(&code, version, &used, USED_CODE_LIFETIME)
            .await?;
        if !is_first {
            return self.end_reused(&code, origin).await.map(Err);
        }
        let kept_for = (CODE_LIFETIME + LATE).saturating_sub(loaded.ttl);
        let checked = if kept_for < CODE_LIFETIME {
            sign_in.request.check(request)
        } else {
            Err(GrantError::Unknown)
        };
        if let Err(error) = checked {
            self.revoker.revoke(&sign_in.tokens, origin);
            return Ok(Err(error));
        }
        let NativeSignIn {
            start,
            identity,
            tokens,
            ..
        } = self.resumed(*sign_in, kept_for);
        let new = NewSession {
            id: session,
            is_native: true,
            previous: None,
        };
        let is_signed_in = self.sign_in_to(new, &start, identity, &tokens, origin);
        if !is_signed_in.await? {
            return Ok(Err(GrantError::SignedOut));
        }
        // Another request may have used the code before the session existed.
        let record = self.records.load(&code).await?;
        if !matches!(record.map(|record| record.value), Some(Code::Used(_))) {
            return self.end_reused(&code, origin).await.map(Err);
        }
        let session = self.load(session).await?;
        Ok(session.map_or(Err(GrantError::SignedOut), |session| {
            Ok(NativeSession {
                credential: credential.into(),
                ttl: session.ttl,
            })
        }))
    }

    /// Ends the session of a code that is used again. If the session does not exist yet, the request that
    /// creates it ends it.
    async fn end_reused(
        &self,
        code: &RecordId,
        origin: &EventOrigin,
    ) -> Result<GrantError, StoreError> {
        let record = self.records.load(code).await?.map(|record| record.value);
        let Some(Code::Used(session) | Code::Reused(session)) = record else {
            return Ok(GrantError::Unknown);
        };
        let reused = Code::Reused(session);
        self.records
            .replace(code, None, &reused, USED_CODE_LIFETIME)
            .await?;
        let session = RecordId::from_bytes(RecordKind::Session, session);
        if let Some(ended) = self.end_now(&session, None).await? {
            self.record_sign_out(&ended, origin);
        }
        Ok(GrantError::Reused)
    }

    fn native_sign_in(&self, login: &Secret) -> RecordId {
        self.records.id(RecordKind::NativeSignIn, login.expose())
    }

    fn native_code(&self, code: &Secret) -> RecordId {
        self.records.id(RecordKind::NativeCode, code.expose())
    }
}

impl NativeRequest {
    fn check(&self, request: &TokenRequest) -> Result<(), GrantError> {
        let challenge = CodeVerifier::from(request.code_verifier.clone()).challenge();
        if !constant_time_eq(challenge.as_bytes(), self.code_challenge.as_bytes()) {
            return Err(GrantError::Mismatch("code_verifier"));
        }
        if request.redirect_uri != self.redirect_uri {
            return Err(GrantError::Mismatch("redirect_uri"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        session::{
            Operator,
            testing::{identity, sessions, tokens},
        },
        store::MemoryStore,
    };

    const MINUTE: Duration = Duration::from_secs(60);

    /// One process handles the callback, and another with another clock the rest. Returns the result for a
    /// user who was signed out in between, or earlier.
    async fn signs_in(callback_ahead: bool, ends_after_callback: bool) -> Result<(), GrantError> {
        let (clock, ahead) = (Clock::manual(), Clock::manual());
        ahead.advance(MINUTE);
        let store = MemoryStore::default().with_clock(clock.clone());
        let [mut here, mut there] =
            [&ahead, &clock].map(|clock| sessions(store.clone(), clock.clone()));
        if !callback_ahead {
            std::mem::swap(&mut here, &mut there);
        }
        let wait = |seconds| {
            let time = Duration::from_secs(seconds);
            clock.advance(time);
            ahead.advance(time);
        };
        let end = async |user| {
            let ended = here.end_subject(user, Operator::default()).await;
            assert_eq!(ended.unwrap(), 0);
        };
        let verifier = CodeVerifier::from(Secret::random());
        let request = NativeRequest {
            redirect_uri: "com.example.app:/callback".to_owned(),
            state: "state".into(),
            code_challenge: verifier.challenge(),
        };
        let token_request = |code| TokenRequest {
            code,
            code_verifier: verifier.expose().into(),
            redirect_uri: request.redirect_uri.clone(),
        };
        if !ends_after_callback {
            end("alice").await;
        }
        wait(4);
        let start = here.start_sign_in(Duration::ZERO).await.unwrap();
        let mut sign_in = NativeSignIn::new(request.clone(), start, identity("alice"), tokens());
        wait(4);
        if ends_after_callback {
            end("alice").await;
        }
        // Another user's end makes the sign-in look for those of this user.
        end("bob").await;
        let login = Secret::random();
        here.keep_native(&login, &mut sign_in).await.unwrap();
        wait(200);
        let origin = EventOrigin::default();
        let taken = there.take_native(&login, &origin).await.unwrap().unwrap();
        let code = there.issue_code(taken, &origin).await.unwrap();
        wait(50);
        let session = there.redeem(token_request(code), origin).await.unwrap();
        session.map(drop)
    }

    #[tokio::test]
    async fn a6_a_sign_out_counts_if_it_is_later_whatever_the_clocks_of_processes_say() {
        for callback_ahead in [true, false] {
            assert_eq!(signs_in(callback_ahead, false).await, Ok(()));
            let ended = signs_in(callback_ahead, true).await;
            assert_eq!(ended, Err(GrantError::SignedOut));
        }
    }
}
