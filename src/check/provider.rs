//! What only the provider can answer.

use tokio_util::task::AbortOnDropHandle;

use super::{
    Check, Finding,
    checks::{
        AUTHENTICATION_METHOD, CLIENT_AUTHENTICATION, CLOCK, CODE_FLOW, DISCOVERY, ENDPOINTS,
        ID_TOKEN_ALGORITHM, ISSUER, KEY_SET, PKCE, REFRESH, REQUIRED_FIELDS, SCOPES, SIGN_OUT, TLS,
    },
    client_authentication, clock_skew, discovery, features, key_set,
    report::Reporter,
    text::{SEE_CONFIGURATION, no_answer},
};
use crate::{clock::Clock, config::Partial, http::HttpClient, provider::ProviderMetadata};

static ALL: [&Check; 15] = [
    &TLS,
    &DISCOVERY,
    &ISSUER,
    &REQUIRED_FIELDS,
    &ENDPOINTS,
    &CODE_FLOW,
    &PKCE,
    &SCOPES,
    &AUTHENTICATION_METHOD,
    &ID_TOKEN_ALGORITHM,
    &REFRESH,
    &SIGN_OUT,
    &CLOCK,
    &KEY_SET,
    &CLIENT_AUTHENTICATION,
];

pub(super) fn skip(reason: &str, report: &mut Reporter<'_>) {
    for check in ALL
        .iter()
        .filter(|check| !report.has(check))
        .collect::<Vec<_>>()
    {
        report.found(check.skipped(reason));
    }
}

/// Asks the provider everything; what may be believed of its metadata is the answer.
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
            let (message, help) = no_answer(&error);
            report.found(TLS.failed(message, help));
            skip("see `tls`", report);
            return None;
        }
    };
    report.waits_for("the provider's discovery document");
    let discovered = discovery::check(&http, issuer, clock, report).await;
    let metadata = discovered.metadata;
    // These do not wait for each other; they are told one after the other.
    let key_set = metadata.as_ref().map(|metadata| {
        let url = metadata.jwks_uri().clone();
        spawn(key_set::check(http.clone(), url))
    });
    let client = metadata
        .as_ref()
        .zip(settings.client.as_ref().zip(settings.redirect_uri.as_ref()))
        .map(|(metadata, (client, redirect_uri))| {
            spawn(client_authentication::check(
                http,
                metadata.token_endpoint().clone(),
                client.clone(),
                redirect_uri.clone(),
            ))
        });
    features::check(discovered.document.as_ref(), settings, report);
    report.found(clock_skew::check(discovered.heard));
    report.waits_for("the provider's key set");
    report.found(answer(key_set, &KEY_SET, "the provider's endpoints are not known").await);
    report.waits_for("the provider's token endpoint");
    let reason = match metadata {
        Some(_) => SEE_CONFIGURATION,
        None => "no secret is sent to a provider that is not known for certain",
    };
    report.found(answer(client, &CLIENT_AUTHENTICATION, reason).await);
    metadata
}

type Task = AbortOnDropHandle<Finding>;

fn spawn(check: impl Future<Output = Finding> + Send + 'static) -> Task {
    AbortOnDropHandle::new(tokio::spawn(check))
}

async fn answer(task: Option<Task>, check: &'static Check, otherwise: &str) -> Finding {
    let Some(task) = task else {
        return check.skipped(otherwise);
    };
    task.await
        .unwrap_or_else(|_| check.skipped("the process is ending"))
}
