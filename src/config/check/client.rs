use super::{
    checker::{Checker, one_of},
    refusal::{Refusal, refuse},
};
use crate::{
    config::{Client, ClientType, Jar, keys},
    jose::Ed25519KeyPair,
    secret::Secret,
};

/// A shorter key can be found by trying: the signed request passes through the browser
/// (RFC 7518 section 3.2 asks for as many bytes as the hash has).
const SHORTEST_HS256_SECRET: usize = 32;

const CLIENT_TYPES: [&str; 2] = ["confidential", "public"];
const SIGNATURES: [&str; 3] = ["HS256", "EdDSA", "off"];

pub(super) fn check(checker: &mut Checker<'_>) -> Option<Client> {
    let id = checker.required(&keys::CLIENT_ID, visible_ascii);
    let kind = match checker.required(&keys::CLIENT_TYPE, |text| choice(text, CLIENT_TYPES))? {
        "public" => Some(public(checker)),
        _ => confidential(checker),
    };
    Some(Client {
        id: id?,
        kind: kind?,
    })
}

fn public(checker: &mut Checker<'_>) -> ClientType {
    if checker.raw.is_set(&keys::CLIENT_SECRET) {
        checker.refuse::<()>(
            &keys::CLIENT_SECRET,
            "is set, but a public client has no secret",
            "Remove it, or set `client_type` to `confidential`.",
        );
    }
    for key in [&keys::JAR, &keys::JAR_KEY_FILE, &keys::JAR_KEY_ID] {
        if checker.raw.is_set(key) {
            checker.refuse::<()>(
                key,
                "is set, but Oten forbids public clients to sign their requests",
                "Remove it, or set `client_type` to `confidential`.",
            );
        }
    }
    ClientType::Public
}

fn confidential(checker: &mut Checker<'_>) -> Option<ClientType> {
    let secret = checker.required(&keys::CLIENT_SECRET, |text| Ok(Secret::from(text)));
    let signature = checker.required(&keys::JAR, |text| choice(text, SIGNATURES))?;
    if signature != "EdDSA" {
        for key in [&keys::JAR_KEY_FILE, &keys::JAR_KEY_ID] {
            if checker.raw.is_set(key) {
                checker.refuse::<()>(
                    key,
                    format!("is set, but `jar` is `{signature}`"),
                    "Set `jar` to `EdDSA`, or remove it.",
                );
            }
        }
    }
    let jar = match signature {
        "EdDSA" => eddsa(checker).map(Jar::EdDsa),
        "off" => {
            checker.warn(
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
                checker.discourage(
                    &keys::CLIENT_SECRET,
                    "is shorter than 32 bytes, so a signed request gives an attacker the means \
                     to guess it",
                    "Let Oten make a new secret, or set `jar` to `EdDSA`.",
                );
            }
            if checker.production {
                checker.warn(
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
    Some(ClientType::Confidential {
        secret: secret?,
        jar: jar?,
    })
}

pub(super) fn eddsa(checker: &mut Checker<'_>) -> Option<Ed25519KeyPair> {
    let pair = match &checker.raw.key_pair {
        Some(pair) => Some(pair.clone()),
        None => checker.required(&keys::JAR_KEY_FILE, private_key),
    };
    let key_id = checker.optional(&keys::JAR_KEY_ID, visible_ascii);
    match (pair?, key_id) {
        (pair, Some(key_id)) => Some(pair.with_key_id(key_id)),
        (pair, None) => Some(pair),
    }
}

fn private_key(pem: &str) -> Result<Ed25519KeyPair, Refusal> {
    let cure = "Make a key with `openssl genpkey -algorithm ed25519` and register its public half.";
    if pem.trim().is_empty() {
        return refuse("names an empty file", cure);
    }
    if !pem.contains("-----BEGIN ") {
        return refuse("names a file that is not PEM", cure);
    }
    if pem.contains("-----BEGIN PUBLIC KEY-----") {
        return refuse(
            "names a file with a public key",
            "Name the file with the private key; the public key is for Oten.",
        );
    }
    Ed25519KeyPair::from_pem(pem).or_else(|_| {
        refuse(
            "names a file without an Ed25519 private key in PKCS#8 PEM",
            cure,
        )
    })
}

/// `VSCHAR` of RFC 6749 appendix A, less the space.
fn visible_ascii(text: &str) -> Result<String, Refusal> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse(
            "holds a space or a character that is not ASCII",
            "Copy it again from Oten's developer portal.",
        );
    }
    Ok(text.to_owned())
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
