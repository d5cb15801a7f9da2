//! The only HTTP client: time-outs, no redirects and TLS errors that say how to fix them. Calls to the
//! provider also have a body limit and retries.

mod forward;
mod members;
mod proxy;
mod tls;

pub use self::proxy::Proxy;
pub(crate) use self::{
    forward::ForwardError,
    members::{Members, UnusableMember},
    tls::{CaCertificateError, CaCertificates, TlsError},
};

use std::{error::Error, iter, mem, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::ClientBuilder;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use self::members::Warned;
use crate::{
    json,
    metric::{self, Endpoint, Outcome},
    secret::{Secret, random_bytes},
};

/// The body of a request to an API, or of its response.
pub(crate) use reqwest::Body as OutgoingBody;

/// Limit for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Limit for a call: a request and all its retries.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Added to the limit for a call, to read a response that arrived while the process stalled. It may
/// contain the only valid refresh token.
const STALL_MARGIN: Duration = Duration::from_millis(250);

/// Limit for the time without a part of an API's response.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Limit for a response body, counted after decompression.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How often a request is sent at most.
const MAX_ATTEMPTS: u32 = 3;

/// The pause before the first retry; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);

/// Longer values of `Retry-After` are shortened to this one.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A client for the endpoints of one provider.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
    /// Whether the configuration names a proxy.
    through_proxy: bool,
    warned: Arc<Warned>,
}

/// The network path to a provider. Defaults to a provider on the open network.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpOptions {
    /// Whether the provider is on this machine: plain http is allowed, and the system's proxy is
    /// not used because it could not reach the provider.
    pub(crate) loopback: bool,
    /// Certificates trusted in addition to the system's.
    pub(crate) ca_certificates: CaCertificates,
    pub(crate) proxy: Proxy,
}

impl HttpOptions {
    /// Returns the network path to an API, which may be on this machine. No proxy could reach that.
    pub(crate) fn to_api(&self, is_loopback: bool) -> Self {
        let mut options = self.clone();
        options.loopback = is_loopback;
        if is_loopback {
            options.proxy = Proxy::Direct;
        }
        options
    }

    /// Whether the configuration names a proxy.
    fn has_proxy(&self) -> bool {
        matches!(self.proxy, Proxy::Url(_))
    }
}

/// A request and the rules for retrying it.
pub(crate) struct HttpRequest<'a> {
    method: Method,
    /// The endpoint that metrics name; `None` for a request that is not counted.
    endpoint: Option<Endpoint>,
    url: &'a Url,
    form: Option<Zeroizing<String>>,
    credentials: Option<Credentials<'a>>,
    /// Whether a response shows that the provider did not act on the request, so that a retry is
    /// safe.
    retry_on: fn(&HttpResponse) -> bool,
    /// Whether a request without a response may be retried.
    idempotent: bool,
}

/// The value of `Authorization`.
enum Credentials<'a> {
    /// An access token.
    Bearer(&'a Secret),
    /// A client's ID and secret.
    Basic(String, Zeroizing<String>),
}

impl<'a> HttpRequest<'a> {
    /// Returns a request for a document. Retried after every transient failure.
    pub(crate) fn get(endpoint: Endpoint, url: &'a Url) -> Self {
        Self {
            method: Method::GET,
            endpoint: Some(endpoint),
            url,
            form: None,
            credentials: None,
            retry_on: HttpResponse::is_transient_failure,
            idempotent: true,
        }
    }

    /// Returns a request for a document with an access token, whose requests the provider counts: a 429
    /// is not retried.
    pub(crate) fn get_with_token(endpoint: Endpoint, url: &'a Url, token: &'a Secret) -> Self {
        Self {
            credentials: Some(Credentials::Bearer(token)),
            retry_on: |response| response.status.is_server_error(),
            ..Self::get(endpoint, url)
        }
    }

    /// Returns a request that posts a form. Retried if no connection could be established or
    /// `retry_on` accepts the response, and once if the server says that it did not process it; never
    /// if the outcome is unknown.
    pub(crate) fn post(
        endpoint: Endpoint,
        url: &'a Url,
        form: &[(&str, &str)],
        retry_on: fn(&HttpResponse) -> bool,
    ) -> Self {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        Self {
            method: Method::POST,
            endpoint: Some(endpoint),
            url,
            form: Some(form.into()),
            credentials: None,
            retry_on,
            idempotent: false,
        }
    }

    /// Adds a client's ID and secret as a header (RFC 7617), both in the encoding of a form (RFC 6749
    /// section 2.3.1).
    pub(crate) fn with_basic(mut self, id: &str, secret: &Secret) -> Self {
        self.credentials = Some(Credentials::Basic(
            form_encoded(id),
            form_encoded(secret.expose()).into(),
        ));
        self
    }

    /// Returns a request that finds out whether a server responds at all. Retried only if no
    /// connection could be established.
    #[cfg(feature = "check")]
    pub(crate) fn probe(method: Method, url: &'a Url) -> Self {
        Self {
            method,
            endpoint: None,
            url,
            form: None,
            credentials: None,
            retry_on: |_| false,
            idempotent: false,
        }
    }
}

/// Encodes one name or value of a form (RFC 6749 appendix B).
fn form_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A complete response of any status.
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// How long the last attempt took, from sending the request to the end of the response.
    #[cfg(feature = "check")]
    pub(crate) took: Duration,
}

impl HttpResponse {
    /// Creates a response for tests.
    #[cfg(test)]
    pub(crate) fn of(status: u16, body: &str) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            #[cfg(feature = "check")]
            took: Duration::ZERO,
        }
    }

    /// Returns the body as JSON, or `None` if it does not fit `T`.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        json::parse(&self.body).ok()
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether `Content-Type` is this media type, regardless of its parameters.
    pub(crate) fn is_media_type(&self, media_type: &str) -> bool {
        let value = self.headers.get(header::CONTENT_TYPE);
        let text = value.and_then(|value| value.to_str().ok());
        let essence = text.and_then(|text| text.split(';').next());
        essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
    }

    /// Whether a retry may succeed: any 5xx, or 429.
    pub(crate) fn is_transient_failure(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }

    /// The time to wait that `Retry-After` asks for, at most an hour.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, OffsetDateTime::now_utc())
    }

    /// The provider's time when it sent the response: `Date` (RFC 9110 section 6.6.1) plus the
    /// `Age` that a cache adds (RFC 9111 section 5.1).
    #[cfg(feature = "check")]
    pub(crate) fn date(&self) -> Option<OffsetDateTime> {
        date(&self.headers)
    }
}

/// Error returned when a call has no complete response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the HTTP client could not be set up")]
    Setup(#[source] reqwest::Error),
    #[error("no connection could be established")]
    Connect(#[source] reqwest::Error),
    #[error(
        "no connection could be established through the proxy; check `proxy`, and that the proxy \
         may connect to the provider"
    )]
    Proxy(#[source] reqwest::Error),
    #[error("{0}")]
    Tls(TlsError, #[source] reqwest::Error),
    #[error("no complete response within {} seconds", CALL_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the connection broke before the response was complete")]
    Interrupted(#[source] reqwest::Error),
    /// RFC 9113 section 8.7.
    #[error("the server closed the HTTP/2 stream and did not process the request")]
    NotProcessed(#[source] reqwest::Error),
    #[error("the response is larger than {} MiB", MAX_BODY_BYTES / 1024 / 1024)]
    TooLarge,
}

impl HttpClient {
    /// Returns a client that takes the given network path.
    pub(crate) fn new(options: &HttpOptions) -> Result<Self, HttpError> {
        Self::build(Self::builder(options)?, options)
    }

    /// Returns a client for calls to APIs.
    pub(crate) fn for_apis(options: &HttpOptions) -> Result<Self, HttpError> {
        let builder = Self::builder(options)?.read_timeout(READ_TIMEOUT);
        Self::build(builder, options)
    }

    /// Returns a client that forwards requests to an API, and passes compressed bodies on as they are.
    pub(crate) fn for_forwarding(options: &HttpOptions) -> Result<Self, HttpError> {
        Self::build(Self::builder(options)?.no_gzip(), options)
    }

    fn build(builder: ClientBuilder, options: &HttpOptions) -> Result<Self, HttpError> {
        Ok(Self {
            client: builder.build().map_err(HttpError::Setup)?,
            through_proxy: options.has_proxy(),
            warned: Arc::default(),
        })
    }

    fn builder(options: &HttpOptions) -> Result<ClientBuilder, HttpError> {
        let certificates = options.ca_certificates.to_reqwest();
        let builder = reqwest::Client::builder()
            .user_agent(concat!("axum-oten/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // A proxy can read plain http.
            .https_only(!options.loopback || options.has_proxy())
            .connect_timeout(CONNECT_TIMEOUT)
            // `send` retries: reqwest does not know which requests are safe to repeat.
            .retry(reqwest::retry::never())
            .tls_certs_merge(certificates.map_err(HttpError::Setup)?);
        Ok(match &options.proxy {
            Proxy::System if !options.loopback => builder,
            Proxy::System | Proxy::Direct => builder.no_proxy(),
            Proxy::Url(url) => {
                let proxy = reqwest::Proxy::all(url.expose());
                // The error may quote the URL, which may contain a password.
                builder.proxy(proxy.map_err(|error| HttpError::Setup(error.without_url()))?)
            }
        })
    }

    /// Logs that members of a document were ignored, once for each of them.
    pub(crate) fn warn_ignored(&self, document: &'static str, members: &[&'static str]) {
        self.warned.warn(document, members);
    }

    /// Sends a request, and again where [`HttpRequest`] allows a retry, within [`CALL_TIMEOUT`].
    pub(crate) async fn send(&self, request: &HttpRequest<'_>) -> Result<HttpResponse, HttpError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let (mut attempt, mut was_refused) = (1, false);
        loop {
            let started = Instant::now();
            let mut call = Box::pin(self.send_once(request));
            let result = match timeout_at(deadline, &mut call).await {
                Ok(result) => result,
                Err(_) => timeout(STALL_MARGIN, call)
                    .await
                    .unwrap_or(Err(HttpError::TimedOut)),
            };
            if let Some(endpoint) = request.endpoint {
                metric::provider_called(endpoint, outcome(&result), started.elapsed());
            }
            let pause = match &result {
                Ok(response) if (request.retry_on)(response) => {
                    backoff(attempt).max(response.retry_after().unwrap_or_default())
                }
                Err(HttpError::Connect(_) | HttpError::Proxy(_)) => backoff(attempt),
                Err(HttpError::Interrupted(_)) if request.idempotent => backoff(attempt),
                Err(HttpError::NotProcessed(_))
                    if request.idempotent || !mem::replace(&mut was_refused, true) =>
                {
                    backoff(attempt)
                }
                _ => return result,
            };
            let remaining = deadline.saturating_duration_since(Instant::now());
            if attempt == MAX_ATTEMPTS || pause >= remaining {
                return result;
            }
            let url = request.url.as_str();
            tracing::debug!(url, attempt, ?pause, "retrying a request to the provider");
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn send_once(&self, request: &HttpRequest<'_>) -> Result<HttpResponse, HttpError> {
        #[cfg(feature = "check")]
        let started = Instant::now();
        let mut builder = self
            .client
            .request(request.method.clone(), request.url.clone())
            .header(header::ACCEPT, "application/json");
        builder = match &request.credentials {
            Some(Credentials::Bearer(token)) => builder.bearer_auth(token.expose()),
            Some(Credentials::Basic(id, secret)) => builder.basic_auth(id, Some(&**secret)),
            None => builder,
        };
        if let Some(form) = &request.form {
            builder = builder
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.as_bytes().to_vec());
        }
        let mut response = builder.send().await.map_err(|error| {
            if was_not_processed(&error) {
                HttpError::NotProcessed(error.without_url())
            } else {
                self.classify(error)
            }
        })?;
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
        Ok(HttpResponse {
            status: response.status(),
            headers: mem::take(response.headers_mut()),
            body: body.freeze(),
            #[cfg(feature = "check")]
            took: started.elapsed(),
        })
    }

    fn classify(&self, error: reqwest::Error) -> HttpError {
        let error = error.without_url();
        if error.is_connect() {
            return match TlsError::find(&error) {
                Some(tls) => HttpError::Tls(tls, error),
                None if self.through_proxy => HttpError::Proxy(error),
                None => HttpError::Connect(error),
            };
        }
        if error.is_timeout() {
            return HttpError::TimedOut;
        }
        HttpError::Interrupted(error)
    }
}

/// The value of the metric's `outcome` label.
fn outcome(result: &Result<HttpResponse, HttpError>) -> Outcome {
    match result {
        Ok(response) if response.status.is_success() => Outcome::Success,
        Ok(response) if response.status.is_server_error() => Outcome::Failed,
        Ok(_) => Outcome::Refused,
        Err(_) => Outcome::Unreachable,
    }
}

/// Whether the server says that it has not processed the request (RFC 9113 section 8.7): it refused
/// the stream, or the last stream that its GOAWAY names is an earlier one. For any other stream that
/// ends with the connection, `h2` reports an I/O error. `error` must not come from the body of a
/// response: then the server has processed the request, whatever it says.
fn was_not_processed(error: &(dyn Error + 'static)) -> bool {
    let mut causes = iter::successors(Some(error), |error| (**error).source());
    let error = causes.find_map(|cause| cause.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        let is_refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (error.is_go_away() || is_refused)
    })
}

/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3). A date counts from the `Date` of
/// the response, so that the clocks of provider and machine may differ, or else from `now`.
fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let at = OffsetDateTime::from(httpdate::parse_http_date(text).ok()?);
        let wait = at - date(headers).unwrap_or(now);
        wait.try_into().unwrap_or_default() // the date has passed
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn date(headers: &HeaderMap) -> Option<OffsetDateTime> {
    let text = |name| headers.get(name)?.to_str().ok();
    let date = httpdate::parse_http_date(text(header::DATE)?).ok()?;
    let age = text(header::AGE).and_then(|age| age.trim().parse::<u32>().ok());
    let age = time::Duration::seconds(age.unwrap_or_default().into());
    // A date beyond the calendar is a wrong clock, too, and must be reported as one.
    Some(OffsetDateTime::from(date).saturating_add(age))
}

/// A random pause between half and the whole of 200 ms, 400 ms, 800 ms, so that machines that
/// failed at the same time do not retry at the same time.
fn backoff(attempt: u32) -> Duration {
    let full = FIRST_BACKOFF * 2_u32.saturating_pow(attempt - 1);
    let [jitter] = *random_bytes::<1>();
    full / 2 + full / 2 * u32::from(jitter) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6749 appendix B, and the separator of RFC 7617.
    #[test]
    fn s3_credentials_are_encoded_as_in_a_form() {
        for (text, encoded) in [
            (" %&+\u{a3}\u{20ac}", "+%25%26%2B%C2%A3%E2%82%AC"),
            ("a:b", "a%3Ab"),
            ("%3A", "%253A"),
            ("a b+c", "a+b%2Bc"),
            ("s6BhdRkqt3", "s6BhdRkqt3"),
            ("", ""),
        ] {
            assert_eq!(form_encoded(text), encoded);
        }
    }

    #[test]
    fn p6_retry_after_is_a_number_of_seconds_or_a_date() {
        let now = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap(); // 08:49:37
        let wait = |retry_after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, retry_after.parse().unwrap());
            if let Some(date) = date {
                headers.insert(header::DATE, date.parse().unwrap());
            }
            super::retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        let earlier = Some("Sun, 06 Nov 1994 08:39:37 GMT");
        for (retry_after, date, seconds) in [
            (" 120 ", None, Some(120)),
            ("18446744073709551615", None, Some(3600)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", None, Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", None, Some(60)),
            ("Sun Nov  6 08:50:37 1994", None, Some(60)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", earlier, Some(660)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some("soon"), Some(60)),
            ("Sun, 06 Nov 1994 08:39:37 GMT", None, Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", earlier, Some(3600)),
            ("soon", None, None),
            ("-1", None, None),
            ("1.5", None, None),
            ("", None, None),
        ] {
            assert_eq!(wait(retry_after, date), seconds, "{retry_after}");
        }
    }

    #[test]
    fn a_date_beyond_the_calendar_saturates() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        let mut dated = |name, value: &'static str| {
            headers.insert(name, value.parse().unwrap());
            date(&headers)
        };
        assert_eq!(dated(header::DATE, "soon"), None);
        let end = dated(header::DATE, "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(end.map(OffsetDateTime::year), Some(9999));
        let aged = dated(header::AGE, "4294967295");
        assert_eq!(aged.map(OffsetDateTime::year), Some(9999));
    }

    #[test]
    fn the_pause_doubles_and_never_exceeds_its_maximum() {
        for (attempt, full) in [(1, 200), (2, 400), (3, 800)] {
            for _ in 0..100 {
                let pause = backoff(attempt).as_millis();
                assert!((full / 2..=full).contains(&pause), "{attempt}: {pause}");
            }
        }
    }
}
