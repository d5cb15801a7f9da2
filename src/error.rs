use std::{error::Error, iter};

/// Received text is cut to this many characters.
const MAX_QUOTE_CHARS: usize = 120;

/// Returns an error and its sources in one line, separated by colons.
// Public for the program `oten`, which prints its errors in the same form.
pub fn with_causes(error: &dyn Error) -> String {
    let errors = iter::successors(Some(error), |error| (**error).source());
    let texts: Vec<String> = errors.map(ToString::to_string).collect();
    texts.join(": ")
}

/// Quotes received text: on one line, without control characters, and not too long.
pub(crate) fn quoted(text: &str) -> String {
    let mut quote: String = text
        .chars()
        .take(MAX_QUOTE_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MAX_QUOTE_CHARS).is_some() {
        quote.push('…');
    }
    format!("`{quote}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_short_and_contain_no_control_characters() {
        let quote = quoted("a\u{1b}[31m\nb");
        assert_eq!(quote, "`a\\u{1b}[31m\\nb`");
        assert!(quoted(&"x".repeat(1_000)).chars().count() < 130);
    }
}
