//! What the provider says it can do, against what is needed here.

use super::{
    Finding,
    checks::{
        AUTHENTICATION_METHOD, CODE_FLOW, ID_TOKEN_ALGORITHM, PKCE, REFRESH, SCOPES, SIGN_OUT,
    },
    document::Document,
    report::Reporter,
    text::{SEE_CONFIGURATION, list, quoted},
};
use crate::{
    config::{Client, ClientType, Partial},
    jose::Algorithm,
};

const THEIRS: &str = "Check the issuer: signing in with this one cannot work.";

pub(super) fn check(document: Option<&Document>, settings: &Partial, report: &mut Reporter<'_>) {
    let Some(document) = document else {
        for check in [
            &CODE_FLOW,
            &PKCE,
            &SCOPES,
            &AUTHENTICATION_METHOD,
            &ID_TOKEN_ALGORITHM,
            &REFRESH,
            &SIGN_OUT,
        ] {
            report.found(check.skipped("no discovery document, see `discovery`"));
        }
        return;
    };
    report.found(code_flow(document));
    report.found(pkce(document));
    report.found(scopes(document, settings));
    report.found(authentication_method(document, settings));
    report.found(id_token_algorithm(document));
    report.found(refresh(document));
    report.found(sign_out(document, settings));
}

fn code_flow(document: &Document) -> Finding {
    if offers(document, "response_types_supported", "code") {
        CODE_FLOW.passed("`code` is supported")
    } else {
        CODE_FLOW.failed(
            without(document, "response_types_supported", "code"),
            THEIRS,
        )
    }
}

fn pkce(document: &Document) -> Finding {
    if offers(document, "code_challenge_methods_supported", "S256") {
        PKCE.passed("S256 is supported")
    } else {
        let message = without(document, "code_challenge_methods_supported", "S256");
        PKCE.failed(message, THEIRS)
    }
}

fn scopes(document: &Document, settings: &Partial) -> Finding {
    let wanted: Vec<&str> = match &settings.scopes {
        Some(scopes) => scopes.iter().map(String::as_str).collect(),
        None => vec!["openid"],
    };
    let missing: Vec<_> = wanted
        .iter()
        .filter(|scope| !offers(document, "scopes_supported", scope))
        .map(|scope| quoted(scope))
        .collect();
    if !missing.is_empty() {
        let offered = document.list("scopes_supported").unwrap_or_default();
        return SCOPES.failed(
            format!(
                "the provider does not offer {}; it offers {}",
                list(&missing),
                words(&offered)
            ),
            "Take it out of `scopes`, or check the issuer.",
        );
    }
    if settings.scopes.is_none() {
        return SCOPES.skipped(SEE_CONFIGURATION);
    }
    SCOPES.passed(format!("{} are offered", wanted.join(" ")))
}

fn authentication_method(document: &Document, settings: &Partial) -> Finding {
    let (field, method) = (
        "token_endpoint_auth_methods_supported",
        "client_secret_post",
    );
    let kind = settings.client.as_ref().map(Client::kind);
    if matches!(kind, Some(ClientType::Public)) {
        return AUTHENTICATION_METHOD.passed("a public client shows no secret");
    }
    if offers(document, field, method) {
        AUTHENTICATION_METHOD.passed("`client_secret_post` is supported")
    } else {
        AUTHENTICATION_METHOD.failed(without(document, field, method), THEIRS)
    }
}

fn id_token_algorithm(document: &Document) -> Finding {
    let field = "id_token_signing_alg_values_supported";
    let names = document.list(field).unwrap_or_default();
    if names
        .iter()
        .any(|name| Algorithm::from_name(name) == Some(Algorithm::EdDsa))
    {
        ID_TOKEN_ALGORITHM.passed("EdDSA is supported")
    } else {
        ID_TOKEN_ALGORITHM.failed(without(document, field, "EdDSA"), THEIRS)
    }
}

fn refresh(document: &Document) -> Finding {
    // Without the field it is the code grant alone (OpenID Connect Discovery section 3).
    if offers(document, "grant_types_supported", "refresh_token") {
        REFRESH.passed("tokens can be renewed")
    } else {
        REFRESH.warning(
            without(document, "grant_types_supported", "refresh_token"),
            "Sign-ins work, and users who are disabled at the provider stay signed in until \
             their session ends: choose a short `session_lifetime`.",
        )
    }
}

fn sign_out(document: &Document, settings: &Partial) -> Finding {
    let config = settings.config.as_ref();
    let set = |has: Option<bool>| has.unwrap_or(false);
    let offers = [
        (
            "sign-out at the provider",
            document.says("end_session_endpoint")
                || set(config.map(|config| config.end_session_endpoint.is_some())),
        ),
        (
            "revocation",
            document.says("revocation_endpoint")
                || set(config.map(|config| config.revocation_endpoint.is_some())),
        ),
        (
            "back-channel logout",
            document.flag("backchannel_logout_supported"),
        ),
    ];
    let those = |wanted: bool| -> Vec<&str> {
        let those = offers.iter().filter(|(_, has)| *has == wanted);
        those.map(|(name, _)| *name).collect()
    };
    let (there, not_there) = (those(true), those(false));
    SIGN_OUT.passed(match (there.is_empty(), not_there.is_empty()) {
        (true, _) => "local only: the provider announces nothing for it".to_owned(),
        (false, true) => list(&there),
        (false, false) => format!("{}; not announced: {}", list(&there), list(&not_there)),
    })
}

fn offers(document: &Document, field: &str, word: &str) -> bool {
    let list = document.list(field);
    list.is_some_and(|list| list.contains(&word))
}

fn without(document: &Document, field: &str, word: &str) -> String {
    match document.list(field) {
        Some(list) if !list.is_empty() => {
            format!("`{field}` lacks `{word}`; it has {}", words(&list))
        }
        _ => format!("`{field}` is missing, so `{word}` is not supported"),
    }
}

fn words(words: &[&str]) -> String {
    match words {
        [] => "none".to_owned(),
        words => quoted(&words.join(" ")),
    }
}
