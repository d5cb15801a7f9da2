use std::{
    future::pending,
    io::{self, Read},
    sync::{Arc, LazyLock},
};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, read::GzEncoder};
use http::{HeaderValue, StatusCode, header};
use tokio_util::sync::CancellationToken;

use super::{
    authorize::PlannedError,
    response::{OAuthError, http_date},
};
use crate::emulator::{
    faults::{Endpoint, Fault},
    state::Core,
};

const JSON: &str = "application/json";
const HUGE_BYTES: usize = 5 * 1024 * 1024;
const GZIP_BOMB_BYTES: u64 = 64 * 1024 * 1024;

/// White space and `{}`: valid JSON that compresses about a thousandfold.
static GZIP_BOMB: LazyLock<Bytes> = LazyLock::new(|| {
    let json = io::repeat(b' ').take(GZIP_BOMB_BYTES).chain(&b"{}"[..]);
    let mut gzip = Vec::new();
    GzEncoder::new(json, Compression::fast())
        .read_to_end(&mut gzip)
        .expect("reading from memory does not fail");
    gzip.into()
});

/// Closes the connection of a request when cancelled. The emulator's own listener sets it.
#[derive(Clone)]
pub(crate) struct Connection(pub(crate) CancellationToken);

/// Counts a call, waits while the endpoint is held, and applies the next planned fault.
pub(super) async fn count_and_fail(
    State((core, endpoint)): State<(Arc<Core>, Endpoint)>,
    mut request: Request,
    next: Next,
) -> Response {
    core.count_call(endpoint);
    let holds = core.state().holds.at(endpoint);
    for hold in holds {
        hold.wait_for_release().await;
    }
    let fault = core.state().faults.next(endpoint);
    let Some(fault) = fault else {
        return next.run(request).await;
    };
    let connection = request.extensions().get::<Connection>().cloned();
    match fault {
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        Fault::DelayAfter(delay) => {
            let response = next.run(request).await;
            tokio::time::sleep(delay).await;
            response
        }
        Fault::Rewrite(change) => {
            let (mut parts, body) = next.run(request).await.into_parts();
            let Ok(body) = to_bytes(body, usize::MAX).await else {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            };
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, change(body.into()).into())
        }
        Fault::Hang => pending().await,
        Fault::Close => close(connection).await,
        Fault::CloseAfter => {
            drop(next.run(request).await);
            close(connection).await
        }
        Fault::OAuthError(error) | Fault::OAuthErrorWithStatus(error, _)
            if endpoint == Endpoint::Authorization =>
        {
            request.extensions_mut().insert(PlannedError(error));
            next.run(request).await
        }
        Fault::OAuthError(error) => {
            OAuthError::new(error, "Planned fault of the emulator").into_response()
        }
        Fault::OAuthErrorWithStatus(error, status) => {
            let error = OAuthError::new(error, "Planned fault of the emulator");
            let mut response = error.into_response();
            *response.status_mut() =
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            response
        }
        Fault::Status(status) => StatusCode::from_u16(status)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response(),
        Fault::TooManyRequests { retry_after } => {
            let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
            if let Some(delay) = retry_after {
                let seconds = HeaderValue::from(delay.as_secs());
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
            response
        }
        Fault::TooManyRequestsUntil(delay) => {
            let at = [(header::RETRY_AFTER, http_date(&core, delay))];
            (StatusCode::TOO_MANY_REQUESTS, at).into_response()
        }
        Fault::Body {
            content_type,
            bytes,
        } => body(content_type, bytes),
        Fault::Html => body(
            "text/html",
            "<!doctype html><title>Welcome to the Wi-Fi</title>",
        ),
        Fault::Empty => body(JSON, ""),
        Fault::Huge => {
            let padding = "x".repeat(HUGE_BYTES);
            body(JSON, format!(r#"{{"padding":"{padding}"}}"#))
        }
        Fault::GzipBomb => {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            (encoding, body(JSON, GZIP_BOMB.clone())).into_response()
        }
        Fault::Redirect(url) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response()
        }
    }
}

/// Closes the connection. A foreign listener cannot do so; the caller then waits for a response that
/// never comes.
async fn close(connection: Option<Connection>) -> Response {
    if let Some(Connection(token)) = connection {
        token.cancel();
    }
    pending().await
}

fn body(content_type: &'static str, bytes: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, content_type)], bytes.into()).into_response()
}

/// Responds with 503 while the emulator is stopped. One with a listener of its own receives no
/// requests then.
pub(super) async fn unavailable_while_stopped(
    core: State<Arc<Core>>,
    request: Request,
    next: Next,
) -> Response {
    if core.state().is_stopped {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn gzip_bomb_is_small_and_inflates_to_64_mib_of_json() {
        assert!(GZIP_BOMB.len() < 500 * 1024, "{}", GZIP_BOMB.len());
        let mut inflated = Vec::new();
        GzDecoder::new(&GZIP_BOMB[..])
            .read_to_end(&mut inflated)
            .unwrap();
        assert!(inflated.len() > 64 * 1024 * 1024);
        assert_eq!(inflated.trim_ascii(), b"{}");
    }
}
