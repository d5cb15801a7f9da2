//! The session store.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::timeout};

use super::{
    Finding,
    checks::{SEALING, STORE},
    text::{SEE_CONFIGURATION, count, told},
    writable::can_be_made,
};
use crate::{
    clock::Clock,
    config::{Partial, SealingKey, StoreUrl},
    seal::Sealer,
    store::{OtenStore, StoreError, open},
    store::{ProbeError, Records, Sealed},
};

/// Each step is bounded in itself; this is for all of them.
const LIMIT: Duration = Duration::from_secs(15);

/// Otherwise such a store is refused, file or not.
const SQLITE_IS_ON: bool = cfg!(feature = "sqlite");

/// What is looked at.
pub(super) struct Subject {
    /// Opened already, by the app.
    store: Option<Arc<dyn OtenStore>>,
    url: Option<StoreUrl>,
    keys: Vec<SealingKey>,
    /// Something is wrong with a key.
    keys_are_wrong: bool,
    client_id: String,
    clock: Clock,
}

impl Subject {
    pub(super) fn new(
        settings: &Partial,
        store: Option<Arc<dyn OtenStore>>,
        clock: &Clock,
    ) -> Self {
        let mut problems = settings.problems.iter();
        Self {
            store,
            url: settings.session_store.clone(),
            keys: settings.session_keys.clone(),
            keys_are_wrong: problems.any(|problem| problem.key() == "session_key"),
            client_id: settings.client_id.clone().unwrap_or_default(),
            clock: clock.clone(),
        }
    }

    /// The findings of [`STORE`] and [`SEALING`].
    pub(super) async fn check(self) -> [Finding; 2] {
        let store = match (&self.store, &self.url) {
            (Some(store), _) => Arc::clone(store),
            (None, Some(StoreUrl::Sqlite(path))) if SQLITE_IS_ON && !path.exists() => {
                return [self.to_be_made(path).await, self.sealing(true, None)];
            }
            (None, Some(url)) => match open_in_time(url).await {
                Ok(store) => store,
                Err(error) => {
                    let (message, help) = self.trouble(&ProbeError::Store(error));
                    let sealing = SEALING.skipped("see `store`");
                    return [STORE.failed(message, help), sealing];
                }
            },
            (None, None) => {
                return [&STORE, &SEALING].map(|check| check.skipped(SEE_CONFIGURATION));
            }
        };
        let sealer = Sealer::new(&self.keys, &self.client_id);
        let records = Records::new(Arc::clone(&store), self.clock.clone()).with_sealer(sealer);
        let outcome = records.probe().await;
        let sealing = self.sealing(store.is_external(), outcome.as_ref().ok().copied());
        [self.store(store.is_external(), &outcome), sealing]
    }

    /// Who only looks makes no file: it would belong to whoever looked, and not to whom the site runs
    /// as.
    async fn to_be_made(&self, path: &Path) -> Finding {
        let file = path.to_owned();
        let tried = spawn_blocking(move || can_be_made(&file)).await;
        match tried.unwrap_or_else(|ended| Err(ended.into())) {
            Ok(()) => STORE.passed(format!(
                "sqlite:{}: is not there yet, and will be made at the first start",
                path.display()
            )),
            Err(error) => {
                let error = StoreError::Backend(Box::new(error));
                let (message, help) = self.trouble(&ProbeError::Store(error));
                STORE.failed(message, help)
            }
        }
    }

    fn store(&self, is_external: bool, outcome: &Result<Sealed, ProbeError>) -> Finding {
        let place = match (&self.store, &self.url) {
            (None, Some(url)) => url.to_string(),
            _ => "the app's own store".to_owned(),
        };
        match outcome {
            Err(error) => {
                let (message, help) = self.trouble(error);
                STORE.failed(message, help)
            }
            Ok(_) if is_external => {
                STORE.passed(format!("{place}: a record was written, read and removed"))
            }
            Ok(_) => STORE.warning(
                format!(
                    "{place}: works, and forgets every session when the process ends; no second \
                     process sees them"
                ),
                "Set `session_store` to `sqlite:PATH`, `redis://…` or `postgres://…` before real \
                 users come.",
            ),
        }
    }

    fn sealing(&self, is_external: bool, outcome: Option<Sealed>) -> Finding {
        let help = "Set `session_key` or OTEN_SESSION_KEY to the output of `openssl rand -base64 \
                    32`, or name a file with it.";
        match (is_external, self.keys.is_empty()) {
            (_, true) if self.keys_are_wrong => SEALING.skipped(SEE_CONFIGURATION),
            (true, true) => SEALING.failed(
                "the store is outside of this process, and no key seals the tokens in it",
                help,
            ),
            (false, true) => SEALING.passed("not needed: nothing leaves this process"),
            (_, false) => match outcome {
                Some(Sealed::Yes) => {
                    let keys = count(self.keys.len(), "key");
                    SEALING.passed(format!("a record was sealed and opened ({keys})"))
                }
                Some(Sealed::No) => {
                    SEALING.failed("a record lies in the store as it was written", help)
                }
                None => SEALING.skipped("no record was written, see `store`"),
            },
        }
    }

    fn trouble(&self, error: &ProbeError) -> (String, String) {
        let place = self.url.as_ref().map(ToString::to_string);
        let place = place.unwrap_or_else(|| "the app's own store".to_owned());
        let help = match (error, &self.url) {
            (ProbeError::Lost | ProbeError::Kept, _) => {
                "Do not use this store: it does not do what it says."
            }
            (ProbeError::Store(StoreError::FeatureOff { .. }), _) => {
                "Choose another `session_store`, or a build with that feature."
            }
            (ProbeError::Store(StoreError::Address(_)), _) => "Correct `session_store`.",
            (_, Some(StoreUrl::Sqlite(_))) => {
                "Let this user write the file and its folder, or correct the path in \
                 `session_store`."
            }
            (_, Some(StoreUrl::Redis(_))) => {
                "Start the server, or correct host, port, password and database in `session_store`."
            }
            (_, Some(StoreUrl::Postgres(_))) => {
                "Start the server, or correct host, port, user, password and database in \
                 `session_store`."
            }
            _ => "See to the store.",
        };
        (format!("{place}: {}", told(error)), help.to_owned())
    }
}

async fn open_in_time(url: &StoreUrl) -> Result<Arc<dyn OtenStore>, StoreError> {
    timeout(LIMIT, open(url))
        .await
        .unwrap_or(Err(StoreError::TimedOut))
}
