//! The cookies of a request, against the crate `cookie`.

#![no_main]

use std::{str, sync::LazyLock};

use axum_oten::{Config, fuzz, tower_sessions::session::Id};
use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, header::COOKIE};
use libfuzzer_sys::fuzz_target;

static SECURE: LazyLock<Config> = LazyLock::new(|| config("https://app.example/callback"));
static LOCAL: LazyLock<Config> = LazyLock::new(|| config("http://127.0.0.1:3000/callback"));

/// Returns a configuration of a site with this callback.
fn config(redirect_uri: &str) -> Config {
    let builder = Config::builder()
        .issuer("http://localhost:9")
        .client_id("client")
        .client_secret("0123456789abcdef0123456789abcdef")
        .redirect_uri(redirect_uri);
    builder.build().expect("the configuration is valid")
}

// Each line is a header.
fuzz_target!(|lines: &[u8]| {
    let values = lines.split(|byte| *byte == b'\n');
    let values: Vec<_> = values
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect();
    let headers: HeaderMap = values.iter().map(|value| (COOKIE, value.clone())).collect();
    for (config, prefix) in [(&*SECURE, "__Host-"), (&*LOCAL, "")] {
        let read = fuzz::cookies(config, &headers, "state");
        if read.session.is_some() {
            assert_eq!(read.sessions.as_slice(), read.session.as_slice());
        }
        if let Some((sessions, logout, is_restarted)) = second_reading(&values, prefix) {
            let ids: Vec<_> = sessions
                .iter()
                .filter_map(|id| id.parse::<Id>().ok())
                .collect();
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            assert_eq!(read.sessions, ids);
            assert_eq!(
                read.session.is_some(),
                sessions.len() == 1 && ids.len() == 1
            );
            assert_eq!(read.is_restarted, is_restarted);
            let only = (logout.len() == 1).then(|| logout[0].clone());
            assert_eq!(read.logout_state, only.filter(|state| !state.is_empty()));
        }
        let set = fuzz::login_cookie(config, "state");
        let set = Cookie::parse(set.to_str().unwrap()).unwrap();
        assert_eq!(
            (set.http_only(), set.same_site(), set.path()),
            (Some(true), Some(SameSite::Lax), Some("/"))
        );
        assert_eq!(
            (set.secure().is_some(), set.domain()),
            (!prefix.is_empty(), None)
        );
        if read.logins == 0 {
            let (mut headers, pair) = (headers.clone(), format!("{}={}", set.name(), set.value()));
            headers.append(COOKIE, pair.parse().unwrap());
            let all = headers
                .get_all(COOKIE)
                .iter()
                .flat_map(|header| header.as_bytes());
            if all.filter(|byte| **byte == b'=').count() <= 200 {
                assert_eq!(
                    fuzz::cookies(config, &headers, "state").login.as_deref(),
                    Some("id")
                );
            }
        }
    }
});

/// Returns the values of the session and logout cookies, and whether there is a restart cookie; `None` if the
/// crate has other rules for one of the headers: about white space, names without characters, and bytes that are
/// not ASCII.
fn second_reading(
    headers: &[HeaderValue],
    prefix: &str,
) -> Option<(Vec<String>, Vec<String>, bool)> {
    let (mut sessions, mut logouts, mut is_restarted) = (Vec::new(), Vec::new(), false);
    for header in headers {
        let text = str::from_utf8(header.as_bytes()).ok()?;
        let is_other = [" =", "= ", "\t=", "=\t"]
            .iter()
            .any(|part| text.contains(part));
        if is_other || !text.is_ascii() || text.matches('=').count() * headers.len() > 200 {
            return None;
        }
        for cookie in Cookie::split_parse(text).flatten() {
            match cookie.name().strip_prefix(prefix) {
                Some("oten_session") => sessions.push(cookie.value().to_owned()),
                Some("oten_logout") => logouts.push(cookie.value().to_owned()),
                Some("oten_restart") => is_restarted = true,
                _ => {}
            }
        }
    }
    Some((sessions, logouts, is_restarted))
}
