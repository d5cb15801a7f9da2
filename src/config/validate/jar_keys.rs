use std::path::Path;

use super::{
    private_file,
    refusal::{Refusal, refuse},
    validator::Validator,
    visible_ascii::visible_ascii,
};
use crate::{
    config::{keys, raw::Given},
    jose::{Ed25519KeyPair, Ed25519PublicKey, PemError},
};

const NEW_KEY: &str = "Make a key with `oten keygen ed25519` or `openssl genpkey -algorithm \
                       ed25519`, and register its public half.";

/// The keys for `jar = "EdDSA"`.
pub(super) struct JarKeys {
    pub(super) signing: Ed25519KeyPair,
    /// First the public half of the one that signs; no key and no id is there twice.
    pub(super) published: Vec<Ed25519PublicKey>,
}

/// The keys in their order. Each wrong one is a problem of its own.
pub(super) fn check(validator: &mut Validator<'_>) -> Option<JarKeys> {
    let key_ids = validator.optional(&keys::JAR_KEY_ID, key_ids);
    let (signing, others) = match &validator.raw.key_pair {
        Some(pair) => (pair.clone(), Vec::new()),
        None => files(validator)?,
    };
    let key_ids = key_ids.unwrap_or_default();
    if key_ids.len() > 1 + others.len() {
        return validator.refuse(
            &keys::JAR_KEY_ID,
            "names more ids than there are keys",
            "Write one id for each file of `jar_key_file`, in the same order.",
        );
    }
    let mut key_ids = key_ids.into_iter();
    let signing = match key_ids.next().flatten() {
        Some(key_id) => signing.with_key_id(key_id),
        None => signing,
    };
    let others = others
        .into_iter()
        .map(|key| match key_ids.next().flatten() {
            Some(key_id) => key.with_key_id(key_id),
            None => key,
        });
    let mut published = vec![signing.public_key()];
    for key in others.chain(validator.raw.published_keys.iter().cloned()) {
        let position = published.len() + 1;
        if published.iter().any(|other| other.is_same_key(&key)) {
            validator.refuse::<()>(
                &keys::JAR_KEY_FILE,
                format!("repeats an earlier key as key {position}"),
                "Remove the repetition.",
            );
        } else if published.iter().any(|other| other.key_id() == key.key_id()) {
            validator.refuse::<()>(
                &keys::JAR_KEY_ID,
                format!("gives key {position} the id of an earlier key"),
                "Give each key an id of its own.",
            );
        }
        published.push(key);
    }
    Some(JarKeys { signing, published })
}

/// The key that signs and the keys after it.
fn files(validator: &mut Validator<'_>) -> Option<(Ed25519KeyPair, Vec<Ed25519PublicKey>)> {
    let key = &keys::JAR_KEY_FILE;
    let raw = validator.raw;
    let paths = match raw.get(key).map(|value| &value.given) {
        Some(Given::Files(paths)) => paths,
        Some(Given::Unfit(fit)) => {
            return validator.refuse(key, format!("is not {fit}"), "Write it in this form.");
        }
        Some(_) | None => return validator.missing(key),
    };
    let (first, others) = paths.split_first()?;
    let signing = read(validator, first, signing_key);
    let published: Vec<_> = others
        .iter()
        .map(|path| read(validator, path, published_key))
        .collect();
    // Every file was looked at before any is given up on.
    Some((signing?, published.into_iter().collect::<Option<_>>()?))
}

/// What the rule makes of a file; it also says whether the file holds a private key.
fn read<T>(
    validator: &mut Validator<'_>,
    path: &Path,
    rule: impl Fn(&str) -> Result<(T, bool), PemError>,
) -> Option<T> {
    let key = &keys::JAR_KEY_FILE;
    let found = private_file::read(path).and_then(|file| match rule(file.text.expose()) {
        Ok(found) => Ok((found, file.readers, file.writers)),
        Err(error) => unusable(error, path),
    });
    match found {
        Ok(((found, is_private), readers, writers)) => {
            if is_private {
                validator.heed_readers(key, path, readers);
            }
            validator.heed_writers(key, path, writers);
            Some(found)
        }
        Err(refusal) => validator.refuse(key, refusal.message, refusal.help),
    }
}

fn signing_key(pem: &str) -> Result<(Ed25519KeyPair, bool), PemError> {
    Ok((Ed25519KeyPair::from_pem(pem)?, true))
}

/// A private key will sign later, or signed before; only its public half is taken.
fn published_key(pem: &str) -> Result<(Ed25519PublicKey, bool), PemError> {
    match Ed25519KeyPair::from_pem(pem) {
        Err(PemError::PublicKey) => Ok((Ed25519PublicKey::from_pem(pem)?, false)),
        pair => Ok((pair?.public_key(), true)),
    }
}

fn unusable<T>(error: PemError, path: &Path) -> Result<T, Refusal> {
    let path = path.display();
    let help = match error {
        PemError::CutOff | PemError::Damaged => {
            format!("Copy the file again, whole. If there is no other copy: {NEW_KEY}")
        }
        PemError::Several => "Put each key into a file of its own.".to_owned(),
        PemError::Encrypted => format!(
            "Remove the passphrase with `openssl pkey -in {path} -out NEW.pem`, and run `chmod 600 \
             NEW.pem`."
        ),
        PemError::PublicKey => "Name the file with the private key first; public keys may stand \
                                after it, and the one for Oten is not needed here."
            .to_owned(),
        _ => NEW_KEY.to_owned(),
    };
    refuse(format!("names a file that {error}: {path}"), help)
}

/// One id for each key in their order; an empty one stands for the thumbprint.
fn key_ids(text: &str) -> Result<Vec<Option<String>>, Refusal> {
    text.split(',')
        .map(str::trim)
        .map(|id| match id {
            "" => Ok(None),
            id => visible_ascii(id).map(Some),
        })
        .collect()
}
