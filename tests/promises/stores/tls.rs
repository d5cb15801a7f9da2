//! TLS connections to the servers that hold the stores.

use std::{path::Path, sync::Arc, time::Duration};

use axum_oten::store::{OtenStore, PostgresStore, RedisStore, StoreError};
use rcgen::CertificateParams;

use super::{
    servers::{Server, ServerKind, shared},
    store_pair::key,
};
use crate::common::TestCa;

const KINDS: [ServerKind; 2] = [ServerKind::Redis, ServerKind::Postgres];

/// Returns the URL of a server that is verified by the authorities in a file, or by the usual ones.
pub(crate) fn verified_url(server: &Server, host: &str, ca: Option<&Path>) -> String {
    let port = server.port();
    let (url, separator) = match server.kind() {
        ServerKind::Redis => (format!("rediss://{host}:{port}"), '?'),
        ServerKind::Postgres => (
            format!("postgres://site@{host}:{port}/postgres?sslmode=verify-full"),
            '&',
        ),
    };
    match ca {
        Some(file) => format!("{url}{separator}sslrootcert={}", file.display()),
        None => url,
    }
}

fn start(kind: ServerKind, ca: &TestCa, change: impl FnOnce(&mut CertificateParams)) -> Server {
    let mut server = Server::with_tls(kind, &ca.server("localhost", change));
    server.start();
    server
}

async fn connect(kind: ServerKind, url: &str) -> Result<Arc<dyn OtenStore>, StoreError> {
    Ok(match kind {
        ServerKind::Redis => Arc::new(RedisStore::connect(url).await?),
        ServerKind::Postgres => Arc::new(PostgresStore::connect(url).await?),
    })
}

/// Returns the problem and the help of the error.
async fn rejection(kind: ServerKind, url: &str) -> (&'static str, &'static str) {
    let store = connect(kind, url).await.unwrap();
    match store.load(&key()).await.unwrap_err() {
        StoreError::Misconfigured { problem, help, .. } => (problem, help),
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_sslrootcert_names_the_authority_of_a_store() {
    let ca = TestCa::new();
    for kind in KINDS {
        let server = start(kind, &ca, |_| ());
        let url = verified_url(&server, "localhost", Some(&ca.file()));
        let store = connect(kind, &url).await.unwrap();
        let key = key();
        let ttl = Duration::from_secs(60);
        assert!(store.insert(&key, b"a", ttl).await.unwrap(), "{kind:?}");
        assert_eq!(store.take(&key).await.unwrap().unwrap(), b"a"[..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_a_wrong_certificate_of_a_store_is_reported_with_help() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let past = rcgen::date_time_ymd(2020, 1, 1);
    let future = rcgen::date_time_ymd(2100, 1, 1);
    for kind in KINDS {
        let server = start(kind, &ca, |_| ());
        for authority in [None, Some(other.file())] {
            let url = verified_url(&server, "localhost", authority.as_deref());
            let (problem, help) = rejection(kind, &url).await;
            assert!(
                problem.ends_with("is from an authority that is not trusted"),
                "{problem}"
            );
            assert!(help.contains("sslrootcert=FILE"), "{help}");
        }
        let url = verified_url(&server, "127.0.0.1", Some(&ca.file()));
        let (problem, help) = rejection(kind, &url).await;
        assert!(problem.ends_with("is for another host name"), "{problem}");
        assert!(help.contains("suspect interception"), "{help}");

        let expired = start(kind, &ca, |certificate| {
            (certificate.not_before, certificate.not_after) = (past, past);
        });
        let early = start(kind, &ca, |certificate| {
            certificate.not_before = future;
        });
        for (server, words) in [(expired, "has expired"), (early, "is not valid yet")] {
            let url = verified_url(&server, "localhost", Some(&ca.file()));
            let (problem, help) = rejection(kind, &url).await;
            assert!(problem.ends_with(words), "{problem}");
            assert!(help.contains("this machine's clock is right"), "{help}");
        }
    }
}

/// Redis without TLS does not answer to TLS at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_a_store_without_tls_is_reported_with_help() {
    let ca = TestCa::new();
    let server = shared(ServerKind::Postgres);
    let url = verified_url(server, "localhost", Some(&ca.file()));
    let (problem, help) = rejection(ServerKind::Postgres, &url).await;
    assert!(problem.ends_with("does not speak TLS"), "{problem}");
    assert!(help.contains("enable TLS on the server"), "{help}");
}

/// The default of Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_a_store_that_requires_a_client_certificate_is_reported_with_help() {
    let ca = TestCa::new();
    let mut server = Server::with_tls(ServerKind::Redis, &ca.server("localhost", |_| ()));
    server.argue(&["--tls-auth-clients", "yes"]);
    server.start();
    let url = verified_url(&server, "localhost", Some(&ca.file()));
    let (problem, help) = rejection(ServerKind::Redis, &url).await;
    assert!(
        problem.ends_with("requires a client certificate"),
        "{problem}"
    );
    assert!(help.contains("tls-auth-clients no"), "{help}");
}

#[tokio::test]
async fn b3_an_unusable_file_of_authorities_is_reported_with_its_path() {
    let ca = TestCa::new();
    let (_, private_key) = ca.server("localhost", |_| ());
    for kind in KINDS {
        for (file, words) in [
            (Path::new("/nowhere/ca.pem"), "cannot be read"),
            (&private_key, "is not a list of certificates"),
        ] {
            let url = verified_url(shared(kind), "localhost", Some(file));
            let error = connect(kind, &url).await.map(drop).unwrap_err();
            let StoreError::Address(cause) = &error else {
                panic!("{error:?}");
            };
            let text = cause.to_string();
            assert!(text.contains(words), "{text}");
            assert!(text.contains(file.to_str().unwrap()), "{text}");
        }
    }
}
