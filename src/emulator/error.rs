use std::io;

use super::Rejection;

/// Why the emulator did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// No listener on 127.0.0.1.
    #[error("the emulator cannot listen on 127.0.0.1")]
    Listen(#[source] io::Error),
    /// The issuer URL of [`mount`](super::EmulatorBuilder::mount) cannot be an issuer.
    #[error("the issuer must be an http or https URL without query and fragment")]
    Issuer,
    /// A registration that the developer portal would not take.
    #[error("client `{client_id}`: {problem}")]
    #[non_exhaustive]
    Client {
        /// The client's id.
        client_id: String,
        /// The rule it breaks.
        problem: &'static str,
    },
    /// Two clients with one id.
    #[error("client `{0}` is registered twice")]
    DuplicateClient(String),
    /// Nobody of this name lives here, or the person was disabled.
    #[error("the emulator knows alice, bob and carol, and `{0}` is not among them or is disabled")]
    UnknownUser(String),
    /// The URL does not point to this emulator's authorization endpoint.
    #[error("not a URL of this emulator's authorization endpoint")]
    NotAnAuthorizationUrl,
    /// The URL does not point to this emulator's end-session endpoint.
    #[error("not a URL of this emulator's end-session endpoint")]
    NotAnEndSessionUrl,
    /// The request breaks a rule of Oten.
    #[error("the request is refused: {0}")]
    Rejected(Rejection),
}
