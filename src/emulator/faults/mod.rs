//! Faults, deviations and holds that tests plan.

pub(crate) mod hold;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;

/// An endpoint of the emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET /.well-known/openid-configuration`.
    Discovery,
    /// `GET /.well-known/jwks.json`.
    Jwks,
    /// `GET /v1/oauth/authorize`.
    Authorization,
    /// `POST /v1/oauth/token`.
    Token,
    /// `GET /v1/userinfo`.
    Userinfo,
    /// `POST /v1/token/validate`.
    Validation,
    /// `GET` and `POST /v1/oauth/logout`.
    EndSession,
    /// `POST /v1/oauth/revoke`.
    Revocation,
}

impl Endpoint {
    /// The path, relative to the issuer.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Discovery => "/.well-known/openid-configuration",
            Self::Jwks => "/.well-known/jwks.json",
            Self::Authorization => "/v1/oauth/authorize",
            Self::Token => "/v1/oauth/token",
            Self::Userinfo => "/v1/userinfo",
            Self::Validation => "/v1/token/validate",
            Self::EndSession => "/v1/oauth/logout",
            Self::Revocation => "/v1/oauth/revoke",
        }
    }
}

/// A failure of an endpoint, planned with [`Emulator::fault`](super::Emulator::fault).
///
/// Delays pass in real time, regardless of the emulator's [`Clock`](crate::Clock).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The endpoint handles the request after this delay.
    Delay(Duration),
    /// An empty response with this status code.
    Status(u16),
    /// A 429 response.
    TooManyRequests {
        /// The value of `Retry-After`, in whole seconds. `None` omits the header.
        retry_after: Option<Duration>,
    },
    /// A 429 response whose `Retry-After` is a date, this long after the emulator's time.
    TooManyRequestsUntil(Duration),
    /// An OAuth error with this code.
    ///
    /// The authorization endpoint sends it to the callback. The other endpoints respond with JSON:
    /// 401 for `invalid_client`, 500 for `server_error`, 503 for `temporarily_unavailable`, and 400
    /// for other codes.
    OAuthError(&'static str),
    /// The error of [`OAuthError`](Self::OAuthError) with another status code, such as 200.
    ///
    /// At the authorization endpoint the status has no effect.
    OAuthErrorWithStatus(&'static str, u16),
    /// A 200 response with this body.
    Body {
        /// The `Content-Type` of the response.
        content_type: &'static str,
        /// The body of the response.
        bytes: Bytes,
    },
    /// A 200 response with an HTML page, as sent by a captive portal.
    Html,
    /// A 200 response with a JSON content type and an empty body.
    Empty,
    /// A 200 response with 5 MiB of JSON.
    Huge,
    /// A 200 response with a small gzip body that inflates to 64 MiB of JSON.
    GzipBomb,
    /// A 307 redirect to this URL.
    Redirect(String),
    /// No response; the connection stays open.
    Hang,
    /// The connection closes without a response.
    ///
    /// An emulator without a listener of its own cannot close the connection and behaves as for
    /// [`Hang`](Self::Hang).
    Close,
    /// The endpoint handles the request, and the response follows after this delay.
    DelayAfter(Duration),
    /// The endpoint handles the request, and the connection closes without the response, as for
    /// [`Close`](Self::Close). A refresh token is then used and its successor lost.
    CloseAfter,
    /// The endpoint handles the request, and this function changes the body of the response, for
    /// unusual JSON that no [`Deviation`] produces.
    ///
    /// ```
    /// # use axum_oten::emulator::{Emulator, Endpoint, Fault};
    /// # fn test(emulator: Emulator) {
    /// let byte_order_mark = Fault::Rewrite(|body| [b"\xef\xbb\xbf", &*body].concat());
    /// emulator.fault(Endpoint::Discovery, byte_order_mark);
    /// let member_twice = Fault::Rewrite(|body| [b"{\"scope\": 5,", &body[1..]].concat());
    /// emulator.fault(Endpoint::Token, member_twice.times(1));
    /// # }
    /// ```
    Rewrite(fn(Vec<u8>) -> Vec<u8>),
}

impl Fault {
    /// Limits the fault to the next `count` calls.
    ///
    /// ```
    /// # use axum_oten::emulator::{EmulatedClient, Emulator, Endpoint, Fault};
    /// # fn test(emulator: Emulator) {
    /// emulator.fault(Endpoint::Token, Fault::Status(503).times(1));
    /// # }
    /// ```
    #[must_use]
    pub fn times(self, count: u32) -> PlannedFault {
        PlannedFault {
            fault: self,
            remaining: Some(count),
        }
    }
}

/// A [`Fault`] and how often it happens, for [`Emulator::fault`](super::Emulator::fault).
#[derive(Clone, Debug)]
pub struct PlannedFault {
    fault: Fault,
    /// `None` until cleared.
    remaining: Option<u32>,
}

impl From<Fault> for PlannedFault {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            remaining: None,
        }
    }
}

/// The planned faults of each endpoint, in order.
#[derive(Debug, Default)]
pub(crate) struct Faults(BTreeMap<Endpoint, VecDeque<PlannedFault>>);

impl Faults {
    pub(crate) fn plan(&mut self, endpoint: Endpoint, fault: PlannedFault) {
        self.0.entry(endpoint).or_default().push_back(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the fault of the next call.
    pub(crate) fn next(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let planned = self.0.get_mut(&endpoint)?;
        while planned.front()?.remaining == Some(0) {
            planned.pop_front();
        }
        let current = planned.front_mut()?;
        if let Some(remaining) = &mut current.remaining {
            *remaining -= 1;
        }
        Some(current.fault.clone())
    }
}

/// Wrong content in the emulator's responses, set with
/// [`Emulator::deviate`](super::Emulator::deviate).
///
/// A [`Fault`] makes a call fail; a deviation makes a successful response wrong. Several can be set
/// at once; if two contradict each other, the later one wins.
///
/// The deviations of signatures and keys, up to [`NoKeyId`](Self::NoKeyId), also apply to logout
/// tokens. To change other parts of a logout token, use
/// [`Emulator::logout_token_with`](super::Emulator::logout_token_with).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Deviation {
    /// Tokens have an invalid signature.
    BadSignature,
    /// Tokens have `alg: none` and no signature.
    AlgNone,
    /// Tokens are signed with `HS256` and the client secret; a public client's is empty.
    Hs256WithClientSecret,
    /// Tokens are signed with `HS256` and the PEM text of the provider's public key.
    Hs256WithPublicKey,
    /// Tokens are signed with an unpublished key and name that key's `kid`.
    UnknownKey,
    /// Tokens are signed with an unpublished key that the header contains as `jwk`.
    EmbeddedKey,
    /// Tokens have no `kid`.
    NoKeyId,
    /// ID tokens have this header parameter, such as `crit`, `jku` or `typ`. The signature is valid.
    Header(&'static str, Value),
    /// ID tokens have this claim. The signature is valid.
    Claim(&'static str, Value),
    /// ID tokens lack this claim. The signature is valid.
    WithoutClaim(&'static str),
    /// The token response contains the access token as `id_token`.
    AccessTokenAsIdToken,
    /// The token response contains no ID token.
    NoIdToken,
    /// Successful token responses have this field, such as `token_type` or `expires_in`.
    TokenField(&'static str, Value),
    /// Successful token responses lack this field.
    WithoutTokenField(&'static str),
    /// Callbacks have this parameter, such as `state` or `iss`, in place of the one they should have.
    CallbackParameter(&'static str, &'static str),
    /// Callbacks lack this parameter.
    WithoutCallbackParameter(&'static str),
    /// Userinfo responses have this claim.
    UserinfoClaim(&'static str, Value),
    /// Userinfo responses lack this claim.
    WithoutUserinfoClaim(&'static str),
    /// The discovery document names another issuer.
    IssuerMismatch,
    /// The endpoints in the discovery document are `http` URLs on another host.
    InsecureEndpoints,
    /// The discovery document has this field.
    DiscoveryField(&'static str, Value),
    /// The discovery document lacks this field.
    WithoutDiscoveryField(&'static str),
    /// The JWK set is empty.
    NoKeys,
    /// The JWK set has this many keys of another kind before the emulator's.
    ForeignKeys(usize),
    /// The JWK set has the emulator's key twice, with `alg` as `EdDSA` and as `Ed25519`.
    KeyPerAlgorithmName,
    /// The JWK set has another key with the `kid` of the emulator's.
    SharedKeyId,
    /// All JSON responses start with a byte order mark.
    ByteOrderMark,
}
