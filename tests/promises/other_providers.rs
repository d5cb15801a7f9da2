//! Providers other than Oten: their algorithms, authentication methods, audiences and forms.
//!
//! The emulator imitates the forms that the providers document. The services themselves are not called.

use std::time::Duration;

use axum::http::StatusCode;
use axum_oten::{
    Config,
    config::{AuthMethod, ConfigBuilder},
    emulator::{
        Deviation, EmulatedClient, EmulatorBuilder,
        Endpoint::{Discovery, Revocation, Token},
        LogoutTarget, Preset,
    },
};
use serde_json::{Value, json};

use crate::{
    common::{Log, TestSite, TestSiteBuilder, jws_part},
    sign_out::{assert_done, send_token},
};

const HOUR: Duration = Duration::from_secs(3600);

/// Applies the settings that the preset names.
fn configure(config: ConfigBuilder, settings: &[(&str, &str)]) -> ConfigBuilder {
    settings.iter().fold(config, |config, (name, value)| {
        let words = value.split(' ');
        match *name {
            "id_token_algorithms" => config.id_token_algorithms(words),
            "jar" => config.jar_off(),
            "scopes" => config.scopes(words),
            "authorization_parameters" => config.authorization_parameters(words),
            "trusted_audiences" => config.trusted_audiences(words),
            name => panic!("no setter for {name}"),
        }
    })
}

/// A site whose client sends its requests unsigned.
fn plain_site(
    emulate: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder + 'static,
    settings: &'static [(&'static str, &'static str)],
) -> TestSiteBuilder {
    TestSite::builder()
        .register(EmulatedClient::insecure_without_request_object)
        .emulator(emulate)
        .config(move |config| configure(config.jar_off(), settings))
}

fn preset_site(preset: Preset) -> TestSiteBuilder {
    plain_site(
        move |emulator| emulator.preset(preset),
        preset.site_settings(),
    )
}

/// Signs in, and asserts that no user is signed in for this reason.
async fn assert_rejected(site: &TestSite, reason: &str) {
    let mut browser = site.browser();
    let url = browser.start_login("/profile").await;
    let callback = browser.approve(&url, "alice");
    let log = Log::start();
    let answer = browser.get(&callback).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{answer:?}");
    assert!(!answer.sets_session());
    assert_eq!(log.refusal()["reason"], reason);
    assert_eq!(browser.signed_in_as().await, "guest");
}

async fn assert_signs_in(site: &TestSite) {
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn s6_users_sign_in_with_each_preset_and_their_tokens_are_refreshed() {
    for preset in Preset::ALL {
        let site = preset_site(preset).start().await;
        let mut browser = site.signed_in("alice").await;
        let profile = browser.get("/profile").await.json();
        assert_eq!(profile["sub"], "alice", "{preset:?}");
        assert_eq!(profile["name"], "Alice Adams", "{preset:?}");
        for refreshes in 1..=2 {
            let before = browser.get("/token").await.body;
            site.clock.advance(HOUR);
            let after = browser.get("/token").await;
            assert_eq!(after.status, StatusCode::OK, "{preset:?}");
            assert_ne!(after.body, before, "{preset:?}");
            assert_eq!(site.emulator.refreshes(), refreshes, "{preset:?}");
        }
        assert_eq!(site.emulator.reuse_detected(), 0);
    }
}

#[tokio::test]
async fn s6_a_sign_in_without_a_refresh_token_lasts_until_its_access_token_is_needed() {
    for (preset, settings) in [
        (Preset::Google, &[("id_token_algorithms", "RS256")][..]),
        (Preset::Entra, &[("id_token_algorithms", "RS256")]),
    ] {
        let site = plain_site(move |emulator| emulator.preset(preset), settings);
        let site = site.start().await;
        let mut browser = site.signed_in("alice").await;
        assert_eq!(browser.get("/token").await.status, StatusCode::OK);
        site.clock.advance(2 * HOUR);
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        let token = browser.get("/token").await;
        assert_eq!(token.location(), "/login?return_to=%2Ftoken", "{preset:?}");
        assert_eq!(site.emulator.refreshes(), 0);
    }
}

#[tokio::test]
async fn o3_users_sign_out_at_each_preset_as_far_as_it_supports_it() {
    for preset in Preset::ALL {
        let site = preset_site(preset).start().await;
        let mut browser = site.signed_in("alice").await;
        let answer = browser.post("/logout").await;
        let has_end_session = preset != Preset::Google;
        let at_provider = answer.location().starts_with(site.emulator.issuer());
        assert_eq!(at_provider, has_end_session, "{preset:?}");
        if has_end_session {
            let url = answer.location().to_owned();
            assert!(site.emulator.end_session(&url).is_ok(), "{preset:?}");
        }
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

#[tokio::test]
async fn o4_presets_with_back_channel_logout_end_sessions() {
    for preset in [Preset::Keycloak, Preset::Zitadel] {
        let site = preset_site(preset).start().await;
        let mut browser = site.signed_in("alice").await;
        let [sid] = &site.emulator.sids_of("alice")[..] else {
            panic!("one session");
        };
        let target = LogoutTarget::Session(sid);
        site.emulator.deviate(Deviation::BadSignature);
        let forged = site.emulator.logout_token("test-site", target);
        let answer = send_token(&site.app, &forged).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(browser.signed_in_as().await, "user alice");
        site.emulator.clear_deviations();
        let genuine = site.emulator.logout_token("test-site", target);
        assert_done(&send_token(&site.app, &genuine).await);
        assert_eq!(browser.signed_in_as().await, "guest", "{preset:?}");
    }
}

/// The emulator signs with each algorithm, and only a site that allows it signs users in.
#[tokio::test]
async fn s6_the_settings_decide_which_algorithms_are_accepted() {
    type Sign = fn(EmulatorBuilder) -> EmulatorBuilder;
    let signs: [(&str, Sign); 4] = [
        ("EdDSA", |emulator| emulator),
        ("RS256", EmulatorBuilder::sign_with_rs256),
        ("PS256", EmulatorBuilder::sign_with_ps256),
        ("ES256", EmulatorBuilder::sign_with_es256),
    ];
    for (signed, sign) in signs {
        for (allowed, _) in signs {
            let site = TestSite::builder().emulator(sign);
            let site = site.config(move |config| config.id_token_algorithms([allowed]));
            let site = site.start().await;
            if signed == allowed {
                assert_signs_in(&site).await;
            } else {
                // The provider announces its algorithm, and also this site's.
                let announced = json!([signed, allowed]);
                site.emulator.deviate(Deviation::DiscoveryField(
                    "id_token_signing_alg_values_supported",
                    announced,
                ));
                assert_rejected(&site, "id_token_signature").await;
            }
        }
        let site = TestSite::builder().emulator(sign);
        let all = |config: ConfigBuilder| {
            config.id_token_algorithms(["EdDSA", "RS256", "PS256", "ES256"])
        };
        assert_signs_in(&site.config(all).start().await).await;
    }
}

#[tokio::test]
async fn s6_a_forged_token_of_each_algorithm_is_rejected() {
    type Sign = fn(EmulatorBuilder) -> EmulatorBuilder;
    let signs: [Sign; 3] = [
        EmulatorBuilder::sign_with_rs256,
        EmulatorBuilder::sign_with_ps256,
        EmulatorBuilder::sign_with_es256,
    ];
    for sign in signs {
        let site = TestSite::builder().emulator(sign);
        let all = |config: ConfigBuilder| {
            config.id_token_algorithms(["EdDSA", "RS256", "PS256", "ES256"])
        };
        let site = site.config(all).start().await;
        assert_signs_in(&site).await;
        for (deviation, reason) in [
            (Deviation::BadSignature, "id_token_signature"),
            (Deviation::AlgNone, "id_token_signature"),
            (Deviation::Hs256WithClientSecret, "id_token_signature"),
            (Deviation::Hs256WithPublicKey, "id_token_signature"),
            (Deviation::EmbeddedKey, "id_token_signature"),
            (Deviation::Header("alg", json!("EdDSA")), "unknown_key"),
            (
                Deviation::Claim("at_hash", json!("wrong")),
                "id_token_at_hash",
            ),
            (Deviation::SharedKeyId, "unknown_key"),
        ] {
            site.clock.advance(HOUR);
            site.emulator.deviate(deviation);
            if reason == "unknown_key" {
                site.emulator.rotate_keys();
            }
            assert_rejected(&site, reason).await;
            site.emulator.clear_deviations();
        }
        site.clock.advance(HOUR);
        site.emulator.rotate_keys();
        assert_signs_in(&site).await;
    }
}

#[tokio::test]
async fn s6_each_preset_with_a_hostile_answer_signs_no_user_in() {
    for (preset, deviation, reason) in [
        (
            Preset::Keycloak,
            Deviation::CallbackParameter("iss", "https://evil.example/realms/site"),
            "callback_foreign_iss",
        ),
        (
            Preset::Entra,
            Deviation::Claim("iss", json!("https://login.example/another-tenant/v2.0")),
            "id_token_iss",
        ),
        (
            Preset::Google,
            Deviation::Claim("azp", json!("another-client")),
            "id_token_azp",
        ),
        (
            Preset::Zitadel,
            Deviation::Claim("aud", json!(["test-site", "zitadel-api", "another"])),
            "id_token_aud",
        ),
        (
            Preset::Zitadel,
            Deviation::WithoutClaim("azp"),
            "id_token_azp",
        ),
        (
            Preset::Zitadel,
            Deviation::Claim("aud", json!(["zitadel-api", "zitadel-project"])),
            "id_token_aud",
        ),
    ] {
        let site = preset_site(preset).start().await;
        assert_signs_in(&site).await;
        site.emulator.deviate(deviation);
        let mut browser = site.browser();
        let url = browser.start_login("/profile").await;
        let callback = browser.approve(&url, "alice");
        let log = Log::start();
        assert!(!browser.get(&callback).await.sets_session());
        assert_eq!(log.refusal()["reason"], reason, "{preset:?}");
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

#[tokio::test]
async fn s6_further_audiences_are_rejected_unless_the_settings_trust_them() {
    for settings in [
        &[("id_token_algorithms", "RS256")][..],
        &[
            ("id_token_algorithms", "RS256"),
            ("trusted_audiences", "zitadel-api"),
        ],
    ] {
        let site = plain_site(|emulator| emulator.preset(Preset::Zitadel), settings);
        assert_rejected(&site.start().await, "id_token_aud").await;
    }
}

/// The metadata of Entra's addresses for any tenant names no issuer.
#[tokio::test]
async fn p5_an_issuer_with_a_placeholder_is_rejected() {
    let site = preset_site(Preset::Entra).start().await;
    let issuer = json!("https://login.microsoftonline.com/{tenantid}/v2.0");
    site.emulator
        .deviate(Deviation::DiscoveryField("issuer", issuer));
    let log = Log::start();
    let answer = site.browser().get("/login").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(log.refusal()["reason"], "issuer_mismatch");
}

#[tokio::test]
async fn p1_endpoints_may_be_on_other_hosts_than_the_issuer() {
    let site = preset_site(Preset::Google).start().await;
    let other = site.emulator.issuer().replace("127.0.0.1", "localhost");
    for (name, path) in [
        ("token_endpoint", "/token"),
        ("jwks_uri", "/oauth2/v3/certs"),
        ("userinfo_endpoint", "/v1/userinfo"),
    ] {
        let url = json!(format!("{other}{path}"));
        site.emulator.deviate(Deviation::DiscoveryField(name, url));
    }
    assert_signs_in(&site).await;
}

#[tokio::test]
async fn s10_the_configured_parameters_are_in_every_authorization_request() {
    let site = preset_site(Preset::Google).start().await;
    let url = site.browser().start_login("/").await;
    let values: Vec<_> = url
        .query_pairs()
        .filter(|(name, _)| name == "access_type")
        .collect();
    assert_eq!(values.len(), 1);
    assert_eq!(values[0].1, "offline");
}

/// The ID and the secret have every character that one of the encodings could change.
const ODD_ID: &str = "te:st%25+&=site";
const ODD_SECRET: &str = "a 32-byte:secret %+&=\u{a3}\u{20ac}\"/?#\\ of a client";

fn basic_site() -> TestSiteBuilder {
    TestSite::builder()
        .register(|_| EmulatedClient::confidential(ODD_ID, ODD_SECRET).client_secret_basic())
        .emulator(EmulatorBuilder::advertise_revocation)
        .config(|config| {
            config
                .client_id(ODD_ID)
                .client_secret(ODD_SECRET)
                .token_endpoint_auth_method(AuthMethod::ClientSecretBasic)
        })
}

#[tokio::test]
async fn s3_the_client_authenticates_with_client_secret_basic_at_each_endpoint() {
    let site = basic_site().start().await;
    let mut browser = site.signed_in("alice").await;
    let before = browser.get("/token").await.body;
    site.clock.advance(HOUR);
    assert_ne!(browser.get("/token").await.body, before);
    assert_eq!(site.emulator.refreshes(), 1);
    browser.post("/logout").await;
    let revoked = || site.emulator.calls(Revocation) == 1;
    crate::common::eventually(revoked).await;
}

#[tokio::test]
async fn s3_the_secret_is_sent_in_the_configured_place_only() {
    for is_basic_registered in [true, false] {
        let site = TestSite::builder()
            .register(move |client| {
                if is_basic_registered {
                    client.client_secret_basic()
                } else {
                    client
                }
            })
            .config(move |config| {
                config.token_endpoint_auth_method(if is_basic_registered {
                    AuthMethod::ClientSecretPost
                } else {
                    AuthMethod::ClientSecretBasic
                })
            })
            .start()
            .await;
        // The metadata, which names both, changes nothing.
        let methods = json!(["client_secret_basic", "client_secret_post"]);
        let field = "token_endpoint_auth_methods_supported";
        site.emulator
            .deviate(Deviation::DiscoveryField(field, methods));
        let mut browser = site.browser();
        let url = browser.start_login("/").await;
        let callback = browser.approve(&url, "alice");
        let log = Log::start();
        assert!(!browser.get(&callback).await.sets_session());
        assert_eq!(log.refusal()["reason"], "client_setup");
        assert_eq!(site.emulator.calls(Token), 1, "no second method is tried");
        assert!(!log.contains(crate::common::SECRET));
    }
}

#[tokio::test]
async fn s6_keys_of_another_use_and_without_an_algorithm_are_told_apart() {
    let site = preset_site(Preset::Keycloak).start().await;
    let mut browser = site.signed_in("alice").await;
    let token = browser.get("/token").await.body;
    let header: Value = serde_json::from_slice(&jws_part(&token, 0)).unwrap();
    assert_eq!(header["alg"], "RS256");
    assert_eq!(site.emulator.calls(Discovery), 1);
    // Without `kid`, the key for encryption is no candidate.
    site.emulator.deviate(Deviation::NoKeyId);
    assert_signs_in(&site).await;
}

#[test]
fn s6_the_environments_of_oten_allow_no_other_provider_settings() {
    let oten = |change: fn(ConfigBuilder) -> ConfigBuilder| {
        let config = Config::builder()
            .environment(axum_oten::config::Environment::Sandbox)
            .client_id("site")
            .client_secret(crate::common::SECRET)
            .redirect_uri("https://app.example/callback");
        change(config).build().map_err(|error| {
            let problems = error.problems().iter();
            problems
                .map(|problem| problem.key().to_owned())
                .collect::<Vec<_>>()
        })
    };
    assert!(oten(|config| config).is_ok());
    assert_eq!(
        oten(|config| config
            .id_token_algorithms(["EdDSA", "RS256"])
            .token_endpoint_auth_method(AuthMethod::ClientSecretBasic)
            .trusted_audiences(["project"])
            .authorization_parameters(["access_type=offline"]))
        .unwrap_err(),
        [
            "trusted_audiences",
            "token_endpoint_auth_method",
            "id_token_algorithms",
            "authorization_parameters",
        ]
    );
}
