use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

use super::{
    Lie,
    core::{Client, Core, State},
    grant::Grant,
    keys::{ProviderKey, base64url, hmac_sha256, signed_by},
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

    let mut header = Map::new();
    header.insert("alg".into(), json!(core.settings.algorithm_name));
    header.insert("typ".into(), json!("JWT"));
    header.insert("kid".into(), json!(state.key.key_id));
    sign(state, client, header, claims, access_token)
}

fn sign(
    state: &State,
    client: &Client,
    mut header: Map<String, Value>,
    mut claims: Map<String, Value>,
    access_token: &str,
) -> Option<String> {
    let key = &state.key;
    let mut signature = Signature::Good;
    for lie in &state.lies {
        match lie {
            Lie::NoIdToken => return None,
            Lie::AccessTokenAsIdToken => return Some(access_token.to_owned()),
            Lie::Claim(name, value) => {
                claims.insert((*name).to_owned(), value.clone());
            }
            Lie::WithoutClaim(name) => {
                claims.remove(*name);
            }
            Lie::Header(name, value) => {
                header.insert((*name).to_owned(), value.clone());
            }
            Lie::NoKeyId => {
                header.remove("kid");
            }
            Lie::BadSignature => signature = Signature::Broken,
            Lie::AlgNone => {
                header.insert("alg".into(), json!("none"));
                signature = Signature::Missing;
            }
            Lie::Hs256WithClientSecret => {
                let secret = client.registered.secret.as_ref();
                let secret = secret.map_or("", |secret| secret.expose());
                header.insert("alg".into(), json!("HS256"));
                signature = Signature::Hmac(secret.to_owned());
            }
            Lie::Hs256WithPublicKey => {
                header.insert("alg".into(), json!("HS256"));
                signature = Signature::Hmac(key.public_pem());
            }
            Lie::UnknownKey => {
                let stranger = ProviderKey::generate();
                header.insert("kid".into(), json!(stranger.key_id));
                signature = Signature::Stranger(Box::new(stranger));
            }
            Lie::EmbeddedKey => {
                let stranger = ProviderKey::generate();
                header.insert("jwk".into(), stranger.public_jwk("EdDSA"));
                signature = Signature::Stranger(Box::new(stranger));
            }
            _ => {}
        }
    }
    Some(signature.over(key, &Value::Object(header), &Value::Object(claims)))
}

enum Signature {
    Good,
    Broken,
    Missing,
    Hmac(String),
    Stranger(Box<ProviderKey>),
}

impl Signature {
    fn over(self, key: &ProviderKey, header: &Value, claims: &Value) -> String {
        match self {
            Self::Good => key.sign(header, claims),
            Self::Stranger(stranger) => stranger.sign(header, claims),
            // The signature of something else: well-formed, and wrong.
            Self::Broken => {
                let other = key.sign(header, &json!({}));
                let signature = other
                    .rsplit_once('.')
                    .map_or("", |(_, signature)| signature);
                signed_by(header, claims, |_| Vec::new()) + signature
            }
            Self::Missing => signed_by(header, claims, |_| Vec::new()),
            Self::Hmac(secret) => signed_by(header, claims, |message| {
                hmac_sha256(secret.as_bytes(), message)
            }),
        }
    }
}

/// `at_hash` of OpenID Connect Core section 3.1.3.6: Ed25519 hashes with SHA-512, so do we, and
/// the left half of that is 32 bytes.
fn at_hash(access_token: &str) -> String {
    base64url(&Sha512::digest(access_token)[..32])
}
