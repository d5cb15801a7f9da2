//! `oten register`: the values for the developer portal, before a client is registered.

use axum_oten::jose::Ed25519KeyPair;
use serde_json::{Value, json};

use super::{
    keygen::{folder, keygen},
    process::{Ended, command, run},
};

const SITE: [(&str, &str); 2] = [
    ("OTEN_ENVIRONMENT", "sandbox"),
    ("OTEN_REDIRECT_URI", "https://app.example.com/app/callback"),
];

async fn register(arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
    let mut register = command(&[&["register"], arguments].concat());
    run(register.envs(settings.iter().copied())).await
}

async fn json_sheet(arguments: &[&str], settings: &[(&str, &str)]) -> Value {
    let ended = register(&[&["--json"], arguments].concat(), settings).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[tokio::test]
async fn the_sheet_needs_neither_client_id_nor_secret() {
    let base = ("OTEN_BASE_PATH", "/app");
    let settings = [&SITE[..], &[base]].concat();
    let sheet = json_sheet(&[], &settings).await;
    assert_eq!(
        sheet,
        json!({
            "environment": "sandbox",
            "issuer": "https://account.sbx.oten.dev",
            "application_name": "app.example.com",
            "application_type": "Web App",
            "redirect_uris": ["https://app.example.com/app/callback"],
            "post_logout_redirect_uris": [],
            "backchannel_logout_uri": "https://app.example.com/app/backchannel-logout",
            "scopes": ["openid", "profile", "email"],
            "jar_signing_method": "HS256",
            "jwks_uri": null,
            "public_keys": [],
        })
    );

    let ended = register(&["--name", "The Shop"], &settings).await;
    for part in [
        "sandbox developer portal",
        "The Shop",
        "Web App",
        "https://app.example.com/app/callback",
        "https://app.example.com/app/logout",
        "https://app.example.com/app/backchannel-logout",
        "openid profile email",
        "HS256",
    ] {
        assert!(ended.stdout.contains(part), "{part}:\n{}", ended.stdout);
    }
    assert!(
        ended.stderr.contains("OTEN_CLIENT_SECRET"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stdout.contains("not-registered"), "{}", ended.stdout);
}

#[tokio::test]
async fn the_sheet_does_not_contain_the_client_secret() {
    let secret = "a secret of the test, of more than 32 bytes";
    let known = [
        ("OTEN_CLIENT_ID", "known"),
        ("OTEN_CLIENT_SECRET", secret),
        (
            "OTEN_POST_LOGOUT_REDIRECT_URI",
            "https://app.example.com/logout",
        ),
    ];
    let settings = [&SITE[..], &known].concat();
    let sheet = json_sheet(&[], &settings).await;
    assert_eq!(
        sheet["post_logout_redirect_uris"],
        json!(["https://app.example.com/logout"])
    );
    for arguments in [&[][..], &["--json"]] {
        let ended = register(arguments, &settings).await;
        assert!(ended.status.success());
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(secret));
    }
}

#[tokio::test]
async fn the_sheet_contains_public_keys_in_every_form_the_portal_accepts() {
    let folder = folder();
    for name in ["one.pem", "two.pem"] {
        keygen(&folder, &["ed25519", "--out", name]).await;
    }
    let read = |name: &str| {
        let pem = std::fs::read_to_string(folder.join(name)).unwrap();
        Ed25519KeyPair::from_pem(&pem).unwrap()
    };
    let files = ["one.pem", "two.pem"].map(|name| folder.join(name));
    let files = files
        .map(|file| file.to_str().unwrap().to_owned())
        .join(",");
    let keys = [("OTEN_JAR", "EdDSA"), ("OTEN_JAR_KEY_FILE", &*files)];
    let settings = [&SITE[..], &keys].concat();
    let sheet = json_sheet(&[], &settings).await;
    assert_eq!(sheet["jar_signing_method"], "EdDSA");
    assert_eq!(
        sheet["jwks_uri"],
        "https://app.example.com/.well-known/jwks.json"
    );
    let expected = ["one.pem", "two.pem"].map(|name| {
        let pair = read(name);
        json!({ "kid": pair.key_id(), "pem": pair.public_pem(), "jwk": pair.public_jwk() })
    });
    assert_eq!(sheet["public_keys"], json!(expected));

    let ended = register(&[], &settings).await;
    for key in &expected {
        for form in ["kid", "pem"] {
            let form = key[form].as_str().unwrap();
            assert!(ended.stdout.contains(form), "{form}:\n{}", ended.stdout);
        }
        assert!(ended.stdout.contains(&key["jwk"].to_string()));
    }
    assert!(!ended.stdout.contains("PRIVATE"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_public_client_has_no_signing_method() {
    let settings = [&SITE[..], &[("OTEN_CLIENT_TYPE", "public")]].concat();
    let sheet = json_sheet(&[], &settings).await;
    assert_eq!(sheet["application_type"], "SPA");
    assert_eq!(sheet["jar_signing_method"], Value::Null);
    let ended = register(&[], &settings).await;
    assert!(!ended.stderr.contains("SECRET"), "{}", ended.stderr);
}

#[tokio::test]
async fn b3_all_other_settings_are_validated() {
    let ended = register(
        &[],
        &[("OTEN_ENVIRONMENT", "sandbox"), ("OTEN_JAR", "EdDSA")],
    )
    .await;
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stdout, "");
    for part in ["2 problems", "redirect_uri", "jar_key_file"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("client_id"), "{}", ended.stderr);
}
