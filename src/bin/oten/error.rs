use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use axum_oten::{config::ConfigError, emulator::EmulatorError, jose::PemError};
use thiserror::Error;

const SESSION_KEY_HELP: &str = "set OTEN_SESSION_KEY to the output of `oten keygen session`";

/// Error returned when a command cannot start or cannot finish, with the fix in its text.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{} cannot be read: {error}. Correct the path, or give the user that runs `oten` permission to read the file", .path.display())]
    ReadFile { path: PathBuf, error: io::Error },
    #[error("{} cannot be created: {}", .path.display(), describe_create(.error))]
    CreateFile { path: PathBuf, error: io::Error },
    #[error("the session key {} cannot be read: {error}. Give the user that runs `oten` permission to read the file, or {SESSION_KEY_HELP}", .path.display())]
    ReadSessionKey { path: PathBuf, error: io::Error },
    #[error(
        "the session key {} cannot be created: {error}. Give the user that runs `oten` permission \
         to write to its folder, or {SESSION_KEY_HELP}",
        .path.display()
    )]
    CreateSessionKey { path: PathBuf, error: io::Error },
    #[error("the session key {} is empty. Remove the file; a new key is generated at the next start", .path.display())]
    EmptySessionKey { path: PathBuf },
    #[error("{} {error}. Pass the file with the Ed25519 public key in PEM, as printed by `oten keygen ed25519`", .path.display())]
    PublicKey { path: PathBuf, error: PemError },
    #[error("{} contains no certificate in PEM. Pass a file that begins with `-----BEGIN CERTIFICATE-----`", .0.display())]
    Certificate(PathBuf),
    #[error("{} contains no private key in PEM, or one with a passphrase. Pass the certificate's key, without a passphrase", .0.display())]
    PrivateKey(PathBuf),
    #[error("the certificate in {} and the key in {} do not match: {error}. Pass a certificate and its own key", .certificate.display(), .key.display())]
    TlsIdentity {
        certificate: PathBuf,
        key: PathBuf,
        error: rustls::Error,
    },
    /// Arguments or variables that do not fit together or cannot be parsed.
    #[error("{0}")]
    Arguments(&'static str),
    #[error("cannot write to stdout: {0}")]
    Output(io::Error),
    #[error("the provider's metadata is not available; `oten check` shows the details")]
    Provider(#[from] axum_oten::provider::ProviderError),
    #[error("the authorization request cannot be signed")]
    AuthorizationRequest(#[source] axum_oten::jose::JoseError),
    #[error("the sign-in layer cannot be set up")]
    Oten(#[from] axum_oten::web::SetupError),
    #[error(
        "the session store named by `session_store` cannot be opened; correct the setting, or \
         give the user that runs `oten` permission to write to the store. `oten check` shows the \
         details"
    )]
    Store(#[from] axum_oten::store::StoreError),
    #[error("there is no session store {}. Run the command in the working directory of the site, or set `session_store` to an absolute path", .0.display())]
    NoStore(PathBuf),
    #[error(
        "records in the session store cannot be opened with the session key, so sessions may be missing here. Set `session_key` to the keys of the site, and run the command again"
    )]
    UnsealedRecords,
    #[error("the emulator cannot be set up")]
    Emulator(#[from] EmulatorError),
    #[error("cannot listen on {address}: {}", describe_listen(*.address, .option, .error))]
    Listen {
        address: SocketAddr,
        /// The option that sets the address.
        option: &'static str,
        error: io::Error,
    },
    #[error("the metrics recorder cannot be set up")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
    #[error(
        "stopped by a second signal: requests and token refreshes in progress were interrupted. \
         Allow 30 seconds after the first signal"
    )]
    SecondSignal,
    #[error(
        "this program already serves a page at `{path}`. Choose another path for the redirect URI \
         or the base path, such as `/callback`, and register it"
    )]
    PathTaken { path: String },
    #[error(
        "RUST_LOG is not a valid log filter: {0}. Set it to a filter such as `info,axum_oten=debug`"
    )]
    LogFilter(tracing_subscriber::filter::ParseError),
    #[error("the operating system reported an error: {0}")]
    Runtime(io::Error),
}

impl Error {
    /// Returns a function that converts the error of reading the file at `path`.
    pub(crate) fn read_file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::ReadFile { path, error }
    }
}

fn describe_create(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AlreadyExists => "it already exists, and no file is overwritten. Name another \
                                     file with `--out`, or move that one away"
            .to_owned(),
        ErrorKind::NotFound => {
            "its folder does not exist. Create the folder, or name another file with `--out`"
                .to_owned()
        }
        _ => format!(
            "{error}. Give the user that runs `oten` permission to write to its folder, or name a \
             file in another folder with `--out`"
        ),
    }
}

fn describe_listen(address: SocketAddr, option: &str, error: &io::Error) -> String {
    let next = SocketAddr::new(address.ip(), address.port().wrapping_add(1).max(1024));
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program uses this address. Stop it, or choose another address, such as \
             `{option} {next}`"
        ),
        ErrorKind::PermissionDenied => {
            format!(
                "ports below 1024 need extra privileges. Choose a higher port, such as `{option} \
                 {next}`"
            )
        }
        ErrorKind::AddrNotAvailable => format!(
            "this machine does not have that address. Choose one of its own, such as `{option} \
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
    fn a_listen_error_suggests_another_address() {
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
            let error = Error::Listen {
                address: address.parse().unwrap(),
                option: "--listen",
                error: kind.into(),
            };
            let text = error.to_string();
            assert!(text.contains(address) && text.contains(help), "{text}");
        }
    }
}
