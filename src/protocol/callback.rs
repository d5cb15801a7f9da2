use url::form_urlencoded;

use super::ErrorCode;
use crate::audit::Reason;
use crate::secret::{Secret, constant_time_eq};

/// A longer query is refused unread. Oten's has some hundred bytes.
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// The parameters of an authorization response (RFC 6749 section 4.1.2, RFC 9207), none of them
/// believed yet.
#[derive(Debug, Default)]
pub(crate) struct CallbackParameters {
    state: Option<Secret>,
    iss: Option<String>,
    error: Option<ErrorCode>,
    code: Option<Secret>,
}

/// Why an authorization response is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallbackError {
    #[error("the callback's query is longer than {MAX_QUERY_BYTES} bytes")]
    TooLong,
    #[error("the callback's query is not percent-encoded UTF-8")]
    NotUtf8,
    #[error("the callback's parameter `{0}` appears twice")]
    Repeated(&'static str),
    #[error("the callback has no `state`")]
    NoState,
    #[error("the callback has neither `code` nor `error`")]
    NoCode,
    #[error(
        "the callback's `iss` is not the provider's: the answer comes from another provider \
         (RFC 9207)"
    )]
    ForeignIssuer,
    #[error("the callback has no `iss` although the provider announces one (RFC 9207)")]
    NoIssuer,
    #[error("the provider refused: {0}")]
    Refused(ErrorCode),
}

impl CallbackError {
    /// Returns the reason that events and answers name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::TooLong => Reason::CallbackTooLong,
            Self::NotUtf8 => Reason::CallbackNotUtf8,
            Self::Repeated(_) => Reason::CallbackRepeatedParameter,
            Self::NoState => Reason::CallbackWithoutState,
            Self::NoCode => Reason::CallbackWithoutCode,
            Self::NoIssuer => Reason::CallbackWithoutIss,
            Self::ForeignIssuer => Reason::CallbackForeignIss,
            Self::Refused(code) => code.reason(),
        }
    }
}

impl CallbackParameters {
    /// Reads the query. Parameters we do not know are passed over, as RFC 6749 section 4.1.2 asks;
    /// one we know must not appear twice (section 3.1).
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
                "state" => once(&mut parameters.state, "state", Secret::from(&*value))?,
                "iss" => once(&mut parameters.iss, "iss", value.into_owned())?,
                "error" => once(&mut parameters.error, "error", ErrorCode::from(&*value))?,
                "code" => once(&mut parameters.code, "code", Secret::from(&*value))?,
                _ => {}
            }
        }
        Ok(parameters)
    }

    /// The `state`, the first thing to look at.
    pub(crate) fn state(&self) -> Result<&Secret, CallbackError> {
        self.state
            .as_ref()
            .filter(|state| !state.is_empty())
            .ok_or(CallbackError::NoState)
    }

    /// The code, once `state` is known to be ours: first `iss`, then `error`, then `code`.
    pub(crate) fn into_code(
        self,
        issuer: &str,
        iss_announced: bool,
    ) -> Result<Secret, CallbackError> {
        match &self.iss {
            Some(iss) if !constant_time_eq(iss.as_bytes(), issuer.as_bytes()) => {
                return Err(CallbackError::ForeignIssuer);
            }
            None if iss_announced => return Err(CallbackError::NoIssuer),
            _ => {}
        }
        if let Some(error) = self.error {
            return Err(CallbackError::Refused(error));
        }
        self.code
            .filter(|code| !code.is_empty())
            .ok_or(CallbackError::NoCode)
    }
}

fn once<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), CallbackError> {
    match place.replace(value) {
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
    fn s4_a_repeated_parameter_is_malformed() {
        for name in ["state", "iss", "error", "code"] {
            let refusal = CallbackParameters::parse(&format!("{name}=a&x=1&{name}=a"));
            assert_eq!(refusal.unwrap_err(), CallbackError::Repeated(name));
        }
        assert!(CallbackParameters::parse("other=a&other=b").is_ok());
    }

    #[test]
    fn s4_iss_comes_before_error_and_error_before_code() {
        let foreign = "state=s&iss=https://evil.example&error=access_denied&code=c";
        assert_eq!(code(foreign, false), Err(CallbackError::ForeignIssuer));
        assert_eq!(
            code("error=access_denied&code=c", true),
            Err(CallbackError::NoIssuer)
        );
        let both = format!("iss={ISSUER}&error=access_denied&code=c");
        assert_eq!(
            code(&both, true),
            Err(CallbackError::Refused(ErrorCode::AccessDenied))
        );
        assert_eq!(code("state=s", false), Err(CallbackError::NoCode));
        assert_eq!(code("state=s&code=", false), Err(CallbackError::NoCode));
        assert_eq!(code("code=c", false), Ok("c".into()));
    }

    #[test]
    fn b1_hostile_queries_are_refused_in_words() {
        let long = format!("state={}", "x".repeat(MAX_QUERY_BYTES));
        assert_eq!(
            CallbackParameters::parse(&long).unwrap_err(),
            CallbackError::TooLong
        );
        assert_eq!(
            CallbackParameters::parse("state=%ff%fe").unwrap_err(),
            CallbackError::NotUtf8
        );
        for query in ["", "&&&", "=", "state", "state=", "%", "code=%zz"] {
            let parameters = CallbackParameters::parse(query).unwrap();
            assert_eq!(
                parameters.state().unwrap_err(),
                CallbackError::NoState,
                "{query}"
            );
        }
    }
}
