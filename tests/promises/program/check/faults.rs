//! With one fault, the check for it fails with help, and no other check fails.

use axum_oten::emulator::{Deviation, Endpoint, Fault};
use serde_json::json;

use super::checked_site::CheckedSite;

/// Exactly these checks fail, and the first one reports these words.
async fn assert_fails(site: &CheckedSite, checks: &[&str], words: &[&str]) {
    let (code, report) = site.report(&[]).await;
    assert_eq!(report.failed(), checks, "{words:?}: {report:#?}");
    assert_eq!(code, 1);
    let lines = report.lines(checks[0]);
    for word in words {
        assert!(lines.contains(word), "no {word} in {lines}");
    }
}

/// No check fails, and this one warns.
async fn assert_warns(site: &CheckedSite, check: &str, words: &[&str]) {
    let (code, report) = site.report(&[]).await;
    assert_eq!(report.failed(), [""; 0], "{report:#?}");
    assert_eq!(code, 0);
    assert_eq!(report.status(check), "warning", "{report:#?}");
    let lines = report.lines(check);
    for word in words {
        assert!(lines.contains(word), "no {word} in {lines}");
    }
}

#[tokio::test]
async fn wrong_credentials_fail() {
    let wrong = CheckedSite::valid().await;
    let wrong = wrong.set("OTEN_CLIENT_SECRET", "another-secret-of-at-least-32-bytes");
    let words = &["invalid_client", "OTEN_CLIENT_SECRET", "allowed addresses"];
    assert_fails(&wrong, &["client_authentication"], words).await;

    let unknown = CheckedSite::public().await.set("OTEN_CLIENT_ID", "unknown");
    let words = &["does not know the client"];
    assert_fails(&unknown, &["client_authentication"], words).await;

    let site = CheckedSite::valid().await;
    for (error, words) in [
        ("unauthorized_client", "OTEN_CLIENT_TYPE"),
        (
            "invalid_request",
            "OTEN_CLIENT_TYPE matches the registration",
        ),
    ] {
        site.emulator.clear_faults();
        site.emulator
            .fault(Endpoint::Token, Fault::OAuthError(error));
        assert_fails(&site, &["client_authentication"], &[error, words]).await;
    }

    let body = Fault::Body {
        content_type: "application/json",
        bytes: r#"{"access_token":"unexpected-token","token_type":"Bearer"}"#.into(),
    };
    site.emulator.clear_faults();
    site.emulator.fault(Endpoint::Token, body);
    let site = site.with_secret("unexpected-token");
    assert_fails(&site, &["client_authentication"], &["invalid code"]).await;
}

#[tokio::test]
async fn a_busy_provider_is_a_warning_about_the_client() {
    let site = CheckedSite::valid().await;
    for (fault, words) in [
        (Fault::TooManyRequests { retry_after: None }, "429"),
        (
            Fault::OAuthError("temporarily_unavailable"),
            "temporarily_unavailable",
        ),
        (Fault::Status(502), "502"),
    ] {
        site.emulator.clear_faults();
        site.emulator.fault(Endpoint::Token, fault);
        assert_warns(&site, "client_authentication", &[words, "Try again"]).await;
    }
}

#[tokio::test]
async fn deviations_of_the_discovery_document_fail() {
    let field = |name, value| Deviation::DiscoveryField(name, value);
    let site = CheckedSite::valid().await;
    for (deviation, check, words) in [
        (
            field("code_challenge_methods_supported", json!(["plain"])),
            "pkce",
            "lacks `S256`; it has `plain`",
        ),
        (
            field("response_types_supported", json!(["token"])),
            "code_flow",
            "lacks `code`",
        ),
        (
            field("scopes_supported", json!(["openid", "email"])),
            "scopes",
            "does not offer `profile`",
        ),
        (
            field(
                "token_endpoint_auth_methods_supported",
                json!(["private_key_jwt"]),
            ),
            "authentication_method",
            "client_secret_post",
        ),
        (
            field("id_token_signing_alg_values_supported", json!(["RS256"])),
            "id_token_algorithm",
            "EdDSA",
        ),
        (
            field("scopes_supported", json!(["\u{1b}[31mred"])),
            "scopes",
            "\\u{1b}",
        ),
    ] {
        site.emulator.clear_deviations();
        site.emulator.deviate(deviation);
        assert_fails(&site, &[check], &[words]).await;
    }

    site.emulator.clear_deviations();
    let only_code = json!(["authorization_code"]);
    site.emulator
        .deviate(field("grant_types_supported", only_code));
    assert_warns(&site, "refresh", &["refresh_token"]).await;

    // Entra supports PKCE and does not mention it.
    site.emulator.clear_deviations();
    let field = "code_challenge_methods_supported";
    site.emulator
        .deviate(Deviation::WithoutDiscoveryField(field));
    assert_warns(&site, "pkce", &["is missing"]).await;
}

#[tokio::test]
async fn the_endpoints_of_another_issuers_document_are_not_used() {
    let site = CheckedSite::valid().await;
    site.emulator.deviate(Deviation::IssuerMismatch);
    let words = &["https://another-issuer.example", site.emulator.issuer()];
    assert_fails(&site, &["issuer"], words).await;
    assert_eq!(site.emulator.calls(Endpoint::Token), 0, "no secret is sent");
    assert_eq!(site.emulator.calls(Endpoint::Jwks), 0);

    site.emulator.clear_deviations();
    site.emulator.deviate(Deviation::InsecureEndpoints);
    assert_fails(&site, &["endpoints"], &["must be https"]).await;
    assert_eq!(site.emulator.calls(Endpoint::Token), 0, "no secret is sent");
}

#[tokio::test]
async fn missing_discovery_fields_fail() {
    let site = CheckedSite::valid().await;
    for (name, others) in [
        ("issuer", &["issuer", "required_fields", "endpoints"][..]),
        ("authorization_endpoint", &["required_fields", "endpoints"]),
        ("token_endpoint", &["required_fields", "endpoints"]),
        ("jwks_uri", &["required_fields", "endpoints"]),
        ("scopes_supported", &["required_fields", "scopes"]),
        (
            "response_types_supported",
            &["required_fields", "code_flow"],
        ),
    ] {
        site.emulator.clear_deviations();
        site.emulator
            .deviate(Deviation::WithoutDiscoveryField(name));
        let (code, report) = site.report(&[]).await;
        assert_eq!(code, 1);
        assert_eq!(report.failed(), others, "{name}");
        assert!(report.lines("required_fields").contains(name));
    }
}

#[tokio::test]
async fn unusable_optional_discovery_fields_warn() {
    let site = CheckedSite::valid().await;
    for (name, value) in [
        ("userinfo_endpoint", json!("/userinfo")),
        ("end_session_endpoint", json!(null)),
        ("claims_supported", json!([])),
    ] {
        site.emulator.clear_deviations();
        site.emulator
            .deviate(Deviation::DiscoveryField(name, value));
        assert_warns(&site, "optional_fields", &[name]).await;
    }
}

#[tokio::test]
async fn unusable_discovery_fields_that_sign_in_needs_fail() {
    let site = CheckedSite::valid().await;
    for (name, value) in [
        ("token_endpoint", json!("/token")),
        (
            "authorization_response_iss_parameter_supported",
            json!("true"),
        ),
    ] {
        site.emulator.clear_deviations();
        site.emulator
            .deviate(Deviation::DiscoveryField(name, value));
        assert_fails(&site, &["endpoints"], &[name]).await;
        assert_eq!(site.emulator.calls(Endpoint::Token), 0, "no secret is sent");
    }
}

#[tokio::test]
async fn responses_that_are_no_discovery_document_fail() {
    let site = CheckedSite::valid().await;
    for (fault, words) in [
        (Fault::Html, "not a JSON object"),
        (Fault::Empty, "not a JSON object"),
        (Fault::Status(404), "404"),
        (Fault::Status(500), "500"),
        (Fault::Huge, "larger than 1 MiB"),
        (Fault::Redirect("https://example.com/".into()), "307"),
    ] {
        site.emulator.clear_faults();
        site.emulator.fault(Endpoint::Discovery, fault);
        assert_fails(&site, &["discovery"], &[words]).await;
    }
}

#[tokio::test]
async fn an_unreachable_issuer_fails() {
    let site = CheckedSite::valid().await;
    let site = site.set("OTEN_ISSUER", "http://127.0.0.1:1");
    let words = &["http://127.0.0.1:1", "network and firewall"];
    assert_fails(&site, &["discovery"], words).await;
}

#[tokio::test]
async fn an_unusable_key_set_fails() {
    let site = CheckedSite::valid().await;
    site.emulator.deviate(Deviation::NoKeys);
    assert_fails(&site, &["key_set"], &["empty"]).await;
    site.emulator.clear_deviations();

    let rsa = json!({"keys": [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}]});
    let body = |text: String| Fault::Body {
        content_type: "application/json",
        bytes: text.into(),
    };
    for (fault, words) in [
        (body(rsa.to_string()), "none of them a usable Ed25519"),
        (Fault::Html, "not a JSON Web Key Set"),
        (Fault::Status(404), "404"),
    ] {
        site.emulator.clear_faults();
        site.emulator.fault(Endpoint::Jwks, fault);
        assert_fails(&site, &["key_set"], &[words]).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_behind_fails() {
    let site = CheckedSite::with_slow_clock().await;
    let words = &["10 minutes behind", "NTP"];
    assert_fails(&site, &["clock"], words).await;
}

#[tokio::test]
async fn unsupported_scopes_fail() {
    let site = CheckedSite::valid()
        .await
        .set("OTEN_SCOPES", "openid phone");
    let words = &["does not offer `phone`", "`openid profile email`"];
    assert_fails(&site, &["scopes"], words).await;
}

#[tokio::test]
async fn unusable_stores_fail() {
    for (url, words) in [
        ("redis://:hunter2@127.0.0.1:1/0", "Start the server"),
        ("postgres://me:hunter2@127.0.0.1:1/db", "Start the server"),
        ("sqlite:/dev/null/sessions.sqlite", "correct the path"),
    ] {
        let site = CheckedSite::valid().await.with_secret("hunter2");
        let site = site.set("OTEN_SESSION_STORE", url);
        assert_fails(&site, &["store"], &[words]).await;
    }
    let in_memory = CheckedSite::valid()
        .await
        .set("OTEN_SESSION_STORE", "memory:");
    assert_warns(&in_memory, "store", &["forgets", "session_store"]).await;
}

#[tokio::test]
async fn a_store_without_a_session_key_fails() {
    let site = CheckedSite::valid().await.unset("OTEN_SESSION_KEY");
    let words = &["session_key", "openssl rand -base64 32"];
    assert_fails(&site, &["configuration"], words).await;
}

#[tokio::test]
async fn every_invalid_setting_is_reported_and_the_rest_is_checked() {
    let site = CheckedSite::valid().await;
    let site = site
        .set("OTEN_REDIRECT_URI", "http://example.com/callback")
        .set("OTEN_CLIENT_IDD", "x")
        .set("OTEN_SESSION_IDLE", "soon");
    let (code, report) = site.report(&[]).await;
    assert_eq!(code, 1);
    assert_eq!(report.failed(), ["configuration"]);
    let lines = report.lines("configuration");
    for words in [
        "[redirect_uri]",
        "Begin it with `https://`",
        "Did you mean `OTEN_CLIENT_ID`?",
        "[session_idle]",
    ] {
        assert!(lines.contains(words), "{words}: {lines}");
    }
    assert_eq!(report.status("redirect_uri"), "skipped");
    assert_eq!(report.status("client_authentication"), "skipped");
    for check in ["discovery", "pkce", "clock", "key_set", "store", "sealing"] {
        assert_eq!(report.status(check), "passed", "{check}");
    }
}

#[tokio::test]
async fn files_that_are_no_configuration_fail() {
    let site = CheckedSite::valid().await;
    for (text, words) in [
        ("client_id: my-site\n", "is not TOML in line 1"),
        ("client_id = \"cut of", "is not TOML"),
        ("colour = \"red\"\n", "colour"),
        ("session_idle = true\n", "a number of seconds"),
    ] {
        let file = site.folder.private("site.toml", text);
        let (code, report) = site.report(&["--config", &file]).await;
        assert_eq!(code, 1, "{text}");
        assert_eq!(report.failed(), ["configuration"], "{text}");
        let lines = report.lines("configuration");
        assert!(lines.contains(words), "{words}: {lines}");
    }
}

#[tokio::test]
async fn endpoints_for_access_tokens_are_checked() {
    let site = CheckedSite::valid()
        .await
        .set("OTEN_CLAIMS_FROM_USERINFO", "true");
    let words = &["userinfo_endpoint", "Remove `claims_from_userinfo`"];
    assert_fails(&site, &["userinfo"], words).await;
    let userinfo = json!(format!("{}/v1/userinfo", site.emulator.issuer()));
    let announced = Deviation::DiscoveryField("userinfo_endpoint", userinfo);
    site.emulator.deviate(announced);
    let (_, report) = site.report(&[]).await;
    assert_eq!(report.failed(), [""; 0], "{report:#?}");

    let site = site.set("OTEN_TOKEN_VALIDATION", "remote");
    let words = &["no endpoint", "token_validation_endpoint"];
    assert_fails(&site, &["token_validation"], words).await;
    let endpoint = format!("{}/v1/token/validate", site.emulator.issuer());
    for validation in ["remote", "auto"] {
        let site = CheckedSite::valid()
            .await
            .set("OTEN_TOKEN_VALIDATION", validation);
        let endpoint = format!("{}/v1/token/validate", site.emulator.issuer());
        let site = site.set("OTEN_TOKEN_VALIDATION_ENDPOINT", &endpoint);
        let (_, report) = site.report(&[]).await;
        assert_eq!(report.status("token_validation"), "passed", "{report:#?}");
        assert_ne!(site.emulator.calls(Endpoint::Validation), 0);
    }

    let site = site.set("OTEN_TOKEN_VALIDATION_ENDPOINT", &endpoint);
    let fault = |fault| {
        site.emulator.clear_faults();
        site.emulator.fault(Endpoint::Validation, fault);
    };
    let valid = Fault::Body {
        content_type: "application/json",
        bytes: r#"{"active":true,"aud":"checked-site"}"#.into(),
    };
    for (failure, words) in [
        (Fault::Html, "neither `active` nor `valid`"),
        (Fault::Status(404), "404"),
        (Fault::OAuthError("invalid_client"), "OTEN_CLIENT_SECRET"),
        (valid, "calls an invalid token valid"),
        (Fault::Close, "the connection broke"),
    ] {
        fault(failure);
        assert_fails(&site, &["token_validation"], &[words]).await;
    }
    for (failure, words) in [
        (Fault::TooManyRequests { retry_after: None }, "429"),
        (Fault::OAuthError("temporarily_unavailable"), "temporarily"),
        (Fault::Status(502), "502"),
    ] {
        fault(failure);
        assert_warns(&site, "token_validation", &[words, "Try again"]).await;
    }
}

#[tokio::test]
async fn discovery_documents_are_read_as_for_a_sign_in() {
    let site = CheckedSite::valid().await;
    site.emulator.deviate(Deviation::ByteOrderMark);
    site.emulator.fault(
        Endpoint::Discovery,
        Fault::Rewrite(|body| [b"{\"huge\": 1e999, \"issuer\": 5,", &body[1..]].concat()),
    );
    let (code, report) = site.report(&[]).await;
    assert_eq!((code, report.failed()), (0, Vec::new()), "{report:#?}");
}
