use std::collections::HashSet;

use super::validator::Validator;
use crate::{
    config::{SealingKey, keys},
    secret::Secret,
};

pub(super) const HELP: &str = "Make a key with `oten keygen session` or `openssl rand -base64 32`.";

/// The keys in their order, empty if there are none. Each wrong one is a problem of its own.
pub(super) fn check(validator: &mut Validator<'_>) -> Vec<SealingKey> {
    let Some(text) = validator.optional(&keys::SESSION_KEY, |text| Ok(Secret::from(text))) else {
        return Vec::new();
    };
    let (mut found, mut texts) = (Vec::new(), HashSet::new());
    for (at, text) in text.expose().split(',').map(str::trim).enumerate() {
        let position = at + 1;
        match SealingKey::from_base64(text) {
            Some(_) if !texts.insert(text) => validator.refuse::<()>(
                &keys::SESSION_KEY,
                format!("repeats an earlier key as key {position}"),
                "Remove the repetition.",
            ),
            Some(key) => {
                found.push(key);
                continue;
            }
            None => validator.refuse::<()>(
                &keys::SESSION_KEY,
                format!("has as key {position} something else than 32 bytes in base64"),
                HELP,
            ),
        };
    }
    found
}
