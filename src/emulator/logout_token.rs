use serde_json::{Map, Value, json};

use super::{
    core::Core,
    keys::base64url,
    signature::{Signature, header, sign},
};
use crate::secret::random_bytes;

/// How long a logout token lives, in seconds.
const LIFETIME: i64 = 2 * 60;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What a logout token ends, for [`Emulator::logout_token`](super::Emulator::logout_token).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutTarget<'a> {
    /// One session, by its `sid`.
    Session(&'a str),
    /// All sessions of a person, by the `sub`.
    Subject(&'a str),
    /// One session of a person, by both.
    Both {
        /// The person.
        sub: &'a str,
        /// The session.
        sid: &'a str,
    },
}

impl<'a> LogoutTarget<'a> {
    fn claims(self) -> [(&'static str, Option<&'a str>); 2] {
        let (sub, sid) = match self {
            Self::Session(sid) => (None, Some(sid)),
            Self::Subject(sub) => (Some(sub), None),
            Self::Both { sub, sid } => (Some(sub), Some(sid)),
        };
        [("sub", sub), ("sid", sid)]
    }
}

/// A logout token (OpenID Connect Back-Channel Logout section 2.4) after `change`.
pub(super) fn logout_token(
    core: &Core,
    client_id: &str,
    target: LogoutTarget<'_>,
    change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>),
) -> String {
    let now = core.now();
    let mut claims = Map::new();
    claims.insert("iss".into(), json!(core.issuer));
    claims.insert("aud".into(), json!(client_id));
    claims.insert("iat".into(), json!(now));
    claims.insert("exp".into(), json!(now + LIFETIME));
    claims.insert("jti".into(), json!(base64url(*random_bytes::<16>())));
    claims.insert("events".into(), json!({ EVENT: {} }));
    for (name, value) in target.claims() {
        claims.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    let mut header = header(core, &core.state().key, "logout+jwt");
    // The lock is not held: what changes them may ask the emulator something.
    change(&mut header, &mut claims);

    let secret = core
        .clients
        .get(client_id)
        .and_then(|client| client.registered.secret.as_ref());
    let signature = match header.get("alg").and_then(Value::as_str) {
        Some("none") => Signature::Missing,
        Some("HS256") => Signature::hmac(secret),
        _ => Signature::Good,
    };
    sign(&core.state(), secret, header, claims, signature)
}
