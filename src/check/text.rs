//! Messages about errors and responses, with their help.

use std::error::Error;

use http::StatusCode;

use crate::{
    error::with_causes,
    http::{HttpError, HttpResponse},
};

pub(super) const SEE_CONFIGURATION: &str = "see `configuration`";

pub(super) const CHECK_FOR_PROXY: &str =
    "Check the issuer, and that no proxy responds in place of the provider.";

/// Formats an error and its causes in one line. They may contain received text.
pub(super) fn error_line(error: &dyn Error) -> String {
    with_causes(error).replace(char::is_control, " ")
}

/// Returns why a request got no response, and the help.
pub(super) fn no_response(error: &HttpError) -> (String, String) {
    let help = match error {
        HttpError::Setup(_) => "Allow this user to read the system's certificates.",
        HttpError::Connect(_) => {
            "Check the address, this machine's network and firewall, and whether a `proxy` is needed."
        }
        HttpError::Proxy(_) => {
            "Check `proxy`, and that the proxy allows connections to the provider."
        }
        HttpError::Tls(fault, _) => {
            let line = fault.to_string();
            let (message, help) = line
                .split_once("; ")
                .unwrap_or((&line, "check the address"));
            return (message.to_owned(), sentence(help));
        }
        HttpError::TimedOut => {
            "Try again. If it persists, check the network between this machine and the provider."
        }
        HttpError::Interrupted(_) | HttpError::NotProcessed(_) => {
            "Try again. If it persists, look for a proxy or firewall that closes connections."
        }
        HttpError::TooLarge => "Check that the address is the provider's.",
    };
    (error_line(error), help.to_owned())
}

/// Returns the message and help for a response with an unexpected status.
pub(super) fn unexpected_status(response: &HttpResponse) -> (String, String) {
    let help = match response.status {
        StatusCode::NOT_FOUND => "Check the spelling of the issuer.",
        StatusCode::TOO_MANY_REQUESTS => "Try again in a minute.",
        status if status.is_redirection() => {
            "Set the issuer to the address it redirects to; redirects are not followed."
        }
        status if status.is_server_error() => {
            "Try again. If it persists, see the provider's status page."
        }
        _ => CHECK_FOR_PROXY,
    };
    (
        format!("the response is {}", response.status),
        help.to_owned(),
    )
}

/// Formats a clause as a sentence.
pub(super) fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// Formats a list such as `a, b and c`.
pub(super) fn list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [others @ .., last] => {
            let others: Vec<&str> = others.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", others.join(", "), last.as_ref())
        }
    }
}

/// Formats a number of things, such as `1 key` and `2 keys`.
pub(super) fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(count(1, "key"), "1 key");
        assert_eq!(count(0, "key"), "0 keys");
    }
}
