use std::collections::BTreeSet;

use super::{
    Sessions, User,
    index::Set,
    run_to_completion::run_to_completion,
    sessions::{Data, SessionData},
};
use crate::store::{RecordKind, StoreError};

/// Sessions that begin while those of their user end are looked for this many times.
const ROUNDS: usize = 10;

/// Whose sessions the provider ended: of a user, of one session there, or both at once. One of them
/// is named.
#[derive(Clone, Debug)]
pub(crate) struct LogoutTarget {
    pub(crate) issuer: String,
    pub(crate) sub: Option<String>,
    pub(crate) sid: Option<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct EndedSessions {
    pub(crate) count: usize,
    /// Whose they were.
    pub(crate) user: Option<User>,
}

impl Sessions {
    /// Ends the sessions that the provider names, and their tokens. Goes on to its end even if nobody
    /// waits for it any more; where the store fails it can be done again.
    pub(crate) async fn end_named(
        &self,
        target: LogoutTarget,
    ) -> Result<EndedSessions, StoreError> {
        let this = self.clone();
        run_to_completion(async move { this.end_named_now(&target).await }).await
    }

    async fn end_named_now(&self, target: &LogoutTarget) -> Result<EndedSessions, StoreError> {
        let sets = self.sets_named(target);
        let mut ended = EndedSessions::default();
        let mut seen = BTreeSet::new();
        // Again until there is nobody new: a session that moved to another id meanwhile was put into
        // the sets before it left its old place.
        for _ in 0..ROUNDS {
            let mut members = self.in_all(&sets).await?;
            members.retain(|member| seen.insert(member.clone()));
            if members.is_empty() {
                break;
            }
            for member in members {
                if let Some(user) = self.end_member(&sets, &member).await? {
                    ended.count += 1;
                    ended.user = Some(user);
                }
            }
        }
        Ok(ended)
    }

    /// Ends one session. One that is about to be made is not there yet: it is taken out of the sets,
    /// where who makes it looks for it afterwards, or is found at the second try.
    async fn end_member(&self, sets: &[Set], member: &str) -> Result<Option<User>, StoreError> {
        let mut taken = self.take_member(member).await?;
        for set in sets {
            set.remove(&self.records, member).await?;
        }
        if taken.is_none() {
            taken = self.take_member(member).await?;
        }
        let Some(SessionData {
            user: Some(user),
            tokens,
            ..
        }) = taken
        else {
            return Ok(None);
        };
        if let Some(tokens) = tokens {
            self.take_tokens(&tokens).await;
        }
        for set in self.sets_of(&user).filter(|set| !sets.contains(set)) {
            if let Err(error) = set.remove(&self.records, member).await {
                tracing::warn!(%error, "an ended session could not be taken out of the index");
            }
        }
        Ok(Some(user))
    }

    async fn take_member(&self, member: &str) -> Result<Option<SessionData>, StoreError> {
        let taken: Option<Data> = self.records.take_at(RecordKind::Session, member).await?;
        Ok(taken.and_then(|mut data| SessionData::take_from(&mut data)))
    }

    fn sets_named(&self, target: &LogoutTarget) -> Vec<Set> {
        let (client_id, issuer) = (&self.client_id, &target.issuer);
        let sub = target.sub.as_ref();
        let sid = target.sid.as_ref();
        [
            sub.map(|sub| Set::of_sub(client_id, issuer, sub)),
            sid.map(|sid| Set::of_sid(client_id, issuer, sid)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The members that are in each of the sets. They are read one after the other, and again if the
    /// first one changed meanwhile: a session that moved in between would be in none of them as read.
    async fn in_all(&self, sets: &[Set]) -> Result<BTreeSet<String>, StoreError> {
        let Some((first, others)) = sets.split_first() else {
            return Ok(BTreeSet::new());
        };
        let mut before = first.members(&self.records).await?;
        if others.is_empty() {
            return Ok(before);
        }
        let mut common = BTreeSet::new();
        for _ in 0..ROUNDS {
            common.clone_from(&before);
            for set in others {
                let there = set.members(&self.records).await?;
                common.retain(|member| there.contains(member));
            }
            let now = first.members(&self.records).await?;
            if now == before {
                break;
            }
            before = now;
        }
        Ok(common)
    }
}
