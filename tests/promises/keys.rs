//! The client's Ed25519 keys: publication and rotation.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use axum_oten::{
    Config, MemoryStore, Oten,
    config::ConfigBuilder,
    emulator::{EmulatedClient, Emulator, EmulatorError},
    jose::{Ed25519KeyPair, Ed25519PublicKey, JwkSet},
};
use serde_json::{Value, json};

use crate::common::{ClientKind, Operation, SECRET, TestSite, app, path_and_query, send};

const ORIGIN: &str = "http://127.0.0.1:3000";
const JWKS: &str = "/.well-known/jwks.json";

fn request(method: Method) -> Request<Body> {
    let request = Request::builder().method(method).uri(JWKS);
    request.body(Body::empty()).unwrap()
}

/// A site with the keys of `configure`, at a running emulator.
fn site(
    emulator: &Emulator,
    configure: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
) -> (Oten, Router) {
    let config = Config::builder()
        .issuer(emulator.issuer())
        .client_id("site")
        .client_secret(SECRET)
        .redirect_uri(format!("{ORIGIN}/callback"));
    let config = configure(config).build().unwrap();
    let oten = Oten::new(config, MemoryStore::default()).unwrap();
    let app = app(&oten).merge(oten.jwks_route());
    (oten, app)
}

async fn emulator(keys: &[&Ed25519KeyPair]) -> Emulator {
    let client = EmulatedClient::confidential("site", SECRET);
    let client = client.redirect_uri(format!("{ORIGIN}/callback"));
    let client = keys.iter().fold(client, |client, key| {
        client.request_object_key(&key.public_jwk())
    });
    Emulator::builder().client(client).start().await.unwrap()
}

/// The published JWK set, as a provider fetches it.
async fn published(app: &Router) -> Value {
    let answer = send(app, request(Method::GET)).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.json()
}

fn ids(set: &Value) -> Vec<&str> {
    let keys = set["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap())
        .collect()
}

/// Where `/login` sends a browser.
async fn authorization_url(app: &Router) -> String {
    let login = Request::get("/login").body(Body::empty()).unwrap();
    send(app, login).await.location().to_owned()
}

/// A whole sign-in: the request is taken, and so is the callback.
async fn sign_in(emulator: &Emulator, app: &Router) -> Result<(), EmulatorError> {
    let login = Request::get("/login?return_to=/open")
        .body(Body::empty())
        .unwrap();
    let login = send(app, login).await;
    let attempt = login.set_cookies()[0].split(';').next().unwrap().to_owned();
    let callback = emulator.approve(login.location(), "alice")?;
    let callback = Request::get(path_and_query(&callback))
        .header(header::COOKIE, attempt)
        .body(Body::empty())
        .unwrap();
    let answer = send(app, callback).await;
    assert_eq!(answer.location(), "/open");
    assert!(answer.sets_session());
    Ok(())
}

fn assert_refused(result: &Result<(), EmulatorError>) {
    assert!(
        matches!(result, Err(EmulatorError::Rejected(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn keys_rotate_without_interrupting_sign_ins() {
    let (old, new) = (Ed25519KeyPair::generate(), Ed25519KeyPair::generate());
    let emulator = emulator(&[&old]).await;
    let fetch = |set: &Value| emulator.replace_request_object_keys("site", set).unwrap();

    // The old key signs.
    let (_, before) = site(&emulator, |config| config.jar_eddsa(old.clone()));
    fetch(&published(&before).await);
    sign_in(&emulator, &before).await.unwrap();
    // A request signed with an unpublished key is rejected.
    let (_, too_early) = site(&emulator, |config| config.jar_eddsa(new.clone()));
    assert_refused(&sign_in(&emulator, &too_early).await);

    // The new key is published beside it.
    let (_, beside) = site(&emulator, |config| {
        config
            .jar_eddsa(old.clone())
            .jar_published_key(new.public_key())
    });
    let set = published(&beside).await;
    assert_eq!(ids(&set), [old.key_id(), new.key_id()]);
    sign_in(&emulator, &beside).await.unwrap();
    fetch(&set);
    sign_in(&emulator, &before).await.unwrap();

    // The new key signs; a process that was not restarted yet still signs with the old one.
    let (_, swapped) = site(&emulator, |config| {
        config
            .jar_eddsa(new.clone())
            .jar_published_key(old.public_key())
    });
    let set = published(&swapped).await;
    assert_eq!(ids(&set), [new.key_id(), old.key_id()]);
    fetch(&set);
    for app in [&swapped, &beside] {
        sign_in(&emulator, app).await.unwrap();
    }

    // The old key is gone.
    let (_, after) = site(&emulator, |config| config.jar_eddsa(new.clone()));
    fetch(&published(&after).await);
    sign_in(&emulator, &after).await.unwrap();
    assert_refused(&sign_in(&emulator, &before).await);
}

#[tokio::test]
async fn s2_a_request_object_with_the_id_of_another_key_is_rejected() {
    let (known, stranger) = (Ed25519KeyPair::generate(), Ed25519KeyPair::generate());
    let emulator = emulator(&[&known]).await;
    let forged = stranger.with_key_id(known.key_id());
    let (_, site) = site(&emulator, |config| config.jar_eddsa(forged));
    assert_refused(&sign_in(&emulator, &site).await);
}

#[tokio::test]
async fn b2_only_public_members_are_published() {
    let (first, next) = (Ed25519KeyPair::generate(), Ed25519KeyPair::generate());
    let emulator = emulator(&[&first]).await;
    let (oten, site) = site(&emulator, |config| {
        config
            .jar_eddsa(first.clone())
            .jar_published_key(next.public_key().with_key_id("next"))
    });
    assert_eq!(oten.jwks_path(), JWKS);
    assert_eq!(oten.config().jwks_uri(), format!("{ORIGIN}{JWKS}"));

    let answer = send(&site, request(Method::GET)).await;
    assert_eq!(
        answer.header(header::CONTENT_TYPE),
        Some("application/json")
    );
    assert_eq!(
        answer.header(header::CACHE_CONTROL),
        Some("public, max-age=300")
    );
    let set = answer.json();
    assert_eq!(ids(&set), [first.key_id(), "next"]);
    for key in set["keys"].as_array().unwrap() {
        let members: Vec<_> = key.as_object().unwrap().keys().collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
        assert_eq!(
            [&key["alg"], &key["crv"], &key["kty"], &key["use"]],
            [
                &json!("EdDSA"),
                &json!("Ed25519"),
                &json!("OKP"),
                &json!("sig")
            ]
        );
    }
    let read = JwkSet::from_json(answer.body.as_bytes()).unwrap();
    assert_eq!(read.keys().len(), 2);
}

#[tokio::test]
async fn the_jwks_route_needs_no_session_and_is_read_only() {
    let (site, store) = TestSite::builder()
        .client(ClientKind::EdDsa)
        // Even inside the layer.
        .app(|oten| oten.routes().merge(oten.jwks_route()).layer(oten.layer()))
        .start_watched()
        .await;
    store.fails(&Operation::ALL);
    let whole = send(&site.app, request(Method::GET)).await;
    let length = whole.body.len().to_string();
    for method in [Method::GET, Method::HEAD] {
        let mut request = request(method.clone());
        let cookie = "oten_session=AAAAAAAAAAAAAAAAAAAAAA";
        let headers = request.headers_mut();
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        let answer = send(&site.app, request).await;
        assert_eq!(answer.status, StatusCode::OK, "{method}");
        assert!(answer.set_cookies().is_empty(), "{method}");
        assert_eq!(answer.header(header::VARY), None, "{method}");
        if method == Method::HEAD {
            assert_eq!(answer.body, "");
            assert_eq!(answer.header(header::CONTENT_LENGTH), Some(&*length));
        }
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let refused = send(&site.app, request(method)).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(store.take_calls(), []);
}

#[tokio::test]
async fn a_client_that_signs_with_its_secret_publishes_no_keys() {
    for kind in [ClientKind::Hs256, ClientKind::Public] {
        let site = TestSite::builder()
            .client(kind)
            .app(Oten::jwks_route)
            .start()
            .await;
        assert_eq!(published(&site.app).await, json!({ "keys": [] }));
    }
}

#[tokio::test]
async fn the_emulator_accepts_usable_keys_only() {
    let pair = Ed25519KeyPair::generate();
    let emulator = emulator(&[&pair]).await;
    let jwk = pair.public_jwk();
    let with = |name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let mut unnamed = jwk.clone();
    unnamed.as_object_mut().unwrap().remove("kid");
    for keys in [
        json!([]),
        json!({}),
        json!([jwk, jwk]),
        json!([with("d", json!("AAAA"))]),
        json!([with("use", json!("enc"))]),
        json!([with("x", json!("AAAA"))]),
        json!([unnamed]),
        json!([jwk, {"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"}]),
    ] {
        let set = json!({ "keys": keys });
        let refused = emulator.replace_request_object_keys("site", &set);
        assert!(
            matches!(refused, Err(EmulatorError::Client { .. })),
            "{set}"
        );
    }
    let set = json!({ "keys": [jwk] });
    assert!(
        emulator
            .replace_request_object_keys("unknown-client", &set)
            .is_err()
    );
    emulator.replace_request_object_keys("site", &set).unwrap();

    // Rejected sets change nothing.
    let (_, site) = site(&emulator, |config| config.jar_eddsa(pair.clone()));
    sign_in(&emulator, &site).await.unwrap();
    assert!(
        !authorization_url(&site)
            .await
            .contains(&pair.to_pem()[28..80])
    );
}

#[test]
fn a_public_key_is_the_same_from_either_half() {
    let pair = Ed25519KeyPair::generate().with_key_id("registered");
    let public = pair.public_key();
    assert_eq!(public.key_id(), "registered");
    let read = Ed25519PublicKey::from_pem(&public.to_pem()).unwrap();
    assert_eq!(read.to_jwk()["x"], public.to_jwk()["x"]);
    assert_ne!(read.key_id(), "registered", "PEM holds no id");
}
