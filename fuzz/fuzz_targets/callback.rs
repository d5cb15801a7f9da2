//! The query of the callback, against a second reading.

#![no_main]

use axum_oten::fuzz::callback;
use axum_oten_fuzz::{form, values, visit};
use libfuzzer_sys::fuzz_target;

const ISSUER: &str = "https://id.example";

fuzz_target!(|query: &str| {
    let pairs = form(query.as_bytes());
    for iss_announced in [false, true] {
        match callback(query, ISSUER, iss_announced) {
            Ok((state, code)) => {
                for name in ["state", "iss", "error", "code"] {
                    assert!(values(&pairs, name).len() <= 1, "{name}");
                }
                let sent = values(&pairs, "state")
                    .into_iter()
                    .find(|state| !state.is_empty());
                assert_eq!(state.as_deref(), sent);
                if let Some(code) = code {
                    assert_eq!(values(&pairs, "code"), [&*code]);
                    assert_eq!(values(&pairs, "error"), [""; 0]);
                    match values(&pairs, "iss")[..] {
                        [] => assert!(!iss_announced),
                        ref issuers => assert_eq!(*issuers, [ISSUER]),
                    }
                }
            }
            Err(error) => assert!(!error.is_empty()),
        }
    }
    let status = visit(&format!("/callback?{query}"), "");
    assert!(status.is_none_or(|status| !status.is_success()));
});
