//! Sessions for tests.

use std::{sync::Arc, time::Duration};

use serde_json::Map;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{
    Identity, Lifetimes, Revoker, Sessions, Tokens, tokens::StoredSecret, userinfo::AddedClaims,
};
use crate::{
    audit::AuditTrail,
    clock::Clock,
    config::Config,
    metric,
    provider::Provider,
    secret::Secret,
    store::{OtenStore, Records},
};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// Returns sessions that expire after an hour without a request, and after a day.
pub(super) fn sessions(store: impl OtenStore, clock: Clock) -> Sessions {
    sessions_with(store, clock, 100, revoker())
}

pub(super) fn sessions_with(
    store: impl OtenStore,
    clock: Clock,
    max_per_user: usize,
    revoker: Revoker,
) -> Sessions {
    let records = Records::new(Arc::new(store), clock);
    let lifetimes = Lifetimes {
        idle: HOUR,
        guest_idle: HOUR,
        absolute: 24 * HOUR,
    };
    Sessions::new(records, lifetimes, max_per_user, revoker)
}

/// Returns a revoker whose provider does not exist.
pub(super) fn revoker() -> Revoker {
    let config = Config::builder()
        .issuer("http://127.0.0.1:1")
        .client_id("client")
        .public_client()
        .redirect_uri("http://127.0.0.1:3000/callback")
        .build()
        .unwrap();
    Revoker {
        provider: Arc::new(Provider::new(&config, Clock::system()).unwrap()),
        client: config.client().clone(),
        tasks: TaskTracker::new(),
        trail: AuditTrail::new(Clock::system(), metric::count_event),
        slots: Arc::new(Semaphore::new(1)),
    }
}

pub(super) fn identity(subject: &str) -> Identity {
    Identity {
        issuer: "https://id.example".to_owned(),
        subject: subject.to_owned(),
        sid: Some(format!("sid-of-{subject}")),
        claims: Map::new(),
        auth_time: None,
        session_expiry: None,
    }
}

/// Returns tokens without a refresh token.
pub(super) fn tokens() -> Tokens {
    let expires_at = Clock::system().now() + HOUR;
    Tokens {
        access_token: Secret::random(),
        access_token_expires_at: expires_at,
        issued_at: Clock::system().now(),
        refresh_token: None,
        id_token: None,
        scope: None,
        refresh_at: expires_at,
        retry_at: None,
        is_answer_unusable: false,
        nonce: StoredSecret(Secret::random()),
        added_claims: AddedClaims::default(),
        refreshes: 0,
        session_expiry: None,
    }
}
