//! The query of the login route: the browser gets to the provider or sees an error, and the links back stay on
//! the site.

#![no_main]

use axum_oten_fuzz::{ISSUER, form, get, values};
use http::header;
use libfuzzer_sys::fuzz_target;
use url::Url;

// The word ISSUER stands for the issuer of the provider.
fuzz_target!(|query: &str| {
    let query = query.replace("ISSUER", &ISSUER);
    let query = query.split('#').next().unwrap_or_default();
    let Some(response) = get(&format!("/login?{query}"), "") else {
        return;
    };
    let pairs = form(query.as_bytes());
    let iss = values(&pairs, "iss");
    let is_restarted = values(&pairs, "restart").len() == 1;
    let Some(location) = response.headers().get(header::LOCATION) else {
        assert!(response.status().is_client_error(), "{}", response.status());
        assert!(is_restarted || !iss.is_empty() && iss != [&**ISSUER]);
        assert_local(response.body());
        return;
    };
    assert!(response.status().is_redirection() && !is_restarted && iss.len() <= 1);
    if let Some(Ok(iss)) = iss.first().map(|iss| Url::parse(iss)) {
        assert_eq!(iss.as_str().trim_end_matches('/'), *ISSUER);
    }
    let url = Url::parse(location.to_str().unwrap()).unwrap();
    assert_eq!(url.origin(), Url::parse(&ISSUER).unwrap().origin());
    assert_eq!(url.path(), "/authorize");
    let sent = form(url.query().unwrap().as_bytes());
    for (name, value) in [
        ("client_id", "client"),
        ("redirect_uri", "https://app.example/callback"),
        ("response_type", "code"),
    ] {
        assert_eq!(values(&sent, name), [value]);
    }
    // The page of a login that the user cancels leads back to where it began.
    let [state] = values(&sent, "state")[..] else {
        panic!("{url}");
    };
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    let cancelled = format!("/callback?error=access_denied&state={state}");
    let page = get(&cancelled, cookie.split(';').next().unwrap()).unwrap();
    assert_eq!(page.status(), 200);
    assert_local(page.body());
});

/// Asserts that the links of a page, and the paths to return to in them, stay on the site.
fn assert_local(page: &str) {
    let base = Url::parse("https://app.example/callback").unwrap();
    let links = page.split("href=\"").skip(1);
    for link in links.filter_map(|rest| rest.split('"').next()) {
        let url = base.join(&link.replace("&#38;", "&")).unwrap();
        assert_eq!(url.origin(), base.origin(), "{link}");
        for path in values(
            &form(url.query().unwrap_or_default().as_bytes()),
            "return_to",
        ) {
            assert_eq!(base.join(path).unwrap().origin(), base.origin(), "{path}");
        }
    }
}
