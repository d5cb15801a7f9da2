use serde_json::{Map, Value, json};

use super::{
    Deviation,
    core::{Core, State},
    keys::{ProviderKey, hmac_sha256, signed_by},
};
use crate::secret::Secret;

/// The header of a token that tells the truth.
pub(super) fn header(core: &Core, key: &ProviderKey, typ: &str) -> Map<String, Value> {
    let mut header = Map::new();
    header.insert("alg".into(), json!(core.settings.algorithm_name));
    header.insert("typ".into(), json!(typ));
    header.insert("kid".into(), json!(key.key_id));
    header
}

/// A token with this signature, or with the one the lies make of it.
pub(super) fn sign(
    state: &State,
    client_secret: Option<&Secret>,
    mut header: Map<String, Value>,
    claims: Map<String, Value>,
    mut signature: Signature,
) -> String {
    let key = &state.key;
    for lie in &state.lies {
        match lie {
            Deviation::NoKeyId => {
                header.remove("kid");
            }
            Deviation::BadSignature => signature = Signature::Broken,
            Deviation::AlgNone => {
                header.insert("alg".into(), json!("none"));
                signature = Signature::Missing;
            }
            Deviation::Hs256WithClientSecret => {
                header.insert("alg".into(), json!("HS256"));
                signature = Signature::hmac(client_secret);
            }
            Deviation::Hs256WithPublicKey => {
                header.insert("alg".into(), json!("HS256"));
                signature = Signature::Hmac(key.public_pem());
            }
            Deviation::UnknownKey => {
                let stranger = ProviderKey::generate();
                header.insert("kid".into(), json!(stranger.key_id));
                signature = Signature::Stranger(Box::new(stranger));
            }
            Deviation::EmbeddedKey => {
                let stranger = ProviderKey::generate();
                header.insert("jwk".into(), stranger.public_jwk("EdDSA"));
                signature = Signature::Stranger(Box::new(stranger));
            }
            _ => {}
        }
    }
    signature.over(key, &Value::Object(header), &Value::Object(claims))
}

pub(super) enum Signature {
    Good,
    Broken,
    Missing,
    Hmac(String),
    Stranger(Box<ProviderKey>),
}

impl Signature {
    /// `HS256` with the client secret; a public client's is empty.
    pub(super) fn hmac(client_secret: Option<&Secret>) -> Self {
        let secret = client_secret.map_or("", Secret::expose);
        Self::Hmac(secret.to_owned())
    }

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
