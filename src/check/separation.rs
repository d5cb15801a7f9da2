//! Checks that the settings of another environment share nothing with these that they must not share.

use super::{
    finding::{Finding, SEPARATION},
    report::Reporter,
    text::list,
};
use crate::config::{Partial, Problem, SealingKey, StoreUrl};

/// Compares the settings. `other` must be read without environment variables, which belong to `this`.
pub(super) fn check(this: &Partial, other: &Partial, report: &mut Reporter<'_>) {
    if other.issuer.is_none() {
        let problem = other.problems.first().map(Problem::describe);
        report.found(SEPARATION.failed(
            format!(
                "the other file cannot be compared: {}",
                problem.as_deref().unwrap_or("its issuer is unknown")
            ),
            "Correct that file. Until then, shared secrets are not detected.",
        ));
        return;
    }
    let shared = shared(this, other);
    let is_separate = shared.is_empty();
    for finding in shared {
        report.found(finding);
    }
    let unknown = unknown(this, other);
    if !unknown.is_empty() {
        report.found(SEPARATION.warning(
            format!("could not be compared: {}", list(&unknown)),
            "Set them in both files, in the other one as `…_file`: environment variables apply to \
             this configuration only.",
        ));
    } else if is_separate {
        report.found(SEPARATION.passed("no secret, store or client is shared"));
    }
}

fn shared(this: &Partial, other: &Partial) -> Vec<Finding> {
    let issuer = |settings: &Partial| settings.issuer.as_ref().map(ToString::to_string);
    let place = |settings: &Partial| settings.session_store.as_ref().and_then(StoreUrl::place);
    let places = place(this).zip(place(other));
    let mut request_keys = this.request_keys.iter();
    let values = [
        (
            "environment",
            this.issuer.is_some() && issuer(this) == issuer(other),
            "both configurations have the same provider",
            "Name the file of another environment.",
        ),
        (
            "client_id",
            this.client_id.is_some() && this.client_id == other.client_id,
            "both configurations have the same client ID, which exists in one environment only",
            "Register a client in each environment.",
        ),
        (
            "client_secret",
            this.client_secret.is_some() && this.client_secret == other.client_secret,
            "both configurations have the same client secret, so a leak affects both",
            "Create a client secret for each environment in Oten's developer portal.",
        ),
        (
            "jar_key_file",
            request_keys.any(|key| {
                other
                    .request_keys
                    .iter()
                    .any(|other| key.is_same_key(other))
            }),
            "both configurations sign their requests with the same private key",
            "Create a key for each environment with `oten keygen ed25519`.",
        ),
        (
            "session_key",
            share_session_key(&this.session_keys, &other.session_keys),
            "both configurations have the same session key, so a leak opens the records of both",
            "Create a key for each environment with `openssl rand -base64 32`.",
        ),
        (
            "session_store",
            places.is_some_and(|(this, other)| this.is_same(&other)),
            "both configurations keep their sessions in the same place",
            "Give each environment its own store, or at least its own database.",
        ),
    ];
    let shared = values.into_iter().filter(|(_, is_shared, ..)| *is_shared);
    shared
        .map(|(setting, _, message, help)| Finding {
            setting: Some(setting.to_owned()),
            ..SEPARATION.failed(message, help)
        })
        .collect()
}

/// Compares all pairs, so that the duration does not reveal which one matches.
fn share_session_key(these: &[SealingKey], others: &[SealingKey]) -> bool {
    let pairs = these
        .iter()
        .flat_map(|this| others.iter().map(move |other| this.is_same_key(other)));
    pairs.fold(false, |shared, same| shared | same)
}

/// Returns the settings that only one of the two has, although both need them.
fn unknown(this: &Partial, other: &Partial) -> Vec<String> {
    let present = |settings: &Partial| {
        [
            settings.issuer.is_some(),
            settings.client_id.is_some(),
            settings.client_secret.is_some(),
            !settings.session_keys.is_empty(),
        ]
    };
    ["environment", "client_id", "client_secret", "session_key"]
        .into_iter()
        .zip(present(this).into_iter().zip(present(other)))
        .filter(|(_, (this, other))| this != other)
        .map(|(name, _)| format!("`{name}`"))
        .collect()
}
