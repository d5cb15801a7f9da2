use std::sync::Arc;

use time::Duration;
use url::Url;

use super::{
    ProviderError, ProviderMetadata,
    cache::{Cache, Cached},
    fetch,
    metadata::without_slash,
};
use crate::{clock::Clock, config::Issuer, http::HttpClient, metric::Endpoint};

/// Discovered metadata is fetched anew, in the background, when it is older.
const FRESH_FOR: Duration = Duration::hours(1);

/// A provider that answered less than this ago counts as reachable.
const RECENT_FOR: Duration = Duration::seconds(30);

/// The provider's metadata.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: Issuer,
    http: HttpClient,
    cache: Arc<Cache<ProviderMetadata>>,
}

impl Discovery {
    pub(super) fn new(issuer: Issuer, http: HttpClient, clock: Clock) -> Self {
        Self {
            issuer,
            http,
            cache: Arc::new(Cache::new(clock)),
        }
    }

    /// The metadata: cached where possible, stale while it is fetched anew, fetched at first, and
    /// the environment's table while the provider is away.
    pub(super) async fn metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        let fetch = read(self.http.clone(), self.issuer.clone());
        let cache = Arc::clone(&self.cache);
        let is_fresh = move |cached: &Cached<_>| cache.age(cached) < FRESH_FOR;
        if let Some(cached) = self.cache.current() {
            if !is_fresh(&cached) {
                self.cache.renew_in_background(is_fresh, fetch);
            }
            return Ok(Arc::clone(&cached.document));
        }
        match self.cache.renew(is_fresh, fetch).await {
            Ok(cached) => Ok(Arc::clone(&cached.document)),
            Err(error) => self.stand_in(error),
        }
    }

    /// Whether the provider answers, with a document that is not old, or else now.
    pub(super) async fn reach(&self) -> Result<(), ProviderError> {
        let fetch = read(self.http.clone(), self.issuer.clone());
        let cache = Arc::clone(&self.cache);
        let is_recent = move |cached: &Cached<_>| cache.age(cached) < RECENT_FOR;
        self.cache.renew(is_recent, fetch).await.map(drop)
    }

    /// While the provider is away its documented endpoints stand in. A document that is a lie is not
    /// answered with the table.
    fn stand_in(&self, error: ProviderError) -> Result<Arc<ProviderMetadata>, ProviderError> {
        match self.issuer {
            Issuer::Environment(environment) if error.may_pass() => {
                Ok(Arc::new(ProviderMetadata::from_environment(environment)))
            }
            _ => Err(error),
        }
    }
}

async fn read(http: HttpClient, issuer: Issuer) -> Result<ProviderMetadata, ProviderError> {
    let (issuer, environment) = match &issuer {
        Issuer::Environment(environment) => (environment.issuer(), Some(*environment)),
        Issuer::Custom(url) => (url.as_str(), None),
    };
    let url = discovery_url(issuer)?;
    let answer = fetch(&http, Endpoint::Discovery, &url, "the discovery document").await?;
    ProviderMetadata::from_discovery(answer.body(), issuer, environment)
}

/// The issuer with `/.well-known/openid-configuration` at its end (OpenID Connect Discovery
/// section 4).
pub(crate) fn discovery_url(issuer: &str) -> Result<Url, ProviderError> {
    let issuer = without_slash(issuer);
    Url::parse(&format!("{issuer}/.well-known/openid-configuration"))
        .map_err(|_| ProviderError::Discovery("the issuer is not a URL"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpOptions;

    #[test]
    fn the_well_known_path_follows_the_issuers_path() {
        for (issuer, url) in [
            (
                "https://id.example",
                "https://id.example/.well-known/openid-configuration",
            ),
            (
                "https://id.example/",
                "https://id.example/.well-known/openid-configuration",
            ),
            (
                "http://127.0.0.1:3000/oten",
                "http://127.0.0.1:3000/oten/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(discovery_url(issuer).unwrap().as_str(), url);
        }
    }

    #[tokio::test]
    async fn d2_the_table_stands_in_while_the_provider_is_away_and_for_nothing_else() {
        let issuer = Issuer::Environment(crate::config::Environment::Sandbox);
        let http = HttpClient::new(&HttpOptions::default()).unwrap();
        let discovery = Discovery::new(issuer, http, Clock::manual());
        let away = ProviderError::unreachable("x", &crate::http::HttpError::TimedOut);
        assert!(discovery.stand_in(away).is_ok());
        assert!(discovery.stand_in(ProviderError::IssuerMismatch).is_err());
    }
}
