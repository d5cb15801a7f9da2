use std::fmt;

use serde::{Serialize, Serializer};

/// Writes each reason once, as a variant and as a row of the table.
macro_rules! reasons {
    ($($reason:ident: $code:literal, $description:literal, $help:literal;)*) => {
        /// Why a request was refused. The codes never change once published.
        ///
        /// ```
        /// use axum_oten::audit::Reason;
        ///
        /// let reason = Reason::StoreDown;
        /// assert_eq!(reason.code(), "store_down");
        /// assert!(reason.help().contains("session_store"));
        /// // What is not in the table is no reason.
        /// assert!(Reason::all().iter().all(|reason| reason.code() != "bad_mood"));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $description] $reason,)*
        }

        impl Reason {
            /// Every reason there is.
            #[must_use]
            pub fn all() -> &'static [Self] {
                &[$(Self::$reason),*]
            }

            /// The code in the log, in answers to programs and in metrics.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$reason => $code,)*
                }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$reason => $description,)*
                }
            }

            /// What the operator does about it.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self {
                    $(Self::$reason => $help,)*
                }
            }
        }
    };
}

reasons! {
    Setup: "setup",
        "The app or the client's key is not set up correctly.",
        "The `cause` says what is missing; correct the app.";
    NotSignedIn: "not_signed_in",
        "A guest's program asked for what only users may have.",
        "Nothing: it has to sign in.";
    AccessTokenEnded: "access_token_ended",
        "The access token has ended and there is none to renew it with.",
        "Nothing; if it happens often, let the client have refresh tokens.";
    AccessTokenUseless: "access_token_useless",
        "An access token ended within a minute of signing in.",
        "Ask Oten for a longer lifetime of the client's access tokens.";
    NotRefreshed: "not_renewed",
        "The tokens cannot be renewed and the grace is over.",
        "Look for `refresh_failed` before it; `refresh_grace` sets the grace.";
    Forbidden: "forbidden",
        "A user is not allowed to do this.",
        "Nothing, unless the app's rule is wrong.";
    CrossSite: "cross_site",
        "A page of another site wanted to sign a user out.",
        "Nothing; if it comes from this site's own page, correct `redirect_uri`, whose origin counts.";
    MethodNotAllowed: "method_not_allowed",
        "One of the sign-in routes was asked with a method it does not have.",
        "Nothing; correct the link or form if it is this site's own.";
    StoreDown: "store_down",
        "The session store does not answer.",
        "Look after the store that `session_store` names.";
    ProviderDown: "provider_down",
        "The provider's discovery document or keys cannot be had.",
        "Look whether Oten is up and this machine reaches it.";
    ProviderSlow: "provider_slow",
        "The provider took too long to complete a sign-in.",
        "Look at the provider's answer times and the way to it.";
    ProviderDocument: "provider_document",
        "The provider's discovery document or key set is not what it must be.",
        "Look what answers at the issuer's address: often a proxy or a captive portal.";
    IssuerMismatch: "issuer_mismatch",
        "The discovery document speaks for another issuer.",
        "Correct `environment` or `issuer`; else somebody stands between.";
    InsecureEndpoint: "insecure_endpoint",
        "The discovery document names an endpoint without https.",
        "Report it to the provider.";
    UnknownKey: "unknown_key",
        "An ID token is signed with a key that the provider does not publish.",
        "If it stays for more than a minute, report it to the provider.";
    UnknownSignIn: "unknown_sign_in",
        "A callback belongs to no sign-in of its browser, even after a fresh start.",
        "The `cause` says whether cookies came; look for a second host name or a layer that rewrites cookies.";
    SeveralSessionCookies: "several_session_cookies",
        "Two session cookies came with a callback.",
        "Serve the site at the root of a host of its own, or give it another `cookie_name`.";
    CallbackTooLong: "callback_too_long",
        "A callback is longer than any the provider makes.",
        "Nothing: somebody tries something.";
    CallbackNotUtf8: "callback_not_utf8",
        "A callback is not UTF-8.",
        "Nothing: somebody tries something.";
    CallbackRepeatedParameter: "callback_repeated_parameter",
        "A callback has a parameter twice.",
        "Nothing, unless a proxy rewrites queries.";
    CallbackWithoutState: "callback_without_state",
        "A callback has no `state`.",
        "Nothing: mostly somebody opened the address by hand.";
    CallbackWithoutCode: "callback_without_code",
        "A callback has neither `code` nor `error`.",
        "Nothing, unless a proxy rewrites queries.";
    CallbackWithoutIss: "callback_without_iss",
        "A callback lacks the `iss` that the provider announces (RFC 9207).",
        "Nothing, unless a proxy rewrites queries.";
    CallbackForeignIss: "callback_foreign_iss",
        "A callback comes from another provider (RFC 9207).",
        "Somebody tries to mix up providers, or `issuer` is wrong.";
    Cancelled: "cancelled",
        "The user changed their mind at the provider.",
        "Nothing.";
    InteractionRequired: "interaction_required",
        "The provider would have had to ask the user and was told not to.",
        "Leave `prompt = \"none\"` out, or let people sign in first.";
    InvalidGrant: "invalid_grant",
        "The provider does not take the code: too late, or used twice.",
        "Nothing; if it is always so, correct `redirect_uri` or this machine's clock.";
    ProviderError: "provider_error",
        "The provider says that something went wrong there.",
        "Wait; if it stays, report it to the provider.";
    ProviderRefused: "provider_refused",
        "The provider refused with a code that nobody knows.",
        "The `cause` has the code; ask the provider.";
    ClientSetup: "client_setup",
        "The provider does not accept the client or its request.",
        "The `cause` says which setting to compare with Oten's developer portal.";
    TokenEndpointDown: "token_endpoint_down",
        "The token endpoint cannot be reached.",
        "Look whether Oten is up and this machine reaches it.";
    TokenEndpointBusy: "token_endpoint_busy",
        "The client's token requests are used up for now.",
        "Ask for a higher limit, or correct `token_requests_per_minute` and `instances`.";
    TokenResponse: "token_response",
        "The token endpoint's answer is no token response.",
        "Look what answers there: often a proxy.";
    IdTokenMissing: "id_token_missing",
        "There is no ID token in the answer.",
        "Report it to the provider.";
    IdTokenSignature: "id_token_signature",
        "An ID token's signature is not good.",
        "Somebody may stand between; report it to the provider.";
    IdTokenMisshapen: "id_token_misshapen",
        "An ID token lacks what it must have.",
        "Report it to the provider.";
    IdTokenTyp: "id_token_typ",
        "Another kind of token came in an ID token's place.",
        "Report it to the provider.";
    IdTokenIss: "id_token_iss",
        "An ID token is from another issuer.",
        "Correct `environment` or `issuer`; else somebody stands between.";
    IdTokenAud: "id_token_aud",
        "An ID token is for another client.",
        "Correct `client_id`; else somebody tries something.";
    IdTokenAzp: "id_token_azp",
        "An ID token was made for another client.",
        "Correct `client_id`; else somebody tries something.";
    IdTokenExp: "id_token_exp",
        "An ID token has ended.",
        "Set this machine's clock.";
    IdTokenIat: "id_token_iat",
        "An ID token is from the future.",
        "Set this machine's clock.";
    IdTokenNbf: "id_token_nbf",
        "An ID token is not valid yet.",
        "Set this machine's clock.";
    IdTokenNonce: "id_token_nonce",
        "An ID token belongs to another sign-in.",
        "Nothing: somebody tries something.";
    IdTokenSub: "id_token_sub",
        "An ID token is about nobody, or about somebody else than before.",
        "Report it to the provider.";
    IdTokenAtHash: "id_token_at_hash",
        "An ID token came with another access token.",
        "Somebody may stand between; report it to the provider.";
    IdTokenAuthTime: "id_token_auth_time",
        "The user signed in at the provider too long ago for `max_age`, or it does not say when.",
        "Nothing; report it to the provider if it is always so.";
    LogoutRequest: "logout_request",
        "A back-channel logout is no form with one logout token.",
        "Nothing, unless it is the provider's: then report it.";
    LogoutSlow: "logout_slow",
        "A back-channel logout took too long; it may be sent again.",
        "Look at the store and at the way to the provider.";
    LogoutTokenSignature: "logout_token_signature",
        "A logout token's signature is not good.",
        "Nothing: somebody tries something.";
    LogoutTokenUnknownKey: "logout_token_unknown_key",
        "A logout token is signed with a key that the provider does not publish.",
        "If it stays for more than a minute, report it to the provider.";
    LogoutTokenMisshapen: "logout_token_misshapen",
        "A logout token lacks what it must have.",
        "Report it to the provider.";
    LogoutTokenTyp: "logout_token_typ",
        "Another kind of token came in a logout token's place.",
        "Nothing: somebody tries something.";
    LogoutTokenNonce: "logout_token_nonce",
        "A logout token has a `nonce`, as ID tokens have.",
        "Nothing: somebody tries something.";
    LogoutTokenEvents: "logout_token_events",
        "A logout token does not say that it is one.",
        "Nothing: somebody tries something.";
    LogoutTokenIss: "logout_token_iss",
        "A logout token is from another issuer.",
        "Correct `environment` or `issuer`; else somebody tries something.";
    LogoutTokenAud: "logout_token_aud",
        "A logout token is for another client.",
        "Correct the client's logout URI at the provider.";
    LogoutTokenExp: "logout_token_exp",
        "A logout token has ended.",
        "Set this machine's clock.";
    LogoutTokenIat: "logout_token_iat",
        "A logout token is from the future.",
        "Set this machine's clock.";
    LogoutTokenTooOld: "logout_token_too_old",
        "A logout token is too old.",
        "Set this machine's clock; else the provider was late.";
    LogoutTokenJti: "logout_token_jti",
        "A logout token has no usable `jti`.",
        "Report it to the provider.";
    LogoutTokenNamesNobody: "logout_token_names_nobody",
        "A logout token names neither a user nor a session.",
        "Report it to the provider.";
    LogoutTokenReplayed: "logout_token_replayed",
        "A logout token came a second time.",
        "Nothing, unless it is often so: then somebody has seen it.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
