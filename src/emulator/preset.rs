use serde_json::{Map, Value, json};

use super::{faults::Endpoint, state::grant::Grant};
use crate::secret::{base64url, random_bytes};

/// A provider other than Oten, for [`EmulatorBuilder::preset`](super::EmulatorBuilder::preset).
///
/// The emulator then has the endpoints, metadata, keys and tokens in the form that the provider documents.
/// It shows that a site can use this form, and says nothing about the service itself. The endpoints' hosts,
/// login pages and error texts remain the emulator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// Keycloak: `RS256`, `iss` in callbacks, back-channel logout, access tokens that are JWTs for the
    /// audience `account`, and a key for encryption in the JWK set.
    Keycloak,
    /// Microsoft Entra ID: `RS256`, keys without `alg`, refresh tokens for the scope `offline_access`, and
    /// neither PKCE in its metadata nor `auth_time` in ID tokens.
    Entra,
    /// Google: `RS256`, refresh tokens for the parameter `access_type=offline`, without rotation, and no
    /// sign-out.
    Google,
    /// Zitadel: `RS256`, refresh tokens for the scope `offline_access`, back-channel logout, and the further
    /// audiences `zitadel-api` and `zitadel-project` in ID tokens.
    Zitadel,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Keycloak, Self::Entra, Self::Google, Self::Zitadel];

    /// The settings that a site needs for this provider, in addition to its issuer and its client: their
    /// names in a configuration file, and their values.
    #[must_use]
    pub fn site_settings(self) -> &'static [(&'static str, &'static str)] {
        const ALGORITHM: (&str, &str) = ("id_token_algorithms", "RS256");
        const PLAIN: (&str, &str) = ("jar", "off");
        const OFFLINE: (&str, &str) = ("scopes", "openid profile email offline_access");
        match self {
            Self::Keycloak => &[ALGORITHM, PLAIN],
            Self::Entra => &[ALGORITHM, PLAIN, OFFLINE],
            Self::Google => &[
                ALGORITHM,
                PLAIN,
                ("authorization_parameters", "access_type=offline"),
            ],
            Self::Zitadel => &[
                ALGORITHM,
                PLAIN,
                OFFLINE,
                ("trusted_audiences", "zitadel-api zitadel-project"),
            ],
        }
    }

    /// The path of an endpoint, relative to the issuer.
    pub(super) fn path(self, endpoint: Endpoint) -> &'static str {
        let [
            keys,
            authorization,
            token,
            userinfo,
            validation,
            end_session,
            revocation,
        ] = match self {
            Self::Keycloak => [
                "/protocol/openid-connect/certs",
                "/protocol/openid-connect/auth",
                "/protocol/openid-connect/token",
                "/protocol/openid-connect/userinfo",
                "/protocol/openid-connect/token/introspect",
                "/protocol/openid-connect/logout",
                "/protocol/openid-connect/revoke",
            ],
            Self::Entra => [
                "/discovery/v2.0/keys",
                "/oauth2/v2.0/authorize",
                "/oauth2/v2.0/token",
                "/oidc/userinfo",
                "/oauth2/v2.0/introspect",
                "/oauth2/v2.0/logout",
                "/oauth2/v2.0/revoke",
            ],
            Self::Google => [
                "/oauth2/v3/certs",
                "/o/oauth2/v2/auth",
                "/token",
                "/v1/userinfo",
                "/tokeninfo",
                "/logout",
                "/revoke",
            ],
            Self::Zitadel => [
                "/oauth/v2/keys",
                "/oauth/v2/authorize",
                "/oauth/v2/token",
                "/oidc/v1/userinfo",
                "/oauth/v2/introspect",
                "/oidc/v1/end_session",
                "/oauth/v2/revoke",
            ],
        };
        match endpoint {
            Endpoint::Discovery => endpoint.path(),
            Endpoint::Jwks => keys,
            Endpoint::Authorization => authorization,
            Endpoint::Token => token,
            Endpoint::Userinfo => userinfo,
            Endpoint::Validation => validation,
            Endpoint::EndSession => end_session,
            Endpoint::Revocation => revocation,
        }
    }

    /// Changes the discovery document.
    pub(super) fn change_metadata(self, document: &mut Map<String, Value>) {
        let methods = json!(["client_secret_post", "client_secret_basic"]);
        document.insert("token_endpoint_auth_methods_supported".into(), methods);
        let added = match self {
            Self::Keycloak => json!({
                "request_parameter_supported": true,
                "id_token_signing_alg_values_supported": ["PS256", "RS256", "ES256", "HS256"],
                "acr_values_supported": ["0", "1"],
                "subject_types_supported": ["public", "pairwise"],
            }),
            Self::Entra => json!({
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "subject_types_supported": ["pairwise"],
                "request_uri_parameter_supported": false,
                "frontchannel_logout_supported": true,
                "tenant_region_scope": null,
            }),
            Self::Google => json!({}),
            Self::Zitadel => json!({
                "scopes_supported": ["openid", "profile", "email", "phone", "offline_access"],
                "request_parameter_supported": true,
                "request_object_signing_alg_values_supported": ["RS256"],
            }),
        };
        document.extend(added.as_object().cloned().unwrap_or_default());
        if self == Self::Entra {
            document.remove("code_challenge_methods_supported");
            document.remove("grant_types_supported");
        }
    }

    /// Changes the JWK of the signing key, and returns the key before it.
    pub(super) fn change_key(self, jwk: &mut Value) -> Option<Value> {
        match self {
            Self::Entra => {
                jwk["x5t"] = jwk["kid"].clone();
                jwk.as_object_mut()?.remove("alg");
                None
            }
            // A modulus that belongs to no known private key.
            Self::Keycloak => Some(json!({
                "kty": "RSA",
                "kid": "encryption",
                "use": "enc",
                "alg": "RSA-OAEP",
                "n": base64url([&[0xc0][..], &*random_bytes::<254>(), &[1]].concat()),
                "e": "AQAB",
            })),
            Self::Google | Self::Zitadel => None,
        }
    }

    /// Changes the claims of an ID token.
    pub(super) fn change_id_token(self, claims: &mut Map<String, Value>, grant: &Grant) {
        let client = json!(grant.client_id);
        let added = match self {
            Self::Keycloak => json!({
                "azp": client, "typ": "ID", "acr": "1", "jti": base64url(*random_bytes::<16>()),
                "email_verified": true, "preferred_username": grant.subject(),
            }),
            Self::Entra => json!({
                "nbf": claims["iat"], "ver": "2.0", "tid": "7d2a3c5e-0000-4000-8000-000000000001",
                "oid": "7d2a3c5e-0000-4000-8000-000000000002",
                "preferred_username": format!("{}@example.com", grant.subject()),
                "uti": base64url(*random_bytes::<16>()), "rh": "1.AXXX.",
            }),
            Self::Google => json!({
                "azp": client, "email_verified": true, "hd": "example.com",
                "picture": "https://lh3.example.com/photo",
            }),
            Self::Zitadel => json!({
                "aud": [client, "zitadel-api", "zitadel-project"],
                "azp": client, "client_id": client, "amr": ["pwd"],
            }),
        };
        claims.extend(added.as_object().cloned().unwrap_or_default());
        match self {
            Self::Entra => {
                claims.remove("auth_time");
                claims.remove("at_hash");
            }
            Self::Google => drop(claims.remove("auth_time")),
            Self::Keycloak | Self::Zitadel => {}
        }
    }

    /// Changes the header and the claims of an access token that is a JWT.
    pub(super) fn change_access_token(
        self,
        header: &mut Map<String, Value>,
        claims: &mut Map<String, Value>,
    ) {
        if self == Self::Keycloak {
            header.insert("typ".into(), json!("JWT"));
            claims.insert("typ".into(), json!("Bearer"));
            claims.insert("aud".into(), json!("account"));
            let client = claims.remove("client_id");
            claims.extend(client.map(|client| ("azp".to_owned(), client)));
        }
    }

    /// Whether a sign-in gets a refresh token.
    pub(super) fn has_refresh_token(self, grant: &Grant) -> bool {
        match self {
            Self::Keycloak => true,
            Self::Entra | Self::Zitadel => {
                let mut scopes = grant.scope.split(' ');
                scopes.any(|scope| scope == "offline_access")
            }
            Self::Google => grant.is_offline,
        }
    }
}
