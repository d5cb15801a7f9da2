use std::fmt;

use serde::{Serialize, Serializer};

/// Generates [`Reason`] and the table in its documentation from one row per reason.
macro_rules! reasons {
    ($($reason:ident = $code:literal, $description:literal, $help:literal;)*) => {
        /// Why a request was rejected.
        ///
        /// Reasons are in `refused` events, in JSON responses and in the label `reason` of metrics. A
        /// published code never changes.
        ///
        /// | reason | description | help |
        /// |---|---|---|
        $(#[doc = concat!("| `", $code, "` | ", $description, " | ", $help, " |")])*
        ///
        /// # Example
        ///
        /// ```
        /// use axum_oten::audit::Reason;
        ///
        /// let reason = Reason::StoreDown;
        /// assert_eq!(reason.code(), "store_down");
        /// assert!(reason.help().contains("session_store"));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $description] $reason,)*
        }

        impl Reason {
            /// All codes, in the order of [`all`](Self::all).
            #[cfg(feature = "metrics")]
            pub(crate) const NAMES: &'static [&'static str] = &[$($code),*];

            /// Returns all reasons.
            #[must_use]
            pub fn all() -> &'static [Self] {
                &[$(Self::$reason),*]
            }

            /// Returns the code in the log, in JSON responses and in metrics, such as `store_down`.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$reason => $code,)*
                }
            }

            /// Returns what is wrong, in one sentence for the operator.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$reason => $description,)*
                }
            }

            /// Returns how the operator can fix it, in a sentence or two.
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
    Setup = "setup",
        "The app or the client's key is not set up correctly.",
        "See `cause` for what is missing, and correct the app.";
    NotSignedIn = "not_signed_in",
        "A request without a session asked for a protected resource.",
        "No action needed: the user has to sign in.";
    AccessTokenEnded = "access_token_ended",
        "The access token has expired and cannot be refreshed.",
        "No action needed. If it happens often, look for `refresh_failed` events; if there are none, \
         enable refresh tokens for the client.";
    AccessTokenUseless = "access_token_useless",
        "An access token expired within a minute of signing in.",
        "Ask the provider to extend the lifetime of the client's access tokens.";
    NotRefreshed = "not_refreshed",
        "The tokens could not be refreshed in time.",
        "Look for the cause in earlier `refresh_failed` events. `refresh_grace` sets the period.";
    Forbidden = "forbidden",
        "The user is not allowed to make this request.",
        "See `cause` for the conditions. No action needed, unless the app's access rule is wrong.";
    LoginTooOld = "login_too_old",
        "A page requires a recent sign-in, and the user authenticated too long ago.",
        "No action needed: the user signs in again.";
    FreshLogin = "fresh_login",
        "The provider did not confirm with `auth_time` that the user has just signed in again.",
        "Check that the provider supports `max_age` and sends `auth_time`, and report it to the provider.";
    AccessCheck = "access_check",
        "The app could not find out whether a user may have access.",
        "See `cause` for the error of the app's function, and check what it depends on, such as a database.";
    CrossSite = "cross_site",
        "A page of another site sent a sign-out request.",
        "No action needed. If the page is the site's own, correct the origin in `redirect_uri`.";
    ForeignOrigin = "foreign_origin",
        "A page of another site opened a WebSocket, or sent a request that changes state.",
        "No action needed. If the page is the site's own, correct the origin in `redirect_uri`. Programs \
         without a browser have to send `Origin`.";
    MethodNotAllowed = "method_not_allowed",
        "A request used a method that the login, callback or logout route does not support.",
        "No action needed. If the link or form is the site's own, correct it.";
    ApiRequest = "api_request",
        "A request cannot be forwarded to the API.",
        "See `cause`. No action needed, unless the request is from the site's own page.";
    NativeRequest = "native_request",
        "A request of a native app has a link that is not configured, or another invalid parameter.",
        "See `cause` for the parameter. Correct the app or `native_links`.";
    NativeSignInUsed = "native_sign_in_used",
        "The sign-in of a native app was confirmed or cancelled before, or took too long.",
        "No action needed: most likely the user opened an old page.";
    NativeCode = "native_code",
        "The code of a native app is unknown, expired, or does not fit the app's other parameters.",
        "See `cause`. If it names `code_verifier`, another app may have intercepted the link.";
    NativeCodeReused = "native_code_reused",
        "A native app's code was used a second time, so its session was ended.",
        "Correct the app if it repeats token requests. Otherwise, suspect that a code was intercepted.";
    SessionRequest = "session_request",
        "A request to end sessions is malformed.",
        "No action needed. If the form is the app's own, correct it.";
    KeptForm = "kept_form",
        "A form that a sign-in interrupted was sent or discarded before, is no longer kept, or is another \
         user's.",
        "No action needed: most likely the user opened an old page.";
    ApiDown = "api_down",
        "The API to which requests are forwarded cannot be reached, or its response is invalid.",
        "See `cause`, and check that the API is up and that this machine can reach it.";
    ApiSlow = "api_slow",
        "The API to which requests are forwarded took too long to respond.",
        "Check the API's response times and the network in between.";
    StoreDown = "store_down",
        "The session store failed or did not answer in time.",
        "Check the store that `session_store` names.";
    ProviderDown = "provider_down",
        "The provider's discovery document or key set could not be fetched.",
        "Check that the provider is up and that this machine can reach it.";
    ProviderSlow = "provider_slow",
        "The provider took too long to complete a sign-in.",
        "Check the provider's response times and the network in between.";
    ProviderDocument = "provider_document",
        "The provider's discovery document or key set is invalid.",
        "Check which server answers at the issuer's address; often it is a proxy or captive portal.";
    IssuerMismatch = "issuer_mismatch",
        "The discovery document names another issuer.",
        "Correct `environment` or `issuer`. If both are correct, the connection may be intercepted.";
    InsecureEndpoint = "insecure_endpoint",
        "The discovery document names an endpoint without https.",
        "Report it to the provider.";
    UnknownKey = "unknown_key",
        "An ID token is signed with a key that the provider does not publish.",
        "If it lasts longer than a minute, report it to the provider.";
    KeyPending = "key_pending",
        "A token is signed with an unknown key, and the key set was fetched less than a minute ago.",
        "No action needed: the key set is fetched again. If it persists, report it to the provider.";
    UnknownSignIn = "unknown_sign_in",
        "A callback matches no login attempt of its browser, and the sign-in is not restarted again.",
        "See `cause`. Look for a layer or proxy that rewrites cookies or queries.";
    LoginRequest = "login_request",
        "A request to sign in names another provider, or the app started it with an invalid option.",
        "See `cause`. If it names an option, correct the app.";
    SeveralSessionCookies = "several_session_cookies",
        "A callback came with two session cookies.",
        "Serve the site at the root of its own host, or set a different `cookie_name`.";
    CallbackTooLong = "callback_too_long",
        "The query of a callback is longer than any that the provider sends.",
        "No action needed: most likely an attack or a faulty browser or script.";
    CallbackNotUtf8 = "callback_not_utf8",
        "The query of a callback is not UTF-8.",
        "No action needed: most likely an attack or a faulty browser or script.";
    CallbackRepeatedParameter = "callback_repeated_parameter",
        "A callback has a parameter twice.",
        "No action needed, unless a proxy rewrites queries.";
    CallbackWithoutState = "callback_without_state",
        "A callback has no `state`.",
        "See `cause` for the error code, if there is one. Otherwise, no action needed: most likely a user \
         opened the address by hand.";
    CallbackWithoutCode = "callback_without_code",
        "A callback has neither `code` nor `error`.",
        "No action needed, unless a proxy rewrites queries.";
    CallbackWithoutIss = "callback_without_iss",
        "A callback lacks the `iss` that the provider announces (RFC 9207).",
        "No action needed, unless a proxy rewrites queries.";
    CallbackForeignIss = "callback_foreign_iss",
        "The `iss` of a callback is another provider's (RFC 9207).",
        "Correct `environment` or `issuer`. If both are right, suspect a mix-up attack.";
    Cancelled = "cancelled",
        "The user cancelled the sign-in, or the provider denied it.",
        "No action needed.";
    InteractionRequired = "interaction_required",
        "The provider needs input from the user, which `prompt=none` does not allow.",
        "Remove `prompt = \"none\"`, or let users sign in interactively first.";
    InvalidGrant = "invalid_grant",
        "The provider rejected a code: it has expired or was used before.",
        "No action needed. If every sign-in fails, correct `redirect_uri` or this machine's clock.";
    ProviderError = "provider_error",
        "The provider reported an error of its own.",
        "Try again later. If it persists, report it to the provider.";
    ProviderRefused = "provider_refused",
        "The provider answered with an unknown error code.",
        "See `cause` for the code, and look it up in the provider's documentation.";
    ClientSetup = "client_setup",
        "The provider rejected the client or its request.",
        "See `cause` for the setting to compare with Oten's developer portal.";
    TokenEndpointDown = "token_endpoint_down",
        "The token endpoint cannot be reached.",
        "Check that the provider is up and that this machine can reach it.";
    TokenEndpointBusy = "token_endpoint_busy",
        "The client, or one address of its users, has used up its token requests for now.",
        "See `cause`: ask for a higher limit, or correct `token_requests_per_minute`, `instances` or \
         `trusted_proxies`.";
    TokenResponse = "token_response",
        "The token endpoint returned an invalid token response.",
        "Check which server answers at the token endpoint; often it is a proxy.";
    SignedOutMeanwhile = "signed_out_meanwhile",
        "The user was signed out during the sign-in, here or by a logout token.",
        "No action needed: the user signs in again.";
    IdTokenMissing = "id_token_missing",
        "The token response has no ID token.",
        "Report it to the provider.";
    IdTokenSignature = "id_token_signature",
        "The signature of an ID token is invalid.",
        "Report it to the provider: the connection may be intercepted.";
    IdTokenMisshapen = "id_token_misshapen",
        "An ID token lacks a required claim, or a claim has the wrong type.",
        "Report it to the provider.";
    IdTokenTyp = "id_token_typ",
        "The token response has another type of token in place of the ID token.",
        "Report it to the provider.";
    IdTokenIss = "id_token_iss",
        "The `iss` of an ID token is another issuer.",
        "Correct `environment` or `issuer`. If both are correct, the connection may be intercepted.";
    IdTokenAud = "id_token_aud",
        "The `aud` of an ID token is not this client alone.",
        "Correct `client_id`. If it is right, suspect an attack.";
    IdTokenAzp = "id_token_azp",
        "The `azp` of an ID token is another client.",
        "Correct `client_id`. If it is right, suspect an attack.";
    IdTokenExp = "id_token_exp",
        "An ID token has expired.",
        "Synchronize this machine's clock.";
    IdTokenIat = "id_token_iat",
        "An ID token was issued in the future.",
        "Synchronize this machine's clock.";
    IdTokenNbf = "id_token_nbf",
        "An ID token is not valid yet.",
        "Synchronize this machine's clock.";
    IdTokenNonce = "id_token_nonce",
        "The `nonce` of an ID token belongs to another login attempt or sign-in.",
        "No action needed: most likely an attack or a faulty browser or script.";
    IdTokenSub = "id_token_sub",
        "The `sub` of an ID token is invalid, or differs from the one at sign-in.",
        "Report it to the provider.";
    IdTokenAtHash = "id_token_at_hash",
        "The `at_hash` of an ID token does not match the access token.",
        "Report it to the provider: the connection may be intercepted.";
    IdTokenAuthTime = "id_token_auth_time",
        "The `auth_time` of an ID token is missing, in the future, older than `max_age` or `prompt=login` \
         allows, or differs from the one at sign-in.",
        "No action needed. If every sign-in fails, report it to the provider.";
    IdTokenSessionExpiry = "id_token_session_expiry",
        "The `session_expiry` of an ID token has passed: the provider allows no further session.",
        "Synchronize this machine's clock. If it is right, report it to the provider.";
    LogoutRequest = "logout_request",
        "A back-channel logout request is not a form with exactly one logout token.",
        "No action needed. If the request came from the provider, report it there.";
    LogoutSlow = "logout_slow",
        "A back-channel logout took too long; the provider may send it again.",
        "Check the session store and the network to the provider.";
    LogoutTokenSignature = "logout_token_signature",
        "The signature of a logout token is invalid.",
        "No action needed: most likely an attack or a faulty browser or script.";
    LogoutTokenUnknownKey = "logout_token_unknown_key",
        "A logout token is signed with a key that the provider does not publish.",
        "If it lasts longer than a minute, report it to the provider.";
    LogoutTokenMisshapen = "logout_token_misshapen",
        "A logout token lacks a required claim, or a claim has the wrong type.",
        "Report it to the provider.";
    LogoutTokenTyp = "logout_token_typ",
        "A back-channel logout request has another type of token in place of the logout token.",
        "No action needed: most likely an attack or a faulty browser or script.";
    LogoutTokenNonce = "logout_token_nonce",
        "A logout token has a `nonce`, so it may be an ID token.",
        "No action needed: most likely an attack or a faulty browser or script.";
    LogoutTokenEvents = "logout_token_events",
        "The `events` of a logout token do not contain a back-channel logout.",
        "No action needed: most likely an attack or a faulty browser or script.";
    LogoutTokenIss = "logout_token_iss",
        "The `iss` of a logout token is another issuer.",
        "Correct `environment` or `issuer`. If both are right, suspect an attack.";
    LogoutTokenAud = "logout_token_aud",
        "The `aud` of a logout token is not this client alone.",
        "Correct the client's logout URI at the provider.";
    LogoutTokenExp = "logout_token_exp",
        "A logout token has expired.",
        "Synchronize this machine's clock.";
    LogoutTokenIat = "logout_token_iat",
        "A logout token was issued in the future.",
        "Synchronize this machine's clock.";
    LogoutTokenTooOld = "logout_token_too_old",
        "A logout token was issued more than ten minutes ago.",
        "Synchronize this machine's clock. If it is right, the provider sent the token too late.";
    LogoutTokenJti = "logout_token_jti",
        "The `jti` of a logout token is empty.",
        "Report it to the provider.";
    LogoutTokenNamesNobody = "logout_token_names_nobody",
        "A logout token has neither a `sub` nor a `sid`.",
        "Report it to the provider.";
    LogoutTokenReplayed = "logout_token_replayed",
        "A logout token was used before.",
        "No action needed. If it happens often, logout tokens may be intercepted.";
    BearerMissing = "bearer_missing",
        "An API request has no access token.",
        "No action needed: the client has to send `Authorization: Bearer`.";
    BearerRequest = "bearer_request",
        "The `Authorization` header of an API request is malformed, too long or repeated.",
        "Correct the client, or the proxy that adds a header.";
    BearerSignature = "bearer_signature",
        "An access token is malformed, or its signature or algorithm is wrong.",
        "No action needed, unless the client is the site's own.";
    BearerUnknownKey = "bearer_unknown_key",
        "An access token is signed with a key that the provider does not publish.",
        "Check that the client uses the same environment.";
    BearerMisshapen = "bearer_misshapen",
        "A claim of an access token is missing or has the wrong type.",
        "See `cause` for the claim, and report it to the provider.";
    BearerKind = "bearer_kind",
        "The token is not an access token, but an ID token, a logout token or another JWT.",
        "Correct the client: it must send its access token.";
    BearerIss = "bearer_iss",
        "An access token is from another issuer.",
        "Check that the client uses the same environment.";
    BearerAud = "bearer_aud",
        "An access token is for another audience.",
        "If the token is meant for this API, add its audience to `audiences`.";
    BearerExp = "bearer_exp",
        "An access token has expired.",
        "No action needed: the client has to get a new one. If it happens often, check the clock.";
    BearerNbf = "bearer_nbf",
        "An access token is not valid yet.",
        "Check this machine's clock.";
    BearerIat = "bearer_iat",
        "An access token was issued in the future.",
        "Check this machine's clock.";
    BearerInactive = "bearer_inactive",
        "The provider says that an access token is not valid.",
        "No action needed: the token has expired, was revoked or is forged.";
    BearerScope = "bearer_scope",
        "An access token lacks a scope that the route requires.",
        "No action needed. The client has to request the scope.";
    BearerValidationDown = "bearer_validation_down",
        "The provider gave no usable answer on whether an access token is valid.",
        "See `cause`. `oten health` shows whether the provider responds.";
    BearerValidationBusy = "bearer_validation_busy",
        "The limit of token validations is used up.",
        "Set `token_validation` to `local` or `auto`, or have the limit raised.";
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
