use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use tower_sessions::{Expiry, session::Id};

use crate::{
    config::Config,
    iter::exactly_one,
    secret::{Secret, base64url},
    session::{ATTEMPT_LIFETIME, FORM_LIFETIME},
};

/// Maximum number of cookies that are read per request.
const MAX_COOKIES: usize = 200;

/// The length of the tag in a login cookie's name: 96 bits of a hash.
const TAG_CHARS: usize = 16;

/// The length of [`Secret::random`].
const SECRET_CHARS: usize = 43;

/// The end of the login cookie of a native app.
const NATIVE: &str = ".native";

/// Time during which a login is not restarted again, and a silent one not started again.
const RESTART_LIFETIME: Duration = Duration::minutes(1);

/// Time that the user has to sign out at the provider.
const LOGOUT_LIFETIME: Duration = Duration::minutes(10);

/// Names and attributes of the cookies.
///
/// All cookies are `HttpOnly` and `SameSite=Lax`: browsers withhold `Strict` cookies on the redirect
/// from the provider. Over https they are `Secure` and have a name prefix that prevents other hosts
/// and http pages from setting them (RFC 6265bis section 4.1.3).
#[derive(Debug)]
pub(super) struct Cookies {
    /// The beginning of all names.
    prefix: String,
    session_name: String,
    /// A login cookie's name without the tag of its `state`.
    login_prefix: String,
    restart_name: String,
    silent_name: String,
    logout_name: String,
    form_name: String,
    /// The attributes that all cookies have, with a semicolon before each.
    attributes: String,
    session_lifetime: Duration,
    is_persistent: bool,
}

/// The session cookies of a request: at most one, unless another site set one.
#[derive(Debug, Default)]
pub(super) struct SessionCookies {
    first: Option<Id>,
    /// Needs no memory in most requests.
    others: Vec<Option<Id>>,
}

impl SessionCookies {
    /// The session ID, unless the browser sent several session cookies. If there are several,
    /// another host or path may have set one of them.
    pub(super) fn only(&self) -> Option<Id> {
        self.first.filter(|_| !self.are_several())
    }

    pub(super) fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    pub(super) fn all(&self) -> Vec<Id> {
        let others = self.others.iter().copied().flatten();
        self.first.into_iter().chain(others).collect()
    }
}

/// The cookie that binds a login attempt to the browser.
#[derive(Debug)]
pub(super) struct LoginCookie {
    name: String,
    pub(super) id: Secret,
    /// Seconds since the Unix epoch.
    started_at: i64,
    /// Whether a native app signs its user in, and not this site.
    pub(super) is_native: bool,
}

impl Cookies {
    pub(super) fn new(config: &Config) -> Self {
        let name = format!("{}{}", config.cookie_prefix(), config.cookie_name());
        let secure = if config.secure_cookies() {
            "; Secure"
        } else {
            ""
        };
        let path = match config.base_path() {
            "" => "/",
            base => base,
        };
        Self {
            prefix: format!("{name}_"),
            session_name: config.session_cookie_name(),
            login_prefix: format!("{name}_login_"),
            restart_name: format!("{name}_restart"),
            silent_name: format!("{name}_silent"),
            logout_name: format!("{name}_logout"),
            form_name: format!("{name}_form"),
            attributes: format!("; HttpOnly; SameSite=Lax{secure}; Path={path}"),
            session_lifetime: config
                .session_lifetime()
                .try_into()
                .unwrap_or(Duration::MAX),
            is_persistent: config.persistent_cookie(),
        }
    }

    /// Whether a value of `Set-Cookie` sets or removes one of these cookies.
    pub(super) fn contain(&self, set_cookie: &HeaderValue) -> bool {
        set_cookie.as_bytes().starts_with(self.prefix.as_bytes())
    }

    pub(super) fn sessions(&self, headers: &HeaderMap) -> SessionCookies {
        let named = pairs(headers).filter(|(name, _)| *name == self.session_name);
        let mut ids = named.map(|(_, value)| value.parse().ok());
        SessionCookies {
            first: ids.next().flatten(),
            others: ids.collect(),
        }
    }

    /// The cookie of a session whose expiry the app may have set.
    pub(super) fn session(
        &self,
        id: Id,
        expiry: Option<Expiry>,
        now: OffsetDateTime,
    ) -> HeaderValue {
        let lifetime = match expiry {
            Some(Expiry::OnSessionEnd) => None,
            Some(Expiry::AtDateTime(at)) => {
                let rest = (at - now).max(Duration::ZERO);
                Some(rest.min(self.session_lifetime))
            }
            Some(Expiry::OnInactivity(idle)) if idle <= Duration::ZERO => Some(Duration::ZERO),
            // Only the store knows when the session was used last.
            Some(Expiry::OnInactivity(_)) | None => {
                self.is_persistent.then_some(self.session_lifetime)
            }
        };
        let lifetime = lifetime.map(|lifetime| lifetime.max(Duration::ZERO));
        self.header(&self.session_name, &id.to_string(), lifetime)
    }

    pub(super) fn remove_session(&self) -> HeaderValue {
        self.header(&self.session_name, "", Some(Duration::ZERO))
    }

    pub(super) fn login(
        &self,
        state: &Secret,
        id: &Secret,
        is_native: bool,
        now: OffsetDateTime,
    ) -> HeaderValue {
        let purpose = if is_native { NATIVE } else { "" };
        let value = [id.expose(), ".", &now.unix_timestamp().to_string(), purpose].concat();
        // Twice the lifetime: an open attempt is stored for one lifetime, and its return path for
        // another once the attempt is used.
        let lifetime = (2 * ATTEMPT_LIFETIME).try_into().unwrap_or(Duration::ZERO);
        self.header(&self.login_name(state), &value, Some(lifetime))
    }

    pub(super) fn remove_login(&self, login: &LoginCookie) -> HeaderValue {
        self.header(&login.name, "", Some(Duration::ZERO))
    }

    /// The cookie of the login attempt with this `state`, unless the browser sent several. If there
    /// are several, another host or path may have set one of them.
    pub(super) fn login_for(&self, headers: &HeaderMap, state: &Secret) -> Option<LoginCookie> {
        self.login_named(headers, &self.login_name(state))
    }

    /// The cookie of the login attempt with this [`tag`](Self::tag), under the same condition.
    pub(super) fn login_tagged(&self, headers: &HeaderMap, tag: &str) -> Option<LoginCookie> {
        self.login_named(headers, &[&*self.login_prefix, tag].concat())
    }

    fn login_named(&self, headers: &HeaderMap, name: &str) -> Option<LoginCookie> {
        exactly_one(self.logins(headers).filter(|login| login.name == name))
    }

    /// Returns the part of the cookie's name that differs between login attempts, a hash of `state`.
    pub(super) fn tag<'a>(&self, login: &'a LoginCookie) -> &'a str {
        let tag = login.name.strip_prefix(&self.login_prefix);
        tag.unwrap_or_default()
    }

    /// The cookie that marks the browser after a restarted login. It needs no value and no proof: a
    /// site that sets it causes an error page in place of a restart.
    pub(super) fn restart(&self) -> HeaderValue {
        self.header(&self.restart_name, "1", Some(RESTART_LIFETIME))
    }

    pub(super) fn is_restarted(&self, headers: &HeaderMap) -> bool {
        pairs(headers).any(|(name, _)| name == self.restart_name)
    }

    /// The cookie that marks the browser after a silent sign-in that signed no user in. It needs no value
    /// and no proof: a site that sets it delays the next silent sign-in.
    pub(super) fn silent(&self) -> HeaderValue {
        self.header(&self.silent_name, "1", Some(RESTART_LIFETIME))
    }

    pub(super) fn is_silent_in_vain(&self, headers: &HeaderMap) -> bool {
        pairs(headers).any(|(name, _)| name == self.silent_name)
    }

    pub(super) fn logout(&self, state: &Secret) -> HeaderValue {
        self.header(&self.logout_name, state.expose(), Some(LOGOUT_LIFETIME))
    }

    pub(super) fn remove_logout(&self) -> HeaderValue {
        self.header(&self.logout_name, "", Some(Duration::ZERO))
    }

    /// The `state` of the logout request to the provider, unless the browser sent several.
    pub(super) fn logout_state(&self, headers: &HeaderMap) -> Option<Secret> {
        let named = pairs(headers).filter(|(name, _)| *name == self.logout_name);
        let (_, state) = exactly_one(named)?;
        (!state.is_empty()).then(|| state.into())
    }

    /// The cookie that binds kept forms to the browser.
    pub(super) fn form(&self, browser: &Secret) -> HeaderValue {
        let lifetime = FORM_LIFETIME.try_into().unwrap_or(Duration::ZERO);
        self.header(&self.form_name, browser.expose(), Some(lifetime))
    }

    pub(super) fn remove_form(&self) -> HeaderValue {
        self.header(&self.form_name, "", Some(Duration::ZERO))
    }

    /// The value that binds kept forms to the browser, unless the browser sent several.
    pub(super) fn form_browser(&self, headers: &HeaderMap) -> Option<Secret> {
        let named = pairs(headers).filter(|(name, _)| *name == self.form_name);
        let (_, browser) = exactly_one(named)?;
        let is_ours = browser.len() == SECRET_CHARS && browser.bytes().all(is_base64url);
        is_ours.then(|| browser.into())
    }

    /// The login cookies, oldest first.
    pub(super) fn logins_by_age(&self, headers: &HeaderMap) -> Vec<LoginCookie> {
        let mut logins: Vec<_> = self.logins(headers).collect();
        logins.sort_by_key(|login| login.started_at);
        logins
    }

    fn logins(&self, headers: &HeaderMap) -> impl Iterator<Item = LoginCookie> {
        pairs(headers).filter_map(|(name, value)| {
            let tag = name.strip_prefix(&self.login_prefix)?;
            let is_ours = tag.len() == TAG_CHARS && tag.bytes().all(is_base64url);
            if !is_ours {
                return None;
            }
            let (id, started_at) = value.split_once('.')?;
            let native = started_at.strip_suffix(NATIVE);
            Some(LoginCookie {
                name: name.to_owned(),
                id: id.into(),
                started_at: native.unwrap_or(started_at).parse().ok()?,
                is_native: native.is_some(),
            })
        })
    }

    /// Contains a hash of the state: a cookie's name is visible in more places than its value.
    fn login_name(&self, state: &Secret) -> String {
        let tag = base64url(&Sha256::digest(state.expose())[..TAG_CHARS / 4 * 3]);
        [&*self.login_prefix, &tag].concat()
    }

    fn header(&self, name: &str, value: &str, max_age: Option<Duration>) -> HeaderValue {
        let seconds = max_age.map(|max_age| max_age.whole_seconds().to_string());
        let (max_age, seconds) = match &seconds {
            Some(seconds) => ("; Max-Age=", &**seconds),
            None => ("", ""),
        };
        let cookie = [name, "=", value, &self.attributes, max_age, seconds].concat();
        HeaderValue::try_from(cookie).expect("names and values are ASCII or come from a header")
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The cookies of a request (RFC 6265 section 5.4). Ignores those that are not UTF-8.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            // `trim` removes more characters than browsers do. With one of them in front of
            // `__Host-`, any sibling host may set a cookie of that name.
            pair.trim_matches([' ', '\t']).split_once('=')
        })
        .take(MAX_COOKIES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(redirect_uri: &str, base_path: &str) -> Cookies {
        let config = Config::builder()
            .issuer("http://localhost:9")
            .client_id("client")
            .client_secret("0123456789abcdef0123456789abcdef")
            .base_path(base_path)
            .redirect_uri(redirect_uri)
            .build()
            .unwrap();
        Cookies::new(&config)
    }

    #[test]
    fn b4_no_name_or_path_adds_an_attribute() {
        for text in [
            "/a; Domain=example",
            "/a\r\nSet-Cookie: b=c",
            "/a,b",
            "/a b",
        ] {
            let config = Config::builder().base_path(text).cookie_name(&text[1..]);
            let error = config.build().unwrap_err();
            for key in ["base_path", "cookie_name"] {
                let mut problems = error.problems().iter();
                assert!(
                    problems.any(|problem| problem.key() == key),
                    "{key}: {text}"
                );
            }
        }
    }

    fn sent(cookies: &[&str]) -> HeaderMap {
        let headers = cookies.iter().map(|cookie| {
            let value = HeaderValue::from_bytes(cookie.as_bytes()).unwrap();
            (header::COOKIE, value)
        });
        headers.collect()
    }

    #[test]
    fn b4_the_prefix_follows_scheme_and_base_path() {
        for (redirect_uri, base_path, start, end) in [
            (
                "https://app.example/callback",
                "",
                "__Host-oten_session=",
                "; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=604800",
            ),
            (
                "https://app.example/app/callback",
                "/app",
                "__Secure-oten_session=",
                "; HttpOnly; SameSite=Lax; Secure; Path=/app; Max-Age=604800",
            ),
            (
                "http://127.0.0.1:3000/callback",
                "",
                "oten_session=",
                "; HttpOnly; SameSite=Lax; Path=/; Max-Age=604800",
            ),
        ] {
            let header =
                cookies(redirect_uri, base_path).session(Id(1), None, OffsetDateTime::UNIX_EPOCH);
            let header = header.to_str().unwrap();
            assert!(
                header.starts_with(start) && header.ends_with(end),
                "{header}"
            );
        }
    }

    #[test]
    fn two_session_cookies_name_no_session() {
        let cookies = cookies("http://127.0.0.1:3000/callback", "");
        let (a, b) = (
            format!("oten_session={}", Id(1)),
            format!("oten_session={}", Id(2)),
        );
        assert_eq!(cookies.sessions(&sent(&[&a])).only(), Some(Id(1)));
        assert_eq!(cookies.sessions(&sent(&[&a, &b])).only(), None);
        assert_eq!(
            cookies.sessions(&sent(&[&format!("{a}; {b}")])).only(),
            None
        );
    }

    #[test]
    fn b1_hostile_cookies_are_ignored() {
        let cookies = cookies("http://127.0.0.1:3000/callback", "");
        let good = format!("oten_session={}", Id(7));
        for hostile in [
            "",
            ";;;",
            "=",
            "a",
            "\u{ff}=\u{fe}",
            "oten_login_x=y",
            "x=\"",
            "oten_login_=.1",
        ] {
            let headers = sent(&[hostile, &good]);
            assert_eq!(
                cookies.sessions(&headers).only(),
                Some(Id(7)),
                "{hostile:?}"
            );
            cookies.logins_by_age(&headers);
        }
        for tag in ["\u{e9}", "a b", "\"", "<b>", "a,b", "\u{202e}"] {
            // Also one of the right length.
            for padding in ["", &"x".repeat(TAG_CHARS - tag.len())] {
                let headers = sent(&[&format!("oten_login_{tag}{padding}=id.1")]);
                assert!(cookies.logins_by_age(&headers).is_empty(), "{tag}");
            }
        }
        assert!(
            cookies
                .logins_by_age(&sent(&["oten_login_x=id.1"]))
                .is_empty()
        );
        assert!(cookies.logout_state(&sent(&["oten_logout="])).is_none());
        let mut bytes = HeaderMap::new();
        bytes.append(
            header::COOKIE,
            HeaderValue::from_bytes(b"x=\xff\xfe").unwrap(),
        );
        bytes.append(header::COOKIE, HeaderValue::from_str(&good).unwrap());
        assert_eq!(cookies.sessions(&bytes).only(), Some(Id(7)));
        for id in ["", "x", &"A".repeat(10_000), "oten_session"] {
            assert_eq!(
                cookies
                    .sessions(&sent(&[&format!("oten_session={id}")]))
                    .only(),
                None
            );
        }
    }

    #[test]
    fn b4_white_space_before_the_prefix_is_not_trimmed() {
        let cookies = cookies("https://app.example/callback", "");
        let name = "__Host-oten_session";
        let id = Id(3).to_string();
        assert_eq!(
            cookies.sessions(&sent(&[&format!("{name}={id}")])).only(),
            Some(Id(3))
        );
        for space in [
            "\u{85}", "\u{a0}", "\u{1680}", "\u{2000}", "\u{2028}", "\u{202f}", "\u{3000}",
            "\u{b}", "\u{c}",
        ] {
            let Ok(header) = HeaderValue::from_bytes(format!("{space}{name}={id}").as_bytes())
            else {
                continue; // no server accepts such a request
            };
            let headers = HeaderMap::from_iter([(header::COOKIE, header)]);
            assert_eq!(cookies.sessions(&headers).only(), None, "{space:?}");
        }
    }

    #[test]
    fn s1_a_login_cookie_is_found_by_its_state_only() {
        let cookies = cookies("http://127.0.0.1:3000/callback", "");
        let (state, id) = (Secret::random(), Secret::random());
        let set = cookies.login(&state, &id, false, OffsetDateTime::UNIX_EPOCH);
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        assert!(!pair.contains(state.expose()));
        let headers = sent(&[&pair]);
        assert_eq!(cookies.login_for(&headers, &state).unwrap().id, id);
        assert!(cookies.login_for(&headers, &Secret::random()).is_none());
    }

    /// Returns the headers of a request after these responses.
    fn returned(set: &[HeaderValue]) -> HeaderMap {
        let pairs = set.iter().map(|cookie| {
            let cookie = cookie.to_str().unwrap();
            cookie.split_once(';').unwrap().0
        });
        sent(&pairs.collect::<Vec<_>>())
    }

    #[test]
    fn each_cookie_is_read_as_it_was_set_and_by_its_name_only() {
        let cookies = cookies("http://127.0.0.1:3000/callback", "");
        let now = OffsetDateTime::UNIX_EPOCH;
        let [state, other, secret] = [(); 3].map(|()| Secret::random());
        let id = Id::default();
        let all = [
            cookies.session(id, None, now),
            cookies.restart(),
            cookies.silent(),
            cookies.logout(&state),
            cookies.form(&secret),
            cookies.login(&other, &secret, true, now + Duration::SECOND),
            cookies.login(&state, &secret, false, now),
        ];
        assert!(all.iter().all(|cookie| cookies.contain(cookie)));
        assert!(!cookies.contain(&HeaderValue::from_static("theme=dark")));
        let headers = returned(&all);
        assert_eq!(cookies.sessions(&headers).all(), [id]);
        assert!(cookies.is_restarted(&headers) && cookies.is_silent_in_vain(&headers));
        assert_eq!(cookies.logout_state(&headers).as_ref(), Some(&state));
        assert_eq!(cookies.form_browser(&headers).as_ref(), Some(&secret));
        let login = cookies.login_for(&headers, &state).unwrap();
        assert!(login.id == secret && !login.is_native);
        let tag = cookies.tag(&login);
        assert_eq!(tag.len(), TAG_CHARS);
        assert_eq!(
            cookies.login_tagged(&headers, tag).unwrap().name,
            login.name
        );
        let by_age: Vec<_> = cookies.logins_by_age(&headers).into_iter().collect();
        let are_native: Vec<_> = by_age.iter().map(|login| login.is_native).collect();
        assert_eq!(are_native, [false, true]);

        // None of them is another one.
        for cookie in &all {
            let headers = returned(std::slice::from_ref(cookie));
            let read = [
                !cookies.sessions(&headers).all().is_empty(),
                cookies.is_restarted(&headers),
                cookies.is_silent_in_vain(&headers),
                cookies.logout_state(&headers).is_some(),
                cookies.form_browser(&headers).is_some(),
                !cookies.logins_by_age(&headers).is_empty(),
            ];
            assert_eq!(read.iter().filter(|is_read| **is_read).count(), 1);
        }
    }

    #[test]
    fn a_form_cookie_has_the_length_and_characters_of_a_secret() {
        let cookies = cookies("http://127.0.0.1:3000/callback", "");
        for value in [
            "x".repeat(42),
            "x".repeat(44),
            format!("{}!", "x".repeat(42)),
        ] {
            let headers = sent(&[&format!("oten_form={value}")]);
            assert!(cookies.form_browser(&headers).is_none(), "{value}");
        }
    }

    #[test]
    fn a_session_without_idle_lifetime_removes_its_cookie() {
        let cookies = cookies("http://127.0.0.1:3000/callback", "");
        let now = OffsetDateTime::UNIX_EPOCH;
        let max_age = |idle| {
            let cookie = cookies.session(Id::default(), Some(Expiry::OnInactivity(idle)), now);
            let cookie = cookie.to_str().unwrap().to_owned();
            cookie.rsplit_once("Max-Age=").unwrap().1.to_owned()
        };
        assert_eq!(max_age(Duration::ZERO), "0");
        assert_eq!(max_age(Duration::seconds(-1)), "0");
        assert_eq!(max_age(Duration::SECOND), "604800");
    }
}
