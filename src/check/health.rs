//! Health of the endpoints that sign-ins need, and of the app itself.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use http::{Method, StatusCode};
use serde::Serialize;
use tokio::{join, time::timeout};
use url::Url;

use super::{Status, text};
use crate::{
    config::{ConfigBuilder, ConfigError, Issuer},
    http::{HttpClient, HttpError, HttpOptions, HttpRequest, HttpResponse},
    provider::{ProviderMetadata, discovery_url},
};

/// An endpoint that takes longer to respond has failed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The app is on the same machine, and container health checks run often.
const OWN_TIMEOUT: Duration = Duration::from_secs(3);

const DISCOVERY: &str = "discovery";
const KEY_SET: &str = "key_set";
const AUTHORIZATION: &str = "authorization";
const SITE: &str = "site";

/// The health of the endpoints that sign-ins need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// The worst status of all endpoints.
    pub status: Status,
    /// The endpoints.
    pub endpoints: Vec<EndpointHealth>,
}

/// The health of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointHealth {
    /// `discovery`, `key_set`, `authorization` or `site`.
    pub name: &'static str,
    /// The URL, if known.
    pub url: Option<String>,
    /// [`Status::Failed`] if the endpoint did not respond or responded with a server error (5xx),
    /// [`Status::Warning`] for any other unexpected response. For `site`, any unexpected response is
    /// a failure.
    pub status: Status,
    /// The response, or why there was none.
    pub message: String,
    /// The time until the response was complete.
    pub milliseconds: Option<u64>,
    /// How to fix it, if there was no response.
    pub help: Option<String>,
}

/// Probes the provider's endpoints, with a timeout of 5 seconds each.
///
/// The settings need an issuer. A client is not required.
///
/// # Errors
///
/// Returns a [`ConfigError`] if the issuer or the connection settings are missing or invalid.
pub async fn health(settings: Result<ConfigBuilder, ConfigError>) -> Result<Health, ConfigError> {
    let settings = settings?.examine();
    let Some((issuer, options)) = settings.issuer.clone().zip(settings.http.as_ref()) else {
        return Err(settings.error_in(&["environment", "issuer", "proxy", "ca_file"]));
    };
    let http = match HttpClient::new(options) {
        Ok(http) => http,
        Err(error) => {
            let discovery = EndpointHealth::unreachable(DISCOVERY, None, &error);
            return Ok(Health::new(vec![discovery]));
        }
    };
    let (discovery, [key_set, authorization]) = if let Some(environment) = issuer.environment() {
        // The other endpoints are documented, so they are probed at the same time.
        let metadata = ProviderMetadata::from_environment(environment);
        let ((discovery, _), others) = join!(
            probe_discovery(&http, &issuer),
            probe_others(&http, Some(metadata))
        );
        (discovery, others)
    } else {
        let (discovery, metadata) = probe_discovery(&http, &issuer).await;
        (discovery, probe_others(&http, metadata).await)
    };
    Ok(Health::new(vec![discovery, key_set, authorization]))
}

/// Probes the app's own `/healthz`, with a timeout of 3 seconds, at the address in `listen`.
///
/// Intended for health checks of containers. All settings but `listen` and `base_path` are ignored.
///
/// # Errors
///
/// Returns a [`ConfigError`] if `listen` or `base_path` is invalid.
pub async fn site_health(
    settings: Result<ConfigBuilder, ConfigError>,
) -> Result<Health, ConfigError> {
    let settings = settings?.examine();
    let url = settings.listen.zip(settings.base_path.as_ref());
    let url = url.and_then(|(listen, base_path)| {
        Url::parse(&format!("http://{}{base_path}/healthz", reachable(listen))).ok()
    });
    let Some(url) = url else {
        return Err(settings.error_in(&["listen", "base_path"]));
    };
    let options = HttpOptions {
        loopback: true,
        ..HttpOptions::default()
    };
    let endpoint = match HttpClient::new(&options) {
        Ok(http) => {
            let outcome = send(&http, Method::GET, &url, OWN_TIMEOUT).await;
            EndpointHealth::new(SITE, &url, outcome)
        }
        Err(error) => EndpointHealth::unreachable(SITE, Some(&url), &error),
    };
    Ok(Health::new(vec![endpoint]))
}

/// Returns the address to connect to for a listener: loopback for `0.0.0.0` and `[::]`.
#[must_use]
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

async fn probe_discovery(
    http: &HttpClient,
    issuer: &Issuer,
) -> (EndpointHealth, Option<ProviderMetadata>) {
    let name = issuer.to_string();
    let Ok(url) = discovery_url(&name) else {
        return (EndpointHealth::unknown(DISCOVERY), None);
    };
    let outcome = send(http, Method::GET, &url, TIMEOUT).await;
    let metadata = match &outcome {
        Ok(response) if response.status.is_success() => {
            ProviderMetadata::from_discovery(response.body(), &name, issuer.environment()).ok()
        }
        _ => None,
    };
    let mut health = EndpointHealth::new(DISCOVERY, &url, outcome);
    if health.status == Status::Passed && metadata.is_none() {
        health.status = Status::Warning;
        health
            .message
            .push_str(", but not a discovery document of this issuer; run `oten check`");
    }
    (health, metadata)
}

/// Probes the key set and the authorization endpoint.
async fn probe_others(
    http: &HttpClient,
    metadata: Option<ProviderMetadata>,
) -> [EndpointHealth; 2] {
    let Some(metadata) = metadata else {
        return [KEY_SET, AUTHORIZATION].map(EndpointHealth::unknown);
    };
    let (jwks_uri, authorization) = (metadata.jwks_uri(), metadata.authorization_endpoint());
    let (key_set_outcome, authorization_outcome) = join!(
        send(http, Method::GET, jwks_uri, TIMEOUT),
        send(http, Method::HEAD, authorization, TIMEOUT)
    );
    [
        EndpointHealth::new(KEY_SET, jwks_uri, key_set_outcome),
        EndpointHealth::new(AUTHORIZATION, authorization, authorization_outcome),
    ]
}

async fn send(
    http: &HttpClient,
    method: Method,
    url: &Url,
    limit: Duration,
) -> Result<HttpResponse, HttpError> {
    timeout(limit, http.send(&HttpRequest::probe(method, url)))
        .await
        .unwrap_or(Err(HttpError::TimedOut))
}

impl Health {
    fn new(endpoints: Vec<EndpointHealth>) -> Self {
        let statuses = endpoints.iter().map(|endpoint| endpoint.status);
        Self {
            status: statuses.max().unwrap_or(Status::Skipped),
            endpoints,
        }
    }

    /// Returns whether any endpoint failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.status == Status::Failed
    }
}

impl EndpointHealth {
    fn new(name: &'static str, url: &Url, outcome: Result<HttpResponse, HttpError>) -> Self {
        let response = match outcome {
            Ok(response) => response,
            Err(error) => return Self::unreachable(name, Some(url), &error),
        };
        let (status, message) = verdict(name, response.status);
        Self {
            name,
            url: Some(url.to_string()),
            status,
            message,
            milliseconds: u64::try_from(response.took.as_millis()).ok(),
            help: None,
        }
    }

    fn unreachable(name: &'static str, url: Option<&Url>, error: &HttpError) -> Self {
        let (mut message, mut help) = text::no_response(error);
        if matches!(error, HttpError::TimedOut) {
            // The error names the timeout of other calls.
            "no response in time".clone_into(&mut message);
        }
        if name == SITE {
            "Start the site, or correct `listen` and `base_path`.".clone_into(&mut help);
        }
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
            message: "the URL is unknown without the discovery document".to_owned(),
            milliseconds: None,
            help: None,
        }
    }
}

/// Returns the status and message for a response.
///
/// The authorization endpoint may reject the probe, which is not an authorization request.
fn verdict(name: &str, status: StatusCode) -> (Status, String) {
    let code = status.as_u16();
    if status.is_success() {
        (Status::Passed, format!("OK ({code})"))
    } else if status.is_server_error() {
        (Status::Failed, format!("down ({status})"))
    } else if name == SITE {
        (Status::Failed, format!("not this site ({status})"))
    } else if name == AUTHORIZATION && status != StatusCode::NOT_FOUND {
        (Status::Passed, format!("up ({code})"))
    } else {
        (Status::Warning, status.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Problem;

    #[tokio::test]
    async fn health_ignores_invalid_settings_that_it_does_not_need() {
        let settings = ConfigBuilder::from_toml(
            "test.toml",
            "issuer = 'http://127.0.0.1:1'\ninstances = 0\nclient_secret = ''\n",
        );
        let health = health(settings).await.unwrap();
        assert_eq!(health.endpoints[0].name, DISCOVERY);
        assert!(health.has_failed());
    }

    #[tokio::test]
    async fn health_rejects_an_invalid_ca_file() {
        let settings = ConfigBuilder::from_toml(
            "test.toml",
            "issuer = 'http://127.0.0.1:1'\nca_file = '/nonexistent/ca.pem'\n",
        );
        let error = health(settings).await.unwrap_err();
        let keys: Vec<_> = error.problems().iter().map(Problem::key).collect();
        assert_eq!(keys, ["ca_file"]);
    }

    #[test]
    fn responses_are_judged_by_endpoint_and_status() {
        for (name, code, status) in [
            (DISCOVERY, 200, Status::Passed),
            (DISCOVERY, 404, Status::Warning),
            (DISCOVERY, 302, Status::Warning),
            (KEY_SET, 503, Status::Failed),
            (AUTHORIZATION, 400, Status::Passed),
            (AUTHORIZATION, 405, Status::Passed),
            (AUTHORIZATION, 302, Status::Passed),
            (AUTHORIZATION, 404, Status::Warning),
            (AUTHORIZATION, 500, Status::Failed),
            (SITE, 200, Status::Passed),
            (SITE, 404, Status::Failed),
        ] {
            let (found, _) = verdict(name, StatusCode::from_u16(code).unwrap());
            assert_eq!(found, status, "{name} {code}");
        }
    }

    #[test]
    fn an_unspecified_address_is_reachable_on_loopback() {
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
