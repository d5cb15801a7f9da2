//! The session record.

use std::{fmt, net::IpAddr, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    device::Device,
    user::{Text, User, UserData},
};
use crate::{
    secret::{hex, random_bytes},
    store::{RecordId, RecordKind},
};

/// The latest time that records accept: the end of the year 9999.
const MAX_TIME: i64 = 253_402_300_799;

/// The content of a session record.
#[derive(Debug)]
pub(super) enum SessionRecord<S = SessionData> {
    Session(S),
    Left(Left),
}

/// What is left of a session under an ID that it no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The session has moved to this ID, and possibly on from there.
    Moved(RecordId),
    /// A sign-in, whose session has this ID, has ended the session of a guest or of another user.
    Ended(RecordId),
}

/// A session. Times are in seconds since the Unix epoch.
#[derive(Clone, Debug)]
pub(super) struct SessionData {
    /// The same for all IDs that the session has had.
    pub(super) family: Family,
    /// Whether a native app holds the session's credential, and no browser.
    pub(super) is_native: bool,
    pub(super) created_at: i64,
    /// The last use, written when the expiry is extended.
    pub(super) used_at: i64,
    /// The latest time at which the session expires.
    pub(super) ends_at: i64,
    /// The lifetime after the last request, if the app has shortened it.
    pub(super) idle: Option<Duration>,
    /// The user of a family never changes, because a sign-in creates a new session.
    pub(super) user: Option<User>,
    /// The time from which a token refresh is due.
    pub(super) refresh_due_at: Option<i64>,
    /// The number of token refreshes whose claims the session has.
    pub(super) refreshes: u32,
    /// The app's data: a JSON object, or nothing.
    pub(super) app_data: Bytes,
    /// The device of the sign-in.
    pub(super) device: Device,
}

/// The identity of a session through changes of its ID, and the ID of its tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Family([u8; 16]);

impl Family {
    pub(super) fn random() -> Self {
        Self(*random_bytes())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Family({})", hex(&self.0[..4]))
    }
}

/// The stored form of [`SessionRecord`]. Claims and the app's data stay JSON, which is parsed when it
/// is used.
#[derive(Serialize, Deserialize)]
enum Stored<'a> {
    #[serde(borrow)]
    Session(StoredSession<'a>),
    Moved([u8; 32]),
    #[serde(borrow)]
    Native(StoredSession<'a>),
    Ended([u8; 32]),
}

#[derive(Serialize, Deserialize)]
struct StoredSession<'a> {
    family: Family,
    created_at: i64,
    ends_at: i64,
    idle_seconds: Option<u64>,
    #[serde(borrow)]
    user: Option<StoredUser<'a>>,
    refresh_due_at: Option<i64>,
    refreshes: u32,
    #[serde(serialize_with = "bytes")]
    app_data: &'a [u8],
    used_at: i64,
    user_agent: &'a str,
    address: Option<IpAddr>,
}

#[derive(Serialize, Deserialize)]
struct StoredUser<'a> {
    issuer: &'a str,
    subject: &'a str,
    sid: Option<&'a str>,
    auth_time: Option<i64>,
    signed_in_at: i64,
    #[serde(serialize_with = "bytes")]
    claims: &'a [u8],
}

/// Serde serializes a slice element by element otherwise.
fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl SessionRecord {
    /// Parses a record. Claims and the app's data stay in `plain`.
    pub(super) fn parse(plain: &Bytes) -> Option<Self> {
        let (stored, rest) = postcard::take_from_bytes(plain).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let (stored, is_native) = match stored {
            Stored::Moved(next) => return Some(Self::Left(Left::Moved(session(next)))),
            Stored::Ended(next) => return Some(Self::Left(Left::Ended(session(next)))),
            Stored::Session(stored) => (stored, false),
            Stored::Native(stored) => (stored, true),
        };
        let user = stored.user.as_ref();
        let times = [
            Some(stored.created_at),
            Some(stored.ends_at),
            Some(stored.used_at),
            stored.refresh_due_at,
            user.map(|user| user.signed_in_at),
        ];
        let are_valid = times.iter().flatten().all(|at| (0..=MAX_TIME).contains(at));
        are_valid.then(|| {
            Self::Session(SessionData {
                family: stored.family,
                is_native,
                created_at: stored.created_at,
                used_at: stored.used_at,
                ends_at: stored.ends_at,
                idle: stored.idle_seconds.map(Duration::from_secs),
                user: user.map(|user| {
                    User::new(UserData {
                        issuer: Text::of(plain, user.issuer),
                        subject: Text::of(plain, user.subject),
                        sid: user.sid.map(str::to_owned),
                        auth_time: user.auth_time,
                        signed_in_at: user.signed_in_at,
                        session_ends_at: stored.ends_at,
                        claims: plain.slice_ref(user.claims).into(),
                    })
                }),
                refresh_due_at: stored.refresh_due_at,
                refreshes: stored.refreshes,
                app_data: plain.slice_ref(stored.app_data),
                device: Device {
                    user_agent: Text::of(plain, stored.user_agent),
                    address: stored.address,
                },
            })
        })
    }
}

fn session(hash: [u8; 32]) -> RecordId {
    RecordId::from_bytes(RecordKind::Session, hash)
}

impl Serialize for SessionData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let user = self.user.as_ref().map(User::data);
        let stored = if self.is_native {
            Stored::Native
        } else {
            Stored::Session
        };
        stored(StoredSession {
            family: self.family,
            created_at: self.created_at,
            ends_at: self.ends_at,
            idle_seconds: self.idle.map(|idle| idle.as_secs()),
            user: user.map(|user| StoredUser {
                issuer: &user.issuer,
                subject: &user.subject,
                sid: user.sid.as_deref(),
                auth_time: user.auth_time,
                signed_in_at: user.signed_in_at,
                claims: user.claims.json(),
            }),
            refresh_due_at: self.refresh_due_at,
            refreshes: self.refreshes,
            app_data: &self.app_data,
            used_at: self.used_at,
            user_agent: &self.device.user_agent,
            address: self.device.address,
        })
        .serialize(serializer)
    }
}

impl Serialize for Left {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = match self {
            Self::Moved(next) => Stored::Moved(*next.as_bytes()),
            Self::Ended(next) => Stored::Ended(*next.as_bytes()),
        };
        stored.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    /// A session in which every optional part is present.
    fn session(times: [i64; 5]) -> SessionData {
        let [created_at, ends_at, refresh_due_at, signed_in_at, used_at] = times;
        let claims = json!({"workspace": "staff"});
        SessionData {
            family: Family::random(),
            is_native: false,
            created_at,
            used_at,
            ends_at,
            idle: Some(Duration::from_secs(60)),
            user: Some(User::new(UserData {
                issuer: "https://id.example".to_owned().into(),
                subject: "alice".to_owned().into(),
                sid: Some("sid".to_owned()),
                auth_time: Some(NOW),
                signed_in_at,
                session_ends_at: ends_at,
                claims: claims.as_object().unwrap().clone().into(),
            })),
            refresh_due_at: Some(refresh_due_at),
            refreshes: 3,
            app_data: Bytes::from_static(br#"{"note":"mine"}"#),
            device: Device::new(b"Firefox", "2001:db8::1".parse().ok()),
        }
    }

    fn encode(record: &impl Serialize) -> Bytes {
        postcard::to_stdvec(record).unwrap().into()
    }

    #[test]
    fn a_session_is_parsed_as_it_was_written() {
        let before = session([NOW; 5]);
        let guest = SessionData {
            idle: None,
            user: None,
            refresh_due_at: None,
            app_data: Bytes::new(),
            ..before.clone()
        };
        let native = SessionData {
            is_native: true,
            ..before.clone()
        };
        for before in [before, guest, native] {
            let Some(SessionRecord::Session(after)) = SessionRecord::parse(&encode(&before)) else {
                panic!("the record is valid");
            };
            assert_eq!(encode(&after), encode(&before));
            assert_eq!(after.family, before.family);
            assert_eq!(after.is_native, before.is_native);
            assert_eq!(after.device.user_agent, before.device.user_agent);
            let [after, before] = [after.user, before.user];
            let claim = |user: &User| user.claim("workspace").cloned();
            assert_eq!(after.as_ref().map(claim), before.as_ref().map(claim));
        }
        let id = RecordId::from_bytes(RecordKind::Session, [7; 32]);
        for left in [Left::Moved(id), Left::Ended(id)] {
            let after = SessionRecord::parse(&encode(&left));
            assert!(matches!(after, Some(SessionRecord::Left(after)) if after == left));
        }
    }

    /// The claims are not even JSON.
    #[test]
    fn r4_large_claims_are_neither_copied_nor_parsed_with_the_record() {
        let mut before = session([NOW; 5]);
        let user = before.user.take().unwrap();
        before.user = Some(User::new(UserData {
            claims: Bytes::from(vec![b'x'; 64 * 1024]).into(),
            ..user.data().clone()
        }));
        let record = encode(&before);
        let Some(SessionRecord::Session(after)) = SessionRecord::parse(&record) else {
            panic!("the record is valid");
        };
        let claims = after.user.as_ref().unwrap().data().claims.json();
        assert_eq!(claims.len(), 64 * 1024);
        let (whole, part) = (record.as_ptr_range(), claims.as_ptr_range());
        assert!(whole.start <= part.start && part.end <= whole.end);
    }

    #[test]
    fn l12_a_truncated_record_is_absent() {
        let id = RecordId::from_bytes(RecordKind::Session, [7; 32]);
        for record in [encode(&session([NOW; 5])), encode(&Left::Moved(id))] {
            for length in 0..record.len() {
                let truncated = record.slice(..length);
                assert!(SessionRecord::parse(&truncated).is_none(), "{length}");
            }
        }
    }

    #[test]
    fn l12_a_record_of_another_kind_is_absent() {
        /// The variant of a session that a native app holds.
        const NATIVE: u8 = 2;
        let mut other = encode(&session([NOW; 5])).to_vec();
        // Not the first byte of a random family, which could belong to the variant.
        other[1] = 1;
        for variant in (1..=255).filter(|variant| *variant != NATIVE) {
            other[0] = variant;
            let parsed = SessionRecord::parse(&other.clone().into());
            assert!(parsed.is_none(), "{variant}");
        }
        // The user's texts are UTF-8.
        let mut record = encode(&session([NOW; 5])).to_vec();
        let subject = record.windows(5).position(|part| part == b"alice");
        record[subject.unwrap()] = 0xff;
        assert!(SessionRecord::parse(&record.into()).is_none());
    }

    #[test]
    fn l12_a_record_with_an_absurd_date_is_absent() {
        for date in [-1, i64::MIN, MAX_TIME + 1, i64::MAX] {
            for position in 0..5 {
                let mut times = [NOW; 5];
                times[position] = date;
                let record = encode(&session(times));
                assert!(SessionRecord::parse(&record).is_none(), "{date}");
            }
        }
        for date in [0, MAX_TIME] {
            assert!(SessionRecord::parse(&encode(&session([date; 5]))).is_some());
        }
    }
}
