use super::{
    jar_keys,
    refusal::{Refusal, refuse},
    validator::{Validator, one_of},
    visible_ascii::visible_ascii,
};
use crate::{
    config::{Client, ClientType, Jar, keys},
    jose::Ed25519PublicKey,
    secret::Secret,
};

/// A shorter key can be found by trying: the signed request passes through the browser
/// (RFC 7518 section 3.2 asks for as many bytes as the hash has).
const SHORTEST_HS256_SECRET: usize = 32;

const CLIENT_TYPES: [&str; 2] = ["confidential", "public"];
const SIGNATURES: [&str; 3] = ["HS256", "EdDSA", "off"];

pub(super) fn check(validator: &mut Validator<'_>) -> Option<Client> {
    let id = validator.required(&keys::CLIENT_ID, visible_ascii);
    let client_type = validator.required(&keys::CLIENT_TYPE, |text| choice(text, CLIENT_TYPES))?;
    let (kind, published_keys) = match client_type {
        "public" => (public(validator), Vec::new()),
        _ => confidential(validator)?,
    };
    Some(Client {
        id: id?,
        kind,
        published_keys,
    })
}

fn public(validator: &mut Validator<'_>) -> ClientType {
    if validator.raw.is_set(&keys::CLIENT_SECRET) {
        validator.refuse::<()>(
            &keys::CLIENT_SECRET,
            "is set, but a public client has no secret",
            "Remove it, or set `client_type` to `confidential`.",
        );
    }
    for key in [&keys::JAR, &keys::JAR_KEY_FILE, &keys::JAR_KEY_ID] {
        if validator.raw.is_set(key) {
            validator.refuse::<()>(
                key,
                "is set, but Oten forbids public clients to sign their requests",
                "Remove it, or set `client_type` to `confidential`.",
            );
        }
    }
    ClientType::Public
}

fn confidential(validator: &mut Validator<'_>) -> Option<(ClientType, Vec<Ed25519PublicKey>)> {
    let secret = validator.required(&keys::CLIENT_SECRET, |text| Ok(Secret::from(text)));
    let signature = validator.required(&keys::JAR, |text| choice(text, SIGNATURES))?;
    if signature != "EdDSA" {
        for key in [&keys::JAR_KEY_FILE, &keys::JAR_KEY_ID] {
            if validator.raw.is_set(key) {
                validator.refuse::<()>(
                    key,
                    format!("is set, but `jar` is `{signature}`"),
                    "Set `jar` to `EdDSA`, or remove it.",
                );
            }
        }
    }
    let mut published_keys = Vec::new();
    let jar = match signature {
        "EdDSA" => jar_keys::check(validator).map(|keys| {
            published_keys = keys.published;
            Jar::EdDsa(keys.signing)
        }),
        "off" => {
            validator.warn(
                &keys::JAR,
                "authorization requests are not signed",
                "This is only for a legacy client for which Oten's support allowed it; \
                 Oten refuses it from any other.",
            );
            Some(Jar::Off)
        }
        _ => {
            let is_weak = |secret: &Secret| secret.expose().len() < SHORTEST_HS256_SECRET;
            if secret.as_ref().is_some_and(is_weak) {
                validator.discourage(
                    &keys::CLIENT_SECRET,
                    "is shorter than 32 bytes, so a signed request gives an attacker the means \
                     to guess it",
                    "Let Oten make a new secret, or set `jar` to `EdDSA`.",
                );
            }
            if validator.production {
                validator.warn(
                    &keys::JAR,
                    "is `HS256`: the provider holds the same secret, and who guesses it from one \
                     signed request can sign others",
                    "Better set it to `EdDSA`: Oten then knows only the public half of a key that \
                     never leaves this machine.",
                );
            }
            Some(Jar::Hs256)
        }
    };
    let (secret, jar) = (secret?, jar?);
    Some((ClientType::Confidential { secret, jar }, published_keys))
}

fn choice<const N: usize>(text: &str, choices: [&'static str; N]) -> Result<&'static str, Refusal> {
    match choices.into_iter().find(|choice| *choice == text) {
        Some(choice) => Ok(choice),
        None => refuse(
            format!("is not {}", one_of(&choices)),
            "Write one of them, in this spelling.",
        ),
    }
}
