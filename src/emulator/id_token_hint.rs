use serde_json::{Map, Value};

use super::{
    core::{Client, Core},
    request_object::names,
    session::SignedIn,
};
use crate::jose::{Algorithm, CompactJws, Verified};

/// Whom an `id_token_hint` is about: an ID token of ours, whether it has ended or not (OpenID
/// Connect RP-Initiated Logout section 2).
pub(super) struct Hint {
    sub: String,
    /// `None` when ID tokens carry none.
    sid: Option<String>,
}

impl Hint {
    /// Whether this is the hint's session, or one of its person when it names none.
    pub(super) fn names(&self, session: &SignedIn) -> bool {
        let same_session = self.sid.as_deref().is_none_or(|sid| sid == &*session.sid);
        same_session && self.sub == session.user.sub
    }
}

/// Checks a hint, and that it was issued to the client, which it names itself if `client_id` does
/// not.
pub(super) fn check<'a>(
    core: &'a Core,
    client_id: Option<&str>,
    hint: &str,
) -> Result<(Hint, &'a Client), &'static str> {
    let claims = verify(core, hint)?;
    let text = |name| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(core.issuer.as_str()) {
        return Err("The id_token_hint has another issuer");
    }
    let client_id = client_id
        .or_else(|| text("aud"))
        .ok_or("client_id is missing")?;
    if !names(claims.get("aud"), client_id) {
        return Err("The id_token_hint was issued to another client");
    }
    let client = core.clients.get(client_id);
    let hint = Hint {
        sub: text("sub")
            .ok_or("The id_token_hint has no sub")?
            .to_owned(),
        sid: text("sid").map(str::to_owned),
    };
    Ok((hint, client.ok_or("The client is not registered")?))
}

/// Checks the signature with the keys of today and of former days.
fn verify(core: &Core, hint: &str) -> Result<Map<String, Value>, &'static str> {
    const ALLOWED: &[Algorithm] = &[Algorithm::EdDsa];
    let jws = CompactJws::parse(hint).map_err(|_| "The id_token_hint is not a signed JWT")?;
    // Access tokens and logout tokens have another.
    if jws.typ() != Some("JWT") {
        return Err("The id_token_hint is not an ID token");
    }
    jws.algorithm(ALLOWED)
        .map_err(|_| "The id_token_hint's alg is not ours")?;
    let key_id = jws
        .key_id()
        .ok_or("The id_token_hint does not name its key")?;
    let key = {
        let state = core.state();
        let mut keys = state.former_keys.iter().chain([&state.key]);
        let key = keys.find(|key| key.key_id == key_id);
        key.ok_or("The id_token_hint's key was never ours")?
            .verifying_key()
    };
    jws.verify(&key, ALLOWED)
        .map(Verified::into_claims)
        .map_err(|_| "The id_token_hint's signature does not hold")
}
