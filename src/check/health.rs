//! Whether the provider's endpoints, or the site's own, answer now.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use http::{Method, StatusCode};
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{Status, text};
use crate::{
    config::{ConfigBuilder, ConfigError, Issuer},
    http::{HttpClient, HttpError, HttpOptions, HttpRequest, HttpResponse},
    provider::{ProviderMetadata, discovery_url},
};

/// An endpoint that takes longer is down.
const LIMIT: Duration = Duration::from_secs(5);

/// The site itself is near, and whoever asks for it asks often.
const OWN_LIMIT: Duration = Duration::from_secs(3);

const SITE: &str = "site";

/// How the endpoints are that a sign-in needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// The worst of the endpoints'.
    pub status: Status,
    /// Each endpoint.
    pub endpoints: Vec<EndpointHealth>,
}

/// How one endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointHealth {
    /// `discovery`, `key_set`, `authorization` or `site`.
    pub name: &'static str,
    /// Its address, if it is known.
    pub url: Option<String>,
    /// Passed if it answers as it should, a warning if with another status, failed if it does not
    /// answer or says that it is down (5xx); the site itself also fails with another status.
    pub status: Status,
    /// What was answered, or why nothing was.
    pub message: String,
    /// How long the answer took.
    pub milliseconds: Option<u64>,
    /// What to do about it, where nothing was answered.
    pub help: Option<String>,
}

/// Asks the provider's endpoints at the same time, 5 seconds long each. No client is needed: all but
/// the issuer and the way to it may be missing.
///
/// # Errors
///
/// [`ConfigError`] when it is not known whom to ask.
pub async fn health(settings: Result<ConfigBuilder, ConfigError>) -> Result<Health, ConfigError> {
    let settings = settings?.examine();
    let Some((issuer, options)) = settings.issuer.clone().zip(settings.http.as_ref()) else {
        return Err(settings.refusal(&["environment", "issuer", "proxy"]));
    };
    let http = match HttpClient::new(options) {
        Ok(http) => http,
        Err(error) => {
            return Ok(Health::of(vec![EndpointHealth::unanswered(
                "discovery",
                None,
                &error,
            )]));
        }
    };
    let discovery = discovery(&http, &issuer);
    let table = match issuer {
        Issuer::Environment(environment) => Some(ProviderMetadata::from_environment(environment)),
        Issuer::Custom(_) => None,
    };
    let endpoints = match table {
        // Known beforehand: they need not wait.
        Some(table) => {
            let others = others(&http, &table);
            let (discovery, _) = discovery.await;
            vec![
                discovery,
                others.0.finished().await,
                others.1.finished().await,
            ]
        }
        None => match discovery.await {
            (discovery, Some(metadata)) => {
                let others = others(&http, &metadata);
                vec![
                    discovery,
                    others.0.finished().await,
                    others.1.finished().await,
                ]
            }
            (discovery, None) => vec![
                discovery,
                EndpointHealth::unknown("key_set"),
                EndpointHealth::unknown("authorization"),
            ],
        },
    };
    Ok(Health::of(endpoints))
}

/// Asks the site itself for `/healthz`, 3 seconds long, at the address where it listens. For a
/// container's health check; all settings but `listen` and `base_path` may be missing.
///
/// # Errors
///
/// [`ConfigError`] when one of the two is wrong.
pub async fn own_health(
    settings: Result<ConfigBuilder, ConfigError>,
) -> Result<Health, ConfigError> {
    let settings = settings?.examine();
    let Some((listen, base_path)) = settings.listen.zip(settings.base_path.clone()) else {
        return Err(settings.refusal(&["listen", "base_path"]));
    };
    let url = format!("http://{}{base_path}/healthz", reachable(listen));
    let Ok(url) = Url::parse(&url) else {
        return Err(settings.refusal(&["listen", "base_path"]));
    };
    let here = HttpOptions {
        loopback: true,
        ..HttpOptions::default()
    };
    let endpoint = match HttpClient::new(&here) {
        Ok(http) => {
            let call = HttpRequest::probe(Method::GET, &url);
            let outcome = timeout(OWN_LIMIT, http.send(&call)).await;
            EndpointHealth::new(SITE, &url, outcome.unwrap_or(Err(HttpError::TimedOut)))
        }
        Err(error) => EndpointHealth::unanswered(SITE, Some(&url), &error),
    };
    Ok(Health::of(vec![endpoint]))
}

/// The address as it is reached from this machine: `0.0.0.0` is for listening only.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

async fn discovery(
    http: &HttpClient,
    issuer: &Issuer,
) -> (EndpointHealth, Option<ProviderMetadata>) {
    let name = issuer.to_string();
    let Ok(url) = discovery_url(&name) else {
        return (EndpointHealth::unknown("discovery"), None);
    };
    let outcome = ask(http, Method::GET, &url).await;
    let metadata = match &outcome {
        Ok(answer) if answer.status.is_success() => {
            ProviderMetadata::from_discovery(answer.body(), &name, environment(issuer)).ok()
        }
        _ => None,
    };
    let is_document = metadata.is_some();
    let mut health = EndpointHealth::new("discovery", &url, outcome);
    if health.status == Status::Passed && !is_document {
        health.status = Status::Warning;
        health
            .message
            .push_str(", no discovery document of this issuer; see `oten check`");
    }
    (health, metadata)
}

fn environment(issuer: &Issuer) -> Option<crate::config::Environment> {
    match issuer {
        Issuer::Environment(environment) => Some(*environment),
        Issuer::Custom(_) => None,
    }
}

/// A question under way.
struct Asked {
    name: &'static str,
    url: Url,
    outcome: AbortOnDropHandle<Result<HttpResponse, HttpError>>,
}

fn others(http: &HttpClient, metadata: &ProviderMetadata) -> (Asked, Asked) {
    let start = |name, method, url: &Url| {
        let (http, url) = (http.clone(), url.clone());
        let asked = url.clone();
        let outcome = tokio::spawn(async move { ask(&http, method, &asked).await });
        Asked {
            name,
            url,
            outcome: AbortOnDropHandle::new(outcome),
        }
    };
    (
        start("key_set", Method::GET, metadata.jwks_uri()),
        start(
            "authorization",
            Method::HEAD,
            metadata.authorization_endpoint(),
        ),
    )
}

impl Asked {
    async fn finished(self) -> EndpointHealth {
        let outcome = self.outcome.await.unwrap_or(Err(HttpError::TimedOut));
        EndpointHealth::new(self.name, &self.url, outcome)
    }
}

async fn ask(http: &HttpClient, method: Method, url: &Url) -> Result<HttpResponse, HttpError> {
    timeout(LIMIT, http.send(&HttpRequest::probe(method, url)))
        .await
        .unwrap_or(Err(HttpError::TimedOut))
}

impl Health {
    fn of(endpoints: Vec<EndpointHealth>) -> Self {
        let statuses = endpoints.iter().map(|endpoint| endpoint.status);
        Self {
            status: statuses.max().unwrap_or(Status::Skipped),
            endpoints,
        }
    }

    /// Whether an endpoint does not answer, or says that it is down.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.status == Status::Failed
    }
}

impl EndpointHealth {
    fn new(name: &'static str, url: &Url, outcome: Result<HttpResponse, HttpError>) -> Self {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => return Self::unanswered(name, Some(url), &error),
        };
        let (status, message) = verdict(name, answer.status);
        Self {
            name,
            url: Some(url.to_string()),
            status,
            message,
            milliseconds: u64::try_from(answer.took.as_millis()).ok(),
            help: None,
        }
    }

    fn unanswered(name: &'static str, url: Option<&Url>, error: &HttpError) -> Self {
        let (message, help) = match text::no_answer(error) {
            (_, help) if matches!(error, HttpError::TimedOut) => {
                ("no answer in time".to_owned(), help)
            }
            told => told,
        };
        let help = match name {
            SITE => "Start the site, or set `listen` and `base_path` to where it is.".to_owned(),
            _ => help,
        };
        Self {
            name,
            url: url.map(ToString::to_string),
            status: Status::Failed,
            message,
            milliseconds: None,
            help: Some(help),
        }
    }

    fn unknown(name: &'static str) -> Self {
        Self {
            name,
            url: None,
            status: Status::Skipped,
            message: "its address is not known without the discovery document".to_owned(),
            milliseconds: None,
            help: None,
        }
    }
}

/// Asked without a request, the authorization endpoint may well refuse: it is up all the same. The
/// site's own answer leaves no choice.
fn verdict(name: &str, status: StatusCode) -> (Status, String) {
    let code = status.as_u16();
    if status.is_success() {
        (Status::Passed, format!("OK ({code})"))
    } else if status.is_server_error() {
        (Status::Failed, format!("down ({status})"))
    } else if name == SITE {
        (Status::Failed, format!("not this site ({status})"))
    } else if name == "authorization" && status != StatusCode::NOT_FOUND {
        (Status::Passed, format!("up ({code})"))
    } else {
        (Status::Warning, status.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_verdict() {
        for (name, code, status) in [
            ("discovery", 200, Status::Passed),
            ("discovery", 404, Status::Warning),
            ("discovery", 302, Status::Warning),
            ("key_set", 503, Status::Failed),
            ("authorization", 400, Status::Passed),
            ("authorization", 405, Status::Passed),
            ("authorization", 302, Status::Passed),
            ("authorization", 404, Status::Warning),
            ("authorization", 500, Status::Failed),
            (SITE, 200, Status::Passed),
            (SITE, 404, Status::Failed),
        ] {
            let (found, _) = verdict(name, StatusCode::from_u16(code).unwrap());
            assert_eq!(found, status, "{name} {code}");
        }
    }

    #[test]
    fn an_address_for_listening_only_is_reached_on_loopback() {
        for (listen, address) in [
            ("0.0.0.0:3000", "127.0.0.1:3000"),
            ("[::]:3000", "[::1]:3000"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            let listen: SocketAddr = listen.parse().unwrap();
            assert_eq!(reachable(listen).to_string(), address);
        }
    }
}
