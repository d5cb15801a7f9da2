//! Connections to the provider: trusted certificates, and proxies.

use axum::http::{Request, StatusCode, header};
use axum_oten::{
    MemoryStore, Oten,
    config::{ConfigBuilder, Proxy},
    emulator::{Deviation, Emulator},
};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::{
    common::{Answer, ConnectProxy, Log, TestSite, app, path_and_query, send},
    program::tls_emulator::TlsEmulator,
};

/// A host that does not exist: only a proxy leads there.
const ELSEWHERE: &str = "oten.test";

fn site(config: ConfigBuilder) -> Oten {
    Oten::new(config.build().unwrap(), MemoryStore::default()).unwrap()
}

/// Signs in from `/login` to the return path, with calls to discovery, token endpoint and keys.
async fn sign_in(oten: &Oten, emulator: &TlsEmulator) -> Answer {
    let app = app(oten);
    let get = |path: &str, cookie: &str| {
        let request = Request::get(path).header(header::COOKIE, cookie);
        request.body(axum::body::Body::empty()).unwrap()
    };
    let login = send(&app, get("/login?return_to=/profile", "")).await;
    let attempt = login.set_cookies()[0].split(';').next().unwrap().to_owned();
    let callback = emulator.approve(login.location(), "alice").await;
    send(&app, get(&path_and_query(&callback), &attempt)).await
}

/// The error for a provider that cannot be reached.
async fn complaint(config: ConfigBuilder) -> String {
    let error = site(config).provider_metadata().await.unwrap_err();
    error.to_string()
}

#[tokio::test]
async fn a_configured_certificate_authority_is_trusted() {
    let emulator = TlsEmulator::start().await;
    let oten = site(emulator.config().ca_file(emulator.ca_file()));
    let answer = sign_in(&oten, &emulator).await;
    assert_eq!(answer.location(), "/profile");
    assert!(answer.sets_session());
}

#[tokio::test]
async fn b3_an_unknown_authority_is_reported_with_help() {
    let emulator = TlsEmulator::start().await;
    let other = TlsEmulator::start().await;
    for config in [
        emulator.config(),
        emulator.config().ca_file(other.ca_file()),
    ] {
        let said = complaint(config).await;
        assert!(
            said.contains("from an authority that this machine does not trust"),
            "{said}"
        );
        assert!(said.contains("set `ca_file`"), "{said}");
    }
}

#[tokio::test]
async fn b3_a_wrong_certificate_is_reported_with_help() {
    let now = OffsetDateTime::now_utc();
    let wrong_name = TlsEmulator::start_as("localhost", |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName(ELSEWHERE.try_into().unwrap())];
    });
    let expired = TlsEmulator::start_as("localhost", |params| {
        params.not_before = now - Duration::days(2);
        params.not_after = now - Duration::days(1);
    });
    let early = TlsEmulator::start_as("localhost", |params| {
        params.not_before = now + Duration::days(1);
    });
    let for_clients = TlsEmulator::start_as("localhost", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    for (emulator, message, help) in [
        (
            wrong_name.await,
            "for another host name",
            "suspect interception",
        ),
        (expired.await, "has expired", "clock is right"),
        (early.await, "is not valid yet", "clock is right"),
        (
            for_clients.await,
            "is not acceptable",
            "a server certificate",
        ),
    ] {
        let said = complaint(emulator.config().ca_file(emulator.ca_file())).await;
        assert!(said.contains(message) && said.contains(help), "{said}");
    }
}

#[tokio::test]
async fn b3_a_port_without_tls_is_reported_with_help() {
    let emulator = Emulator::builder().start().await.unwrap();
    let issuer = emulator.issuer().replace("http://", "https://");
    let config = axum_oten::Config::builder()
        .issuer(issuer)
        .client_id("x")
        .client_secret(crate::common::SECRET)
        .redirect_uri(TlsEmulator::REDIRECT_URI);
    let said = complaint(config).await;
    assert!(said.contains("does not speak TLS"), "{said}");
}

#[tokio::test]
async fn a_configured_proxy_is_used() {
    let (emulator, proxy) = (
        TlsEmulator::start_as(ELSEWHERE, |_| ()).await,
        ConnectProxy::start().await,
    );
    let way = format!("http://me:word@{}", proxy.address);
    let config = emulator
        .config()
        .ca_file(emulator.ca_file())
        .proxy(Proxy::Url(way.as_str().into()));
    let answer = sign_in(&site(config), &emulator).await;
    assert_eq!(answer.location(), "/profile");

    let requests = proxy.requests();
    assert!(!requests.is_empty());
    let target = emulator.issuer.replace("https://", "CONNECT ");
    for request in requests {
        assert!(request.starts_with(&target), "{request}");
        let authorization = request.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("proxy-authorization")
                .then_some(value)
        });
        assert_eq!(authorization, Some("Basic bWU6d29yZA=="));
    }
}

/// B2
#[tokio::test]
async fn b2_a_proxy_error_is_reported_without_the_password() {
    let emulator = TlsEmulator::start_as(ELSEWHERE, |_| ()).await;
    let strict = ConnectProxy::answering("407 Proxy Authentication Required").await;
    for address in [strict.address.as_str(), "127.0.0.1:1"] {
        let way = format!("http://me:pass-of-the-proxy@{address}");
        let config = emulator
            .config()
            .ca_file(emulator.ca_file())
            .proxy(Proxy::Url(way.as_str().into()));
        let said = complaint(config).await;
        assert!(said.contains("check `proxy`"), "{said}");
        assert!(!said.contains("pass-of-the-proxy"), "{said}");
    }
}

/// A server that impersonates the provider signs no user in.
#[tokio::test]
async fn an_intercepting_server_gets_no_secret() {
    let emulator = TlsEmulator::start_as(ELSEWHERE, |_| ()).await;
    let between = TlsEmulator::start_as(ELSEWHERE, |_| ()).await;
    let proxy = ConnectProxy::start().await;
    // The proxy connects to the requested port, where an impostor listens.
    let way = format!("http://{}", proxy.address);
    let config = between
        .config()
        .ca_file(emulator.ca_file())
        .proxy(Proxy::Url(way.as_str().into()));
    let oten = site(config);
    let login = Request::get("/login").body(axum::body::Body::empty());
    let answer = send(&app(&oten), login.unwrap()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(provider_error_of(&oten).await.contains("set `ca_file`"));
}

/// A server that impersonates the token endpoint gets neither the code nor the client secret.
#[tokio::test]
async fn an_impostor_at_the_token_endpoint_gets_no_secret() {
    let impostor = TlsEmulator::start().await;
    let site = TestSite::start().await;
    let endpoint = json!(format!("{}/v1/oauth/token", impostor.issuer));
    site.emulator
        .deviate(Deviation::DiscoveryField("token_endpoint", endpoint));
    let log = Log::start();
    let mut browser = site.browser();
    let url = browser.start_login("/").await;
    let callback = browser.approve(&url, "alice");
    let answer = browser.get(&callback).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let cause = log.refusal()["cause"].clone();
    assert!(cause.contains("this machine does not trust"), "{cause}");
}

async fn provider_error_of(oten: &Oten) -> String {
    oten.provider_metadata().await.unwrap_err().to_string()
}
