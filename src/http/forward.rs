//! Forwarding of requests to an API, with both bodies streamed.

use std::{
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    select,
    sync::Notify,
    time::{Instant, Sleep, sleep},
};
use url::Url;

use super::{HttpClient, HttpError, OutgoingBody};

/// Limit for a pause of a body, and for the response to begin after the request has been sent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Error returned when an API gives no response, or breaks it off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("nothing was transferred for {} seconds", IDLE_TIMEOUT.as_secs())]
    Stalled,
    #[error("the server switched to another protocol, for which the request did not ask")]
    UnaskedUpgrade,
    #[error("the session has ended")]
    SessionEnded,
    #[error(transparent)]
    Http(#[from] HttpError),
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl HttpClient {
    /// Sends a request once and returns the response as soon as its headers are there.
    pub(crate) async fn forward(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<OutgoingBody>,
    ) -> Result<Response<OutgoingBody>, HttpError> {
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers;
        *request.body_mut() = body;
        let response = self.client.execute(request).await;
        Ok(response.map_err(|error| self.classify(error))?.into())
    }

    /// Like [`forward`](Self::forward), but both bodies are passed on as they come, without their trailers,
    /// and must not stall.
    pub(crate) async fn forward_streaming<B>(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: B,
    ) -> Result<Response<Download>, ForwardError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let progress = Arc::new(Notify::new());
        // With a body, even an empty one, a `GET` would be sent chunked.
        let body = (!body.is_end_stream()).then(|| {
            let (body, progress) = (Mutex::new(body), Arc::clone(&progress));
            OutgoingBody::wrap(Upload { body, progress })
        });
        let mut response = pin!(self.forward(method, url, headers, body));
        let response = loop {
            select! {
                response = &mut response => break response,
                // Each part of the upload begins the limit anew.
                () = progress.notified() => {}
                () = sleep(IDLE_TIMEOUT) => return Err(ForwardError::Stalled),
            }
        };
        let response = response?;
        if response.status().is_informational() {
            return Err(ForwardError::UnaskedUpgrade);
        }
        Ok(response.map(|body| Download {
            body,
            idle: Box::pin(sleep(IDLE_TIMEOUT)),
            is_waiting: true,
            end: None,
        }))
    }
}

/// The body of the forwarded request. The mutex only makes it `Sync`, which reqwest requires.
struct Upload<B> {
    body: Mutex<B>,
    progress: Arc<Notify>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let frame = poll_data(body, cx);
        if frame.is_ready() {
            self.progress.notify_one();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.size_hint()
    }
}

/// The body of the response. It fails if the API sends nothing for [`IDLE_TIMEOUT`], and when the session
/// ends. A client that reads slowly does not count.
pub(crate) struct Download {
    body: OutgoingBody,
    idle: Pin<Box<Sleep>>,
    /// Whether the API has been waited for since the last frame.
    is_waiting: bool,
    end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Download {
    /// Lets the body fail when `end` is ready.
    pub(crate) fn until(self, end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            end: Some(Box::pin(end)),
            ..self
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(end) = &mut this.end
            && end.as_mut().poll(cx).is_ready()
        {
            this.end = None;
            return Poll::Ready(Some(Err(ForwardError::SessionEnded.into())));
        }
        if let Poll::Ready(frame) = poll_data(&mut this.body, cx) {
            this.is_waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if !this.is_waiting {
            this.is_waiting = true;
            this.idle.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
        }
        let idle = this.idle.as_mut().poll(cx);
        idle.map(|()| Some(Err(ForwardError::Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Polls the next frame with data. Trailers are dropped.
fn poll_data<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
    loop {
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if !frame.is_data() => {}
            polled => return polled,
        }
    }
}
