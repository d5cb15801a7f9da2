use std::path::Path;

use super::{
    file::{MAX_SECRET_KIB, SettingFile},
    validator::{Validator, wrong_type},
    value::visible_ascii,
};
use crate::{
    config::{
        keys,
        problem::{Invalid, invalid},
        raw::Given,
    },
    jose::{Ed25519KeyPair, Ed25519PublicKey, PemError},
};

const NEW_KEY: &str = "Create a key with `oten keygen ed25519` or `openssl genpkey -algorithm \
                       ed25519`, and register its public half.";

/// Validates the keys for `jar = "EdDSA"` and returns the signing key. Each invalid key is a problem
/// of its own.
pub(super) fn validate(validator: &mut Validator<'_>) -> Option<Ed25519KeyPair> {
    let key_ids = validator.optional(&keys::JAR_KEY_ID, key_ids);
    let (signing, others) = match &validator.raw.key_pair {
        Some(pair) => (pair.clone(), Vec::new()),
        None => read_files(validator)?,
    };
    let key_ids = key_ids.unwrap_or_default();
    if key_ids.len() > 1 + others.len() {
        validator.problem(
            &keys::JAR_KEY_ID,
            "has more IDs than there are keys",
            "Write one ID for each file of `jar_key_file`, in the same order.",
        );
        return None;
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
            validator.problem(
                &keys::JAR_KEY_FILE,
                &format!("repeats an earlier key as key {position}"),
                "Remove the repetition.",
            );
        } else if published.iter().any(|other| other.key_id() == key.key_id()) {
            validator.problem(
                &keys::JAR_KEY_ID,
                &format!("gives key {position} the ID of an earlier key"),
                "Give each key an ID of its own.",
            );
        }
        published.push(key);
    }
    validator.partial.request_keys = published;
    Some(signing)
}

/// Reads the signing key and the keys that are only published.
fn read_files(validator: &mut Validator<'_>) -> Option<(Ed25519KeyPair, Vec<Ed25519PublicKey>)> {
    let key = &keys::JAR_KEY_FILE;
    let paths = match validator.raw.given(key) {
        Some(Given::Files(paths)) => paths,
        Some(Given::WrongType(expected)) => return validator.accept(key, wrong_type(expected)),
        Some(_) | None => {
            validator.missing(key);
            return None;
        }
    };
    let (first, others) = paths.split_first()?;
    let signing = read(validator, first, |pem| {
        Ok((Ed25519KeyPair::from_pem(pem)?, true))
    });
    // Reads every file before it gives up on one.
    let published: Vec<_> = others
        .iter()
        .map(|path| read(validator, path, published_key))
        .collect();
    Some((signing?, published.into_iter().collect::<Option<_>>()?))
}

/// Applies `rule` to a file. Its result also says whether the file contains a private key.
fn read<T>(
    validator: &mut Validator<'_>,
    path: &Path,
    rule: impl Fn(&str) -> Result<(T, bool), PemError>,
) -> Option<T> {
    let key = &keys::JAR_KEY_FILE;
    let file = validator.accept(key, SettingFile::read(path, MAX_SECRET_KIB))?;
    let found = rule(file.text.expose()).or_else(|error| unusable(error, path));
    let (found, is_private) = validator.accept(key, found)?;
    validator.check_access(key, path, &file, is_private);
    Some(found)
}

/// Takes the public half of a private key, which signs at another time.
fn published_key(pem: &str) -> Result<(Ed25519PublicKey, bool), PemError> {
    match Ed25519KeyPair::from_pem(pem) {
        Err(PemError::PublicKey) => Ok((Ed25519PublicKey::from_pem(pem)?, false)),
        pair => Ok((pair?.public_key(), true)),
    }
}

fn unusable<T>(error: PemError, path: &Path) -> Result<T, Invalid> {
    let path = path.display();
    let help = match error {
        PemError::CutOff | PemError::Damaged => {
            format!("Copy the whole file again. If there is no other copy: {NEW_KEY}")
        }
        PemError::Several => "Put each key into a file of its own.".to_owned(),
        PemError::Encrypted => format!(
            "Remove the passphrase with `openssl pkey -in {path} -out NEW.pem`, and run `chmod 600 \
             NEW.pem`."
        ),
        PemError::PublicKey => "Name the file with the private key first. Files with public keys \
                                may follow; the key registered with Oten is not needed here."
            .to_owned(),
        _ => NEW_KEY.to_owned(),
    };
    invalid(format!("names a file that {error}: {path}"), help)
}

/// Accepts one ID for each key, in order. An empty one stands for the thumbprint.
fn key_ids(text: &str) -> Result<Vec<Option<String>>, Invalid> {
    text.split(',')
        .map(str::trim)
        .map(|id| match id {
            "" => Ok(None),
            id => visible_ascii(id).map(Some),
        })
        .collect()
}
