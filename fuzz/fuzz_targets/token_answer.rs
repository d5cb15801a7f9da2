//! Token responses, against a second reading.

#![no_main]

use std::time::Duration;

use axum_oten::fuzz::token_answer;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let answer = token_answer(body);
    let lifetime = answer.as_ref().map(|answer| answer.lifetime);
    assert!(lifetime.is_none_or(|lifetime| lifetime <= Duration::from_secs(86_400)));
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // Fails if a member that is not used has an unusual value.
    let Ok(value) = serde_json::from_slice::<Value>(text) else {
        return;
    };
    let member = |name| value.get(name)?.as_str().filter(|text| !text.is_empty());
    let is_bearer = member("token_type").is_some_and(|it| it.eq_ignore_ascii_case("bearer"));
    let access_token = member("access_token").filter(|_| is_bearer && value.is_object());
    let read = |get: fn(&axum_oten::fuzz::TokenAnswer) -> &Option<String>| {
        answer.as_ref().and_then(|answer| get(answer).as_deref())
    };
    assert_eq!(
        answer.as_ref().map(|answer| &*answer.access_token),
        access_token
    );
    if answer.is_some() {
        assert_eq!(
            read(|answer| &answer.refresh_token),
            member("refresh_token")
        );
        assert_eq!(read(|answer| &answer.id_token), member("id_token"));
        assert_eq!(read(|answer| &answer.scope), member("scope"));
    }
});
