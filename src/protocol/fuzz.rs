//! Entry functions of fuzz targets.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::{
    access_token::{self, ExpectedAccessToken},
    callback::CallbackParameters,
    claims::Claims,
    end_session::LogoutRequest,
    id_token::{self, ExpectedIdToken, ExpectedNonce},
    logout_token::{self, ExpectedLogoutToken},
    token::TokenResponse,
};
use crate::{
    config::{Client, ClientType},
    jose::{Algorithm, CompactJws, Header, SigningKey, Verified, VerifyingKey},
    secret::Secret,
};

/// Returns the `state` of a callback's query, and its code if the other parameters are right.
pub fn callback(
    query: &str,
    issuer: &str,
    iss_announced: bool,
) -> Result<(Option<String>, Option<String>), String> {
    let parameters = CallbackParameters::parse(query).map_err(|error| error.to_string())?;
    let state = parameters.state().ok().map(exposed);
    let code = parameters.into_code(issuer, iss_announced);
    Ok((state, code.ok().as_ref().map(exposed)))
}

/// A token response.
#[derive(Debug)]
pub struct TokenAnswer {
    /// `access_token`
    pub access_token: String,
    /// `expires_in`, or its default.
    pub lifetime: Duration,
    /// `refresh_token`
    pub refresh_token: Option<String>,
    /// `id_token`
    pub id_token: Option<String>,
    /// `scope`
    pub scope: Option<String>,
}

/// Reads a token response.
pub fn token_answer(body: &[u8]) -> Option<TokenAnswer> {
    let response = TokenResponse::parse(body).ok()?;
    Some(TokenAnswer {
        access_token: exposed(&response.access_token),
        lifetime: response.lifetime,
        refresh_token: response.refresh_token.as_ref().map(exposed),
        id_token: response.id_token.as_ref().map(exposed),
        scope: response.scope,
    })
}

/// Checks the claims of an ID token of the issuer `https://id.example` for the client `client` with the
/// nonce `nonce` and the access token `token`; returns `sub` and the claims about the user.
pub fn id_token(claims: &[u8], now: i64) -> Result<(String, Map<String, Value>), String> {
    let expected = ExpectedIdToken {
        issuer: "https://id.example",
        client: &client(),
        subject: None,
        nonce: ExpectedNonce::Required(&"nonce".into()),
        auth_time: None,
        access_token: &"token".into(),
        authenticated_since: None,
        now,
    };
    let verified = signed("JWT", claims)?;
    let claims = id_token::check(verified, &expected).map_err(|error| error.to_string())?;
    Ok((claims.sub, claims.other))
}

/// Checks the claims of an access token with this `typ` of the issuer `https://id.example` for the audiences
/// `api` and `orders`; returns the scopes and the time when the token expires.
pub fn access_token(typ: &str, claims: &[u8], now: i64) -> Result<(Vec<String>, i64), String> {
    let expected = ExpectedAccessToken {
        issuer: "https://id.example",
        audiences: &["api".to_owned(), "orders".to_owned()],
        now,
    };
    let verified = signed(typ, claims)?;
    let claims = access_token::check(verified, &expected).map_err(|error| error.to_string())?;
    Ok((claims.scopes, claims.expires_at))
}

fn client() -> Client {
    Client {
        id: "client".into(),
        kind: ClientType::Public,
        published_keys: Vec::new(),
        trusted_audiences: Vec::new(),
    }
}

/// Checks the claims of a logout token of the issuer `https://id.example` for the client `client`;
/// returns `sub`, `sid`, `jti` and the time when the token becomes unacceptable.
pub fn logout_token(
    claims: &[u8],
    now: i64,
) -> Result<(Option<String>, Option<String>, String, i64), String> {
    let expected = ExpectedLogoutToken {
        client: &client(),
        now,
    };
    let verified = signed("logout+jwt", claims)?;
    let claims = logout_token::check(verified, "https://id.example", &expected)
        .map_err(|error| error.to_string())?;
    Ok((claims.sub, claims.sid, claims.jti, claims.expires_at))
}

/// Returns the URL of a logout request at the provider.
pub fn logout_url(endpoint: &Url, client_id: &str, hint: &str, back: &Url, state: &str) -> Url {
    let request = LogoutRequest {
        client_id,
        id_token_hint: Some(&hint.into()),
        return_to: Some((back, &state.into())),
    };
    request.url(endpoint)
}

/// Signs claims with a key that needs little time, and verifies them.
fn signed(typ: &str, claims: &[u8]) -> Result<Verified<Claims>, String> {
    let secret = Secret::from("a secret of at least thirty-two bytes");
    let (key, mut token) = (SigningKey::hs256(&secret), String::new());
    let signed = key.append_jws(&mut token, &key.protected_header(&Header::new(typ)), claims);
    let verified = signed.and_then(|()| {
        CompactJws::parse(&token)?.verify(&VerifyingKey::hs256(&secret), &[Algorithm::Hs256])
    });
    verified.map_err(|error| error.to_string())
}

fn exposed(secret: &Secret) -> String {
    secret.expose().to_owned()
}
