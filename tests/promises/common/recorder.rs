use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::post,
};
use axum_oten::emulator::{Deviation, Emulator};
use serde_json::json;
use tokio::net::TcpListener;

/// A recording proxy in front of the emulator's token endpoint.
pub struct Recorder(Arc<Mutex<Vec<TokenCall>>>);

/// A token request and its response.
#[derive(Clone, Debug)]
pub struct TokenCall {
    pub form: BTreeMap<String, String>,
    pub answer: serde_json::Value,
}

impl Recorder {
    /// Makes the discovery document name this recorder as token endpoint. Call it before the document
    /// is fetched.
    pub async fn before(emulator: &Emulator) -> Self {
        let calls: Arc<Mutex<Vec<TokenCall>>> = Arc::default();
        let kept = Arc::clone(&calls);
        let target = format!("{}/v1/oauth/token", emulator.issuer());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let forward = async move |headers: HeaderMap, body: Bytes| {
            let form = url::form_urlencoded::parse(&body).into_owned().collect();
            let sent = client
                .post(target)
                .header(header::CONTENT_TYPE, &headers[header::CONTENT_TYPE])
                .body(body)
                .send()
                .await;
            let (status, answer) = match sent {
                Ok(answer) => (answer.status(), answer.bytes().await.unwrap_or_default()),
                Err(_) => (StatusCode::BAD_GATEWAY, Bytes::new()),
            };
            kept.lock().unwrap().push(TokenCall {
                form,
                answer: serde_json::from_slice(&answer).unwrap_or_default(),
            });
            let json = [(header::CONTENT_TYPE, "application/json")];
            (status, json, answer).into_response()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let router: Router = Router::new().route("/token", post(forward));
        tokio::spawn(async move { axum::serve(listener, router).await });
        emulator.deviate(Deviation::DiscoveryField("token_endpoint", json!(url)));
        Self(calls)
    }

    pub fn calls(&self) -> Vec<TokenCall> {
        self.0.lock().unwrap().clone()
    }
}
