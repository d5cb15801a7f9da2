use std::{borrow::Cow, fmt};

use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// The maximum length of a path in bytes.
const MAX_BYTES: usize = 1024;

/// The number of times that percent-encoding is decoded to find a hidden destination.
const MAX_DECODINGS: usize = 4;

/// A local path to return to after the sign-in. It begins with one slash and leads to this site,
/// regardless of how a browser, a proxy or a framework decodes it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ReturnTo(String);

impl ReturnTo {
    /// Parses a path and its query. Returns `None` if the path is not local. Percent-encodes
    /// characters outside ASCII, which are invalid in a URL (RFC 3986 section 2).
    pub(crate) fn parse(path: &str) -> Option<Self> {
        // Spaces and control characters are valid only if they are encoded.
        if path.contains(|c: char| c == ' ' || c.is_control()) {
            return None;
        }
        // `CONTROLS` is the smallest set; characters outside ASCII are always encoded.
        let ascii = utf8_percent_encode(path, CONTROLS).to_string();
        if ascii.len() > MAX_BYTES {
            return None;
        }
        // Only the path determines the destination; `?next=https://…` is data.
        let mut path = Cow::from(split(path).0);
        for _ in 0..MAX_DECODINGS {
            if !is_local(&path) {
                return None;
            }
            let decoded = percent_decode_str(&path).decode_utf8().ok()?;
            if decoded == path {
                return Some(Self(ascii));
            }
            path = decoded.into_owned().into();
        }
        None
    }

    /// Returns the path without its query.
    pub(crate) fn path(&self) -> &str {
        split(&self.0).0
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns whether a path begins with one slash and contains nothing that a browser or a proxy turns
/// into a second one. Browsers read `\` as `/` and remove tabs and newlines (WHATWG URL, "basic URL
/// parser").
fn is_local(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains("//")
        && !path.contains('\\')
        && !path.split('/').any(|segment| segment == "..")
        && path.chars().all(is_harmless)
}

/// Rejects control characters, white space except for the space, invisible characters, characters
/// that change the text direction, and characters that normalization turns into a slash.
fn is_harmless(c: char) -> bool {
    let deceptive = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}'
        | '\u{fe68}' | '\u{ff0f}' | '\u{ff3c}');
    !deceptive && !c.is_control() && (c == ' ' || !c.is_whitespace())
}

/// Splits a path from its query and fragment.
fn split(path: &str) -> (&str, &str) {
    path.split_at(path.find(['?', '#']).unwrap_or(path.len()))
}

impl From<ReturnTo> for String {
    fn from(return_to: ReturnTo) -> Self {
        return_to.0
    }
}

impl TryFrom<String> for ReturnTo {
    type Error = &'static str;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        Self::parse(&path).ok_or("not a local path")
    }
}

impl fmt::Debug for ReturnTo {
    /// Omits the query, which may be private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s8_local_paths_are_unchanged() {
        for path in [
            "/",
            "/profile?tab=x",
            "/a/b/c",
            "/a?next=https://other.example/",
            "/a?next=%2F%2Fother.example",
            "/a#part",
            "/caf%C3%A9",
            "/a%20b",
            "/100%25",
            "/a?q=a//b\\c",
            "/a%3Fb",
            "/.well-known/x",
        ] {
            assert_eq!(ReturnTo::parse(path).expect(path).as_str(), path);
        }
    }

    #[test]
    fn s8_characters_outside_ascii_are_encoded() {
        let parsed = ReturnTo::parse("/café?q=größe").unwrap();
        assert_eq!(parsed.as_str(), "/caf%C3%A9?q=gr%C3%B6%C3%9Fe");
        assert_eq!(ReturnTo::parse(parsed.as_str()), Some(parsed));
        // The limit applies to the encoded text.
        assert_eq!(ReturnTo::parse(&format!("/{}", "é".repeat(342))), None);
    }

    #[test]
    fn s8_all_other_paths_are_rejected() {
        let long = format!("/{}", "a".repeat(MAX_BYTES));
        for path in [
            "",
            " ",
            "evil.example",
            "https://evil.example",
            "HTTPS://evil.example",
            "https:evil.example",
            "http:/evil.example",
            "//evil.example",
            "///evil.example",
            "////evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/ /evil.example",
            "/\0/evil.example",
            "/\u{b}/evil.example",
            "/\u{85}/evil.example",
            "/\u{a0}/evil.example",
            "/%2fevil.example",
            "/%2Fevil.example",
            "%2f%2fevil.example",
            "%2F/evil.example",
            "/%5cevil.example",
            "/%5Cevil.example",
            "/%09/evil.example",
            "/%0a/evil.example",
            "/%0d%0aLocation:%20https://evil.example",
            "/%00/evil.example",
            "/%3f%2f..%2f%2fevil.example",
            "/%23%2f%2fevil.example",
            "/%252fevil.example",
            "/%25252fevil.example",
            "/%2525252525252fevil.example",
            "/%255cevil.example",
            "/%c0%af/evil.example",
            "/%ff",
            "/a//evil.example",
            "/..//evil.example",
            "/../evil.example",
            "/a/%2e%2e/%2e%2e//evil.example",
            "/.%2e/evil",
            "/%e2%80%8b/evil.example",
            "/\u{200b}/evil.example",
            "/\u{202e}/evil.example",
            "/\u{2044}evil.example",
            "/\u{ff0f}evil.example",
            "/%EF%BC%8Fevil.example",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "?next=/a",
            "#part",
            ".",
            "./a",
            "../a",
            "@evil.example",
            "/?a=\u{7}",
            &long,
        ] {
            assert_eq!(ReturnTo::parse(path), None, "{path:?}");
        }
    }
}
