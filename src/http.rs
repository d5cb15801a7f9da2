//! The only client for calls to the provider: time-outs, no redirects, a body cap, retries.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
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
}

/// One call, and what may be done about its failure.
pub(crate) struct Call<'a> {
    endpoint: Endpoint,
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
            endpoint,
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
            endpoint,
            url,
            form: Some(form.into()),
            repeat_after,
            idempotent: false,
        }
    }
}

/// A received answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
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
    #[error("no complete answer came within {} seconds", CALL_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the connection broke before the answer was complete")]
    Interrupted(#[source] reqwest::Error),
    #[error("the answer is longer than {MAX_BODY_BYTES} bytes")]
    TooLarge,
}

impl HttpClient {
    /// A client for a provider on the open network, or on `loopback`, where plain http is allowed
    /// and no proxy can help.
    pub(crate) fn new(loopback: bool) -> Result<Self, HttpError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("axum-oten/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            // Repeating is decided here, where it is known what may be repeated.
            .retry(reqwest::retry::never())
            .https_only(!loopback);
        if loopback {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(HttpError::Setup)?;
        Ok(Self { client })
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
            metric::provider_called(call.endpoint, metric_of(&outcome), began.elapsed());
            let pause = match &outcome {
                Ok(answer) if (call.repeat_after)(answer) => {
                    backoff(attempt).max(answer.retry_after.unwrap_or_default())
                }
                Err(HttpError::Connect(_)) => backoff(attempt),
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
        let request = match &call.form {
            None => self.client.get(call.url.clone()),
            Some(form) => self
                .client
                .post(call.url.clone())
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.as_bytes().to_vec()),
        };
        let response = request
            .header(header::ACCEPT, "application/json")
            .send()
            .await
            .map_err(classify)?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let body = read_bounded(response).await?;
        Ok(Answer {
            status,
            retry_after,
            body,
        })
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

async fn read_bounded(mut response: reqwest::Response) -> Result<Bytes, HttpError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(classify)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn classify(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    if error.is_connect() {
        HttpError::Connect(error)
    } else if error.is_timeout() {
        HttpError::TimedOut
    } else {
        HttpError::Interrupted(error)
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3). The form with a date is not used by Oten.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let wait = Duration::from_secs(seconds.trim().parse().ok()?);
    Some(wait.min(MAX_RETRY_AFTER))
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
