use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// A longer path is not remembered.
const MAX_BYTES: usize = 1024;

/// Percent-encoding is undone this often in search of something hidden in it.
const MAX_DECODINGS: usize = 4;

/// A path on this site to go to after signing in: it begins with one slash and stays here, however
/// a browser, a proxy or a framework may read it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ReturnTo(String);

impl ReturnTo {
    /// The path, if it is a local one.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        // A space or an umlaut is data when it is encoded; as itself it has no place in a URL.
        let graphic = path.bytes().all(|byte| byte.is_ascii_graphic());
        if path.len() > MAX_BYTES || !graphic {
            return None;
        }
        // Only the path decides where a browser goes; `?next=https://…` is data.
        let mut spelling = Cow::from(split(path).0);
        for _ in 0..MAX_DECODINGS {
            if !is_local(&spelling) {
                return None;
            }
            let decoded = percent_decode_str(&spelling).decode_utf8().ok()?;
            if decoded == spelling {
                return Some(Self(path.to_owned()));
            }
            spelling = decoded.into_owned().into();
        }
        None
    }

    /// The path less its query.
    pub(crate) fn path(&self) -> &str {
        split(&self.0).0
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One slash at the beginning, and nothing that a browser or a proxy turns into another one: they
/// read `\` as `/` and drop tabs and line ends (WHATWG URL, "basic URL parser").
fn is_local(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains("//")
        && !path.contains('\\')
        && !path.split('/').any(|segment| segment == "..")
        && path.chars().all(is_harmless)
}

/// No control characters and no white space but the plain one, nothing that is drawn as nothing or
/// turns the reading direction, and no look-alike that normalisation turns into a slash.
fn is_harmless(c: char) -> bool {
    let deceptive = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}'
        | '\u{fe68}' | '\u{ff0f}' | '\u{ff3c}');
    !deceptive && !c.is_control() && (c == ' ' || !c.is_whitespace())
}

/// A path and what follows it.
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
    /// Its query may be private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s8_local_paths_are_kept_to_the_letter() {
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
    fn s8_everything_else_falls_back() {
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
            "/café",
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
