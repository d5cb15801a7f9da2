//! Sign-in, refresh and sign-out at two providers written by others. `tests/foreign` contains their
//! programs and describes their limits.

use std::{fs::File, path::Path, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, header},
};
use axum_oten::{
    Clock, Config, MemoryStore, Oten, Secret,
    check::Checker,
    config::{AuthMethod, ConfigBuilder},
    jose::Ed25519KeyPair,
};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command};

use super::chromium::{Chromium, browse};
use crate::{
    common::{ClientKind, SECRET, app, send},
    program::process::Running,
};

/// Less than the lifetime of an access token, but so much that a refresh is due.
const UNTIL_REFRESH: Duration = Duration::from_secs(100);

/// A provider written by others.
#[derive(Clone, Copy, Debug)]
enum Foreign {
    OidcProvider,
    Authlib,
}

impl Foreign {
    /// Starts the provider with these client registrations.
    async fn start(self, clients: &[Value]) -> Running {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let name = match self {
            Self::OidcProvider => "oidc-provider",
            Self::Authlib => "authlib",
        };
        let (sources, installed) = (
            root.join("tests/foreign").join(name),
            super::installed(name),
        );
        let clients = Value::from(clients).to_string();
        let mut command = match self {
            Self::OidcProvider => {
                // From standard input, a program imports from the working directory.
                let program = File::open(sources.join("provider.js")).unwrap();
                let mut node = Command::new("node");
                node.args(["--input-type=module", "-"]).stdin(program);
                node
            }
            Self::Authlib => {
                let mut python = Command::new(installed.join("bin/python"));
                python.arg(sources.join("provider.py"));
                python
            }
        };
        command.arg(clients).current_dir(installed);
        Running::start(command.kill_on_drop(true)).await
    }
}

/// A client of the provider: its credentials, and the address of its site.
struct Client {
    kind: ClientKind,
    /// Whether it uses RS256, `client_secret_basic` and unsigned requests.
    is_ordinary: bool,
    id: &'static str,
    secret: Secret,
    pair: Ed25519KeyPair,
    listener: TcpListener,
    origin: String,
}

impl Client {
    async fn new(kind: ClientKind, id: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            kind,
            is_ordinary: false,
            id,
            secret: SECRET.into(),
            pair: Ed25519KeyPair::generate(),
            origin: format!("http://{}", listener.local_addr().unwrap()),
            listener,
        }
    }

    /// The registration (RFC 7591, OpenID Connect Dynamic Client Registration section 2).
    fn registration(&self) -> Value {
        let mut registration = json!({
            "client_id": self.id,
            "redirect_uris": [format!("{}/callback", self.origin)],
            "post_logout_redirect_uris": [format!("{}/logout", self.origin)],
            "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token"],
            "id_token_signed_response_alg": "EdDSA",
            "token_endpoint_auth_method": "none",
            "require_signed_request_object": false,
        });
        if self.kind != ClientKind::Public {
            registration["token_endpoint_auth_method"] = json!("client_secret_post");
            registration["client_secret"] = json!(self.secret.expose());
            registration["require_signed_request_object"] = json!(true);
            registration["request_object_signing_alg"] = json!("HS256");
        }
        if self.is_ordinary {
            registration["token_endpoint_auth_method"] = json!("client_secret_basic");
            registration["id_token_signed_response_alg"] = json!("RS256");
            registration["require_signed_request_object"] = json!(false);
        }
        if self.kind == ClientKind::EdDsa {
            registration["request_object_signing_alg"] = json!("EdDSA");
            registration["jwks"] = json!({ "keys": [self.pair.public_jwk()] });
        }
        registration
    }

    fn config(&self, provider: &Running) -> ConfigBuilder {
        let config = Config::builder()
            .issuer(provider.url.as_str())
            .client_id(self.id)
            .cookie_name(self.id)
            .redirect_uri(format!("{}/callback", self.origin))
            .post_logout_redirect_uri(format!("{}/logout", self.origin))
            .max_age(Duration::from_secs(3600));
        if self.is_ordinary {
            return config
                .client_secret(self.secret.clone())
                .jar_off()
                .id_token_algorithms(["RS256"])
                .token_endpoint_auth_method(AuthMethod::ClientSecretBasic);
        }
        match self.kind {
            ClientKind::Hs256 => config.client_secret(self.secret.clone()),
            ClientKind::EdDsa => config
                .client_secret(self.secret.clone())
                .jar_eddsa(self.pair.clone()),
            ClientKind::Public => config.public_client(),
        }
    }

    /// Serves the site until the test ends.
    fn serve(self, provider: &Running) -> Site {
        let clock = Clock::manual();
        let app = site(self.config(provider), &clock);
        tokio::spawn(async move { axum::serve(self.listener, app).await });
        Site {
            origin: self.origin,
            clock,
        }
    }
}

/// Returns the app of a site.
fn site(config: ConfigBuilder, clock: &Clock) -> Router {
    let store = MemoryStore::default().with_clock(clock.clone());
    let oten = Oten::builder(config.build().unwrap(), store).clock(clock.clone());
    app(&oten.build().unwrap())
}

struct Site {
    origin: String,
    clock: Clock,
}

impl Site {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Requests a protected page as a guest, and signs in at the provider.
    async fn sign_in(&self, browser: &Chromium) -> Value {
        browser.goto(&self.at("/profile")).await;
        browser.click("button[value=alice]").await;
        // Chromium's element for JSON and plain text.
        let profile = browser.find("pre").await.text().await.unwrap();
        assert_eq!(browser.here().await.as_str(), self.at("/profile"));
        serde_json::from_str(&profile).unwrap()
    }

    async fn access_token(&self, browser: &Chromium) -> String {
        browser.goto(&self.at("/token")).await;
        browser.text().await
    }

    /// Signs out at the site and at the provider, which returns to the site.
    async fn sign_out(&self, provider: Foreign, browser: &Chromium) {
        browser.goto(&self.at("/logout")).await;
        browser.click("form button").await;
        match provider {
            Foreign::OidcProvider => browser.click("button[name=logout]").await,
            Foreign::Authlib => {}
        }
        browser.find("a[href^='/login']").await;
        let page = browser.text().await;
        assert!(page.contains("asked Oten to sign you out"), "{page}");
    }
}

async fn session_id(browser: &Chromium) -> String {
    browser.cookie("site_session").await.value().to_owned()
}

async fn in_a_browser(provider: Foreign, kind: ClientKind) {
    sign_in_and_out(provider, Client::new(kind, "site").await).await;
}

async fn sign_in_and_out(provider: Foreign, client: Client) {
    let running = provider.start(&[client.registration()]).await;
    let report = Checker::new(Ok(client.config(&running))).run(|_| {}).await;
    assert!(!report.has_failed(), "{report:?}");
    if client.kind != ClientKind::Public && !client.is_ordinary {
        let answer = forged_request(&client, &running).await;
        assert!(answer.contains("invalid_request_object"), "{answer}");
    }
    let site = client.serve(&running);
    browse(async move |browser| {
        browser.goto(&site.at("/profile")).await;
        browser.click("button[value='']").await;
        browser.find("a[href^='/login']").await;
        let page = browser.text().await;
        assert!(page.contains("Sign-in cancelled"), "{page}");

        let profile = site.sign_in(&browser).await;
        assert_eq!(profile["sub"], "alice");
        assert_eq!(profile["email"], "alice@example.com");
        assert!(profile["name"].as_str().unwrap().starts_with("alice of "));
        assert_eq!(
            running.at("/"),
            format!("{}/", profile["iss"].as_str().unwrap())
        );

        // After the sign-out, the provider requires a login again.
        site.sign_out(provider, &browser).await;
        site.sign_in(&browser).await;

        // The second refresh uses the refresh token that the first one returned, if any.
        let mut token = site.access_token(&browser).await;
        let session = session_id(&browser).await;
        for _ in 0..2 {
            assert_eq!(site.access_token(&browser).await, token);
            site.clock.advance(UNTIL_REFRESH);
            let refreshed = site.access_token(&browser).await;
            assert_ne!(refreshed, token);
            token = refreshed;
        }
        // A silent sign-in at the provider would have created another session.
        assert_eq!(session_id(&browser).await, session);
        browser.goto(&site.at("/profile")).await;
        assert_eq!(browser.text().await, profile.to_string());

        site.sign_out(provider, &browser).await;
        browser.goto(&site.at("/")).await;
        assert_eq!(browser.text().await, "guest");
        assert_eq!(browser.blocked().await, Vec::<String>::new());
    })
    .await;
}

/// Sends a request object that is signed with another key of the same ID, and returns the answer.
async fn forged_request(client: &Client, provider: &Running) -> String {
    let other = Ed25519KeyPair::generate().with_key_id(client.pair.key_id());
    let config = client.config(provider).client_secret(Secret::random());
    let config = match client.kind {
        ClientKind::EdDsa => config.jar_eddsa(other),
        _ => config,
    };
    let login = Request::get("/login").body(Body::empty()).unwrap();
    let login = send(&site(config, &Clock::manual()), login).await;
    let browser = reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none());
    let request = browser.build().unwrap().get(login.location());
    let answer = request.send().await.unwrap();
    match answer.headers().get(header::LOCATION) {
        Some(location) => location.to_str().unwrap().to_owned(),
        None => answer.text().await.unwrap(),
    }
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn hs256_client_of_oidc_provider() {
    in_a_browser(Foreign::OidcProvider, ClientKind::Hs256).await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn eddsa_client_of_oidc_provider() {
    in_a_browser(Foreign::OidcProvider, ClientKind::EdDsa).await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn public_client_of_oidc_provider() {
    in_a_browser(Foreign::OidcProvider, ClientKind::Public).await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn s6_ordinary_client_of_oidc_provider() {
    let client = Client::new(ClientKind::Hs256, "site").await;
    let client = Client {
        is_ordinary: true,
        ..client
    };
    sign_in_and_out(Foreign::OidcProvider, client).await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn hs256_client_of_authlib() {
    in_a_browser(Foreign::Authlib, ClientKind::Hs256).await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn eddsa_client_of_authlib() {
    in_a_browser(Foreign::Authlib, ClientKind::EdDsa).await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn public_client_of_authlib() {
    in_a_browser(Foreign::Authlib, ClientKind::Public).await;
}

#[tokio::test]
#[ignore = "needs tests/foreign/install"]
async fn o4_a_sign_out_at_one_site_ends_the_session_at_another() {
    let here = Client::new(ClientKind::Hs256, "here").await;
    let there = Client::new(ClientKind::EdDsa, "there").await;
    let mut registration = there.registration();
    registration["backchannel_logout_uri"] = json!(format!("{}/backchannel-logout", there.origin));
    registration["backchannel_logout_session_required"] = json!(true);
    let provider = Foreign::OidcProvider;
    let running = provider.start(&[here.registration(), registration]).await;
    let (here, there) = (here.serve(&running), there.serve(&running));
    browse(async move |browser| {
        for site in [&here, &there] {
            assert_eq!(site.sign_in(&browser).await["sub"], "alice");
        }
        here.sign_out(provider, &browser).await;
        browser.goto(&there.at("/")).await;
        assert_eq!(browser.text().await, "guest");
    })
    .await;
}
