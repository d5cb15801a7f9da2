use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// The maximum length of a path in bytes.
const MAX_BYTES: usize = 1024;

/// The number of times that percent-encoding is decoded to find a hidden destination.
const MAX_DECODINGS: usize = 4;

/// The characters that a path cannot contain literally, besides those outside ASCII (RFC 3986 section
/// 2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ');

/// The slash, the backslash, which browsers read as a slash, and characters that look like them, which
/// normalization may turn into them.
const SLASHES: [char; 11] = [
    '/', '\\', '\u{2044}', '\u{2215}', '\u{2216}', '\u{29f5}', '\u{29f8}', '\u{29f9}', '\u{fe68}',
    '\u{ff0f}', '\u{ff3c}',
];

/// A local path to return to after the sign-in. It begins with one slash and leads to this site,
/// regardless of how a browser, a proxy or a framework decodes it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ReturnTo(String);

impl ReturnTo {
    /// Parses a path and its query. Returns `None` if the path is not local. Keeps it byte for byte,
    /// but percent-encodes literal spaces and characters outside ASCII, as a browser does.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        // Browsers remove tabs and newlines (WHATWG URL, "basic URL parser").
        if path.contains(char::is_control) {
            return None;
        }
        let ascii = utf8_percent_encode(path, ENCODED).to_string();
        if ascii.len() > MAX_BYTES {
            return None;
        }
        // Only the path determines the destination; `?next=https://…` is data.
        let path = split(&ascii).0;
        let is_local = path.starts_with('/') && !path.contains('\\') && resolve(path).is_some();
        is_local.then_some(Self(ascii))
    }

    /// Returns the path without its query.
    pub(crate) fn path(&self) -> &str {
        split(&self.0).0
    }

    /// Returns whether a browser, a proxy or a framework could find the route under this path: with
    /// other encodings, dot segments or more slashes.
    pub(crate) fn leads_to(&self, route: &str) -> bool {
        let names = |path| {
            let segments = resolve(path).into_iter().flatten();
            segments.filter(|segment| !segment.is_empty())
        };
        names(self.path()).eq(names(route))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the segments of a path after all percent-encoding is decoded, without `.`. Returns `None` if
/// the path could lead to another origin, has a segment `..`, which browsers resolve before they send
/// it, or is encoded more often than any app needs.
fn resolve(path: &str) -> Option<Vec<String>> {
    let mut path = path.to_owned();
    for _ in 0..MAX_DECODINGS {
        let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if decoded == path {
            return segments(&path);
        }
        path = decoded;
    }
    None
}

fn segments(path: &str) -> Option<Vec<String>> {
    let mut segments: Vec<String> = Vec::new();
    for segment in path.strip_prefix('/')?.split(SLASHES) {
        match &segments[..] {
            // After a second slash, or characters that a decoder removes, this would be read as a host.
            [first] if first.chars().all(is_invisible) => return None,
            [] if segment.starts_with(char::is_control) => return None,
            _ => {}
        }
        match segment {
            "." => {}
            ".." => return None,
            _ => segments.push(segment.to_owned()),
        }
    }
    Some(segments)
}

fn is_invisible(c: char) -> bool {
    let is_format = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    is_format || c.is_control() || c.is_whitespace()
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
    use url::Url;

    use super::*;

    /// Paths that an app uses, in the spellings that browsers send.
    const LOCAL: &[&str] = &[
        "/",
        "/profile?tab=x",
        "/a/b/c/",
        "/a;b=c/d@e:f",
        "/a?next=https://other.example/",
        "/a?next=%2F%2Fother.example",
        "/a?next=//other.example",
        "/a?q=a//b\\c",
        "/a?q=%09%0d%0a%00%ff",
        "/?q=%3Cscript%3E",
        "/a#part",
        "/a?b#//c",
        "/.well-known/x",
        "/..a/.b/c..",
        "/100%25",
        "/100%",
        "/%zz",
        "/a%3Fb%23c",
        "/a%2525",
        // White space.
        "/a%20b",
        "/%20a%20",
        "/a%09b",
        "/a/%0A/%0D%0A",
        "/a%C2%A0b",
        "/%E3%80%80a",
        "/a/%E2%80%A8",
        // Characters outside ASCII, joined and invisible ones among them.
        "/caf%C3%A9",
        "/%E6%97%A5%E6%9C%AC/%F0%9F%8D%B1",
        "/%F0%9F%91%A9%E2%80%8D%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7",
        "/%E2%9D%A4%EF%B8%8F",
        "/%D9%85%DB%8C%E2%80%8C%D8%AE%D9%88%D8%A7%D9%87%D9%85",
        "/a/%E2%80%AE/b",
        "/a/%E2%80%8B/b",
        "/a%EF%BB%BF",
        // Bytes that are no UTF-8.
        "/caf%E9",
        "/%ff/%fe",
        "/a/%00/b",
        "/%CE%C4%BC%FE",
        // A decoder that accepts these as a slash reads no host either.
        "/a/%c0%af/b",
        // Slashes after the first segment.
        "/a//b",
        "/a///b//",
        "/a//evil.example",
        "/a/%2Fb",
        "/a/b%2Fc%2fd",
        "/a%2Fb",
        "/a/%5Cb",
        "/a/b%5cc",
        "/a/%2f%2fevil.example",
        "/a/%252f%255c",
        "/https://evil.example",
        "/proxy/https://other.example//x",
        "/1%E2%81%842",
        "/./a/%2e/b",
    ];

    /// Spellings that lead to another origin in some browser, behind some proxy or in some framework.
    const FOREIGN: &[&str] = &[
        "",
        " ",
        "evil.example",
        "https://evil.example",
        "HTTPS://evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:\\\\evil.example",
        "javascript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "?next=/a",
        "#part",
        ".",
        "./a",
        "../a",
        "@evil.example",
        ".evil.example",
        // Two slashes.
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "//evil.example/..",
        "//evil.example/%2f..",
        "//../evil.example",
        "//user@evil.example:80/a",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/\\/evil.example",
        "/a\\..\\\\evil.example",
        " //evil.example",
        // Characters that browsers remove.
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\n/evil.example",
        "/\t\\evil.example",
        "\t//evil.example",
        "\u{0}//evil.example",
        "/\0/evil.example",
        "/\u{b}/evil.example",
        "/\u{7f}/evil.example",
        "/\u{85}/evil.example",
        "/a\r\nLocation: https://evil.example",
        "/?a=\u{7}",
        "/a?b=\r\nc",
        // The same in percent-encoding.
        "/%2fevil.example",
        "/%2F%2Fevil.example",
        "%2f%2fevil.example",
        "%2F/evil.example",
        "/%5cevil.example",
        "/%5C/evil.example",
        "/%09/evil.example",
        "/%0a%2fevil.example",
        "/%0d%0aLocation:%20https://evil.example",
        "/%00",
        "/%00/evil.example",
        "/%252fevil.example",
        "/%25252fevil.example",
        "/%2525252525252fevil.example",
        "/%255cevil.example",
        "/%3f%2f..%2f%2fevil.example",
        // Dot segments.
        "/a/../b",
        "/a/%2e%2E/b",
        "/a/b%2f..%2fc",
        "/.//evil.example",
        "/./%2fevil.example",
        "/%2e//evil.example",
        "/a/..//evil.example",
        "/a/%2e%2e/%2fevil.example",
        "/a%2f..%2f%2fevil.example",
        "/%2fevil.example/%2e%2e",
        "/../evil.example",
        "/..//evil.example",
        "/a/%2e%2e/%2e%2e//evil.example",
        "/.%2e/evil.example",
        // Characters that look like nothing or like a slash.
        "/ /evil.example",
        "/\u{a0}/evil.example",
        "/\u{200b}/evil.example",
        "/\u{202e}/evil.example",
        "/%e2%80%8b/evil.example",
        "/\u{feff}\u{2028}/evil.example",
        "/\u{2044}evil.example",
        "/\u{ff0f}evil.example",
        "/%EF%BC%BCevil.example",
    ];

    #[test]
    fn s8_local_paths_are_unchanged() {
        for &path in LOCAL {
            assert_eq!(ReturnTo::parse(path).expect(path).as_str(), path);
        }
    }

    #[test]
    fn s8_all_other_paths_are_rejected() {
        for &path in FOREIGN {
            assert_eq!(ReturnTo::parse(path), None, "{path:?}");
        }
        let longest = format!("/{}", "a".repeat(MAX_BYTES - 1));
        assert!(ReturnTo::parse(&longest).is_some());
        assert_eq!(ReturnTo::parse(&format!("{longest}a")), None);
    }

    /// The URL parser of browsers is the oracle, also for a path that was decoded on the way.
    #[test]
    fn s8_no_accepted_path_leads_to_another_origin() {
        const PARTS: &[&str] = &[
            "/",
            "\\",
            ".",
            "..",
            "%2e",
            "%2F",
            "%5c",
            "%252f",
            "%09",
            "\n",
            " ",
            "%20",
            "%00",
            ":",
            "@",
            "?",
            "\u{ff0f}",
            "evil.example",
        ];
        let site = Url::parse("https://app.example/callback").unwrap();
        let is_local = |path: &str| {
            site.join(path)
                .is_ok_and(|url| url.origin() == site.origin())
        };
        let mut accepted = 0;
        for number in 0..PARTS.len().pow(4) {
            let part = |place| PARTS[number / PARTS.len().pow(place) % PARTS.len()];
            let path = format!("/{}{}{}{}", part(0), part(1), part(2), part(3));
            let Some(return_to) = ReturnTo::parse(&path) else {
                continue;
            };
            accepted += 1;
            let mut decoded = return_to.path().to_owned();
            for _ in 0..3 {
                assert!(is_local(&decoded), "{path:?} as {decoded:?}");
                decoded = percent_decode_str(&decoded)
                    .decode_utf8_lossy()
                    .into_owned();
            }
            assert!(is_local(return_to.as_str()), "{path:?}");
        }
        assert!(accepted > 10_000, "{accepted}");
        for &path in LOCAL {
            assert!(is_local(path), "{path}");
        }
    }

    #[test]
    fn s8_literal_characters_that_a_url_cannot_contain_are_encoded() {
        for (path, encoded) in [
            ("/café?q=größe", "/caf%C3%A9?q=gr%C3%B6%C3%9Fe"),
            ("/a b ?q=c d", "/a%20b%20?q=c%20d"),
            ("/👩\u{200d}👧", "/%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7"),
        ] {
            let parsed = ReturnTo::parse(path).unwrap();
            assert_eq!(parsed.as_str(), encoded);
            assert_eq!(ReturnTo::parse(encoded), Some(parsed));
        }
        // The limit applies to the encoded text.
        assert_eq!(ReturnTo::parse(&format!("/{}", "é".repeat(342))), None);
    }

    #[test]
    fn s8_a_route_is_found_in_every_spelling() {
        let leads_to = |path: &str, route| ReturnTo::parse(path).unwrap().leads_to(route);
        for path in [
            "/app/login",
            "/app/login/",
            "/app//login",
            "/app/login?return_to=/a",
            "/app/login#a",
            "/./app/login",
            "/%2e/app/%2E/login",
            "/app%2Flogin",
            "/app/%6cogin",
            "/app/%256Cogin",
            "/%61pp/l%6Fgin%2f",
            "/app%5c.%5clogin",
        ] {
            assert!(leads_to(path, "/app/login"), "{path}");
        }
        for path in [
            "/",
            "/app",
            "/login",
            "/app/login/x",
            "/app/log",
            "/x/app/login",
            "/app/Login",
        ] {
            assert!(!leads_to(path, "/app/login"), "{path}");
        }
        assert!(leads_to("/callback", "/callback/"));
    }
}
