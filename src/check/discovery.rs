//! The discovery document: whether it is there, and whether it may be believed.

use time::OffsetDateTime;

use super::{
    Finding,
    checks::{DISCOVERY, ENDPOINTS, ISSUER, REQUIRED_FIELDS, TLS},
    document::Document,
    report::Reporter,
    text::{list, no_answer, quoted, unfit_answer},
};
use crate::{
    clock::Clock,
    config::Issuer,
    http::{HttpClient, HttpError, HttpRequest, HttpResponse},
    metric::Endpoint,
    provider::{ProviderError, ProviderMetadata, discovery_url},
};

/// What Oten documents as required.
const REQUIRED: [&str; 6] = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "scopes_supported",
    "response_types_supported",
];

const REFUSED: &str = "no discovery document, see `discovery`";

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    pub(super) document: Option<Document>,
    /// Where to go on; only what may be believed.
    pub(super) metadata: Option<ProviderMetadata>,
    pub(super) heard: Option<Heard>,
}

/// When an answer came, for comparing clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// By our clock, when the answer was complete.
    pub(super) at: OffsetDateTime,
    /// From asking until then.
    pub(super) took: std::time::Duration,
    /// By the provider's clock.
    pub(super) date: Option<OffsetDateTime>,
}

/// Asks for the document and looks at all that is needed for going on.
pub(super) async fn check(
    http: &HttpClient,
    issuer: &Issuer,
    clock: &Clock,
    report: &mut Reporter<'_>,
) -> Discovered {
    let name = issuer.to_string();
    let url = match discovery_url(&name) {
        Ok(url) => url,
        Err(error) => {
            let help = "Correct the issuer.";
            return undiscovered(DISCOVERY.failed(error.to_string(), help), issuer, report);
        }
    };
    let outcome = http
        .send(&HttpRequest::get(Endpoint::Discovery, &url))
        .await;
    let at = clock.now();
    report.found(tls(issuer, &outcome));
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) => {
            if matches!(error, HttpError::Tls(..)) {
                let finding = DISCOVERY.skipped("no trusted connection, see `tls`");
                return Discovered {
                    metadata: None,
                    ..undiscovered(finding, issuer, report)
                };
            }
            let (message, help) = no_answer(&error);
            let finding = DISCOVERY.failed(format!("{url}: {message}"), help);
            return undiscovered(finding, issuer, report);
        }
    };
    let heard = Some(Heard {
        at,
        took: answer.took,
        date: answer.date(),
    });
    if !answer.status.is_success() {
        let (message, help) = unfit_answer(&answer);
        let finding = DISCOVERY.failed(format!("{url}: {message}"), help);
        return Discovered {
            heard,
            ..undiscovered(finding, issuer, report)
        };
    }
    let Some(document) = Document::from_json(answer.body()) else {
        let finding = DISCOVERY.failed(
            format!("{url}: the answer is no JSON object"),
            "Check the issuer, and that no log-in page of a network or proxy answers instead.",
        );
        return Discovered {
            heard,
            // Whoever answers so is not the provider, and its table does not stand in.
            metadata: None,
            ..undiscovered(finding, issuer, report)
        };
    };
    let took = answer.took.as_millis();
    report.found(DISCOVERY.passed(format!("{url} answered in {took} ms")));
    report.found(is_for(&document, &name));
    report.found(required_fields(&document));
    let metadata = believe(&answer, issuer);
    report.found(endpoints(&metadata));
    Discovered {
        document: Some(document),
        metadata: metadata.ok(),
        heard,
    }
}

fn tls(issuer: &Issuer, outcome: &Result<HttpResponse, HttpError>) -> Finding {
    match outcome {
        Err(error @ HttpError::Tls(..)) => {
            let (message, help) = no_answer(error);
            TLS.failed(message, help)
        }
        Err(_) => TLS.skipped("no connection"),
        Ok(_) if issuer.to_string().starts_with("https:") => {
            TLS.passed("the provider's certificate is trusted")
        }
        Ok(_) => TLS.passed("not needed: plain http that does not leave this machine"),
    }
}

/// Without a document, and while nothing says that it would lie, the environment's documented
/// endpoints stand in, as they do for signing in.
fn undiscovered(finding: Finding, issuer: &Issuer, report: &mut Reporter<'_>) -> Discovered {
    if !report.has(&TLS) {
        report.found(TLS.skipped("no connection"));
    }
    report.found(finding);
    for check in [&ISSUER, &REQUIRED_FIELDS, &ENDPOINTS] {
        report.found(check.skipped(REFUSED));
    }
    Discovered {
        metadata: match issuer {
            Issuer::Environment(environment) => {
                Some(ProviderMetadata::from_environment(*environment))
            }
            Issuer::Custom(_) => None,
        },
        ..Discovered::default()
    }
}

fn is_for(document: &Document, issuer: &str) -> Finding {
    let without_slash = |text: &str| text.strip_suffix('/').unwrap_or(text).to_owned();
    match document.text("issuer") {
        Some(named) if without_slash(named) == without_slash(issuer) => {
            ISSUER.passed("the document speaks for the configured issuer")
        }
        Some(named) => ISSUER.failed(
            format!(
                "the document speaks for {}, not for {issuer}",
                quoted(named)
            ),
            "Check the issuer's spelling. If it is right, something stands between this machine \
             and the provider: do not sign in through it.",
        ),
        None => ISSUER.failed(
            "the document does not say whom it speaks for",
            "Check the issuer; its provider is to correct the document.",
        ),
    }
}

fn required_fields(document: &Document) -> Finding {
    let missing: Vec<_> = REQUIRED
        .into_iter()
        .filter(|name| !document.says(name))
        .map(|name| format!("`{name}`"))
        .collect();
    if missing.is_empty() {
        return REQUIRED_FIELDS.passed("all are there");
    }
    REQUIRED_FIELDS.failed(
        format!("missing: {}", list(&missing)),
        "Check the issuer; its provider is to complete the document.",
    )
}

fn believe(answer: &HttpResponse, issuer: &Issuer) -> Result<ProviderMetadata, ProviderError> {
    let environment = match issuer {
        Issuer::Environment(environment) => Some(*environment),
        Issuer::Custom(_) => None,
    };
    ProviderMetadata::from_discovery(answer.body(), &issuer.to_string(), environment)
}

fn endpoints(metadata: &Result<ProviderMetadata, ProviderError>) -> Finding {
    let theirs = "Check the issuer; its provider is to correct the document.";
    match metadata {
        Ok(metadata) if metadata.token_endpoint().scheme() == "https" => {
            ENDPOINTS.passed("all are https")
        }
        Ok(_) => ENDPOINTS.passed("none leaves this machine without https"),
        Err(ProviderError::IssuerMismatch) => ENDPOINTS.skipped("see `issuer`"),
        Err(error @ ProviderError::InsecureEndpoint(_)) => ENDPOINTS.failed(
            format!("{error}: codes and secrets would be sent in plain"),
            theirs,
        ),
        Err(error) => ENDPOINTS.failed(error.to_string(), theirs),
    }
}
