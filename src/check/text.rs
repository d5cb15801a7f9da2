//! How what others sent, and why they could not be asked, is told.

use http::StatusCode;

use crate::{
    error::with_causes,
    http::{HttpError, HttpResponse},
};

/// What was received is repeated up to this many characters.
const LONGEST_QUOTE: usize = 120;

pub(super) const SEE_CONFIGURATION: &str = "see `configuration`";

/// Text from elsewhere: on one line, without anything a terminal would act on, and not too long.
pub(super) fn quoted(text: &str) -> String {
    let mut quote: String = text
        .chars()
        .take(LONGEST_QUOTE)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST_QUOTE).is_some() {
        quote.push('…');
    }
    format!("`{quote}`")
}

/// An error and its causes in one line, which may quote what others sent.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let line = with_causes(error);
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Why there is no answer, and what to do about it.
pub(super) fn no_answer(error: &HttpError) -> (String, String) {
    let help = match error {
        HttpError::Setup(_) => "Let this user read the system's certificates.",
        HttpError::Connect(_) => {
            "Check the address, that this machine's network and firewall let it through, and \
             whether a `proxy` is needed."
        }
        HttpError::Proxy(_) => {
            "Check `proxy`, and that the proxy lets this machine reach the provider."
        }
        HttpError::Tls(fault, _) => return parts(&fault.to_string()),
        HttpError::TimedOut => {
            "Try again; if it goes on, check the network between this machine and the provider."
        }
        HttpError::Interrupted(_) => {
            "Try again; if it goes on, look for what stands between this machine and the provider."
        }
        HttpError::TooLarge => "Check that the address is the provider's.",
    };
    (told(error), help.to_owned())
}

/// What is wrong and its help, of a line that says "what; help".
fn parts(line: &str) -> (String, String) {
    let (message, help) = line.split_once("; ").unwrap_or((line, "check the address"));
    (message.to_owned(), sentence(help))
}

/// An help as a sentence.
pub(super) fn sentence(help: &str) -> String {
    let mut letters = help.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// An answer with another status than expected, and what to do about it.
pub(super) fn unfit_answer(answer: &HttpResponse) -> (String, String) {
    let help = match answer.status {
        StatusCode::NOT_FOUND => "Check the spelling of the issuer.",
        StatusCode::TOO_MANY_REQUESTS => "Try again in a minute.",
        status if status.is_redirection() => {
            "Set the issuer to the address it leads to: redirections are not followed."
        }
        status if status.is_server_error() => {
            "Try again; if it goes on, look at the provider's status page."
        }
        _ => "Check the issuer, and that nothing stands between this machine and the provider.",
    };
    (format!("the answer is {}", answer.status), help.to_owned())
}

/// "a, b and c".
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

/// "1 key", "2 keys".
pub(super) fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_sent_cannot_act_on_the_terminal() {
        let quote = quoted("a\u{1b}[31m\nb");
        assert_eq!(quote, "`a\\u{1b}[31m\\nb`");
        assert!(quoted(&"x".repeat(1_000)).chars().count() < 130);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(count(1, "key"), "1 key");
        assert_eq!(count(0, "key"), "0 keys");
    }
}
