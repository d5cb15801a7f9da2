//! One thing is wrong: the check that has to say so says so, with the help, and no other fails.

use axum_oten::emulator::{Deviation, Endpoint, Fault};
use serde_json::json;

use super::doctor::Patient;

/// Exactly these checks fail, and the first one says these words.
async fn assert_fails(patient: &Patient, checks: &[&str], words: &[&str]) {
    let (code, report) = patient.report(&[]).await;
    assert_eq!(report.failed(), checks, "{words:?}: {report:#?}");
    assert_eq!(code, 1);
    let lines = report.lines(checks[0]);
    for word in words {
        assert!(lines.contains(word), "no {word} in {lines}");
    }
}

/// Nothing fails, and this check warns.
async fn assert_warns(patient: &Patient, check: &str, words: &[&str]) {
    let (code, report) = patient.report(&[]).await;
    assert_eq!(report.failed(), [""; 0], "{report:#?}");
    assert_eq!(code, 0);
    assert_eq!(report.status(check), "warning", "{report:#?}");
    let lines = report.lines(check);
    for word in words {
        assert!(lines.contains(word), "no {word} in {lines}");
    }
}

#[tokio::test]
async fn credentials() {
    let wrong = Patient::healthy().await;
    let wrong = wrong.set("OTEN_CLIENT_SECRET", "another-secret-of-at-least-32-bytes");
    let words = &["invalid_client", "OTEN_CLIENT_SECRET"];
    assert_fails(&wrong, &["client_authentication"], words).await;

    let unknown = Patient::public().await.set("OTEN_CLIENT_ID", "nobody");
    let words = &["does not know the client"];
    assert_fails(&unknown, &["client_authentication"], words).await;

    let patient = Patient::healthy().await;
    for (error, words) in [
        ("unauthorized_client", "OTEN_CLIENT_TYPE"),
        ("invalid_request", "matches the registration"),
    ] {
        patient.emulator.clear_faults();
        patient
            .emulator
            .fault(Endpoint::Token, Fault::OAuthError(error));
        assert_fails(&patient, &["client_authentication"], &[error, words]).await;
    }

    let body = Fault::Body {
        content_type: "application/json",
        bytes: r#"{"access_token":"for-anybody","token_type":"Bearer"}"#.into(),
    };
    patient.emulator.clear_faults();
    patient.emulator.fault(Endpoint::Token, body);
    let patient = patient.hides("for-anybody");
    assert_fails(&patient, &["client_authentication"], &["invalid code"]).await;
}

#[tokio::test]
async fn a_provider_that_has_no_time_says_nothing_about_the_client() {
    let patient = Patient::healthy().await;
    for (fault, words) in [
        (Fault::TooManyRequests { retry_after: None }, "429"),
        (
            Fault::OAuthError("temporarily_unavailable"),
            "temporarily_unavailable",
        ),
        (Fault::Status(502), "502"),
    ] {
        patient.emulator.clear_faults();
        patient.emulator.fault(Endpoint::Token, fault);
        assert_warns(&patient, "client_authentication", &[words, "Try again"]).await;
    }
}

#[tokio::test]
async fn lies_of_the_discovery_document() {
    let field = |name, value| Deviation::DiscoveryField(name, value);
    let patient = Patient::healthy().await;
    for (lie, check, words) in [
        (
            field("code_challenge_methods_supported", json!(["plain"])),
            "pkce",
            "lacks `S256`; it has `plain`",
        ),
        (
            Deviation::WithoutDiscoveryField("code_challenge_methods_supported"),
            "pkce",
            "is missing",
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
        patient.emulator.clear_deviations();
        patient.emulator.deviate(lie);
        assert_fails(&patient, &[check], &[words]).await;
    }

    patient.emulator.clear_deviations();
    let only_code = json!(["authorization_code"]);
    patient
        .emulator
        .deviate(field("grant_types_supported", only_code));
    assert_warns(&patient, "refresh", &["refresh_token"]).await;
}

#[tokio::test]
async fn a_document_of_somebody_else_is_believed_in_nothing() {
    let patient = Patient::healthy().await;
    patient.emulator.deviate(Deviation::IssuerMismatch);
    let words = &["https://another-issuer.example", patient.emulator.issuer()];
    assert_fails(&patient, &["issuer"], words).await;
    assert_eq!(
        patient.emulator.calls(Endpoint::Token),
        0,
        "no secret is sent"
    );
    assert_eq!(patient.emulator.calls(Endpoint::Jwks), 0);

    patient.emulator.clear_deviations();
    patient.emulator.deviate(Deviation::InsecureEndpoints);
    assert_fails(&patient, &["endpoints"], &["must be https"]).await;
    assert_eq!(
        patient.emulator.calls(Endpoint::Token),
        0,
        "no secret is sent"
    );
}

#[tokio::test]
async fn missing_fields() {
    let patient = Patient::healthy().await;
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
        patient.emulator.clear_deviations();
        patient
            .emulator
            .deviate(Deviation::WithoutDiscoveryField(name));
        let (code, report) = patient.report(&[]).await;
        assert_eq!(code, 1);
        assert_eq!(report.failed(), others, "{name}");
        assert!(report.lines("required_fields").contains(name));
    }
}

#[tokio::test]
async fn answers_that_are_no_discovery_document() {
    let patient = Patient::healthy().await;
    for (fault, words) in [
        (Fault::Html, "not a JSON object"),
        (Fault::Empty, "not a JSON object"),
        (Fault::Status(404), "404"),
        (Fault::Status(500), "500"),
        (Fault::Huge, "larger than 1 MiB"),
        (Fault::Redirect("https://example.com/".into()), "307"),
    ] {
        patient.emulator.clear_faults();
        patient.emulator.fault(Endpoint::Discovery, fault);
        assert_fails(&patient, &["discovery"], &[words]).await;
    }
}

#[tokio::test]
async fn an_issuer_that_does_not_answer() {
    let patient = Patient::healthy().await;
    let patient = patient.set("OTEN_ISSUER", "http://127.0.0.1:1");
    let words = &["http://127.0.0.1:1", "network and firewall"];
    assert_fails(&patient, &["discovery"], words).await;
}

#[tokio::test]
async fn keys_of_the_provider() {
    let patient = Patient::healthy().await;
    patient.emulator.deviate(Deviation::NoKeys);
    assert_fails(&patient, &["key_set"], &["empty"]).await;
    patient.emulator.clear_deviations();

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
        patient.emulator.clear_faults();
        patient.emulator.fault(Endpoint::Jwks, fault);
        assert_fails(&patient, &["key_set"], &[words]).await;
    }
}

#[tokio::test]
async fn a_clock_ten_minutes_off() {
    let patient = Patient::behind().await;
    let words = &["10 minutes behind", "NTP"];
    assert_fails(&patient, &["clock"], words).await;
}

#[tokio::test]
async fn scopes_that_are_not_offered() {
    let patient = Patient::healthy().await.set("OTEN_SCOPES", "openid phone");
    let words = &["does not offer `phone`", "`openid profile email`"];
    assert_fails(&patient, &["scopes"], words).await;
}

#[tokio::test]
async fn stores_that_do_not_work() {
    for (url, words) in [
        ("redis://:hunter2@127.0.0.1:1/0", "Start the server"),
        ("postgres://me:hunter2@127.0.0.1:1/db", "Start the server"),
        ("sqlite:/dev/null/sessions.sqlite", "correct the path"),
    ] {
        let patient = Patient::healthy().await.hides("hunter2");
        let patient = patient.set("OTEN_SESSION_STORE", url);
        assert_fails(&patient, &["store"], &[words]).await;
    }
    let forgetful = Patient::healthy()
        .await
        .set("OTEN_SESSION_STORE", "memory:");
    assert_warns(&forgetful, "store", &["forgets", "session_store"]).await;
}

#[tokio::test]
async fn a_store_that_nothing_seals() {
    let patient = Patient::healthy().await.unset("OTEN_SESSION_KEY");
    let words = &["session_key", "openssl rand -base64 32"];
    assert_fails(&patient, &["configuration"], words).await;
}

#[tokio::test]
async fn settings_that_are_wrong_are_each_told_and_the_rest_is_checked() {
    let patient = Patient::healthy().await;
    let patient = patient
        .set("OTEN_REDIRECT_URI", "http://example.com/callback")
        .set("OTEN_CLIENT_IDD", "x")
        .set("OTEN_SESSION_IDLE", "soon");
    let (code, report) = patient.report(&[]).await;
    assert_eq!(code, 1);
    assert_eq!(report.failed(), ["configuration"]);
    let lines = report.lines("configuration");
    for words in [
        "[redirect_uri]",
        "Let it begin with `https://`",
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
async fn files_that_are_no_configuration() {
    let patient = Patient::healthy().await;
    for (text, words) in [
        ("client_id: my-site\n", "is not TOML in line 1"),
        ("client_id = \"cut of", "is not TOML"),
        ("colour = \"red\"\n", "colour"),
        ("session_idle = true\n", "a number of seconds"),
    ] {
        let file = patient.folder.private("site.toml", text);
        let (code, report) = patient.report(&["--config", &file]).await;
        assert_eq!(code, 1, "{text}");
        assert_eq!(report.failed(), ["configuration"], "{text}");
        let lines = report.lines("configuration");
        assert!(lines.contains(words), "{words}: {lines}");
    }
}
