//! `oten emulator` on https, with a certificate that the test issues.

use std::{fs, path::PathBuf};

use axum_oten::{Config, config::ConfigBuilder};
use rcgen::CertificateParams;
use reqwest::{Client, Response, header, redirect::Policy};
use url::Url;

use super::process::{Running, command};
use crate::common::{SECRET, TestCa};

/// An emulator on https in a child process, and the authority that signed its certificate.
///
/// The client `CLIENT` is confidential and signs with `SECRET` (HS256).
pub(crate) struct TlsEmulator {
    /// `https://HOST:PORT`.
    pub(crate) issuer: String,
    pub(crate) ca: TestCa,
    client: Client,
    running: Running,
}

impl TlsEmulator {
    pub(crate) const CLIENT: &str = "tls-site";
    pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:3000/callback";

    /// Starts one on `https://localhost:PORT`.
    pub(crate) async fn start() -> Self {
        Self::start_as("localhost", |_| ()).await
    }

    /// Starts one with another host name, which only a proxy may resolve, and another certificate.
    /// It listens on 127.0.0.1.
    pub(crate) async fn start_as(host: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let ca = TestCa::new();
        let (certificate, key) = ca.server(host, change);
        let secret = ca.folder().join("client.secret");
        fs::write(&secret, SECRET).unwrap();
        let mut emulator = command(&[
            "emulator",
            "--listen",
            "127.0.0.1:0",
            "--issuer",
            &format!("https://{host}:0"),
            "--client-id",
            Self::CLIENT,
            "--redirect-uri",
            Self::REDIRECT_URI,
            "--tls-cert",
        ]);
        emulator.arg(certificate).arg("--tls-key").arg(key);
        emulator.arg("--client-secret-file").arg(secret);
        let running = Running::start(&mut emulator).await;
        let issuer = running.url.as_str().trim_end_matches('/').to_owned();
        let here = ([127, 0, 0, 1], running.url.port().unwrap()).into();
        let pem = fs::read(ca.file()).unwrap();
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .tls_certs_merge(reqwest::Certificate::from_pem(&pem))
            .resolve(host, here)
            .build()
            .unwrap();
        Self {
            issuer,
            ca,
            client,
            running,
        }
    }

    /// The file with the certificate of the authority.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.ca.file()
    }

    /// A configuration for its client, without `ca_file`.
    pub(crate) fn config(&self) -> ConfigBuilder {
        Config::builder()
            .issuer(&self.issuer)
            .client_id(Self::CLIENT)
            .client_secret(SECRET)
            .redirect_uri(Self::REDIRECT_URI)
    }

    /// The same as environment variables of a child process.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("OTEN_ISSUER", self.issuer.clone()),
            ("OTEN_CLIENT_ID", Self::CLIENT.to_owned()),
            ("OTEN_CLIENT_SECRET", SECRET.to_owned()),
            ("OTEN_REDIRECT_URI", Self::REDIRECT_URI.to_owned()),
        ]
    }

    /// Opens the authorization URL as a browser, signs in and approves the request. Returns the
    /// callback URL.
    pub(crate) async fn approve(&self, authorization_url: &str, user: &str) -> Url {
        let response = self.client.get(authorization_url).send().await.unwrap();
        let page = self.next(&response);
        let form = [("interaction", interaction(&page)), ("user", user)];
        let signed_in = self.post("/v1/oauth/login", "", &form).await;
        let cookie = cookie(&signed_in);
        let page = self.next(&signed_in);
        let form = [("interaction", interaction(&page)), ("decision", "allow")];
        let approved = self.post("/v1/oauth/consent", &cookie, &form).await;
        self.next(&approved)
    }

    /// Stops it and returns its output.
    pub(crate) async fn end(self) -> String {
        let (status, log) = self.running.end().await;
        assert!(status.success(), "{log}");
        log
    }

    async fn post(&self, path: &str, cookie: &str, form: &[(&str, &str)]) -> Response {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = self
            .client
            .post(format!("{}{path}", self.issuer))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::COOKIE, cookie)
            .body(form);
        request.send().await.unwrap()
    }

    fn next(&self, response: &Response) -> Url {
        let location = response.headers()[header::LOCATION].to_str().unwrap();
        let issuer = Url::parse(&self.issuer).unwrap();
        issuer.join(location).unwrap()
    }
}

fn interaction(page: &Url) -> &str {
    let id = page.query().and_then(|query| query.strip_prefix("id="));
    id.expect("a page of the emulator")
}

fn cookie(response: &Response) -> String {
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}
