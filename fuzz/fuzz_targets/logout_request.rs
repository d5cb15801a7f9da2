//! The form of a back-channel logout, the query of the logout page, and the URL of a logout request at the
//! provider, against a second reading.

#![no_main]

use axum_oten::fuzz::{logout_form, logout_url};
use axum_oten_fuzz::{form, values, visit};
use http::{HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|data: &[u8]| {
    let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    let pairs = form(data);
    let tokens = values(&pairs, "logout_token");
    let only = (tokens.len() == 1 && data.len() <= 32 * 1024).then(|| tokens[0]);
    assert_eq!(logout_form(content_type, data).as_deref(), only);
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let is_form = logout_form(value, b"logout_token=a").is_some();
        let essence = data.split(|byte| *byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii().to_ascii_lowercase();
        assert_eq!(is_form, essence == b"application/x-www-form-urlencoded");
    }

    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let state = values(&pairs, "state").first().copied().unwrap_or_default();
    let status = visit(
        &format!("/logout?{text}"),
        &format!("__Host-oten_logout={state}"),
    );
    assert!(status.is_none_or(|status| status == StatusCode::OK));

    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let Ok(endpoint) = Url::parse(&format!("https://id.example/logout?{}", line())) else {
        return;
    };
    let (client_id, hint, state) = (line(), line(), line());
    let back = Url::parse("https://app.example/logout?a=b&c=d").unwrap();
    let url = logout_url(&endpoint, client_id, hint, &back, state);
    let own = form(endpoint.query().unwrap_or_default().as_bytes());
    let sent = form(url.query().unwrap().as_bytes());
    assert!(
        url.as_str()
            .starts_with(endpoint.as_str().split('#').next().unwrap())
    );
    assert_eq!(sent[..own.len()], own);
    let mut expected = vec![("client_id", client_id)];
    expected.extend((hint.len() <= 6 * 1024).then_some(("id_token_hint", hint)));
    expected.extend([
        ("post_logout_redirect_uri", back.as_str()),
        ("state", state),
    ]);
    let added = sent[own.len()..]
        .iter()
        .map(|(name, value)| (&**name, &**value));
    assert_eq!(added.collect::<Vec<_>>(), expected);
});
