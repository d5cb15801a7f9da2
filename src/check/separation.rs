//! Another environment's configuration beside this one: what must not be the same in both.

use super::{Finding, checks::SEPARATION, report::Reporter, store_place::StorePlace, text::list};
use crate::{
    config::{Partial, Problem, SealingKey, StoreUrl},
    secret::Secret,
};

/// `other` was read without the environment variables, which are this one's.
pub(super) fn check(this: &Partial, other: &Partial, report: &mut Reporter<'_>) {
    if other.issuer.is_none() {
        let problem = other.problems.first().map(Problem::describe);
        report.found(SEPARATION.failed(
            format!(
                "the other file cannot be compared: {}",
                problem.as_deref().unwrap_or("its issuer is not known")
            ),
            "Correct that file: as it is, nobody knows whether secrets are shared.",
        ));
        return;
    }
    let shared = shared(this, other);
    let is_clean = shared.is_empty();
    for finding in shared {
        report.found(finding);
    }
    let unknown = unknown(this, other);
    if !unknown.is_empty() {
        report.found(SEPARATION.warning(
            format!("could not be compared: {}", list(&unknown)),
            "Set them in both: in the other file as `…_file`, since the environment's variables \
             count for this configuration only.",
        ));
    } else if is_clean {
        report.found(SEPARATION.passed("no secret, no store and no client is shared"));
    }
}

fn shared(this: &Partial, other: &Partial) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut failed = |setting: &str, message: &str, help: &str| {
        findings.push(Finding {
            setting: Some(setting.to_owned()),
            ..SEPARATION.failed(message, help)
        });
    };
    let both = this.issuer.as_ref().zip(other.issuer.as_ref());
    if both.is_some_and(|(this, other)| this.to_string() == other.to_string()) {
        failed(
            "environment",
            "both configurations sign in with the same provider",
            "Name the file of another environment.",
        );
    }
    let both = this.client_id.as_ref().zip(other.client_id.as_ref());
    if both.is_some_and(|(this, other)| this == other) {
        failed(
            "client_id",
            "both have the same client id, which exists in one environment only",
            "Register a client in each environment.",
        );
    }
    let both = this
        .client_secret
        .as_ref()
        .zip(other.client_secret.as_ref());
    if both.is_some_and(|(this, other): (&Secret, &Secret)| this == other) {
        failed(
            "client_secret",
            "both have the same client secret: whoever sees the one has the other",
            "Have Oten make a secret for each environment.",
        );
    }
    let mut keys = this.request_keys.iter();
    if keys.any(|this| {
        other
            .request_keys
            .iter()
            .any(|other| this.is_same_key(other))
    }) {
        failed(
            "jar_key_file",
            "both sign their requests with the same private key",
            "Make a key for each environment with `oten keygen ed25519`.",
        );
    }
    if share_a_key(&this.session_keys, &other.session_keys) {
        failed(
            "session_key",
            "both have the same session key: whoever sees the one opens the records of the other",
            "Make a key for each environment with `openssl rand -base64 32`.",
        );
    }
    let both = this
        .session_store
        .as_ref()
        .zip(other.session_store.as_ref());
    if both.is_some_and(|(this, other)| is_one_place(this, other)) {
        failed(
            "session_store",
            "both keep their sessions in the same place",
            "Give each environment a store of its own, at least a database of its own.",
        );
    }
    findings
}

/// Every pair is compared, so that the time tells nothing.
fn share_a_key(these: &[SealingKey], others: &[SealingKey]) -> bool {
    let pairs = these
        .iter()
        .flat_map(|this| others.iter().map(move |other| this.is(other)));
    pairs.fold(false, |shared, same| shared | same)
}

/// By server, database or file, whoever connects to it.
fn is_one_place(this: &StoreUrl, other: &StoreUrl) -> bool {
    let both = StorePlace::of(this).zip(StorePlace::of(other));
    both.is_some_and(|(this, other)| this.is(&other))
}

/// What only one of the two has, though both need it.
fn unknown(this: &Partial, other: &Partial) -> Vec<String> {
    let mut unknown = Vec::new();
    for (name, this_has, other_has) in [
        (
            "`environment`",
            this.issuer.is_some(),
            other.issuer.is_some(),
        ),
        (
            "`client_id`",
            this.client_id.is_some(),
            other.client_id.is_some(),
        ),
        (
            "`client_secret`",
            this.client_secret.is_some(),
            other.client_secret.is_some(),
        ),
        (
            "`session_key`",
            !this.session_keys.is_empty(),
            !other.session_keys.is_empty(),
        ),
    ] {
        if this_has != other_has {
            unknown.push(name.to_owned());
        }
    }
    unknown
}
