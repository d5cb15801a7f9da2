//! Return paths, against the URL parser of browsers.

#![no_main]

use axum_oten::fuzz::{leads_to, return_to};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use url::Url;

fuzz_target!(|path: &str| {
    let Some(accepted) = return_to(path) else {
        assert!(!is_plain(path));
        return;
    };
    assert_eq!(return_to(&accepted).as_ref(), Some(&accepted));
    assert!(accepted.len() <= 1024 && http::HeaderValue::from_str(&accepted).is_ok());
    for base in [
        "https://app.example/callback",
        "https://app.example/a/b?c#d",
    ] {
        let base = Url::parse(base).unwrap();
        let assert_local = |path: &str| {
            let url = base.join(path).expect(path);
            assert_eq!(url.origin(), base.origin(), "{path:?} leads to {url}");
        };
        assert_local(&accepted);
        // A proxy or a framework may decode the path, and a browser reads the result.
        let mut decoded = accepted.split(['?', '#']).next().unwrap().to_owned();
        for _ in 0..4 {
            assert_local(&decoded);
            assert_local(&decoded.replace('\\', "/"));
            assert_local(&decoded.replace(['\t', '\n', '\r'], ""));
            decoded = percent_decode_str(&decoded)
                .decode_utf8_lossy()
                .into_owned();
        }
        // The browser's route.
        let url = base.join(&accepted).unwrap();
        if url.path() == "/login" {
            assert!(leads_to(path, "/login"));
        }
    }
});

/// Whether a path has only characters and segments that no browser, proxy or framework replaces, also if it is
/// decoded.
fn is_plain(path: &str) -> bool {
    let is_graphic = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    let before_query = path.split(['?', '#']).next().unwrap_or_default();
    let decoded = percent_decode_str(before_query).decode_utf8_lossy();
    let is_one_origin = before_query.starts_with('/') && !decoded.starts_with("//");
    path.len() <= 1024
        && is_one_origin
        && is_graphic(path)
        && is_graphic(&decoded)
        && !decoded.contains(['\\', '%'])
        && !decoded
            .split('/')
            .any(|segment| segment == "." || segment == "..")
}
