"""Authlib with Oten's profile, in a Flask app.

The argument is a JSON list of client registrations (RFC 7591). Prints its issuer and serves until it
is killed.
"""

import json
import secrets
import sys
import time
from types import SimpleNamespace

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9101 import JWTAuthenticationRequest
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core.grants import OpenIDCode
from authlib.oidc.rpinitiated import EndSessionEndpoint
from flask import Flask, jsonify, request, session
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, OKPKey
from werkzeug.serving import make_server

AUTH_METHODS = ["client_secret_post", "none"]
KEY = OKPKey.generate_key("Ed25519", {"kid": "1", "use": "sig", "alg": "EdDSA"})
KEYS = KeySet([KEY])

app = Flask(__name__)
app.secret_key = secrets.token_bytes()
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"authorization_code": 120, "refresh_token": 120}
listener = make_server("127.0.0.1", 0, app, threaded=True)
ISSUER = f"http://localhost:{listener.server_port}"


class Client(ClientMixin):
    def __init__(self, metadata):
        self.client_metadata = metadata
        self.client_id = metadata["client_id"]
        self.id_token_signed_response_alg = metadata["id_token_signed_response_alg"]

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri in self.client_metadata["redirect_uris"]

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(self.client_metadata["client_secret"], client_secret)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.client_metadata["token_endpoint_auth_method"]

    def check_response_type(self, response_type):
        return response_type in self.client_metadata["response_types"]

    def check_grant_type(self, grant_type):
        return grant_type in self.client_metadata["grant_types"]


class Code(SimpleNamespace, AuthorizationCodeMixin):
    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return self.nonce

    def get_auth_time(self):
        return self.auth_time

    def get_acr(self):
        return None

    def get_amr(self):
        return None


class Token(SimpleNamespace, TokenMixin):
    def check_client(self, client):
        return self.client_id == client.client_id

    def get_scope(self):
        return self.scope


CLIENTS = {metadata["client_id"]: Client(metadata) for metadata in json.loads(sys.argv[1])}
CODES = {}
REFRESH_TOKENS = {}


def save_token(token, request):
    REFRESH_TOKENS[token["refresh_token"]] = Token(
        client_id=request.client.client_id, user=request.user, **token
    )


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def save_authorization_code(self, code, request):
        data = request.payload.data
        CODES[code] = Code(
            code=code,
            client_id=request.client.client_id,
            user=request.user,
            redirect_uri=data["redirect_uri"],
            scope=request.scope,
            nonce=data["nonce"],
            auth_time=session["auth_time"],
            code_challenge=data["code_challenge"],
            code_challenge_method=data["code_challenge_method"],
        )

    def query_authorization_code(self, code, client):
        found = CODES.get(code)
        return found if found and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code):
        del CODES[authorization_code.code]

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class RefreshTokenGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        return REFRESH_TOKENS.get(refresh_token)

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        del REFRESH_TOKENS[refresh_token.refresh_token]


class IdToken(OpenIDCode):
    def exists_nonce(self, nonce, request):
        return any(code.nonce == nonce for code in CODES.values())

    def resolve_client_private_key(self, client):
        return KEY

    def get_encode_header(self, client):
        return {"alg": client.id_token_signed_response_alg, "kid": KEY.kid}

    def get_client_claims(self, client):
        return {"iss": ISSUER, "aud": client.client_id}

    def generate_user_info(self, user, scope):
        return {"sub": user, "name": f"{user} of Authlib", "email": f"{user}@example.com"}


class RequestObject(JWTAuthenticationRequest):
    # Authlib checks `exp`, `nbf` and `client_id` only.
    claims_validator = jwt.JWTClaimsRegistry(
        client_id={"essential": True},
        iss={"essential": True, "values": list(CLIENTS)},
        aud={"essential": True, "value": ISSUER},
    )

    def get_client_require_signed_request_object(self, client):
        return client.client_metadata["require_signed_request_object"]

    def get_request_object_signing_algorithms(self, client):
        return [client.client_metadata["request_object_signing_alg"]]

    def resolve_client_public_key(self, client):
        if "jwks" in client.client_metadata:
            return KeySet.import_key_set(client.client_metadata["jwks"])
        return OctKey.import_key(client.client_metadata["client_secret"])


class Issuer(IssuerParameter):
    def get_issuer(self):
        return ISSUER


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = AUTH_METHODS

    def query_token(self, token_string, token_type_hint):
        return REFRESH_TOKENS.get(token_string)

    def revoke_token(self, token, request):
        del REFRESH_TOKENS[token.refresh_token]


class EndSession(EndSessionEndpoint):
    def get_server_jwks(self):
        return KEYS

    def get_algorithms(self):
        return ["EdDSA"]

    def end_session(self, end_session_request):
        session.clear()


server = AuthorizationServer(app, CLIENTS.get, save_token)
server.register_grant(AuthorizationCodeGrant, [IdToken(), CodeChallenge()])
server.register_grant(RefreshTokenGrant)
server.register_endpoint(Revocation)
server.register_endpoint(EndSession)
server.register_extension(RequestObject(support_request_uri=False))
server.register_extension(Issuer())


@app.get("/.well-known/openid-configuration")
def discovery():
    return {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/jwks",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "end_session_endpoint": f"{ISSUER}/end_session",
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "scopes_supported": ["openid", "profile", "email"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "request_object_signing_alg_values_supported": ["HS256", "EdDSA"],
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }


@app.get("/jwks")
def jwks():
    return KEYS.as_dict(private=False)


@app.route("/authorize", methods=["GET", "POST"])
def authorize():
    user = session.get("user")
    try:
        grant = server.get_consent_grant(end_user=user)
    except OAuth2Error as error:
        return server.handle_error_response(None, error)
    if not user and request.method == "GET":
        return """<!doctype html><title>Authlib</title>
            <form method="post"><button name="user" value="alice">Alice</button>
            <button name="user" value="">Cancel</button></form>"""
    if not user and (user := request.form["user"]):
        session.update(user=user, auth_time=int(time.time()))
    # The user is "" after `Cancel`, which denies access.
    return server.create_authorization_response(grant.request, user, grant)


@app.post("/token")
def token():
    return server.create_token_response()


@app.post("/revoke")
def revoke():
    return server.create_endpoint_response(Revocation.ENDPOINT_NAME)


@app.get("/end_session")
def end_session():
    response = server.create_endpoint_response(EndSession.ENDPOINT_NAME)
    return response or "Signed out."


print(ISSUER, flush=True)
listener.serve_forever()
