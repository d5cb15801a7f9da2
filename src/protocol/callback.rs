use url::form_urlencoded;

use super::error_code::ErrorCode;
use crate::{
    audit::Reason,
    secret::{Secret, constant_time_eq},
};

/// A longer query is rejected unread. Oten's queries are a few hundred bytes long.
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// The parameters of an authorization response (RFC 6749 section 4.1.2, RFC 9207), not checked yet.
#[derive(Debug, Default)]
pub(crate) struct CallbackParameters {
    state: Option<Secret>,
    iss: Option<String>,
    error: Option<ErrorCode>,
    code: Option<Secret>,
}

/// Error returned when an authorization response yields no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallbackError {
    #[error("the query of the callback is longer than {} KiB", MAX_QUERY_BYTES / 1024)]
    TooLong,
    /// RFC 6749 appendix B.
    #[error("the query of the callback is not percent-encoded UTF-8")]
    NotUtf8,
    /// RFC 6749 section 3.1.
    #[error("the callback has more than one `{0}`; look for a proxy that rewrites queries")]
    Repeated(&'static str),
    /// RFC 6749 section 4.1.2. A provider that cannot read the signed request cannot return its
    /// `state`, and sends the error alone. The error is not proven: any client can send it.
    #[error("{}", without_state(.0.as_ref()))]
    MissingState(Option<ErrorCode>),
    /// RFC 6749 section 4.1.2.
    #[error("the callback has neither `code` nor `error`; look for a proxy that rewrites queries")]
    MissingCode,
    /// RFC 9207 section 2.4.
    #[error(
        "the `iss` of the callback is not the provider's issuer; check `issuer`. If it is right, \
         suspect a mix-up attack"
    )]
    Iss,
    /// RFC 9207 section 2.4.
    #[error(
        "the callback has no `iss`, although the discovery document announces one; look for a \
         proxy that rewrites queries"
    )]
    MissingIss,
    /// RFC 6749 section 4.1.2.1.
    #[error("the provider responded with `{0}`; {help}", help = .0.help())]
    ErrorResponse(ErrorCode),
}

impl CallbackError {
    /// Returns the reason that events and error responses name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::TooLong => Reason::CallbackTooLong,
            Self::NotUtf8 => Reason::CallbackNotUtf8,
            Self::Repeated(_) => Reason::CallbackRepeatedParameter,
            Self::MissingState(_) => Reason::CallbackWithoutState,
            Self::MissingCode => Reason::CallbackWithoutCode,
            Self::MissingIss => Reason::CallbackWithoutIss,
            Self::Iss => Reason::CallbackForeignIss,
            Self::ErrorResponse(code) => code.reason(),
        }
    }
}

impl CallbackParameters {
    /// Reads the query. Unknown parameters are ignored (RFC 6749 section 4.1.2).
    pub(crate) fn parse(query: &str) -> Result<Self, CallbackError> {
        if query.len() > MAX_QUERY_BYTES {
            return Err(CallbackError::TooLong);
        }
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name.contains(char::REPLACEMENT_CHARACTER)
                || value.contains(char::REPLACEMENT_CHARACTER)
            {
                return Err(CallbackError::NotUtf8);
            }
            match &*name {
                "state" => set_once(&mut parameters.state, "state", Secret::from(&*value))?,
                "iss" => set_once(&mut parameters.iss, "iss", value.into_owned())?,
                "error" => set_once(&mut parameters.error, "error", ErrorCode::from(&*value))?,
                "code" => set_once(&mut parameters.code, "code", Secret::from(&*value))?,
                _ => {}
            }
        }
        Ok(parameters)
    }

    /// Returns the `state`. The caller compares it before it reads anything else.
    pub(crate) fn state(&self) -> Result<&Secret, CallbackError> {
        self.state
            .as_ref()
            .filter(|state| !state.is_empty())
            .ok_or_else(|| CallbackError::MissingState(self.error.clone()))
    }

    /// Whether the error is one of those that only a silent request gets.
    pub(crate) fn requires_interaction(&self) -> bool {
        let reason = self.error.as_ref().map(ErrorCode::reason);
        reason == Some(Reason::InteractionRequired)
    }

    /// Checks `iss`, then `error`, then returns `code`. The caller has compared `state`.
    pub(crate) fn into_code(
        self,
        issuer: &str,
        iss_announced: bool,
    ) -> Result<Secret, CallbackError> {
        match &self.iss {
            Some(iss) if !constant_time_eq(iss.as_bytes(), issuer.as_bytes()) => {
                return Err(CallbackError::Iss);
            }
            None if iss_announced => return Err(CallbackError::MissingIss),
            _ => {}
        }
        if let Some(error) = self.error {
            return Err(CallbackError::ErrorResponse(error));
        }
        self.code
            .filter(|code| !code.is_empty())
            .ok_or(CallbackError::MissingCode)
    }
}

fn without_state(error: Option<&ErrorCode>) -> String {
    match error {
        Some(code) => format!(
            "the callback has no `state`, and the error `{code}`; {}. If no sign-in fails, ignore it",
            code.help()
        ),
        None => "the callback has no `state`; start the sign-in at the login route".to_owned(),
    }
}

fn set_once<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), CallbackError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(CallbackError::Repeated(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://account.oten.com";

    fn code(query: &str, announced: bool) -> Result<Secret, CallbackError> {
        CallbackParameters::parse(query)?.into_code(ISSUER, announced)
    }

    #[test]
    fn s4_a_repeated_parameter_is_rejected() {
        for name in ["state", "iss", "error", "code"] {
            let rejected = CallbackParameters::parse(&format!("{name}=a&x=1&{name}=a"));
            assert_eq!(rejected.unwrap_err(), CallbackError::Repeated(name));
        }
        assert!(CallbackParameters::parse("other=a&other=b").is_ok());
    }

    #[test]
    fn s4_iss_is_checked_before_error_and_error_before_code() {
        let other_issuer = "state=s&iss=https://evil.example&error=access_denied&code=c";
        assert_eq!(code(other_issuer, false), Err(CallbackError::Iss));
        assert_eq!(
            code("error=access_denied&code=c", true),
            Err(CallbackError::MissingIss)
        );
        let both = format!("iss={ISSUER}&error=access_denied&code=c");
        assert_eq!(
            code(&both, true),
            Err(CallbackError::ErrorResponse(ErrorCode::AccessDenied))
        );
        assert_eq!(code("state=s", false), Err(CallbackError::MissingCode));
        assert_eq!(
            code("state=s&code=", false),
            Err(CallbackError::MissingCode)
        );
        assert_eq!(code("code=c", false), Ok("c".into()));
    }

    #[test]
    fn s11_some_errors_say_that_the_provider_needs_the_user() {
        for (query, expected) in [
            ("state=s&error=login_required", true),
            ("state=s&error=interaction_required", true),
            ("state=s&error=access_denied", false),
            ("state=s&code=c", false),
        ] {
            let parameters = CallbackParameters::parse(query).unwrap();
            assert_eq!(parameters.requires_interaction(), expected, "{query}");
        }
    }

    #[test]
    fn s5_a_callback_without_state_says_what_its_error_means() {
        let message = |query| {
            let parameters = CallbackParameters::parse(query).unwrap();
            parameters.state().unwrap_err().to_string()
        };
        assert!(message("").contains("start the sign-in at the login route"));
        let invalid = message("error=invalid_request");
        assert!(invalid.contains("the error `invalid_request`"), "{invalid}");
    }

    #[test]
    fn b1_hostile_queries_are_rejected_with_an_error() {
        let longest = format!("state={}", "x".repeat(MAX_QUERY_BYTES - "state=".len()));
        assert!(CallbackParameters::parse(&longest).is_ok());
        assert_eq!(
            CallbackParameters::parse(&format!("{longest}x")).unwrap_err(),
            CallbackError::TooLong
        );
        for query in ["state=%ff%fe", "%ff=1"] {
            assert_eq!(
                CallbackParameters::parse(query).unwrap_err(),
                CallbackError::NotUtf8
            );
        }
        for query in ["", "&&&", "=", "state", "state=", "%", "code=%zz"] {
            let parameters = CallbackParameters::parse(query).unwrap();
            assert_eq!(
                parameters.state().unwrap_err(),
                CallbackError::MissingState(None),
                "{query}"
            );
        }
    }
}
