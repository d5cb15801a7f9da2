//! Promise P6: requests that an HTTP/2 server did not process.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use axum_oten::emulator::{Deviation, Endpoint};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::common::{Answer, TestCa, TestSite};

const HOUR: Duration = Duration::from_secs(3600);

/// The end of a request that the server has received.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// `RST_STREAM` with this error code.
    Reset(u32),
    /// GOAWAY with this error code, and with the stream before this one as the last.
    GoAwayBefore(u32),
    /// GOAWAY with this stream as the last, and the end of the connection.
    GoAwayAfter,
    /// The head of a response, then `RST_STREAM` with this error code.
    ResetAfterHead(u32),
}

// Error codes (RFC 9113 section 7).
const NO_ERROR: u32 = 0x0;
const INTERNAL_ERROR: u32 = 0x2;
const REFUSED_STREAM: u32 = 0x7;
const CANCEL: u32 = 0x8;
const ENHANCE_YOUR_CALM: u32 = 0xb;

// Types of frames (RFC 9113 section 6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const GOAWAY: u8 = 0x7;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// `:status: 200` (RFC 7541 appendix A).
const STATUS_200: [u8; 1] = [0x88];

/// The emulator's token endpoint on https and HTTP/2.
#[derive(Clone)]
struct Http2Server {
    /// The token endpoint of the emulator.
    upstream: String,
    requests: Arc<Mutex<u32>>,
    endings: Arc<Mutex<VecDeque<Ending>>>,
}

impl Http2Server {
    /// Starts one in front of a site's emulator, and returns both.
    async fn start() -> (TestSite, Self) {
        let ca = TestCa::new();
        let (certificate, key) = ca.server("localhost", |_| ());
        let certificate = CertificateDer::from_pem_file(certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
                .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let ca_file = ca.file();
        let site = TestSite::builder().config(|config| config.ca_file(ca_file));
        let site = site.start().await;
        let server = Self {
            upstream: format!("{}/v1/oauth/token", site.emulator.issuer()),
            requests: Arc::default(),
            endings: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = json!(format!("https://localhost:{port}/token"));
        let deviation = Deviation::DiscoveryField("token_endpoint", here);
        site.emulator.deviate(deviation);
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), accepting.clone());
                tokio::spawn(async move {
                    // A client that disconnects is no error.
                    let _ = server.serve(acceptor.accept(stream).await?).await;
                    Ok::<_, io::Error>(())
                });
            }
        });
        (site, server)
    }

    fn plan(&self, endings: &[Ending]) {
        *self.requests() = 0;
        let mut planned = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
        *planned = endings.iter().copied().collect();
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, u32> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut client: TlsStream<TcpStream>) -> io::Result<()> {
        let mut preface = [0; 24];
        client.read_exact(&mut preface).await?;
        assert!(preface.starts_with(b"PRI * HTTP/2.0"));
        client.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
        let mut form = Vec::new();
        loop {
            let mut head = [0; 9];
            client.read_exact(&mut head).await?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            client.read_exact(&mut payload).await?;
            match kind {
                SETTINGS if flags & ACK == 0 => {
                    client.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
                }
                DATA => form.extend(payload),
                _ => {}
            }
            if kind == DATA && flags & END_STREAM != 0 {
                let form = std::mem::take(&mut form);
                self.end(&mut client, u32::from_be_bytes(stream), form)
                    .await?;
            }
        }
    }

    /// Ends a request as planned, or with the response of the emulator.
    async fn end(
        &self,
        client: &mut TlsStream<TcpStream>,
        stream: u32,
        form: Vec<u8>,
    ) -> io::Result<()> {
        *self.requests() += 1;
        let ending = self
            .endings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let head = |flags| frame(HEADERS, flags, stream, &STATUS_200);
        let reset = |code: u32| frame(RST_STREAM, 0, stream, &code.to_be_bytes());
        let go_away = |last: u32, code: u32| {
            let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
            frame(GOAWAY, 0, 0, &payload)
        };
        match ending {
            Some(Ending::Reset(code)) => client.write_all(&reset(code)).await,
            Some(Ending::GoAwayBefore(code)) => {
                client
                    .write_all(&go_away(stream.saturating_sub(2), code))
                    .await
            }
            Some(Ending::GoAwayAfter) => {
                client.write_all(&go_away(stream, NO_ERROR)).await?;
                client.shutdown().await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Some(Ending::ResetAfterHead(code)) => {
                client.write_all(&head(END_HEADERS)).await?;
                client.write_all(&reset(code)).await
            }
            None => {
                let response = reqwest::Client::new()
                    .post(&self.upstream)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form)
                    .send()
                    .await
                    .unwrap();
                assert!(response.status().is_success());
                client.write_all(&head(END_HEADERS)).await?;
                let body = response.bytes().await.unwrap();
                client
                    .write_all(&frame(DATA, END_STREAM, stream, &body))
                    .await
            }
        }
    }
}

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

async fn attempt(site: &TestSite) -> Answer {
    let mut browser = site.browser();
    let authorization_url = browser.start_login("/open").await;
    let callback = browser.approve(&authorization_url, "alice");
    browser.get(&callback).await
}

#[tokio::test]
async fn p6_a_token_request_that_was_not_processed_is_repeated() {
    let (site, server) = Http2Server::start().await;
    for ending in [
        Ending::Reset(REFUSED_STREAM),
        Ending::GoAwayBefore(NO_ERROR),
        Ending::GoAwayBefore(ENHANCE_YOUR_CALM),
    ] {
        server.plan(&[ending]);
        let mut browser = site.signed_in("alice").await;
        assert_eq!(*server.requests(), 2, "{ending:?}");
        site.clock.advance(HOUR);
        server.plan(&[ending]);
        assert_eq!(browser.get("/token").await.status, StatusCode::OK);
        assert_eq!(*server.requests(), 2, "{ending:?}");
    }
    assert_eq!(site.emulator.calls(Endpoint::Token), 6);
    assert_eq!(site.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn p6_a_token_request_is_repeated_once() {
    let (site, server) = Http2Server::start().await;
    for endings in [
        [Ending::Reset(REFUSED_STREAM); 3],
        [Ending::GoAwayBefore(NO_ERROR); 3],
    ] {
        server.plan(&endings);
        let answer = attempt(&site).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(*server.requests(), 2, "{endings:?}");
    }
    assert_eq!(site.emulator.calls(Endpoint::Token), 0);
}

/// The provider may have used the code or the refresh token.
#[tokio::test]
async fn p6_a_token_request_that_may_have_been_processed_is_not_repeated() {
    let (site, server) = Http2Server::start().await;
    for ending in [
        Ending::Reset(NO_ERROR),
        Ending::Reset(CANCEL),
        Ending::Reset(INTERNAL_ERROR),
        Ending::GoAwayAfter,
        Ending::ResetAfterHead(REFUSED_STREAM),
    ] {
        server.plan(&[ending]);
        let answer = attempt(&site).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{ending:?}");
        assert_eq!(*server.requests(), 1, "{ending:?}");
    }
    assert_eq!(site.emulator.calls(Endpoint::Token), 0);
}
