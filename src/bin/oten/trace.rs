use std::io::{self, IsTerminal};

use axum::http::Request;
use axum_oten::{Oten, RedactedUri};
use tracing::Span;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// The variable that says what is logged.
const FILTER: &str = "RUST_LOG";

/// Starts the log on stderr: what `RUST_LOG` says, or else `filter`.
pub(crate) fn init(filter: &str) -> Result<(), Failure> {
    let filter = match std::env::var_os(FILTER) {
        None => EnvFilter::new(filter),
        Some(directives) => {
            let directives = directives.to_string_lossy();
            EnvFilter::try_new(directives).map_err(Failure::LogFilter)?
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}

/// The span of a request. The query's values stay out of it: a callback's carry the code.
pub(crate) fn request_span<B>(oten: &Oten, request: &Request<B>) -> Span {
    tracing::info_span!(
        "request",
        method = %request.method(),
        uri = %RedactedUri(request.uri()),
        client = oten.client_address(request).map(tracing::field::display),
    )
}
