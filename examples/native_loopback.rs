//! A command-line program that signs its user in through the system browser (RFC 8252). It listens on a port
//! of this device, to which the browser returns with a code.
//!
//! Start `native_custom_scheme` first, with `http://127.0.0.1/callback` in `OTEN_NATIVE_LINKS`. Then:
//!
//! ```console
//! $ cargo run --example native_loopback http://localhost:3000
//! ```
//!
//! Dependencies besides those of the quick start: `base64`, `reqwest`, `serde_json`, `sha2` and `url`.

use std::{collections::HashMap, env, error::Error};

use axum::{Router, extract::RawQuery, routing::get};
use axum_oten::Secret;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use url::{Url, form_urlencoded};

type Parameters = HashMap<String, String>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let site = env::args().nth(1);
    let site: Url = site.as_deref().unwrap_or("http://localhost:3000").parse()?;
    let client = reqwest::Client::new();
    let credential = sign_in(&client, &site).await?;

    // A real program keeps the credential in the keychain of the operating system.
    let authorization = format!("Bearer {}", credential.expose());
    let greeting = client.get(site.join("/greeting")?);
    let greeting = greeting.header(AUTHORIZATION, &authorization).send();
    println!("{}", greeting.await?.error_for_status()?.text().await?);

    let sign_out = client.post(site.join("/logout")?);
    let sign_out = sign_out.header(AUTHORIZATION, &authorization).send();
    sign_out.await?.error_for_status()?;
    println!("Signed out.");
    Ok(())
}

/// Returns the credential of a new session.
async fn sign_in(client: &reqwest::Client, site: &Url) -> Result<Secret, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let redirect_uri = format!("http://{}/callback", listener.local_addr()?);
    let (state, code_verifier) = (Secret::random(), Secret::random());
    let code_challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(code_verifier.expose()));
    let mut start = site.join("/native/start")?;
    start
        .query_pairs_mut()
        .append_pair("redirect_uri", &redirect_uri)
        .append_pair("code_challenge", &code_challenge)
        .append_pair("code_challenge_method", "S256")
        .append_pair("state", state.expose());
    println!("Open this page in your browser:\n{start}");

    let response = response(listener, state).await?;
    let Some(code) = response.get("code") else {
        return Err(format!("not signed in: {:?}", response.get("error")).into());
    };
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("code_verifier", code_verifier.expose())
        .append_pair("redirect_uri", &redirect_uri)
        .finish();
    let token = client
        .post(site.join("/native/token")?)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form)
        .send();
    let token: Value = serde_json::from_slice(&token.await?.error_for_status()?.bytes().await?)?;
    let credential = token["access_token"].as_str();
    Ok(credential.ok_or("the site sent no credential")?.into())
}

/// Waits for the browser. Requests with another `state` are not the answer to this sign-in.
async fn response(listener: TcpListener, state: Secret) -> Result<Parameters, Box<dyn Error>> {
    let (sender, mut received) = mpsc::channel(1);
    let callback = async move |RawQuery(query): RawQuery| {
        let query = query.unwrap_or_default();
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned();
        let parameters: Parameters = parameters.collect();
        let returned = parameters.get("state").map(|state| Secret::from(&**state));
        if returned.as_ref() != Some(&state) {
            return "This page does not belong to the sign-in.";
        }
        let _ = sender.send(parameters).await;
        "You can close this page and return to the program."
    };
    let app = Router::new().route("/callback", get(callback));
    let (done, response) = oneshot::channel();
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            if let Some(parameters) = received.recv().await {
                let _ = done.send(parameters);
            }
        })
        .await?;
    Ok(response.await?)
}
