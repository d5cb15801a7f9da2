use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::{Map, Value};

use super::{
    problem::{Invalid, invalid},
    validate::{distinct_words, one_of},
};

/// The maximum length of all names and values together, in bytes. The request object with them has to
/// fit into a URL.
const MAX_BYTES: usize = 2048;

/// The maximum length of a parameter's name.
const MAX_NAME_BYTES: usize = 64;

pub(crate) const MAX_MAX_AGE: Duration = Duration::from_secs(365 * 86_400);

/// The prompts that can be combined (OpenID Connect Core 1.0 section 3.1.2.1).
const PROMPTS: [&str; 3] = ["login", "consent", "select_account"];

/// The options that have a setter and a rule of their own.
const OPTIONS: [&str; 5] = [LOGIN_HINT, UI_LOCALES, MAX_AGE, PROMPT, "acr_values"];

pub(crate) const LOGIN_HINT: &str = "login_hint";

/// The query parameter of the login route that asks for another account.
pub(crate) const SWITCH_ACCOUNT: &str = "switch_account";

/// The query parameter of the login route that asks the user to authenticate again, with the maximum time
/// since then in seconds.
pub(crate) const FRESH: &str = "fresh";

pub(super) const UI_LOCALES: &str = "ui_locales";
pub(super) const MAX_AGE: &str = "max_age";
pub(super) const PROMPT: &str = "prompt";

/// The names that no option can have: the parameters of authorization requests, token requests and
/// responses (RFC 6749, RFC 7636, OpenID Connect Core), the claims of request objects (RFC 9101), the
/// parameters that would change the form of either, and those of the login route.
const RESERVED: [&str; 32] = [
    "aud",
    "claims",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "error",
    "exp",
    FRESH,
    "grant_type",
    "iat",
    "iss",
    "jti",
    "nbf",
    "nonce",
    "redirect_uri",
    "registration",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "restart",
    "return_to",
    "scope",
    "state",
    "sub",
    SWITCH_ACCOUNT,
    "target_link_uri",
];

/// Options of one sign-in, for [`Login::start`](crate::web::Login::start).
///
/// They are parameters of the authorization request (OpenID Connect Core section 3.1.2.1), in the
/// request object if the client signs one. Each replaces the value in the configuration, except
/// `max_age`, of which the shorter applies. An empty value counts as unset. All names and values together
/// may have 2048 bytes.
///
/// ```
/// use axum_oten::web::LoginOptions;
/// use std::time::Duration;
///
/// let options = LoginOptions::new()
///     .login_hint("alice@example.com")
///     .ui_locales("de-CH de")
///     .max_age(Duration::from_secs(300))
///     .parameter("workspace", "example");
/// assert!(options.check().is_ok());
///
/// // The protocol's own parameters and line breaks are rejected.
/// assert!(LoginOptions::new().parameter("state", "chosen").check().is_err());
/// assert!(LoginOptions::new().login_hint("alice\n").check().is_err());
/// ```
///
/// # What is verified
///
/// With `max_age` or `prompt=login`, the ID token must have an `auth_time` that shows it: the user
/// authenticated at most that long before the sign-in started, or after it started. With `prompt=login`
/// alone, the request also has `max_age=0`, because the provider need not send `auth_time` otherwise.
///
/// The provider may ignore all other options. In particular, `acr_values` requests a
/// voluntary claim (OpenID Connect Core section 5.5.1.1): an ID token with another `acr` or with none is
/// accepted.
///
/// An option holds for the sign-in that it starts, and the user may as well sign in without it, at the
/// login route. A page that depends on an option must check the user:
/// [`User::authenticated_at`](crate::User::authenticated_at), or `user.claim("acr")` in
/// [`RequireLogin::authorize`](crate::web::RequireLogin::authorize).
#[derive(Clone, Default)]
#[must_use]
pub struct LoginOptions {
    /// By name. No value is empty.
    values: BTreeMap<String, String>,
    /// The first value that was rejected.
    invalid: Option<InvalidLoginOption>,
}

/// Error returned when an option of [`LoginOptions`] is rejected. It never quotes the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the login option `{name}` {message}. {help}")]
pub struct InvalidLoginOption {
    name: String,
    pub(super) message: String,
    pub(super) help: String,
}

impl LoginOptions {
    /// Returns options without any value.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the user to expect, such as an email address. The provider may fill it in; the user may
    /// sign in as another one.
    pub fn login_hint(self, hint: impl AsRef<str>) -> Self {
        self.with(LOGIN_HINT, hint.as_ref())
    }

    /// Sets the preferred languages for the provider's pages, best first, separated by spaces, such as
    /// `de-CH de en`.
    pub fn ui_locales(self, locales: impl AsRef<str>) -> Self {
        self.with(UI_LOCALES, locales.as_ref())
    }

    /// Sets the maximum time since the user last authenticated at the provider, in whole seconds, up to
    /// 365 days. With zero, the user must authenticate.
    pub fn max_age(self, age: Duration) -> Self {
        self.with(MAX_AGE, &age.as_secs().to_string())
    }

    /// Sets what the provider must prompt for: `login`, `consent` and `select_account`, separated by
    /// spaces, or `none` alone.
    ///
    /// `none` makes the sign-in silent: if the provider would have to show a page, the browser returns
    /// to the page without a sign-in. See [`Login`](crate::web::Login).
    pub fn prompt(self, prompt: impl AsRef<str>) -> Self {
        self.with(PROMPT, prompt.as_ref())
    }

    /// Requests one of these authentication contexts, best first, separated by spaces.
    pub fn acr_values(self, values: impl AsRef<str>) -> Self {
        self.with("acr_values", values.as_ref())
    }

    /// Sets a parameter that has no method of its own.
    ///
    /// The name has at most 64 letters, digits, `-`, `.` and `_`. The parameters of the protocol, such as
    /// `state`, `nonce`, `scope` and the claims of the request object, are rejected.
    pub fn parameter(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.with(name.as_ref(), value.as_ref())
    }

    /// Checks all options. [`Login::start`](crate::web::Login::start) rejects the request if it fails.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidLoginOption`] for the first option that was rejected.
    pub fn check(&self) -> Result<(), InvalidLoginOption> {
        self.invalid.clone().map_or(Ok(()), Err)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        if let Err(Invalid { message, help }) = self.set(name, value) {
            self.invalid.get_or_insert_with(|| InvalidLoginOption {
                name: name.chars().take(MAX_NAME_BYTES).collect::<String>(),
                message,
                help,
            });
        }
        self
    }

    /// Sets an option from outside of the app. Ignores an invalid value.
    pub(crate) fn set_if_valid(&mut self, name: &str, value: &str) {
        let _ = self.set(name, value);
    }

    /// Sets an option, unless its name or its value is invalid.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        check_name(name)?;
        if value.is_empty() {
            self.values.remove(name);
            return Ok(());
        }
        let value = match name {
            PROMPT => prompt(value)?,
            UI_LOCALES => ui_locales(value)?,
            MAX_AGE => seconds(value)?,
            _ if value.contains(char::is_control) => {
                return invalid("contains a control character", "Remove it.");
            }
            _ => value.to_owned(),
        };
        let others = self.values.iter().filter(|(other, _)| *other != name);
        let others: usize = others.map(|(name, value)| name.len() + value.len()).sum();
        if others + name.len() + value.len() > MAX_BYTES {
            let help = format!("All options together may have {MAX_BYTES} bytes.");
            return invalid("is too long", help);
        }
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of `max_age`.
    pub(super) fn given_max_age(&self) -> Option<Duration> {
        let seconds = self.get(MAX_AGE)?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// Whether the provider must show no page.
    pub(crate) fn is_silent(&self) -> bool {
        self.get(PROMPT) == Some("none")
    }

    fn requires_login(&self) -> bool {
        self.get(PROMPT)
            .is_some_and(|prompt| prompt.split(' ').any(|prompt| prompt == "login"))
    }

    /// The maximum time from the user's authentication to the start of the sign-in. The ID token is
    /// checked against it.
    pub(crate) fn verified_max_age(&self) -> Option<Duration> {
        if self.requires_login() {
            Some(Duration::ZERO)
        } else {
            self.given_max_age()
        }
    }

    /// Completes the options with those of the configuration.
    pub(crate) fn over(mut self, defaults: &Self) -> Result<Self, InvalidLoginOption> {
        self.check()?;
        let given = [&self, defaults].map(Self::given_max_age);
        for (name, value) in &defaults.values {
            if !self.values.contains_key(name) {
                self.values.insert(name.clone(), value.clone());
            }
        }
        let max_age = given.into_iter().flatten().min();
        let max_age = max_age.or(self.requires_login().then_some(Duration::ZERO));
        if let Some(max_age) = max_age {
            let seconds = max_age.as_secs().to_string();
            self.values.insert(MAX_AGE.to_owned(), seconds);
        }
        Ok(self)
    }

    /// The options as parameters of a query.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.values.iter();
        values.map(|(name, value)| (&**name, &**value))
    }

    /// The options as claims of a request object, in which only `max_age` is a number (RFC 9101 section
    /// 4).
    pub(crate) fn claims(&self) -> Map<String, Value> {
        let claims = self.parameters().map(|(name, value)| {
            let number = value.parse::<u64>().ok().filter(|_| name == MAX_AGE);
            (name.to_owned(), number.map_or(value.into(), Value::from))
        });
        claims.collect()
    }
}

/// Prints the names only: values may be private.
impl fmt::Debug for LoginOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// Accepts the name of an option: one of [`OPTIONS`], or a name that the protocol does not use.
pub(super) fn check_name(name: &str) -> Result<(), Invalid> {
    if OPTIONS.contains(&name) {
        return Ok(());
    }
    // `param-name` of RFC 6749 section 8.2.
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_name_byte) {
        return invalid(
            "is not the name of a parameter",
            format!("Use at most {MAX_NAME_BYTES} letters, digits, `-`, `.` and `_`."),
        );
    }
    // In any case, because some providers ignore it.
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&&*lower) || OPTIONS.contains(&&*lower) {
        return invalid(
            "is a parameter of the protocol or of the login route",
            format!("Use another name; {} are options.", one_of(&OPTIONS)),
        );
    }
    Ok(())
}

pub(super) fn prompt(text: &str) -> Result<String, Invalid> {
    let prompts = distinct_words(text)?;
    let are_known = prompts.iter().all(|prompt| PROMPTS.contains(prompt));
    if prompts != ["none"] && (prompts.is_empty() || !are_known) {
        return invalid(
            "is not a prompt",
            format!(
                "Write {}, several of them, or `none` alone.",
                one_of(&PROMPTS)
            ),
        );
    }
    Ok(prompts.join(" "))
}

pub(super) fn ui_locales(text: &str) -> Result<String, Invalid> {
    let locales = distinct_words(text)?;
    let is_subtag =
        |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_tag = |locale: &&str| locale.split('-').all(is_subtag);
    if locales.is_empty() || !locales.iter().all(is_tag) {
        return invalid(
            "is not a list of language tags",
            "Write tags like `de-CH de en`, separated by spaces.",
        );
    }
    Ok(locales.join(" "))
}

fn seconds(text: &str) -> Result<String, Invalid> {
    // `u64::from_str` would also accept a plus sign.
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u64>() {
        Ok(seconds) if is_digits && seconds <= MAX_MAX_AGE.as_secs() => Ok(seconds.to_string()),
        _ => invalid(
            "is not a number of seconds up to 365 days",
            "Write it in digits.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Option<String> {
        let mut options = LoginOptions::new();
        options.set(name, value).ok()?;
        options.get(name).map(str::to_owned)
    }

    #[test]
    fn s10_no_option_overwrites_a_parameter_of_the_protocol() {
        // Written out, so that a name that is taken off the list is missed.
        let reserved = "aud claims client_assertion client_assertion_type client_id client_secret code \
            code_challenge code_challenge_method code_verifier error exp fresh grant_type iat iss jti nbf nonce \
            redirect_uri registration request request_uri response_mode response_type restart return_to scope \
            state sub switch_account target_link_uri";
        assert_eq!(reserved.split(' ').count(), RESERVED.len());
        for name in reserved.split(' ') {
            for name in [name.to_owned(), name.to_uppercase()] {
                let options = LoginOptions::new().parameter(&name, "x");
                assert!(options.check().is_err(), "{name}");
                assert_eq!(options.parameters().count(), 0, "{name}");
            }
        }
        for name in [
            "",
            "a b",
            "a&b",
            "a=b",
            "a\"b",
            "ä",
            "Prompt",
            &"a".repeat(65),
        ] {
            assert_eq!(set(name, "x"), None, "{name}");
        }
        assert_eq!(set(&"a".repeat(64), "x").as_deref(), Some("x"));
        assert_eq!(
            set("x-Workspace_1.id", "ä \"b\"").as_deref(),
            Some("ä \"b\"")
        );
    }

    #[test]
    fn s10_every_value_is_checked_and_bounded() {
        for (name, value) in [
            ("login_hint", "a\nb"),
            ("login_hint", "\u{0}"),
            ("workspace", "a\u{85}b"),
            ("acr_values", "a\tb"),
            ("ui_locales", "de_CH"),
            ("ui_locales", " "),
            ("ui_locales", "de de"),
            ("prompt", "none login"),
            ("prompt", "never"),
            ("prompt", " "),
            ("max_age", "-1"),
            ("max_age", "+1"),
            ("max_age", "1.5"),
            ("max_age", "1h"),
            ("max_age", "31536001"),
            ("max_age", "99999999999999999999"),
        ] {
            assert_eq!(set(name, value), None, "{name}: {value:?}");
        }
        for (name, value, kept) in [
            (
                "login_hint",
                "Ann Ö. <a@example.com>",
                "Ann Ö. <a@example.com>",
            ),
            ("ui_locales", "de-CH  en", "de-CH en"),
            ("prompt", "consent login", "consent login"),
            ("max_age", "031536000", "31536000"),
            ("acr_values", "urn:mfa gold", "urn:mfa gold"),
        ] {
            assert_eq!(set(name, value).as_deref(), Some(kept), "{name}");
        }
        let longest = "x".repeat(MAX_BYTES - "login_hint".len());
        let options = LoginOptions::new().login_hint(&longest);
        assert!(options.check().is_ok());
        // The same option again, but no other one.
        assert!(options.clone().login_hint(&longest).check().is_ok());
        assert!(options.parameter("a", "b").check().is_err());
        assert!(
            LoginOptions::new()
                .login_hint(longest + "x")
                .check()
                .is_err()
        );
    }

    #[test]
    fn s10_the_error_names_the_option_and_quotes_no_value() {
        let options = LoginOptions::new().prompt("secret").login_hint("a");
        let error = options.check().unwrap_err().to_string();
        assert!(
            error.contains("`prompt`") && !error.contains("secret"),
            "{error}"
        );
        let options = LoginOptions::new().login_hint("alice@example.com");
        assert_eq!(format!("{options:?}"), "{\"login_hint\"}");
    }

    #[test]
    fn s10_an_empty_value_counts_as_unset() {
        let options = LoginOptions::new()
            .login_hint("a")
            .login_hint("")
            .prompt("");
        assert!(options.check().is_ok());
        assert_eq!(options.parameters().count(), 0);
    }

    #[test]
    fn s10_the_shorter_max_age_applies() {
        let age = |seconds| LoginOptions::new().max_age(Duration::from_secs(seconds));
        let none = LoginOptions::new;
        let login = || none().prompt("login");
        for (options, defaults, sent, verified) in [
            (none(), none(), None, None),
            (none(), age(60), Some(60), Some(60)),
            (age(30), age(60), Some(30), Some(30)),
            (age(90), age(60), Some(60), Some(60)),
            (age(90), none(), Some(90), Some(90)),
            (login(), none(), Some(0), Some(0)),
            (none(), login(), Some(0), Some(0)),
            (login(), age(60), Some(60), Some(0)),
        ] {
            let label = format!("{options:?} over {defaults:?}");
            let options = options.over(&defaults).unwrap();
            let [sent, verified] = [sent, verified].map(|age| age.map(Duration::from_secs));
            assert_eq!(options.given_max_age(), sent, "{label}");
            assert_eq!(options.verified_max_age(), verified, "{label}");
        }
    }
}
