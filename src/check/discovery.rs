//! Checks of the discovery document.

use std::time::Duration;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use url::Url;

use super::{
    finding::{DISCOVERY, ENDPOINTS, Finding, ISSUER, OPTIONAL_FIELDS, REQUIRED_FIELDS, TLS},
    report::Reporter,
    text::{list, no_response, unexpected_status},
};
use crate::{
    clock::Clock,
    config::Issuer,
    error::quoted,
    http::{HttpClient, HttpError, HttpRequest, HttpResponse, Members},
    metric::Endpoint,
    provider::{ProviderError, ProviderMetadata, discovery_url, is_same_issuer},
};

/// The fields that Oten documents as required.
const REQUIRED: [&str; 6] = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "scopes_supported",
    "response_types_supported",
];

const INVALID_DOCUMENT_HELP: &str =
    "Check the issuer. If it is right, report the document to its provider.";

pub(super) const SEE_DISCOVERY: &str = "no discovery document, see `discovery`";

/// The results that other checks need.
#[derive(Debug)]
pub(super) struct Discovered {
    pub(super) document: Option<Document>,
    /// The provider's endpoints, if they can be trusted.
    pub(super) metadata: Option<ProviderMetadata>,
    pub(super) timing: Option<ResponseTiming>,
}

/// When a response arrived, for comparing clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseTiming {
    /// When the response was complete, by this machine's clock.
    pub(super) received_at: OffsetDateTime,
    /// The time from the request to the complete response.
    pub(super) duration: Duration,
    /// The provider's clock, from the response header `Date`.
    pub(super) date: Option<OffsetDateTime>,
}

/// A discovery document as received, without defaults for missing fields.
#[derive(Debug)]
pub(super) struct Document(Map<String, Value>);

/// Fetches and checks the document.
pub(super) async fn check(
    http: &HttpClient,
    issuer: &Issuer,
    clock: &Clock,
    report: &mut Reporter<'_>,
) -> Discovered {
    let name = issuer.to_string();
    // While the document is unavailable, sign-ins use the environment's documented endpoints.
    let fallback = issuer.environment().map(ProviderMetadata::from_environment);
    let url = match discovery_url(&name) {
        Ok(url) => url,
        Err(error) => {
            report.found(TLS.skipped("no connection"));
            let finding = DISCOVERY.failed(error.to_string(), "Correct the issuer.");
            return without_document(finding, fallback, None, report);
        }
    };
    let request = HttpRequest::get(Endpoint::Discovery, &url);
    let outcome = http.send(&request).await;
    let received_at = clock.now();
    report.found(tls(&url, &outcome));
    let response = match outcome {
        Ok(response) => response,
        Err(HttpError::Tls(..)) => {
            let finding = DISCOVERY.skipped("no trusted connection, see `tls`");
            return without_document(finding, None, None, report);
        }
        Err(error) => {
            let finding = DISCOVERY.failed_at(url, no_response(&error));
            return without_document(finding, fallback, None, report);
        }
    };
    let timing = Some(ResponseTiming {
        received_at,
        duration: response.took,
        date: response.date(),
    });
    if !response.status.is_success() {
        let finding = DISCOVERY.failed_at(url, unexpected_status(&response));
        return without_document(finding, fallback, timing, report);
    }
    let Some(document) = Members::parse(response.body()) else {
        let finding = DISCOVERY.failed(
            format!("{url}: the response is not a JSON object"),
            "Check the issuer, and that no captive portal or proxy responds instead.",
        );
        // The server is not the provider, so the documented endpoints are not used either.
        return without_document(finding, None, timing, report);
    };
    let document = Document(document.values());
    let duration = response.took.as_millis();
    report.found(DISCOVERY.passed(format!("{url} answered in {duration} ms")));
    report.found(names_issuer(&document, &name));
    report.found(required_fields(&document));
    let metadata = ProviderMetadata::from_discovery(response.body(), &name, issuer.environment());
    report.found(endpoints(&metadata));
    report.found(optional_fields(&metadata));
    Discovered {
        document: Some(document),
        metadata: metadata.ok(),
        timing,
    }
}

/// Skips the checks of the document.
fn without_document(
    finding: Finding,
    metadata: Option<ProviderMetadata>,
    timing: Option<ResponseTiming>,
    report: &mut Reporter<'_>,
) -> Discovered {
    report.found(finding);
    for check in [&ISSUER, &REQUIRED_FIELDS, &ENDPOINTS, &OPTIONAL_FIELDS] {
        report.found(check.skipped(SEE_DISCOVERY));
    }
    Discovered {
        document: None,
        metadata,
        timing,
    }
}

fn tls(url: &Url, outcome: &Result<HttpResponse, HttpError>) -> Finding {
    match outcome {
        Err(error @ HttpError::Tls(..)) => {
            let (message, help) = no_response(error);
            TLS.failed(message, help)
        }
        Err(_) => TLS.skipped("no connection"),
        Ok(_) if url.scheme() == "https" => TLS.passed("the provider's certificate is trusted"),
        Ok(_) => TLS.passed("not needed: plain http on this machine"),
    }
}

fn names_issuer(document: &Document, issuer: &str) -> Finding {
    match document.text("issuer") {
        Some(named) if is_same_issuer(named, issuer) => {
            ISSUER.passed("the document names the configured issuer")
        }
        Some(named) => ISSUER.failed(
            format!("the document names {}, not {issuer}", quoted(named)),
            "Check the spelling of the issuer. If it is right, suspect interception, and do not \
             sign in.",
        ),
        None => ISSUER.failed("the document has no `issuer`", INVALID_DOCUMENT_HELP),
    }
}

fn required_fields(document: &Document) -> Finding {
    let missing: Vec<_> = REQUIRED
        .into_iter()
        .filter(|name| !document.has(name))
        .map(|name| format!("`{name}`"))
        .collect();
    if missing.is_empty() {
        return REQUIRED_FIELDS.passed("all required fields are present");
    }
    REQUIRED_FIELDS.failed(
        format!("missing: {}", list(&missing)),
        INVALID_DOCUMENT_HELP,
    )
}

fn endpoints(metadata: &Result<ProviderMetadata, ProviderError>) -> Finding {
    match metadata {
        Ok(metadata) if metadata.token_endpoint().scheme() == "https" => {
            ENDPOINTS.passed("all endpoints are https")
        }
        Ok(_) => ENDPOINTS.passed("all endpoints are https or on this machine"),
        Err(ProviderError::IssuerMismatch { .. }) => ENDPOINTS.skipped("see `issuer`"),
        Err(error @ ProviderError::InsecureEndpoint(_)) => ENDPOINTS.failed(
            format!("{error}: codes and secrets would be sent unencrypted"),
            INVALID_DOCUMENT_HELP,
        ),
        Err(error) => ENDPOINTS.failed(error.to_string(), INVALID_DOCUMENT_HELP),
    }
}

fn optional_fields(metadata: &Result<ProviderMetadata, ProviderError>) -> Finding {
    let Ok(metadata) = metadata else {
        return OPTIONAL_FIELDS.skipped("the document is rejected, see `issuer` and `endpoints`");
    };
    let ignored = metadata.ignored_members().iter();
    let ignored: Vec<_> = ignored.map(|name| format!("`{name}`")).collect();
    if ignored.is_empty() {
        return OPTIONAL_FIELDS.passed("all optional fields are usable or absent");
    }
    OPTIONAL_FIELDS.warning(
        format!("ignored: {}", list(&ignored)),
        "Report it to the provider: these fields are `null`, empty, or of the wrong type or form.",
    )
}

impl Document {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Returns the strings of an array.
    pub(super) fn list(&self, name: &str) -> Option<Vec<&str>> {
        let items = self.0.get(name)?.as_array()?;
        Some(items.iter().filter_map(Value::as_str).collect())
    }

    /// Returns whether the field is present and not empty.
    pub(super) fn has(&self, name: &str) -> bool {
        match self.0.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(_) => true,
        }
    }
}
