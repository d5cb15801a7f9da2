//! `oten authorize-url`: an authorization URL and its contents, for support cases.

use axum_oten::{
    emulator::{EmulatedClient, Emulator},
    jose::Ed25519KeyPair,
};
use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::{
    process::{Ended, Running, command, run},
    site::client,
};

const SECRET: &str = "a secret of the test, of more than 32 bytes";
const REDIRECT_URI: &str = "http://127.0.0.1:1/callback";

async fn emulator(client: EmulatedClient) -> Emulator {
    let client = client.redirect_uri(REDIRECT_URI);
    Emulator::builder().client(client).start().await.unwrap()
}

async fn authorize_url(arguments: &[&str], issuer: &str, settings: &[(&str, &str)]) -> Ended {
    let mut program = command(&[&["authorize-url"], arguments].concat());
    program.envs([
        ("OTEN_ISSUER", issuer),
        ("OTEN_CLIENT_ID", "site"),
        ("OTEN_REDIRECT_URI", REDIRECT_URI),
    ]);
    run(program.envs(settings.iter().copied())).await
}

fn first_line(ended: &Ended) -> Url {
    assert!(ended.status.success(), "{}", ended.stderr);
    ended.stdout.lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_provider_accepts_the_url_and_its_callback_signs_no_user_in() {
    let emulator = emulator(EmulatedClient::confidential("site", SECRET)).await;
    let settings = [("OTEN_CLIENT_SECRET", SECRET)];
    let ended = authorize_url(&[], emulator.issuer(), &settings).await;
    let url = first_line(&ended);
    let callback = emulator.approve(&url, "alice").unwrap();
    assert!(
        ended.stderr.contains("never signs a user in"),
        "{}",
        ended.stderr
    );
    for part in [
        "\"alg\": \"HS256\"",
        "\"iss\": \"site\"",
        "\"exp\":",
        "\"state\": \"throwaway-",
        "\"jti\":",
    ] {
        assert!(ended.stdout.contains(part), "{part}:\n{}", ended.stdout);
    }
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(SECRET));

    let mut serve = command(&["serve"]);
    serve.envs([
        ("OTEN_ISSUER", emulator.issuer()),
        ("OTEN_CLIENT_ID", "site"),
        ("OTEN_CLIENT_SECRET", SECRET),
        ("OTEN_REDIRECT_URI", REDIRECT_URI),
        ("OTEN_SESSION_STORE", "memory:"),
        ("OTEN_LISTEN", "127.0.0.1:0"),
    ]);
    let site = Running::start(&mut serve).await;
    let url = site.at(&format!("/callback?{}", callback.query().unwrap()));
    let answer = client().get(url).send().await.unwrap();
    // A callback that matches no login attempt restarts the login at most once.
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let cookies = answer.headers().get_all("set-cookie");
    let mut cookies = cookies.iter().map(|cookie| cookie.to_str().unwrap());
    assert!(!cookies.any(|cookie| cookie.contains("_session=")));
}

#[tokio::test]
async fn json_contains_the_url_and_its_decoded_request_object() {
    let pair = Ed25519KeyPair::generate();
    let registered =
        EmulatedClient::confidential("site", SECRET).request_object_key(&pair.public_jwk());
    let emulator = emulator(registered).await;
    let file = super::keygen::folder().join("key.pem");
    std::fs::write(&file, &*pair.to_pem()).unwrap();
    let settings = [
        ("OTEN_CLIENT_SECRET", SECRET),
        ("OTEN_JAR", "EdDSA"),
        ("OTEN_JAR_KEY_FILE", file.to_str().unwrap()),
    ];
    let ended = authorize_url(&["--json"], emulator.issuer(), &settings).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let object = &document["request_object"];
    assert_eq!(object["header"]["kid"], pair.key_id());
    assert_eq!(object["header"]["alg"], "EdDSA");
    assert_eq!(object["claims"]["aud"], emulator.issuer());
    assert_eq!(object["claims"]["redirect_uri"], REDIRECT_URI);
    assert_eq!(object["claims"]["code_challenge_method"], "S256");
    assert!(object["claims"].get("code_verifier").is_none());
    emulator
        .approve(document["url"].as_str().unwrap(), "bob")
        .unwrap();
}

#[tokio::test]
async fn s3_a_public_client_s_parameters_are_plain() {
    let emulator = emulator(EmulatedClient::public("site")).await;
    let settings = [("OTEN_CLIENT_TYPE", "public")];
    let ended = authorize_url(&["--json"], emulator.issuer(), &settings).await;
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["request_object"], Value::Null);
    assert_eq!(document["parameters"]["response_type"], "code");
    let ended = authorize_url(&[], emulator.issuer(), &settings).await;
    assert!(
        ended.stdout.contains("\"code_challenge\""),
        "{}",
        ended.stdout
    );
    emulator.approve(first_line(&ended), "alice").unwrap();
}

#[tokio::test]
async fn an_unreachable_provider_is_an_error_with_its_cause() {
    let settings = [("OTEN_CLIENT_SECRET", SECRET)];
    let ended = authorize_url(&[], "http://127.0.0.1:1", &settings).await;
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stdout, "");
    assert!(
        ended.stderr.contains("discovery document"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains(SECRET));
}
