//! The only client for calls to the provider: time-outs, no redirects, a body cap, retries.

mod ca_certificates;
mod proxy;
mod tls_fault;

pub use self::proxy::Proxy;
pub(crate) use self::{
    ca_certificates::{CaCertificates, NoCertificates},
    tls_fault::TlsFault,
};

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use serde::de::DeserializeOwned;
#[cfg(feature = "check")]
use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout_at};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use crate::{
    metric::{self, Endpoint, Outcome},
    secret::random_bytes,
};

/// A connection that takes longer is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A call that takes longer, its repetitions included, is given up.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A longer answer is refused; counted after decompression.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A call is made this many times at most.
const MAX_ATTEMPTS: u32 = 3;

/// The pause before the first repetition; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);

/// A provider that asks for a longer pause is asked again after this one.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A client for one provider.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
    /// Whether calls go through a proxy that the configuration names.
    through_proxy: bool,
}

/// How a provider is reached. By default as on the open network.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpOptions {
    /// The provider is on this machine: plain http is allowed, and the system's proxy, which could
    /// not help, is not asked.
    pub(crate) loopback: bool,
    /// Trusted in addition to the system's.
    pub(crate) ca_certificates: CaCertificates,
    /// The way out.
    pub(crate) proxy: Proxy,
}

/// One call, and what may be done about its failure.
pub(crate) struct Call<'a> {
    method: Method,
    /// What it counts as; a mere look counts as nothing.
    endpoint: Option<Endpoint>,
    url: &'a Url,
    form: Option<Zeroizing<String>>,
    /// Whether an answer says that the call was not acted on and may be repeated.
    repeat_after: fn(&Answer) -> bool,
    /// Whether a call whose outcome is unknown may be repeated.
    idempotent: bool,
}

impl<'a> Call<'a> {
    /// Reads a document. Repeated after any failure that may pass.
    pub(crate) fn get(endpoint: Endpoint, url: &'a Url) -> Self {
        Self {
            method: Method::GET,
            endpoint: Some(endpoint),
            url,
            form: None,
            repeat_after: |answer| {
                answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS
            },
            idempotent: true,
        }
    }

    /// Posts a form. Repeated after a failed connect, or when `repeat_after` says that the answer
    /// allows it; never when the outcome is unknown.
    pub(crate) fn post(
        endpoint: Endpoint,
        url: &'a Url,
        form: &[(&str, &str)],
        repeat_after: fn(&Answer) -> bool,
    ) -> Self {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        Self {
            method: Method::POST,
            endpoint: Some(endpoint),
            url,
            form: Some(form.into()),
            repeat_after,
            idempotent: false,
        }
    }

    /// Looks whether somebody answers, whatever it is. Repeated after a failed connect only.
    #[cfg(feature = "check")]
    pub(crate) fn look(method: Method, url: &'a Url) -> Self {
        Self {
            method,
            endpoint: None,
            url,
            form: None,
            repeat_after: |_| false,
            idempotent: false,
        }
    }
}

/// A received answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    /// The provider's time when the answer left it.
    #[cfg(feature = "check")]
    pub(crate) date: Option<OffsetDateTime>,
    /// From the beginning of the call, or of its last repetition, to the answer's end.
    #[cfg(feature = "check")]
    pub(crate) took: Duration,
    body: Bytes,
}

impl Answer {
    /// The body as JSON, or nothing if it is not of this shape.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
    #[error("no connection could be made")]
    Connect(#[source] reqwest::Error),
    #[error(
        "no connection could be made through the proxy; check `proxy`, and that the proxy lets \
         this machine reach the provider"
    )]
    Proxy(#[source] reqwest::Error),
    #[error("{0}")]
    Tls(TlsFault, #[source] reqwest::Error),
    #[error("no complete answer came within {} seconds", CALL_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the connection broke before the answer was complete")]
    Interrupted(#[source] reqwest::Error),
    #[error("the answer is longer than {MAX_BODY_BYTES} bytes")]
    TooLarge,
}

impl HttpClient {
    /// A client for a provider that is reached this way.
    pub(crate) fn new(options: &HttpOptions) -> Result<Self, HttpError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("axum-oten/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            // Repeating is decided here, where it is known what may be repeated.
            .retry(reqwest::retry::never());
        let certificates = options.ca_certificates.for_client();
        builder = builder.tls_certs_merge(certificates.map_err(HttpError::Setup)?);
        let through_proxy = matches!(options.proxy, Proxy::Url(_));
        builder = match &options.proxy {
            Proxy::System if !options.loopback => builder,
            Proxy::System | Proxy::Direct => builder.no_proxy(),
            Proxy::Url(url) => {
                let proxy = reqwest::Proxy::all(url.expose());
                // The error may quote the URL, and with it a password.
                builder.proxy(proxy.map_err(|error| HttpError::Setup(error.without_url()))?)
            }
        };
        // A proxy would read what is said over plain http.
        let client = builder
            .https_only(!options.loopback || through_proxy)
            .build()
            .map_err(HttpError::Setup)?;
        Ok(Self {
            client,
            through_proxy,
        })
    }

    /// Makes a call, and makes it again where [`Call`] allows and the time is not up.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Answer, HttpError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let mut attempt = 1;
        loop {
            let began = Instant::now();
            let outcome = timeout_at(deadline, self.send_once(call))
                .await
                .unwrap_or(Err(HttpError::TimedOut));
            if let Some(endpoint) = call.endpoint {
                metric::provider_called(endpoint, metric_of(&outcome), began.elapsed());
            }
            let pause = match &outcome {
                Ok(answer) if (call.repeat_after)(answer) => {
                    backoff(attempt).max(answer.retry_after.unwrap_or_default())
                }
                Err(HttpError::Connect(_) | HttpError::Proxy(_)) => backoff(attempt),
                Err(HttpError::Interrupted(_)) if call.idempotent => backoff(attempt),
                _ => return outcome,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if attempt == MAX_ATTEMPTS || pause >= left {
                return outcome;
            }
            tracing::debug!(
                url = call.url.as_str(),
                attempt,
                ?pause,
                "a call to the provider is repeated"
            );
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<Answer, HttpError> {
        #[cfg(feature = "check")]
        let began = Instant::now();
        let request = self.client.request(call.method.clone(), call.url.clone());
        let request = match &call.form {
            None => request,
            Some(form) => request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.as_bytes().to_vec()),
        };
        let response = request
            .header(header::ACCEPT, "application/json")
            .send()
            .await
            .map_err(|error| self.classify(error))?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        #[cfg(feature = "check")]
        let date = date(response.headers());
        let body = self.read_bounded(response).await?;
        Ok(Answer {
            status,
            retry_after,
            #[cfg(feature = "check")]
            date,
            #[cfg(feature = "check")]
            took: began.elapsed(),
            body,
        })
    }

    async fn read_bounded(&self, mut response: reqwest::Response) -> Result<Bytes, HttpError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.classify(error))?
        {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn classify(&self, error: reqwest::Error) -> HttpError {
        let error = error.without_url();
        if !error.is_connect() {
            return if error.is_timeout() {
                HttpError::TimedOut
            } else {
                HttpError::Interrupted(error)
            };
        }
        match TlsFault::behind(&error) {
            Some(fault) => HttpError::Tls(fault, error),
            None if self.through_proxy => HttpError::Proxy(error),
            None => HttpError::Connect(error),
        }
    }
}

/// How a call came out, for those who watch.
fn metric_of(outcome: &Result<Answer, HttpError>) -> Outcome {
    match outcome {
        Ok(answer) if answer.status.is_success() => Outcome::Success,
        Ok(answer) if answer.status.is_server_error() => Outcome::Failed,
        Ok(_) => Outcome::Refused,
        Err(_) => Outcome::Unreachable,
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3). The form with a date is not used by Oten.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let wait = Duration::from_secs(seconds.trim().parse().ok()?);
    Some(wait.min(MAX_RETRY_AFTER))
}

/// `Date` (RFC 9110 section 6.6.1), and the `Age` of an answer that a cache kept (RFC 9111 section
/// 5.1).
#[cfg(feature = "check")]
fn date(headers: &HeaderMap) -> Option<OffsetDateTime> {
    let text = |name| headers.get(name)?.to_str().ok();
    let date = httpdate::parse_http_date(text(header::DATE)?).ok()?;
    let age = text(header::AGE).and_then(|age| age.trim().parse::<u32>().ok());
    let age = time::Duration::seconds(age.unwrap_or_default().into());
    // A time that no calendar has is a wrong one all the same, and is to be told as that.
    Some(OffsetDateTime::from(date).saturating_add(age))
}

/// Between half and the whole of 200 ms, 400 ms, 800 ms: machines that failed together do not
/// come back together.
fn backoff(attempt: u32) -> Duration {
    let full = FIRST_BACKOFF * 2_u32.saturating_pow(attempt - 1);
    let [jitter] = *random_bytes::<1>();
    full / 2 + full / 2 * u32::from(jitter) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "check")]
    #[test]
    fn a_date_past_the_last_one_is_the_last_one() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        let mut dated = |name, value: &'static str| {
            headers.insert(name, value.parse().unwrap());
            date(&headers)
        };
        assert_eq!(dated(header::DATE, "soon"), None);
        let end = dated(header::DATE, "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(end.map(OffsetDateTime::year), Some(9999));
        let kept = dated(header::AGE, "4294967295");
        assert_eq!(kept.map(OffsetDateTime::year), Some(9999));
    }

    #[test]
    fn the_pause_grows_and_is_never_over() {
        for (attempt, full) in [(1, 200), (2, 400), (3, 800)] {
            for _ in 0..100 {
                let pause = backoff(attempt).as_millis();
                assert!((full / 2..=full).contains(&pause), "{attempt}: {pause}");
            }
        }
    }
}
