use std::collections::HashSet;

use super::checker::Checker;
use crate::{
    config::{SealingKey, keys},
    secret::Secret,
};

pub(super) const CURE: &str = "Make a key with `oten keygen session` or `openssl rand -base64 32`.";

/// The keys in their order, empty if there are none. Each wrong one is a problem of its own.
pub(super) fn check(checker: &mut Checker<'_>) -> Vec<SealingKey> {
    let Some(text) = checker.optional(&keys::SESSION_KEY, |text| Ok(Secret::from(text))) else {
        return Vec::new();
    };
    let (mut found, mut texts) = (Vec::new(), HashSet::new());
    for (at, text) in text.expose().split(',').map(str::trim).enumerate() {
        let position = at + 1;
        match SealingKey::from_base64(text) {
            Some(_) if !texts.insert(text) => checker.refuse::<()>(
                &keys::SESSION_KEY,
                format!("repeats an earlier key as key {position}"),
                "Remove the repetition.",
            ),
            Some(key) => {
                found.push(key);
                continue;
            }
            None => checker.refuse::<()>(
                &keys::SESSION_KEY,
                format!("has as key {position} something else than 32 bytes in base64"),
                CURE,
            ),
        };
    }
    found
}
