//! The query of the callback, against a second reading, and its pages, with a login and without.

#![no_main]

use axum_oten::fuzz::callback;
use axum_oten_fuzz::{form, get, start_login, values, visit};
use libfuzzer_sys::fuzz_target;

const ISSUER: &str = "https://id.example";

fuzz_target!(|query: &str| {
    for iss_announced in [false, true] {
        let read = callback(query, ISSUER, iss_announced);
        let expected = expected(query, ISSUER, iss_announced);
        assert_eq!(read.as_ref().ok(), expected.as_ref(), "{read:?}");
    }
    let status = visit(&format!("/callback?{query}"), "");
    assert!(status.is_none_or(|status| !status.is_success()));
    visit_with_login(query);
});

/// Visits the callback with the `state` of a login in place of the query's.
fn visit_with_login(query: &str) {
    let (state, cookie) = start_login();
    let mut sent = format!("state={state}");
    // A browser does not send the fragment.
    for pair in query.split('#').next().unwrap_or_default().split('&') {
        if values(&form(pair.as_bytes()), "state").is_empty() {
            sent = format!("{sent}&{pair}");
        }
    }
    let read = expected(&sent, &axum_oten_fuzz::ISSUER, false);
    if matches!(read, Some((_, Some(_)))) {
        return; // the site would call its provider
    }
    if let Some(page) = get(&format!("/callback?{sent}"), &cookie) {
        // The login was found: without one, the site starts another.
        let is_error = !values(&form(sent.as_bytes()), "error").is_empty();
        let status = page.status();
        assert!(
            status == 400 || is_error && !status.is_redirection(),
            "{status}"
        );
    }
}

/// Returns the `state`, and the code if the other parameters are right. A parameter without a value is absent,
/// except `iss` and `error`.
fn expected(
    query: &str,
    issuer: &str,
    iss_announced: bool,
) -> Option<(Option<String>, Option<String>)> {
    let pairs = form(query.as_bytes());
    let names = ["state", "iss", "error", "code"];
    let [state, iss, error, code] = names.map(|name| values(&pairs, name));
    let is_once = [&state, &iss, &error, &code].iter().all(|it| it.len() <= 1);
    let is_utf8 = !pairs
        .iter()
        .any(|(name, value)| format!("{name}{value}").contains('\u{fffd}'));
    if query.len() > 8 * 1024 || !is_once || !is_utf8 {
        return None;
    }
    let is_issuers = iss.first().map_or(!iss_announced, |iss| *iss == issuer);
    let sent = |values: &[&str]| {
        values
            .first()
            .filter(|it| !it.is_empty())
            .map(|&it| it.to_owned())
    };
    let code = sent(&code).filter(|_| is_issuers && error.is_empty());
    Some((sent(&state), code))
}
