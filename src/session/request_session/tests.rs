use std::time::Duration;

use serde_json::Map;

use super::*;
use crate::{
    clock::Clock,
    secret::Secret,
    session::{Identity, Lifetimes},
    store::{MemoryStore, Records},
};

const HOUR: Duration = Duration::from_secs(3600);

struct Fixture {
    sessions: Sessions,
    store: MemoryStore,
    id: Id,
}

async fn signed_in() -> Fixture {
    let clock = Clock::system();
    let store = MemoryStore::default();
    let records = Records::new(Arc::new(store.clone()), clock.clone());
    let lifetimes = Lifetimes {
        idle: HOUR,
        absolute: 24 * HOUR,
    };
    let sessions = Sessions::new(records, lifetimes);
    let id = sign_in(&sessions, None, "alice").await;
    Fixture {
        sessions,
        store,
        id,
    }
}

async fn sign_in(sessions: &Sessions, previous: Option<Id>, subject: &str) -> Id {
    let identity = Identity {
        issuer: "https://id.example".to_owned(),
        subject: subject.to_owned(),
        claims: Map::new(),
        auth_time: None,
    };
    let now = sessions.records.clock().now();
    let tokens = Tokens {
        access_token: Secret::random(),
        access_token_expires_at: now + HOUR,
        refresh_token: None,
        id_token: None,
        scope: None,
        refresh_at: now + HOUR,
        retry_at: None,
    };
    let signed_in = sessions.sign_in(previous, identity, tokens).await;
    signed_in.unwrap().0
}

impl Fixture {
    fn request(&self, id: Id) -> RequestSession {
        self.sessions.for_request(Some(id))
    }

    async fn subject(&self, id: Id) -> Option<String> {
        let signed_in = self.request(id).signed_in().await.unwrap();
        signed_in.map(|signed_in| signed_in.user().subject().to_owned())
    }
}

async fn finish(request: &RequestSession, id: Id) -> CookieChange {
    request.finish(Some(id), false).await.unwrap().cookie
}

#[tokio::test]
async fn cycle_id_keeps_the_user_the_tokens_and_the_data() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().insert("note", "kept").await.unwrap();
    request.app_session().cycle_id().await.unwrap();
    let CookieChange::NewId(new) = finish(&request, site.id).await else {
        panic!("the app cycled the ID");
    };
    let next = site.request(new);
    assert!(next.signed_in().await.unwrap().is_some());
    assert_eq!(site.store.len(), 2, "the session and its tokens");
    let note: Option<String> = next.app_session().get("note").await.unwrap();
    assert_eq!(note.as_deref(), Some("kept"));
    assert_eq!(site.subject(site.id).await, None);
}

#[tokio::test]
async fn o2_cycle_id_does_not_restore_a_session_that_ended() {
    let site = signed_in().await;
    let slow = site.request(site.id);
    assert!(slow.signed_in().await.unwrap().is_some());
    site.sessions.end(site.id).await.unwrap();
    slow.app_session().insert("note", "late").await.unwrap();
    slow.app_session().cycle_id().await.unwrap();
    assert_eq!(finish(&slow, site.id).await, CookieChange::None);
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn o2_of_two_requests_that_cycle_the_id_one_succeeds() {
    let site = signed_in().await;
    let (one, two) = (site.request(site.id), site.request(site.id));
    for request in [&one, &two] {
        request.signed_in().await.unwrap();
        request.app_session().cycle_id().await.unwrap();
    }
    let changes = [finish(&one, site.id).await, finish(&two, site.id).await];
    assert!(matches!(
        changes,
        [CookieChange::NewId(_), CookieChange::None]
    ));
    assert_eq!(site.store.len(), 2, "one session and its tokens");
}

#[tokio::test]
async fn o2_a_sign_out_between_cycle_id_and_the_response_ends_the_session() {
    let site = signed_in().await;
    let slow = site.request(site.id);
    slow.signed_in().await.unwrap();
    slow.app_session().cycle_id().await.unwrap();
    assert!(slow.signed_in().await.unwrap().is_some(), "not ended yet");
    site.sessions.end(site.id).await.unwrap();
    assert_eq!(finish(&slow, site.id).await, CookieChange::None);
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn a_failed_request_does_not_cycle_the_id() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().cycle_id().await.unwrap();
    let finished = request.finish(Some(site.id), true).await.unwrap();
    assert_eq!(finished.cookie, CookieChange::None);
    assert_eq!(site.subject(site.id).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn o2_a_flush_after_cycle_id_signs_out() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().cycle_id().await.unwrap();
    request.app_session().flush().await.unwrap();
    assert_eq!(finish(&request, site.id).await, CookieChange::Removed);
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn a_request_and_its_session_do_not_keep_each_other_alive() {
    let site = signed_in().await;
    let request = site.request(site.id);
    let store = Arc::downgrade(&request.store);
    let app_session = request.app_session().clone();
    drop(request);
    assert!(store.upgrade().is_some(), "the app still holds its session");
    drop(app_session);
    assert!(store.upgrade().is_none());
}

#[tokio::test]
async fn o2_a_flush_signs_out_and_removes_the_tokens() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().flush().await.unwrap();
    let finished = request.finish(Some(site.id), false).await.unwrap();
    assert_eq!(finished.cookie, CookieChange::Removed);
    assert_eq!(finished.signed_out.unwrap().user().subject(), "alice");
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn o2_data_written_after_a_flush_belongs_to_a_guest() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().flush().await.unwrap();
    request.app_session().insert("note", "new").await.unwrap();
    let CookieChange::NewId(new) = finish(&request, site.id).await else {
        panic!("the session has data");
    };
    assert_eq!(site.subject(new).await, None);
    assert_eq!(site.store.len(), 1);
}

#[tokio::test]
async fn clear_and_remove_change_only_the_apps_data() {
    let site = signed_in().await;
    for read_before in [true, false] {
        let request = site.request(site.id);
        if read_before {
            request.signed_in().await.unwrap();
        }
        request.app_session().clear().await;
        assert_eq!(finish(&request, site.id).await, CookieChange::None);
        assert_eq!(site.subject(site.id).await.as_deref(), Some("alice"));
    }
    let request = site.request(site.id);
    request.app_session().remove_value(DATA_KEY).await.unwrap();
    request
        .app_session()
        .insert(DATA_KEY, "forged")
        .await
        .unwrap();
    finish(&request, site.id).await;
    assert_eq!(site.subject(site.id).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn o2_a_late_save_does_not_restore_the_session() {
    let site = signed_in().await;
    let slow = site.request(site.id);
    slow.app_session().insert("note", "late").await.unwrap();
    site.sessions.end(site.id).await.unwrap();
    assert_eq!(finish(&slow, site.id).await, CookieChange::None);
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn an_unknown_session_does_not_change_the_cookie() {
    let site = signed_in().await;
    let id = Id::default();
    let request = site.request(id);
    assert!(request.signed_in().await.unwrap().is_none());
    assert_eq!(finish(&request, id).await, CookieChange::None);
}

#[tokio::test]
async fn s7_a_guests_data_survives_cycle_id_and_sign_in() {
    let site = signed_in().await;
    let guest = site.sessions.for_request(None);
    guest.app_session().insert("note", "kept").await.unwrap();
    guest.app_session().cycle_id().await.unwrap();
    let finished = guest.finish(None, false).await.unwrap();
    let CookieChange::NewId(id) = finished.cookie else {
        panic!("the session has data");
    };
    let id = sign_in(&site.sessions, Some(id), "bob").await;
    let note = |id| {
        let request = site.request(id);
        async move { request.app_session().get::<String>("note").await.unwrap() }
    };
    assert_eq!(note(id).await.as_deref(), Some("kept"));
    let same = sign_in(&site.sessions, Some(id), "bob").await;
    assert_eq!(note(same).await.as_deref(), Some("kept"));
    let other = sign_in(&site.sessions, Some(same), "carol").await;
    assert_eq!(note(other).await, None);
}

#[tokio::test]
async fn l6_a_shortened_lifetime_applies_to_existing_sessions() {
    let site = signed_in().await;
    let shorter = Lifetimes {
        idle: Duration::ZERO,
        absolute: Duration::ZERO,
    };
    let sessions = Sessions::new(site.sessions.records.clone(), shorter);
    let request = sessions.for_request(Some(site.id));
    assert!(request.signed_in().await.unwrap().is_none());
}
