use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::ReturnTo;
use crate::{
    secret::{Secret, exposed},
    store::{LoadedRecord, RecordId, RecordKind, Records, StoreError},
};

/// How long a form is kept: the time to sign in, and to read the page that follows. What became of it is
/// known for as long again.
pub(crate) const FORM_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// How long the store is tried to put a form back, and the pause between attempts.
const PUT_BACK_LIMIT: Duration = Duration::from_secs(30);
const PUT_BACK_PAUSE: Duration = Duration::from_millis(300);

/// Maximum number of kept forms per user, in all browsers. A new one replaces the oldest.
const MAX_FORMS: usize = 8;

/// A form that a sign-in interrupts, as its handler will get it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptForm {
    /// The user who submitted it.
    pub(crate) subject: String,
    /// Where it was sent, as the browser sees it.
    pub(crate) target: ReturnTo,
    pub(crate) content_type: String,
    #[serde(with = "exposed")]
    pub(crate) body: Secret,
}

/// The name of a kept form.
#[derive(Clone, Debug)]
pub(crate) struct FormName {
    /// The value of the browser's cookie.
    pub(crate) browser: Secret,
    /// The ID in URLs, which is of no use without the cookie.
    pub(crate) id: String,
}

/// A form that a request marks as sent. It can be put back until the handler gets the request.
#[derive(Clone, Debug)]
pub(crate) struct TakenForm {
    pub(crate) form: KeptForm,
    pub(crate) name: FormName,
    forms: KeptForms,
    /// The value in the record that no other request writes.
    mark: Secret,
    /// The version of the record without the mark.
    version: u64,
    /// The rest of the form's lifetime when it was loaded.
    ttl: Duration,
}

/// Why there is no form to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoForm {
    #[error("the kept form was sent before")]
    Sent,
    #[error("the user discarded the kept form")]
    Discarded,
    #[error(
        "no form of this name is kept for this browser and this path: it has expired, or the user has kept \
         more than {MAX_FORMS} since"
    )]
    Unknown,
    #[error("the form was kept for another user")]
    OtherUser,
}

/// The record of a form. Once the form is sent or discarded, nothing of it remains.
#[derive(Serialize, Deserialize)]
enum Record {
    Kept(KeptForm),
    /// With the mark of the request that has sent the form.
    Sent(#[serde(with = "exposed")] Secret),
    Discarded,
}

/// The kept forms in the store.
#[derive(Clone, Debug)]
pub(crate) struct KeptForms(Records);

impl KeptForms {
    pub(crate) fn new(records: Records) -> Self {
        Self(records)
    }

    /// Keeps a form for a browser and returns its ID.
    pub(crate) async fn keep(
        &self,
        browser: &Secret,
        form: KeptForm,
    ) -> Result<FormName, StoreError> {
        let name = FormName {
            browser: browser.clone(),
            id: Secret::random().expose().to_owned(),
        };
        let record = self.record_id(&name);
        let all = self.0.id(RecordKind::FormsOfSub, &form.subject);
        let excess = self.0.add_member(&all, &record, FORM_LIFETIME, MAX_FORMS);
        // Before the insert, so that the number of forms is never exceeded.
        for oldest in excess.await? {
            self.0.remove(&oldest).await?;
            // Last: until then, the next form finds it again.
            self.0.remove_member(&all, &oldest).await?;
        }
        let form = Record::Kept(form);
        self.0.insert_new(&record, &form, FORM_LIFETIME).await?;
        Ok(name)
    }

    /// Returns a form that waits to be sent. One of another user than `subject` is removed.
    pub(crate) async fn find(
        &self,
        name: &FormName,
        subject: Option<&str>,
    ) -> Result<Result<KeptForm, NoForm>, StoreError> {
        let found = self.load(name, subject).await?;
        Ok(found.map(|kept| kept.value))
    }

    /// Returns the user's form for this target, to be marked as sent.
    pub(crate) async fn find_to_send(
        &self,
        name: &FormName,
        subject: &str,
        target: &ReturnTo,
    ) -> Result<Result<TakenForm, NoForm>, StoreError> {
        let found = self.load(name, Some(subject)).await?;
        Ok(found.and_then(|kept| {
            if kept.value.target != *target {
                return Err(NoForm::Unknown);
            }
            Ok(TakenForm {
                form: kept.value,
                name: name.clone(),
                forms: self.clone(),
                mark: Secret::random(),
                version: kept.version,
                ttl: kept.ttl,
            })
        }))
    }

    /// Marks a form as discarded, unless it was sent.
    pub(crate) async fn discard(&self, name: &FormName) -> Result<(), StoreError> {
        if let Ok(kept) = self.load(name, None).await? {
            self.finish(name, kept.version, &Record::Discarded).await?;
        }
        Ok(())
    }

    async fn load(
        &self,
        name: &FormName,
        subject: Option<&str>,
    ) -> Result<Result<LoadedRecord<KeptForm>, NoForm>, StoreError> {
        let record = self.record_id(name);
        let Some(loaded) = self.0.load(&record).await? else {
            return Ok(Err(NoForm::Unknown));
        };
        let form = match loaded.value {
            Record::Kept(form) => form,
            Record::Sent(_) => return Ok(Err(NoForm::Sent)),
            Record::Discarded => return Ok(Err(NoForm::Discarded)),
        };
        if subject.is_some_and(|subject| form.subject != subject) {
            self.0.remove(&record).await?;
            return Ok(Err(NoForm::OtherUser));
        }
        Ok(Ok(LoadedRecord {
            value: form,
            version: loaded.version,
            ttl: loaded.ttl,
        }))
    }

    /// Returns the record of a form that was marked as sent with `mark`.
    async fn load_sent(
        &self,
        name: &FormName,
        mark: &Secret,
    ) -> Result<Option<LoadedRecord<Record>>, StoreError> {
        let loaded = self.0.load(&self.record_id(name)).await?;
        let is_ours = |record: &Record| matches!(record, Record::Sent(by) if by == mark);
        Ok(loaded.filter(|loaded| is_ours(&loaded.value)))
    }

    async fn finish(
        &self,
        name: &FormName,
        version: u64,
        record: &Record,
    ) -> Result<bool, StoreError> {
        let id = self.record_id(name);
        let finished = self.0.replace(&id, Some(version), record, FORM_LIFETIME);
        finished.await
    }

    fn record_id(&self, name: &FormName) -> RecordId {
        // The browser's value has a fixed length.
        let id = [name.browser.expose(), &name.id].concat();
        self.0.id(RecordKind::KeptForm, id)
    }
}

impl TakenForm {
    /// Marks the form as sent. Of concurrent calls for a form, only one returns `true`.
    ///
    /// After an error, the form may be marked.
    pub(crate) async fn mark_as_sent(&self) -> Result<bool, StoreError> {
        let Self { forms, name, .. } = self;
        let sent = Record::Sent(self.mark.clone());
        let mut marked = forms.finish(name, self.version, &sent).await;
        if marked.is_err() {
            // The first write may have taken effect, or do so later unless this one does.
            marked = forms.finish(name, self.version, &sent).await;
        }
        if matches!(marked, Ok(true)) || forms.load_sent(name, &self.mark).await?.is_some() {
            return Ok(true);
        }
        marked
    }

    /// Puts the form back for the rest of its lifetime, and returns whether it waits to be sent again.
    pub(crate) async fn put_back(&self) -> Result<bool, StoreError> {
        let Self { forms, name, .. } = self;
        let Some(sent) = forms.load_sent(name, &self.mark).await? else {
            return Ok(false);
        };
        let elapsed = FORM_LIFETIME.saturating_sub(sent.ttl);
        let rest = self.ttl.saturating_sub(elapsed);
        let kept = Record::Kept(self.form.clone());
        let id = forms.record_id(name);
        let put_back = forms.0.replace(&id, Some(sent.version), &kept, rest);
        put_back.await
    }

    /// Puts the form back as soon as the store works.
    pub(crate) async fn put_back_when_possible(&self) -> Result<bool, StoreError> {
        let limit = Instant::now() + PUT_BACK_LIMIT;
        loop {
            match self.put_back().await {
                Err(_) if Instant::now() < limit => sleep(PUT_BACK_PAUSE).await,
                outcome => return outcome,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{clock::Clock, store::MemoryStore};

    fn forms() -> (KeptForms, Clock) {
        let clock = Clock::manual();
        let store = MemoryStore::default().with_clock(clock.clone());
        (
            KeptForms::new(Records::new(Arc::new(store), clock.clone())),
            clock,
        )
    }

    async fn take(
        forms: &KeptForms,
        name: &FormName,
        subject: &str,
        target: &ReturnTo,
    ) -> Result<TakenForm, NoForm> {
        let found = forms.find_to_send(name, subject, target).await.unwrap()?;
        let is_first = found.mark_as_sent().await.unwrap();
        is_first.then_some(found).ok_or(NoForm::Sent)
    }

    fn target(path: &str) -> ReturnTo {
        ReturnTo::parse(path).unwrap()
    }

    fn form(body: &str) -> KeptForm {
        KeptForm {
            subject: "alice".to_owned(),
            target: target("/a?b=c"),
            content_type: "application/x-www-form-urlencoded".to_owned(),
            body: body.into(),
        }
    }

    #[tokio::test]
    async fn x3_only_its_user_takes_a_form_for_its_target_from_its_browser() {
        let (forms, _) = forms();
        let browser = Secret::random();
        let name = forms.keep(&browser, form("x=1")).await.unwrap();
        let elsewhere = FormName {
            browser: Secret::random(),
            ..name.clone()
        };
        let other = FormName {
            id: Secret::random().expose().to_owned(),
            ..name.clone()
        };
        let path = target("/a?b=c");
        for (name, subject, path, expected) in [
            (&elsewhere, "alice", &path, NoForm::Unknown),
            (&other, "alice", &path, NoForm::Unknown),
            (&name, "alice", &target("/a?b=d"), NoForm::Unknown),
            (&name, "alice", &target("/a"), NoForm::Unknown),
        ] {
            let taken = take(&forms, name, subject, path).await;
            assert_eq!(taken.err(), Some(expected));
        }
        let taken = take(&forms, &name, "alice", &path).await.unwrap();
        assert_eq!(taken.form.body.expose(), "x=1");

        let name = forms.keep(&browser, form("x=2")).await.unwrap();
        for (subject, expected) in [("bob", NoForm::OtherUser), ("alice", NoForm::Unknown)] {
            let taken = take(&forms, &name, subject, &path).await;
            assert_eq!(taken.err(), Some(expected), "the form of alice is removed");
        }
    }

    #[tokio::test]
    async fn x3_a_form_is_taken_once_and_not_after_it_is_discarded() {
        let (forms, _) = forms();
        let (browser, path) = (Secret::random(), target("/a?b=c"));
        let name = forms.keep(&browser, form("x=1")).await.unwrap();
        let taken = || take(&forms, &name, "alice", &path);
        let both = tokio::join!(taken(), taken());
        assert_eq!(usize::from(both.0.is_ok()) + usize::from(both.1.is_ok()), 1);
        forms.discard(&name).await.unwrap();
        assert_eq!(taken().await.err(), Some(NoForm::Sent));

        let name = forms.keep(&browser, form("x=1")).await.unwrap();
        forms.discard(&name).await.unwrap();
        let taken = take(&forms, &name, "alice", &path).await;
        assert_eq!(taken.err(), Some(NoForm::Discarded));
    }

    #[tokio::test]
    async fn x3_a_form_is_put_back_once_and_for_the_rest_of_its_lifetime() {
        let (forms, clock) = forms();
        let (browser, path) = (Secret::random(), target("/a?b=c"));
        let name = forms.keep(&browser, form("x=1")).await.unwrap();
        let take = || take(&forms, &name, "alice", &path);
        clock.advance(Duration::from_secs(10 * 60));
        let first = take().await.unwrap();
        clock.advance(Duration::from_secs(5 * 60));
        assert!(first.put_back().await.unwrap());
        let second = take().await.unwrap();
        assert_eq!(second.form.body.expose(), "x=1");
        assert!(!first.put_back().await.unwrap(), "another request sends it");
        assert_eq!(take().await.err(), Some(NoForm::Sent));
        assert!(second.put_back().await.unwrap());
        clock.advance(Duration::from_secs(15 * 60 - 1));
        assert!(forms.find(&name, None).await.unwrap().is_ok());
        clock.advance(Duration::from_secs(1));
        assert_eq!(take().await.err(), Some(NoForm::Unknown));
    }

    #[tokio::test]
    async fn x3_a_user_has_eight_kept_forms_for_half_an_hour() {
        let (forms, clock) = forms();
        let browser = Secret::random();
        let mut names = Vec::new();
        // More than a store returns as excess at once.
        for number in 0..40 {
            clock.advance(Duration::from_secs(1));
            let form = form(&number.to_string());
            names.push(forms.keep(&browser, form).await.unwrap());
        }
        let mut bobs = form("x");
        bobs.subject = "bob".to_owned();
        names.push(forms.keep(&browser, bobs).await.unwrap());
        let kept = async || {
            let mut kept = Vec::new();
            for (number, name) in names.iter().enumerate() {
                if forms.find(name, None).await.unwrap().is_ok() {
                    kept.push(number);
                }
            }
            kept
        };
        assert_eq!(kept().await, (32..=40).collect::<Vec<_>>());
        clock.advance(Duration::from_secs(30 * 60 - 1));
        assert_eq!(kept().await, [39, 40]);
        clock.advance(Duration::from_secs(1));
        assert!(kept().await.is_empty());
    }
}
