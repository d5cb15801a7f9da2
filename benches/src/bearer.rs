//! The time that an API's layer adds to a request, against the work that cannot be avoided.

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use axum::{Router, body::Body, routing::get};
use axum_oten::{
    Config,
    emulator::{EmulatedClient, Emulator, EmulatorBuilder},
    web::ResourceServer,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Request, header};
use tower::ServiceExt;

use crate::{
    Bad, median,
    report::{Limit, Report, Row},
};

const CLIENT: &str = "bench";
const SECRET: &str = "a-secret-of-at-least-32-bytes-as-Oten-makes-them";
const CALLS: u32 = 2_000;
const ROUNDS: usize = 15;

/// An API behind the layer, and a valid token.
async fn api(
    emulate: fn(EmulatorBuilder) -> EmulatorBuilder,
) -> Result<(Emulator, Router, String), Bad> {
    let client = EmulatedClient::confidential(CLIENT, SECRET).redirect_uri("http://127.0.0.1/cb");
    let emulator = emulate(Emulator::builder().client(client)).start().await?;
    let config = Config::builder()
        .issuer(emulator.issuer())
        .client_id(CLIENT)
        .client_secret(SECRET)
        .token_validation_endpoint(format!("{}/v1/token/validate", emulator.issuer()))
        .build_api()?;
    let app = bare().route_layer(ResourceServer::new(config)?.bearer());
    let token = emulator.access_token(CLIENT, "alice", "openid profile email orders")?;
    Ok((emulator, app, token))
}

fn bare() -> Router {
    Router::new().route("/", get(async || "orders"))
}

/// The time of a request, averaged over many.
async fn request(app: &Router, token: &str) -> Result<Duration, Bad> {
    let begin = Instant::now();
    for _ in 0..CALLS {
        let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let response = app.clone().oneshot(request.body(Body::empty())?).await?;
        if response.status() != 200 {
            return Err(format!("the token is rejected: {}", response.status()).into());
        }
    }
    Ok(begin.elapsed() / CALLS)
}

fn time(mut work: impl FnMut()) -> Duration {
    let begin = Instant::now();
    for _ in 0..CALLS {
        work();
    }
    begin.elapsed() / CALLS
}

/// The provider's public key.
async fn public_key(emulator: &Emulator) -> Result<Vec<u8>, Bad> {
    let keys = Request::get("/.well-known/jwks.json").body(Body::empty())?;
    let keys = emulator.router::<()>().oneshot(keys).await?;
    let keys = axum::body::to_bytes(keys.into_body(), 1 << 20).await?;
    let keys: serde_json::Value = serde_json::from_slice(&keys)?;
    let x = keys["keys"][0]["x"].as_str().ok_or("no key")?;
    Ok(BASE64_URL_SAFE_NO_PAD.decode(x)?)
}

#[tokio::main(flavor = "current_thread")]
pub async fn check() -> Result<bool, Bad> {
    let (emulator, local, jwt) = api(|emulator| emulator).await?;
    let (_opaque_emulator, remote, opaque) = api(EmulatorBuilder::opaque_access_tokens).await?;
    let (signed, signature) = jwt.rsplit_once('.').ok_or("not a JWT")?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature)?;
    let key = UnparsedPublicKey::new(&ED25519, public_key(&emulator).await?);
    let map = HashMap::from([(opaque.clone(), Instant::now())]);
    let bare = bare();

    let (mut verification, mut cached) = (Vec::new(), Vec::new());
    for _ in 0..=ROUNDS {
        let floor = request(&bare, &jwt).await?.as_secs_f64();
        let with_layer = request(&local, &jwt).await?.as_secs_f64();
        let raw = time(|| {
            let valid = key.verify(black_box(signed.as_bytes()), &signature);
            valid.expect("the emulator's signature is valid");
        });
        verification.push((with_layer - floor) / raw.as_secs_f64());
        let floor = request(&bare, &opaque).await?.as_secs_f64();
        let with_layer = request(&remote, &opaque).await?.as_secs_f64();
        let lookup = time(|| {
            black_box(map.get(black_box(&opaque)));
        });
        cached.push((with_layer - floor - lookup.as_secs_f64()) * 1e6);
    }
    let rows = [
        Row::new(
            ["bearer", "verifying a JWT / raw Ed25519 verification"],
            (median(verification.split_off(1)), "x"),
            Some(Limit::AtMost(1.2)),
        ),
        Row::new(
            ["bearer", "a cached verdict, above a map lookup"],
            (median(cached.split_off(1)), "us"),
            Some(Limit::AtMost(2.0)),
        ),
    ];
    for row in &rows {
        println!("{row}");
    }
    Report::add(&rows)?;
    Ok(rows.iter().all(Row::is_met))
}
