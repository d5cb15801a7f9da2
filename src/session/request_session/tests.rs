use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    clock::Clock,
    secret::{Secret, base64url},
    session::{Identity, Lifetimes, LogoutTarget, testing, tokens::StoredSecret},
    store::{MemoryStore, RecordKind},
};

struct Fixture {
    sessions: Sessions,
    store: MemoryStore,
    id: Id,
}

async fn signed_in() -> Fixture {
    let store = MemoryStore::default();
    let sessions = testing::sessions(store.clone(), Clock::system());
    let id = sign_in(&sessions, None, "alice").await;
    Fixture {
        sessions,
        store,
        id,
    }
}

async fn sign_in(sessions: &Sessions, previous: Option<Id>, subject: &str) -> Id {
    let start = sessions.start_sign_in(Duration::ZERO).await.unwrap();
    let (identity, tokens) = (testing::identity(subject), testing::tokens());
    let origin = EventOrigin::default();
    let signed_in = sessions.sign_in(start, previous, identity, tokens, origin);
    signed_in.await.unwrap().unwrap()
}

fn for_request(sessions: &Sessions, id: Option<Id>) -> RequestSession {
    sessions.for_request(id, EventOrigin::default())
}

impl Fixture {
    fn request(&self, id: Id) -> RequestSession {
        for_request(&self.sessions, Some(id))
    }

    async fn subject(&self, id: Id) -> Option<String> {
        let signed_in = self.request(id).signed_in().await.unwrap();
        signed_in.map(|signed_in| signed_in.user().subject().to_owned())
    }
}

async fn finish(request: &RequestSession) -> CookieChange {
    request.finish(false).await.unwrap()
}

#[tokio::test]
async fn cycle_id_keeps_the_user_the_tokens_and_the_data() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().insert("note", "kept").await.unwrap();
    request.app_session().cycle_id().await.unwrap();
    let CookieChange::Set(new, None) = finish(&request).await else {
        panic!("the app cycled the ID");
    };
    let next = site.request(new);
    assert!(next.signed_in().await.unwrap().is_some());
    assert_eq!(
        site.store.len(),
        3,
        "the session, its tokens and the pointer"
    );
    let note: Option<String> = next.app_session().get("note").await.unwrap();
    assert_eq!(note.as_deref(), Some("kept"));
    assert_eq!(site.subject(site.id).await, None);
}

#[tokio::test]
async fn o2_cycle_id_does_not_restore_a_session_that_ended() {
    let site = signed_in().await;
    let slow = site.request(site.id);
    assert!(slow.signed_in().await.unwrap().is_some());
    site.sessions
        .end_now(&site.sessions.record_id(site.id), None)
        .await
        .unwrap();
    slow.app_session().insert("note", "late").await.unwrap();
    slow.app_session().cycle_id().await.unwrap();
    assert_eq!(finish(&slow).await, CookieChange::None);
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
    let changes = [finish(&one).await, finish(&two).await];
    assert!(matches!(
        changes,
        [CookieChange::Set(_, None), CookieChange::None]
    ));
    assert_eq!(site.store.len(), 3, "one session, its tokens and a pointer");
}

#[tokio::test]
async fn o2_a_sign_out_between_cycle_id_and_the_response_ends_the_session() {
    let site = signed_in().await;
    let slow = site.request(site.id);
    slow.signed_in().await.unwrap();
    slow.app_session().cycle_id().await.unwrap();
    assert!(slow.signed_in().await.unwrap().is_some(), "not ended yet");
    site.sessions
        .end_now(&site.sessions.record_id(site.id), None)
        .await
        .unwrap();
    assert_eq!(finish(&slow).await, CookieChange::None);
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn a_failed_request_does_not_cycle_the_id() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().cycle_id().await.unwrap();
    assert_eq!(request.finish(true).await.unwrap(), CookieChange::None);
    assert_eq!(site.subject(site.id).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn an_app_can_set_the_longest_expiry() {
    let site = signed_in().await;
    let request = site.request(site.id);
    let longest = Expiry::OnInactivity(time::Duration::MAX);
    request.app_session().set_expiry(Some(longest));
    finish(&request).await;
    assert_eq!(site.subject(site.id).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn o2_a_flush_after_cycle_id_signs_out() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().cycle_id().await.unwrap();
    request.app_session().flush().await.unwrap();
    assert_eq!(finish(&request).await, CookieChange::Removed);
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
    assert_eq!(finish(&request).await, CookieChange::Removed);
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn o2_data_written_after_a_flush_belongs_to_a_guest() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().flush().await.unwrap();
    request.app_session().insert("note", "new").await.unwrap();
    let CookieChange::Set(new, None) = finish(&request).await else {
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
        assert_eq!(finish(&request).await, CookieChange::None);
        assert_eq!(site.subject(site.id).await.as_deref(), Some("alice"));
    }
    let request = site.request(site.id);
    request.app_session().remove_value(MARKER).await.unwrap();
    request
        .app_session()
        .insert(MARKER, "forged")
        .await
        .unwrap();
    finish(&request).await;
    assert_eq!(site.subject(site.id).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn o2_a_late_save_does_not_restore_the_session() {
    let site = signed_in().await;
    let slow = site.request(site.id);
    slow.app_session().insert("note", "late").await.unwrap();
    site.sessions
        .end_now(&site.sessions.record_id(site.id), None)
        .await
        .unwrap();
    assert_eq!(finish(&slow).await, CookieChange::None);
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn an_unknown_session_does_not_change_the_cookie() {
    let site = signed_in().await;
    let id = Id::default();
    let request = site.request(id);
    assert!(request.signed_in().await.unwrap().is_none());
    assert_eq!(finish(&request).await, CookieChange::None);
}

#[tokio::test]
async fn s7_a_guests_data_survives_cycle_id_and_sign_in() {
    let site = signed_in().await;
    let guest = for_request(&site.sessions, None);
    guest.app_session().insert("note", "kept").await.unwrap();
    guest.app_session().cycle_id().await.unwrap();
    let CookieChange::Set(id, None) = finish(&guest).await else {
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
    let lifetimes = site.sessions.lifetimes;
    let (idle, absolute) = (Duration::ZERO, Duration::ZERO);
    for shorter in [
        Lifetimes { idle, ..lifetimes },
        Lifetimes {
            absolute,
            ..lifetimes
        },
    ] {
        let (records, revoker) = (site.sessions.records.clone(), testing::revoker());
        let sessions = Sessions::new(records, shorter, 100, revoker);
        let request = for_request(&sessions, Some(site.id));
        assert!(request.signed_in().await.unwrap().is_none());
    }
}

/// The tokens after a number of refreshes. The name in the ID token is this number.
fn refreshed(refreshes: u32) -> Tokens {
    let claims = base64url(json!({ "name": refreshes.to_string() }).to_string());
    Tokens {
        id_token: Some(StoredSecret(format!(".{claims}.").into())),
        refresh_token: Some(StoredSecret(Secret::random())),
        refreshes,
        ..testing::tokens()
    }
}

#[tokio::test]
async fn l3_an_earlier_refresh_does_not_replace_the_claims_of_a_later_one() {
    let site = signed_in().await;
    let id = site.sessions.record_id(site.id);
    let family = site.sessions.load(id).await.unwrap().unwrap().data.family;
    let (second, first) = (refreshed(2), refreshed(1));
    let without_refresh_token = Tokens {
        refresh_token: None,
        ..second.clone()
    };
    for (tokens, is_due) in [
        (&second, true),
        (&first, true),
        (&without_refresh_token, false),
    ] {
        let stored = site.sessions.store_refresh(id, family, tokens);
        stored.await.unwrap();
        let session = site.sessions.load(id).await.unwrap().unwrap();
        let user = session.data.user.as_ref().unwrap();
        assert_eq!(user.name(), Some("2"));
        assert_eq!(session.data.refreshes, 2);
        assert_eq!(session.data.refresh_due_at.is_some(), is_due);
    }
}

#[tokio::test]
async fn l3_the_claims_of_a_refresh_survive_an_older_request_that_writes_the_session() {
    let site = signed_in().await;
    let id = site.sessions.record_id(site.id);
    let data = Bytes::from_static(br#"{"note":"new"}"#);
    let changes = || AppChanges {
        data: data.clone(),
        expiry: None,
    };
    let older = site.sessions.load(id).await.unwrap().unwrap();
    let family = older.data.family;
    let written = async |id, refreshes| {
        let session = site.sessions.load(id).await.unwrap().unwrap();
        assert_eq!(session.data.refreshes, refreshes);
        assert_eq!(session.data.app_data, data);
    };

    let sessions = &site.sessions;
    let store_refresh = async |refreshes| {
        let tokens = refreshed(refreshes);
        let stored = sessions.store_refresh(id, family, &tokens);
        stored.await.unwrap();
    };
    store_refresh(1).await;
    let saved = sessions.save(older.clone(), &changes()).await.unwrap();
    assert!(saved.is_some());
    written(id, 1).await;

    store_refresh(2).await;
    let moved = sessions.change_id(older, changes()).await.unwrap();
    written(sessions.record_id(moved.unwrap().0), 2).await;
}

#[tokio::test]
async fn cycle_id_before_a_refresh_keeps_the_user() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().cycle_id().await.unwrap();
    request.reload().await.unwrap();
    let CookieChange::Set(new, None) = finish(&request).await else {
        panic!("the app cycled the ID");
    };
    assert_eq!(site.subject(new).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn l13_tokens_and_index_expire_with_the_session() {
    let clock = Clock::manual();
    let store = MemoryStore::default().with_clock(clock.clone());
    let sessions = testing::sessions(store.clone(), clock.clone());
    let identity = Identity {
        session_expiry: Some(clock.unix_now() + 600),
        ..testing::identity("alice")
    };
    let start = sessions.start_sign_in(Duration::ZERO).await.unwrap();
    let origin = EventOrigin::default();
    let signed_in = sessions.sign_in(start, None, identity, testing::tokens(), origin);
    let id = signed_in.await.unwrap().unwrap();
    let request = for_request(&sessions, Some(id));
    let signed_in = request.signed_in().await.unwrap().unwrap();
    // The index expires a minute later.
    for (seconds, records, members) in [(599, 2, 1), (1, 0, 1), (60, 0, 0)] {
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(store.len(), records);
        for set in sessions.sets_of(signed_in.user()) {
            let found = sessions.records.members(&set, RecordKind::Session).await;
            assert_eq!(found.unwrap().len(), members);
        }
    }
}

#[tokio::test]
async fn o2_a_sign_out_after_cycle_id_does_not_depend_on_the_response() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().cycle_id().await.unwrap();
    request.sign_out().await.unwrap();
    assert_eq!(request.finish(true).await.unwrap(), CookieChange::Removed);
    assert_eq!(site.subject(site.id).await, None);
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn o2_a_sign_out_with_a_previous_cookie_ends_the_session() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().cycle_id().await.unwrap();
    let CookieChange::Set(new, None) = finish(&request).await else {
        panic!("the app cycled the ID");
    };
    let late = site.request(site.id);
    late.sign_out().await.unwrap();
    assert_eq!(finish(&late).await, CookieChange::Removed);
    assert_eq!(site.subject(new).await, None);
}

#[tokio::test]
async fn o2_a_sign_out_keeps_the_session_of_a_guest() {
    let site = signed_in().await;
    let guest = for_request(&site.sessions, None);
    guest.app_session().insert("note", "kept").await.unwrap();
    guest.sign_out().await.unwrap();
    let CookieChange::Set(id, None) = finish(&guest).await else {
        panic!("the session has data");
    };
    let request = site.request(id);
    request.sign_out().await.unwrap();
    assert_eq!(finish(&request).await, CookieChange::None);
    let note: Option<String> = site.request(id).app_session().get("note").await.unwrap();
    assert_eq!(note.as_deref(), Some("kept"));
}

#[tokio::test]
async fn o2_data_written_after_cycle_id_and_a_flush_belongs_to_a_guest() {
    let site = signed_in().await;
    let request = site.request(site.id);
    request.app_session().cycle_id().await.unwrap();
    request.app_session().flush().await.unwrap();
    request.app_session().insert("note", "new").await.unwrap();
    let CookieChange::Set(new, None) = finish(&request).await else {
        panic!("the session has data");
    };
    assert_eq!(site.subject(new).await, None);
    assert_eq!(site.subject(site.id).await, None);
    assert_eq!(site.store.len(), 1, "the session of the guest");
}

#[tokio::test]
async fn data_that_replaces_that_of_an_unknown_session_is_kept() {
    let site = signed_in().await;
    let request = site.request(Id::default());
    request.app_session().clear().await;
    request.app_session().insert("note", "new").await.unwrap();
    let CookieChange::Set(new, None) = finish(&request).await else {
        panic!("the session has data");
    };
    let note: Option<String> = site.request(new).app_session().get("note").await.unwrap();
    assert_eq!(note.as_deref(), Some("new"));
}

#[tokio::test]
async fn o4_a_session_at_the_provider_can_be_used_by_a_later_login_attempt() {
    let clock = Clock::manual();
    let store = MemoryStore::default().with_clock(clock.clone());
    let sessions = testing::sessions(store, clock.clone());
    let identity = || testing::identity("alice");
    let target = LogoutTarget {
        sub: None,
        sid: identity().sid,
    };
    sessions.end_matching(target).await.unwrap();
    clock.advance(Duration::from_secs(10));
    for (attempt_age, is_signed_in) in [(5, true), (20, false)] {
        let attempt_age = Duration::from_secs(attempt_age);
        let start = sessions.start_sign_in(attempt_age).await.unwrap();
        let (tokens, origin) = (testing::tokens(), EventOrigin::default());
        let signed_in = sessions.sign_in(start, None, identity(), tokens, origin);
        assert_eq!(signed_in.await.unwrap().is_some(), is_signed_in);
    }
}

#[tokio::test]
async fn l1_a_refresh_is_due_after_a_clock_was_ahead() {
    // The second request is after the first, which notes its time if that differs by some minutes.
    for (seconds, are_due) in [
        (60, [false, false]),
        (61, [true, true]),
        (7 * 3600, [true, false]),
    ] {
        let (clock, ahead) = (Clock::manual(), Clock::manual());
        ahead.advance(Duration::from_secs(seconds));
        let store = MemoryStore::default().with_clock(clock.clone());
        let there = testing::sessions(store.clone(), ahead);
        let start = there.start_sign_in(Duration::ZERO).await.unwrap();
        let (identity, origin) = (testing::identity("alice"), EventOrigin::default());
        let id = there.sign_in(start, None, identity, refreshed(0), origin);
        let id = id.await.unwrap().unwrap();
        let here = testing::sessions(store, clock.clone());
        for is_due in are_due {
            let request = for_request(&here, Some(id));
            let signed_in = request.signed_in().await.unwrap().unwrap();
            assert_eq!(
                signed_in.is_refresh_due(clock.unix_now()),
                is_due,
                "{seconds}"
            );
            finish(&request).await;
        }
    }
}
