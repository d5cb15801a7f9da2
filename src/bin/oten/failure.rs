use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::PathBuf,
};

use axum_oten::{config::ConfigError, emulator::EmulatorError};
use thiserror::Error;

use crate::{session_key::SessionKeyError, tls::IdentityError};

/// Why the program could not start or go on, with the help, for the one who started it.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{} cannot be read: {error}. Correct the path, or let this user read it", .path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{} cannot be made: {}", .path.display(), why_not_made(.error))]
    NewFile { path: PathBuf, error: io::Error },
    #[error("stdout cannot be written: {0}")]
    Output(io::Error),
    #[error("what the provider says about itself could not be had (`oten check` tells more)")]
    Provider(#[from] axum_oten::provider::ProviderError),
    #[error("the authorization request could not be signed")]
    Request(#[source] axum_oten::jose::JoseError),
    #[error("the sign-in layer could not be set up")]
    Oten(#[from] axum_oten::web::SetupError),
    #[error(transparent)]
    SessionKey(#[from] SessionKeyError),
    #[error(
        "the sessions cannot be kept where `session_store` says; correct it, or let this user \
         write there (`oten check` tells more)"
    )]
    Store(#[from] axum_oten::store::StoreError),
    #[error("the emulator could not be set up")]
    Emulator(#[from] EmulatorError),
    #[error("cannot listen on {address}: {}", why_not(*.address, .error))]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error(
        "OTEN_LISTEN is not an IP address with a port. Write it like `127.0.0.1:3000` or `[::1]:3000`"
    )]
    ListenVariable,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{} {error}. Name the file with the Ed25519 public key in PEM, as `oten keygen ed25519` prints it", .path.display())]
    PublicKey {
        path: PathBuf,
        error: axum_oten::jose::PemError,
    },
    #[error("{0}")]
    Combination(&'static str),
    #[error("cannot show metrics on {address}: {error}. Take another `metrics_listen`")]
    ListenForMetrics {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("the metrics could not be set up")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
    #[error(
        "stopped by a second signal: answers and renewals under way were cut off. Give it 25 \
         seconds after the first one"
    )]
    Hurried,
    #[error(
        "`{path}` is a page of this program already. Choose another path for the redirect URI or \
         the base path, such as `/callback`, and register it"
    )]
    PathTaken { path: String },
    #[error("RUST_LOG is not a log filter: {0}. Set it to something like `info,axum_oten=debug`")]
    LogFilter(tracing_subscriber::filter::ParseError),
    #[error("the operating system refused: {0}")]
    Runtime(io::Error),
}

fn why_not_made(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AlreadyExists => "it exists already, and nothing is overwritten. Name another \
                                     file with `--out`, or move that one away"
            .to_owned(),
        ErrorKind::NotFound => {
            "its folder does not exist. Create the folder, or name another file with `--out`"
                .to_owned()
        }
        _ => format!(
            "{error}. Let this user write into its folder, or name a file in another one with \
             `--out`"
        ),
    }
}

fn why_not(address: SocketAddr, error: &io::Error) -> String {
    let next = SocketAddr::new(address.ip(), address.port().wrapping_add(1).max(1024));
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program listens there. Stop it, or take another address, such as \
             `--listen {next}`"
        ),
        ErrorKind::PermissionDenied => {
            format!("this user may not. Take a port from 1024 on, such as `--listen {next}`")
        }
        ErrorKind::AddrNotAvailable => format!(
            "this machine does not have that address. Take one it has, such as `--listen \
             127.0.0.1:{}`",
            address.port()
        ),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_had_comes_with_a_cure() {
        for (address, kind, help) in [
            (
                "127.0.0.1:3000",
                ErrorKind::AddrInUse,
                "--listen 127.0.0.1:3001",
            ),
            (
                "127.0.0.1:65535",
                ErrorKind::AddrInUse,
                "--listen 127.0.0.1:1024",
            ),
            (
                "127.0.0.1:80",
                ErrorKind::PermissionDenied,
                "--listen 127.0.0.1:1024",
            ),
            (
                "[2001:db8::1]:3000",
                ErrorKind::AddrNotAvailable,
                "--listen 127.0.0.1:3000",
            ),
        ] {
            let failure = Failure::Listen {
                address: address.parse().unwrap(),
                error: kind.into(),
            };
            let text = failure.to_string();
            assert!(text.contains(address) && text.contains(help), "{text}");
        }
    }
}
