use std::{future::pending, sync::Arc};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

use super::{Endpoint, Fault, core::Core, gate, gzip_bomb::gzip_bomb, server::HangUp, token};

const JSON: &str = "application/json";
const HUGE: usize = 5 * 1024 * 1024;

/// Tells the authorization endpoint to send this error to the callback.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForcedError(pub(super) &'static str);

/// Counts a call, and lets the endpoint answer it unless it is held or a fault is planned.
pub(super) async fn count_and_fail(
    State((core, endpoint)): State<(Arc<Core>, Endpoint)>,
    mut request: Request,
    next: Next,
) -> Response {
    core.calls.count(endpoint);
    gate::pass(&core, endpoint).await;
    let fault = core.state().faults.next(endpoint);
    match fault {
        None => next.run(request).await,
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        Some(Fault::OAuthError(error)) if endpoint == Endpoint::Authorization => {
            request.extensions_mut().insert(ForcedError(error));
            next.run(request).await
        }
        Some(Fault::DelayAfter(delay)) => {
            let response = next.run(request).await;
            tokio::time::sleep(delay).await;
            response
        }
        Some(Fault::Close) => close(line(&request)).await,
        Some(Fault::CloseAfter) => {
            let line = line(&request);
            drop(next.run(request).await);
            close(line).await
        }
        Some(Fault::Hang) => pending().await,
        Some(fault) => answer(fault),
    }
}

fn line(request: &Request) -> Option<HangUp> {
    let info = request.extensions().get::<ConnectInfo<HangUp>>();
    info.map(|ConnectInfo(line)| line.clone())
}

/// Hangs up. A listener that is not ours cannot be told to: then the caller waits in vain.
async fn close(line: Option<HangUp>) -> Response {
    if let Some(line) = line {
        line.hang_up();
    }
    pending().await
}

/// Plays dead while the emulator is stopped; one with its own listener never gets here.
pub(super) async fn refuse_while_stopped(
    State(core): State<Arc<Core>>,
    request: Request,
    next: Next,
) -> Response {
    if core.is_stopped() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    next.run(request).await
}

fn answer(fault: Fault) -> Response {
    match fault {
        Fault::Status(code) => StatusCode::from_u16(code)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response(),
        Fault::TooManyRequests { retry_after } => {
            let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
            if let Some(wait) = retry_after {
                let wait = HeaderValue::from(wait.as_secs());
                response.headers_mut().insert(header::RETRY_AFTER, wait);
            }
            response
        }
        Fault::OAuthError(code) => token::error_response(code, "this is a planned fault"),
        Fault::Body {
            content_type,
            bytes,
        } => body(content_type, bytes),
        Fault::Html => body(
            "text/html",
            "<!doctype html><title>Welcome to the Wi-Fi</title>",
        ),
        Fault::Empty => body(JSON, ""),
        Fault::Huge => body(JSON, format!(r#"{{"padding":"{}"}}"#, "x".repeat(HUGE))),
        Fault::GzipBomb => {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            (encoding, body(JSON, gzip_bomb())).into_response()
        }
        Fault::Redirect(url) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response()
        }
        // These need more than an answer.
        Fault::Delay(_) | Fault::DelayAfter(_) | Fault::Hang | Fault::Close | Fault::CloseAfter => {
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn body(content_type: &'static str, bytes: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, content_type)], bytes.into()).into_response()
}
