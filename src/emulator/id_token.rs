use serde_json::json;
use sha2::{Digest, Sha512};

use super::{
    Deviation,
    core::{Client, Core, Extra, State},
    grant::Grant,
    keys::base64url,
    signature::{Signature, header, sign},
};

/// How long an ID token lives, in seconds.
const LIFETIME: i64 = 60 * 60;

/// An ID token (OpenID Connect Core section 2), or what the lies make of it. The answer to a
/// refresh carries no `nonce` (section 12.2).
pub(super) fn id_token(
    core: &Core,
    state: &State,
    client: &Client,
    grant: &Grant,
    access_token: &str,
    is_refresh: bool,
) -> Option<String> {
    let now = core.now();
    let mut claims = grant.user.claims(&grant.scope);
    let nonce = grant.nonce.as_ref().filter(|_| !is_refresh);
    claims.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
    claims.insert("iss".into(), json!(core.issuer));
    claims.insert("aud".into(), json!(client.registered.id));
    claims.insert("iat".into(), json!(now));
    claims.insert("exp".into(), json!(now + LIFETIME));
    claims.insert("auth_time".into(), json!(grant.auth_time));
    claims.insert("at_hash".into(), json!(at_hash(access_token)));

    if core.offers(Extra::BackChannelLogout) {
        claims.insert("sid".into(), json!(&*grant.sid));
    }
    let mut header = header(core, &state.key, "JWT");

    for lie in &state.lies {
        match lie {
            Deviation::NoIdToken => return None,
            Deviation::AccessTokenAsIdToken => return Some(access_token.to_owned()),
            Deviation::Claim(name, value) => {
                claims.insert((*name).to_owned(), value.clone());
            }
            Deviation::WithoutClaim(name) => {
                claims.remove(*name);
            }
            Deviation::Header(name, value) => {
                header.insert((*name).to_owned(), value.clone());
            }
            _ => {}
        }
    }
    let secret = client.registered.secret.as_ref();
    Some(sign(state, secret, header, claims, Signature::Good))
}

/// `at_hash` of OpenID Connect Core section 3.1.3.6: Ed25519 hashes with SHA-512, so do we, and
/// the left half of that is 32 bytes.
fn at_hash(access_token: &str) -> String {
    base64url(&Sha512::digest(access_token)[..32])
}
