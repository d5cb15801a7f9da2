//! Checks that call the provider, and of the features in its discovery document.

use tokio_util::task::AbortOnDropHandle;

use super::{
    api, client, clock_skew,
    discovery::{self, Document, SEE_DISCOVERY},
    finding::{
        AUTHENTICATION_METHOD, CLIENT_AUTHENTICATION, CODE_FLOW, Check, Finding,
        ID_TOKEN_ALGORITHM, KEY_SET, PKCE, REFRESH, REQUEST_OBJECT, SCOPES, SIGN_OUT, TLS,
        TOKEN_VALIDATION, USERINFO,
    },
    key_set,
    report::Reporter,
    text::{SEE_CONFIGURATION, list, no_response},
};
use crate::{
    clock::Clock,
    config::{AuthMethod, Client, ClientType, Issuer, Partial},
    error::quoted,
    http::HttpClient,
    jose::Algorithm,
    provider::ProviderMetadata,
};

/// A check of a feature in the discovery document.
type FeatureCheck = (&'static Check, fn(&Document, &Partial) -> Finding);

/// The checks of features, in the order of their findings.
const FEATURES: [FeatureCheck; 7] = [
    (&CODE_FLOW, code_flow),
    (&PKCE, pkce),
    (&SCOPES, scopes),
    (&AUTHENTICATION_METHOD, authentication_method),
    (&ID_TOKEN_ALGORITHM, id_token_algorithm),
    (&REFRESH, refresh),
    (&SIGN_OUT, sign_out),
];

const UNSUPPORTED_PROVIDER_HELP: &str =
    "Check the issuer: users cannot sign in with this provider.";

/// Runs the checks, and returns the provider's metadata if it can be trusted.
pub(super) async fn check(
    settings: &Partial,
    clock: &Clock,
    report: &mut Reporter<'_>,
) -> Option<ProviderMetadata> {
    let Some((issuer, options)) = settings.issuer.as_ref().zip(settings.http.as_ref()) else {
        skip(SEE_CONFIGURATION, report);
        return None;
    };
    let http = match HttpClient::new(options) {
        Ok(http) => http,
        Err(error) => {
            let (message, help) = no_response(&error);
            report.found(TLS.failed(message, help));
            skip("see `tls`", report);
            return None;
        }
    };
    report.waiting_for("the provider's discovery document");
    let discovered = discovery::check(&http, issuer, clock, report).await;
    let metadata = discovered.metadata;
    // These run at the same time and are reported one after the other.
    let key_set = metadata.as_ref().map(|metadata| {
        let url = metadata.jwks_uri().clone();
        let algorithms = settings.algorithms.clone().unwrap_or_default();
        spawn(key_set::check(http.clone(), url, algorithms))
    });
    let client = metadata
        .as_ref()
        .zip(settings.client.as_ref().zip(settings.redirect_uri.as_ref()))
        .map(|(metadata, (client, redirect_uri))| {
            spawn(client::check_authentication(
                http.clone(),
                metadata.token_endpoint().clone(),
                client.clone(),
                redirect_uri.clone(),
            ))
        });
    let known = metadata.as_ref().zip(settings.config.as_ref());
    let validation = known.map(|(metadata, config)| {
        let (metadata, config) = (metadata.clone(), config.clone());
        spawn(api::token_validation(http, metadata, config, clock.clone()))
    });
    for (check, run) in FEATURES {
        report.found(match &discovered.document {
            Some(document) => run(document, settings),
            None => check.skipped(SEE_DISCOVERY),
        });
    }
    report.found(clock_skew::check(discovered.timing));
    report.waiting_for("the provider's key set");
    report.found(join(key_set, &KEY_SET, "the provider's endpoints are not known").await);
    report.waiting_for("the provider's token endpoint");
    let reason = match metadata {
        Some(_) => SEE_CONFIGURATION,
        None => "the secret is not sent, because the provider's endpoints are not known",
    };
    report.found(join(client, &CLIENT_AUTHENTICATION, reason).await);
    let reason = match metadata {
        Some(_) => SEE_CONFIGURATION,
        None => "the provider's endpoints are not known",
    };
    report.found(match known {
        Some((metadata, config)) => api::userinfo(metadata, config),
        None => USERINFO.skipped(reason),
    });
    report.waiting_for("the provider's token validation endpoint");
    report.found(join(validation, &TOKEN_VALIDATION, reason).await);
    metadata
}

/// Skips all checks of the provider that have no finding yet.
pub(super) fn skip(reason: &str, report: &mut Reporter<'_>) {
    let checks = Check::all().iter();
    let checks = checks
        .skip_while(|check| **check != &TLS)
        .take_while(|check| **check != &REQUEST_OBJECT);
    for check in checks {
        if !report.has(check) {
            report.found(check.skipped(reason));
        }
    }
}

type Task = AbortOnDropHandle<Finding>;

fn spawn(check: impl Future<Output = Finding> + Send + 'static) -> Task {
    AbortOnDropHandle::new(tokio::spawn(check))
}

async fn join(task: Option<Task>, check: &'static Check, skip_reason: &str) -> Finding {
    let Some(task) = task else {
        return check.skipped(skip_reason);
    };
    task.await
        .unwrap_or_else(|_| check.skipped("the check was aborted"))
}

fn code_flow(document: &Document, _: &Partial) -> Finding {
    match require(document, "response_types_supported", "code") {
        Ok(()) => CODE_FLOW.passed("`code` is supported"),
        Err(message) => CODE_FLOW.failed(message, UNSUPPORTED_PROVIDER_HELP),
    }
}

fn pkce(document: &Document, settings: &Partial) -> Finding {
    let field = "code_challenge_methods_supported";
    match require(document, field, "S256") {
        Ok(()) => PKCE.passed("S256 is supported"),
        Err(message) if is_other_provider(settings) && !document.has(field) => PKCE.warning(
            message,
            "Ask the provider: codes are sent with S256 either way, but protect the sign-in only if the \
             provider checks it.",
        ),
        Err(message) => PKCE.failed(message, UNSUPPORTED_PROVIDER_HELP),
    }
}

fn scopes(document: &Document, settings: &Partial) -> Finding {
    let required: Vec<&str> = match &settings.scopes {
        Some(scopes) => scopes.iter().map(String::as_str).collect(),
        None => vec!["openid"],
    };
    let offered = document.list("scopes_supported").unwrap_or_default();
    let missing: Vec<_> = required
        .iter()
        .filter(|scope| !offered.contains(scope))
        .map(|scope| quoted(scope))
        .collect();
    if !missing.is_empty() {
        return SCOPES.failed(
            format!(
                "the provider does not offer {}; it offers {}",
                list(&missing),
                words(&offered)
            ),
            "Remove it from `scopes`, or check the issuer.",
        );
    }
    if settings.scopes.is_none() {
        return SCOPES.skipped(SEE_CONFIGURATION);
    }
    SCOPES.passed(format!("{} are offered", required.join(" ")))
}

fn authentication_method(document: &Document, settings: &Partial) -> Finding {
    let method = match settings.client.as_ref().map(Client::client_type) {
        Some(ClientType::Public) => {
            return AUTHENTICATION_METHOD.passed("not needed: a public client has no secret");
        }
        Some(ClientType::Confidential { auth_method, .. }) => *auth_method,
        None => AuthMethod::default(),
    };
    let field = "token_endpoint_auth_methods_supported";
    let is_other = is_other_provider(settings);
    // The default of OpenID Connect Discovery section 3.
    if is_other && !document.has(field) && method == AuthMethod::ClientSecretBasic {
        return AUTHENTICATION_METHOD
            .passed("`client_secret_basic` is supported, because the provider names no method");
    }
    match require(document, field, method.name()) {
        Ok(()) => AUTHENTICATION_METHOD.passed(format!("`{}` is supported", method.name())),
        Err(message) => AUTHENTICATION_METHOD.failed(
            message,
            if is_other {
                "Set `token_endpoint_auth_method` to the method that the client is registered with."
            } else {
                UNSUPPORTED_PROVIDER_HELP
            },
        ),
    }
}

fn id_token_algorithm(document: &Document, settings: &Partial) -> Finding {
    let allowed = match &settings.algorithms {
        Some(algorithms) => algorithms.clone(),
        None => vec![Algorithm::EdDsa],
    };
    let field = "id_token_signing_alg_values_supported";
    let names = document.list(field).unwrap_or_default();
    let offered: Vec<_> = names
        .iter()
        .filter_map(|name| Algorithm::from_name(name))
        .collect();
    let names = |algorithms: &[Algorithm]| {
        let names: Vec<_> = algorithms
            .iter()
            .map(|algorithm| algorithm.name())
            .collect();
        list(&names)
    };
    let mut usable = allowed.clone();
    usable.retain(|algorithm| offered.contains(algorithm));
    match usable.len() {
        0 => ID_TOKEN_ALGORITHM.failed(
            lacks(document, field, &names(&allowed)),
            if is_other_provider(settings) {
                "Set `id_token_algorithms` to the algorithm that the provider signs ID tokens with."
            } else {
                UNSUPPORTED_PROVIDER_HELP
            },
        ),
        1 => ID_TOKEN_ALGORITHM.passed(format!("{} is supported", names(&usable))),
        _ => ID_TOKEN_ALGORITHM.passed(format!("{} are supported", names(&usable))),
    }
}

/// Whether the provider is not one of Oten's environments, of which Oten documents the features.
fn is_other_provider(settings: &Partial) -> bool {
    matches!(settings.issuer, Some(Issuer::Custom(_)))
}

fn refresh(document: &Document, _: &Partial) -> Finding {
    // Without the field, only the code grant is supported (OpenID Connect Discovery section 3).
    match require(document, "grant_types_supported", "refresh_token") {
        Ok(()) => REFRESH.passed("token refresh is supported"),
        Err(message) => REFRESH.warning(
            message,
            "Set a short `session_lifetime`: users who are disabled at the provider stay signed in \
             until their session expires.",
        ),
    }
}

fn sign_out(document: &Document, settings: &Partial) -> Finding {
    let config = settings.config.as_ref();
    let has_end_session = config.is_some_and(|config| config.end_session_endpoint().is_some());
    let has_revocation = config.is_some_and(|config| config.revocation_endpoint().is_some());
    let kinds = [
        (
            "sign-out at the provider",
            has_end_session || document.has("end_session_endpoint"),
        ),
        (
            "revocation",
            has_revocation || document.has("revocation_endpoint"),
        ),
        (
            "back-channel logout",
            document.flag("backchannel_logout_supported"),
        ),
    ];
    let names = |is_supported: bool| {
        let kinds = kinds.iter().filter(|(_, has)| *has == is_supported);
        list(&kinds.map(|(name, _)| *name).collect::<Vec<_>>())
    };
    SIGN_OUT.passed(match (names(true), names(false)) {
        (supported, _) if supported.is_empty() => {
            "in this app only: the provider announces nothing for sign-out".to_owned()
        }
        (supported, missing) if missing.is_empty() => supported,
        (supported, missing) => format!("{supported}; not announced: {missing}"),
    })
}

/// Returns an error message unless the array `field` contains `value`.
fn require(document: &Document, field: &str, value: &str) -> Result<(), String> {
    match document.list(field) {
        Some(list) if list.contains(&value) => Ok(()),
        _ => Err(lacks(document, field, value)),
    }
}

fn lacks(document: &Document, field: &str, value: &str) -> String {
    match document.list(field) {
        Some(list) if !list.is_empty() => {
            format!("`{field}` lacks `{value}`; it has {}", words(&list))
        }
        _ => format!("`{field}` is missing, so `{value}` is not supported"),
    }
}

fn words(words: &[&str]) -> String {
    match words {
        [] => "none".to_owned(),
        words => quoted(&words.join(" ")),
    }
}
