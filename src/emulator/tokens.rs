use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256, Sha512};

use super::{
    faults::Deviation,
    keys::{ProviderKey, hmac_sha256, jws},
    state::{
        Core, Extension, State,
        grant::{AccessToken, Grant},
    },
};
use crate::{
    jose::Algorithm,
    secret::{Secret, base64url, random_bytes},
};

/// How long an ID token is valid, in seconds.
const ID_TOKEN_LIFETIME: i64 = 60 * 60;
/// How long a logout token is valid, in seconds.
const LOGOUT_TOKEN_LIFETIME: i64 = 2 * 60;

/// The sessions that a logout token ends, for
/// [`Emulator::logout_token`](super::Emulator::logout_token).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogoutTarget<'a> {
    /// One session, by its `sid`.
    Session(&'a str),
    /// All sessions of a user, by `sub`.
    Subject(&'a str),
    /// One session of a user, by both claims.
    Both {
        /// The user's subject identifier.
        sub: &'a str,
        /// The session ID.
        sid: &'a str,
    },
}

/// Issues the tokens of a successful token response (RFC 6749 section 5.1).
pub(super) fn issue(core: &Core, grant: &Arc<Grant>, scope: &str, is_refresh: bool) -> Value {
    let settings = &core.settings;
    let state = &mut *core.state();
    let access_token = access_token(core, state, grant, scope, |_, _| ());
    let mut response = object([
        ("access_token", json!(access_token)),
        ("token_type", json!("Bearer")),
        ("expires_in", json!(settings.access_token_lifetime)),
        ("scope", json!(scope)),
    ]);
    // OpenID Connect Core section 12.2: the ID token of a refresh carries no nonce.
    let nonce = grant.nonce.as_deref().filter(|_| !is_refresh);
    if !is_refresh || settings.id_token_on_refresh {
        let id_token = id_token(core, state, grant, nonce, &access_token);
        response.extend(id_token.map(|token| ("id_token".to_owned(), json!(token))));
    }
    // RFC 6749 section 4.4.3: a client needs no refresh token for a token of its own.
    let has_refresh_token = settings.refresh_tokens
        && grant.user.is_some()
        && settings
            .preset
            .is_none_or(|preset| preset.has_refresh_token(grant));
    if has_refresh_token && (!is_refresh || settings.rotation) {
        let lifetime = settings.refresh_token_lifetime;
        let token = state.grants.add_refresh_token(grant, lifetime);
        response.insert("refresh_token".into(), json!(token));
    }
    for deviation in &state.deviations {
        match deviation {
            Deviation::TokenField(name, value) => {
                response.insert((*name).to_owned(), value.clone())
            }
            Deviation::WithoutTokenField(name) => response.remove(*name),
            _ => None,
        };
    }
    Value::Object(response)
}

/// Issues an access token after `change`: a JWT (RFC 9068), or a random value.
pub(super) fn access_token(
    core: &Core,
    state: &mut State,
    grant: &Arc<Grant>,
    scope: &str,
    change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>),
) -> String {
    let now = core.now();
    let token = AccessToken {
        grant: Arc::clone(grant),
        scope: scope.to_owned(),
        issued_at: now,
        expires_at: now.saturating_add(core.settings.access_token_lifetime),
    };
    let text = if core.settings.opaque_access_tokens {
        base64url(*random_bytes::<32>())
    } else {
        let mut header = header(core, &state.key, "at+jwt");
        let mut claims = access_token_claims(core, &token);
        claims.insert("jti".into(), json!(base64url(*random_bytes::<16>())));
        if let Some(preset) = core.settings.preset {
            preset.change_access_token(&mut header, &mut claims);
        }
        change(&mut header, &mut claims);
        let secret = client_secret(core, &grant.client_id);
        let signature = signature_of(&header, secret);
        sign(state, secret, header, &claims, signature)
    };
    state.grants.add_access_token(text.clone(), token);
    text
}

/// Returns the claims of RFC 9068 section 2.2, except `jti`.
pub(super) fn access_token_claims(core: &Core, token: &AccessToken) -> Map<String, Value> {
    object([
        ("iss", json!(core.issuer)),
        ("sub", json!(token.grant.subject())),
        ("aud", json!(token.grant.client_id)),
        ("client_id", json!(token.grant.client_id)),
        ("iat", json!(token.issued_at)),
        ("exp", json!(token.expires_at)),
        ("scope", json!(token.scope)),
    ])
}

/// Returns an ID token (OpenID Connect Core section 2) after the deviations. `None` if one of them
/// omits it.
fn id_token(
    core: &Core,
    state: &State,
    grant: &Grant,
    nonce: Option<&str>,
    access_token: &str,
) -> Option<String> {
    let now = core.now();
    // OpenID Connect Core section 3.1.3.6: Ed25519 uses SHA-512, so the hash does, too.
    let at_hash = match core.settings.algorithm {
        Algorithm::EdDsa => base64url(&Sha512::digest(access_token)[..32]),
        _ => base64url(&Sha256::digest(access_token)[..16]),
    };
    let user = grant.user?;
    let mut claims = user.claims(&grant.scope);
    claims.extend(object([
        ("iss", json!(core.issuer)),
        ("aud", json!(grant.client_id)),
        ("iat", json!(now)),
        ("exp", json!(now + ID_TOKEN_LIFETIME)),
        ("auth_time", json!(grant.auth_time)),
        ("at_hash", json!(at_hash)),
    ]));
    claims.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
    if core.supports(Extension::BackChannelLogout) {
        claims.insert("sid".into(), json!(&*grant.sid));
    }
    if let Some(preset) = core.settings.preset {
        preset.change_id_token(&mut claims, grant);
    }
    let mut header = header(core, &state.key, "JWT");
    for deviation in &state.deviations {
        match deviation {
            Deviation::NoIdToken => return None,
            Deviation::AccessTokenAsIdToken => return Some(access_token.to_owned()),
            Deviation::Claim(name, value) => claims.insert((*name).to_owned(), value.clone()),
            Deviation::WithoutClaim(name) => claims.remove(*name),
            Deviation::Header(name, value) => header.insert((*name).to_owned(), value.clone()),
            _ => None,
        };
    }
    let secret = client_secret(core, &grant.client_id);
    Some(sign(state, secret, header, &claims, Signature::Valid))
}

/// Returns the claims of a token's user as a signed JWT (OpenID Connect Core section 5.3.2).
pub(super) fn signed_userinfo(
    core: &Core,
    state: &State,
    client_id: &str,
    mut claims: Map<String, Value>,
) -> String {
    // A deviation of these claims applies.
    for (name, value) in [("iss", &*core.issuer), ("aud", client_id)] {
        claims.entry(name).or_insert_with(|| json!(value));
    }
    for deviation in &state.deviations {
        if let Deviation::WithoutUserinfoClaim(name) = deviation {
            claims.remove(*name);
        }
    }
    let header = header(core, &state.key, "JWT");
    let secret = client_secret(core, client_id);
    sign(state, secret, header, &claims, Signature::Valid)
}

/// Returns a logout token (OpenID Connect Back-Channel Logout section 2.4) after `change`.
pub(super) fn logout_token(
    core: &Core,
    client_id: &str,
    target: LogoutTarget<'_>,
    change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>),
) -> String {
    let now = core.now();
    let mut claims = object([
        ("iss", json!(core.issuer)),
        ("aud", json!(client_id)),
        ("iat", json!(now)),
        ("exp", json!(now + LOGOUT_TOKEN_LIFETIME)),
        ("jti", json!(base64url(*random_bytes::<16>()))),
        (
            "events",
            json!({ "http://schemas.openid.net/event/backchannel-logout": {} }),
        ),
    ]);
    let (sub, sid) = match target {
        LogoutTarget::Session(sid) => (None, Some(sid)),
        LogoutTarget::Subject(sub) => (Some(sub), None),
        LogoutTarget::Both { sub, sid } => (Some(sub), Some(sid)),
    };
    claims.extend(sub.map(|sub| ("sub".to_owned(), json!(sub))));
    claims.extend(sid.map(|sid| ("sid".to_owned(), json!(sid))));
    let mut header = header(core, &core.state().key, "logout+jwt");
    // Called without the lock, because it may call the emulator.
    change(&mut header, &mut claims);

    let secret = client_secret(core, client_id);
    let signature = signature_of(&header, secret);
    sign(&core.state(), secret, header, &claims, signature)
}

/// Returns the signature for the header's `alg`.
fn signature_of(header: &Map<String, Value>, client_secret: &str) -> Signature {
    match header.get("alg").and_then(Value::as_str) {
        Some("none") => Signature::Missing,
        Some("HS256") => Signature::Hmac(client_secret.to_owned()),
        _ => Signature::Valid,
    }
}

enum Signature {
    Valid,
    Invalid,
    Missing,
    Hmac(String),
    UnpublishedKey(Box<ProviderKey>),
}

/// Signs a token after the deviations of signatures and keys.
fn sign(
    state: &State,
    client_secret: &str,
    mut header: Map<String, Value>,
    claims: &Map<String, Value>,
    mut signature: Signature,
) -> String {
    for deviation in &state.deviations {
        match deviation {
            Deviation::BadSignature => signature = Signature::Invalid,
            Deviation::AlgNone => {
                header.insert("alg".into(), json!("none"));
                signature = Signature::Missing;
            }
            Deviation::Hs256WithClientSecret => {
                header.insert("alg".into(), json!("HS256"));
                signature = Signature::Hmac(client_secret.to_owned());
            }
            Deviation::Hs256WithPublicKey => {
                header.insert("alg".into(), json!("HS256"));
                signature = Signature::Hmac(state.key.public_pem());
            }
            Deviation::UnknownKey => {
                let key = ProviderKey::generate(state.key.algorithm());
                header.insert("kid".into(), json!(key.key_id));
                signature = Signature::UnpublishedKey(Box::new(key));
            }
            Deviation::EmbeddedKey => {
                let key = ProviderKey::generate(state.key.algorithm());
                header.insert("jwk".into(), key.public_jwk(key.algorithm().name()));
                signature = Signature::UnpublishedKey(Box::new(key));
            }
            Deviation::NoKeyId => {
                header.remove("kid");
            }
            _ => {}
        }
    }
    jws(&header, claims, |message| match signature {
        Signature::Valid => state.key.sign(message),
        // Well-formed, but over another message.
        Signature::Invalid => state.key.sign(b"another message"),
        Signature::Missing => Vec::new(),
        Signature::Hmac(secret) => hmac_sha256(secret.as_bytes(), message),
        Signature::UnpublishedKey(key) => key.sign(message),
    })
}

/// Returns the header of a correct token.
fn header(core: &Core, key: &ProviderKey, typ: &str) -> Map<String, Value> {
    object([
        ("alg", json!(core.settings.algorithm_name)),
        ("typ", json!(typ)),
        ("kid", json!(key.key_id)),
    ])
}

/// Returns a client's secret, which is empty for a public or unknown client.
fn client_secret<'a>(core: &'a Core, client_id: &str) -> &'a str {
    let client = core.clients.get(client_id);
    let secret = client.and_then(|client| client.registration.secret.as_ref());
    secret.map_or("", Secret::expose)
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
