//! Checks of the session store and its sealing.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{task::spawn_blocking, time::timeout};

use super::{
    finding::{Finding, SEALING, STORE},
    text::{SEE_CONFIGURATION, count, error_line, sentence},
};
use crate::{
    clock::Clock,
    config::{Partial, SealingKey, StoreUrl},
    seal::Sealer,
    secret::Secret,
    store::{OtenStore, ProbeError, RecordEncoding, Records, StoreError, open},
};

/// Limit for opening a store, whose steps each have a limit of their own.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

const CREATE_KEY: &str = "Set `session_key` or OTEN_SESSION_KEY to the output of `openssl rand \
                          -base64 32`, or name a file that contains it.";

/// The checks of a session store.
pub(super) struct StoreCheck {
    /// The app's own store, if it has one.
    store: Option<Arc<dyn OtenStore>>,
    url: Option<StoreUrl>,
    keys: Vec<SealingKey>,
    has_invalid_key: bool,
    clock: Clock,
}

impl StoreCheck {
    pub(super) fn new(
        settings: &Partial,
        store: Option<Arc<dyn OtenStore>>,
        clock: &Clock,
    ) -> Self {
        let mut problems = settings.problems.iter();
        Self {
            url: settings.session_store.clone().filter(|_| store.is_none()),
            store,
            keys: settings.session_keys.clone(),
            has_invalid_key: problems.any(|problem| problem.key() == "session_key"),
            clock: clock.clone(),
        }
    }

    /// Returns the findings of [`STORE`] and [`SEALING`].
    pub(super) async fn run(self) -> [Finding; 2] {
        let store = match (&self.store, &self.url) {
            (Some(store), _) => Arc::clone(store),
            (None, Some(StoreUrl::Sqlite(path))) if cfg!(feature = "sqlite") && !path.exists() => {
                return [self.missing_file(path).await, self.sealing(true, None)];
            }
            (None, Some(url)) => {
                let opened = timeout(OPEN_TIMEOUT, open(url)).await;
                match opened.unwrap_or(Err(StoreError::TimedOut)) {
                    Ok(store) => store,
                    Err(error) => {
                        return [self.failed(&error.into()), SEALING.skipped("see `store`")];
                    }
                }
            }
            (None, None) => {
                return [&STORE, &SEALING].map(|check| check.skipped(SEE_CONFIGURATION));
            }
        };
        let sealer = Sealer::new(&self.keys);
        let records = Records::new(Arc::clone(&store), self.clock.clone()).with_sealer(sealer);
        let is_external = store.is_external();
        match records.probe().await {
            Ok(outcome) => [
                self.working(is_external),
                self.sealing(is_external, Some(outcome)),
            ],
            Err(error) => [self.failed(&error), self.sealing(is_external, None)],
        }
    }

    /// Checks that a SQLite file can be created, but does not create it: it would belong to the user
    /// that runs the check, not to the one that runs the app.
    async fn missing_file(&self, path: &Path) -> Finding {
        let file = path.to_owned();
        let outcome = spawn_blocking(move || try_create(&file)).await;
        match outcome.unwrap_or_else(|error| Err(error.into())) {
            Ok(()) => STORE.passed(format!(
                "{}: does not exist yet, and will be created at the first start",
                self.place()
            )),
            Err(error) => self.failed(&StoreError::Backend(Box::new(error)).into()),
        }
    }

    fn working(&self, is_external: bool) -> Finding {
        let place = self.place();
        if is_external {
            return STORE.passed(format!("{place}: a record was written, read and removed"));
        }
        STORE.warning(
            format!(
                "{place}: works, but forgets all sessions when the process exits and is not shared \
                 with other processes"
            ),
            "Set `session_store` to `sqlite:PATH`, `redis://…` or `postgres://…` before going to \
             production.",
        )
    }

    fn failed(&self, error: &ProbeError) -> Finding {
        if let ProbeError::Store(StoreError::Misconfigured {
            problem,
            help,
            source,
        }) = error
        {
            let message = format!("{problem}: {source}").replace(char::is_control, " ");
            return STORE.failed_at(self.place(), (message, sentence(help)));
        }
        let help = match (error, &self.url) {
            (ProbeError::NotStored | ProbeError::NotRemoved, _) => {
                "Do not use this store: it does not keep or remove records reliably."
            }
            (ProbeError::Store(StoreError::FeatureOff { .. }), _) => {
                "Choose another `session_store`, or a build with that feature."
            }
            (ProbeError::Store(StoreError::Address(_)), _) => "Correct `session_store`.",
            (_, Some(StoreUrl::Sqlite(_))) => {
                "Allow this user to write to the file and its folder, or correct the path in \
                 `session_store`."
            }
            (_, Some(StoreUrl::Redis(_))) => {
                "Start the server, or correct hosts, ports, password and database in \
                 `session_store`."
            }
            (_, Some(StoreUrl::Postgres(_))) => {
                "Start the server, or correct host, port, user, password and database in \
                 `session_store`."
            }
            _ => "Check the app's store.",
        };
        STORE.failed_at(self.place(), (error_line(error), help.to_owned()))
    }

    fn sealing(&self, is_external: bool, outcome: Option<RecordEncoding>) -> Finding {
        match (is_external, self.keys.is_empty()) {
            (_, true) if self.has_invalid_key => SEALING.skipped(SEE_CONFIGURATION),
            (true, true) => SEALING.failed(
                "the store is external, and no key is set to seal the tokens in it",
                CREATE_KEY,
            ),
            (false, true) => SEALING.passed("not needed: records do not leave this process"),
            (_, false) => match outcome {
                Some(RecordEncoding::Sealed) => {
                    let keys = count(self.keys.len(), "key");
                    SEALING.passed(format!("a record was sealed and opened ({keys})"))
                }
                Some(RecordEncoding::Plain) => {
                    SEALING.failed("a record is readable in the store", CREATE_KEY)
                }
                None => SEALING.skipped("no record was written, see `store`"),
            },
        }
    }

    /// Returns the store's address without secrets.
    fn place(&self) -> String {
        let url = self.url.as_ref().map(ToString::to_string);
        url.unwrap_or_else(|| "the app's own store".to_owned())
    }
}

/// Tests whether a file and its folder can be created, with another file that is removed again.
fn try_create(path: &Path) -> io::Result<()> {
    let probe = existing_folder(path).join(format!(".oten-{}", Secret::random().expose()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&probe)?;
    fs::remove_file(probe)
}

/// Returns the closest folder of the file that exists.
fn existing_folder(path: &Path) -> PathBuf {
    let mut folders = path.ancestors().skip(1);
    match folders.find(|folder| *folder == Path::new("") || folder.exists()) {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_tested_without_being_created() {
        let folder = std::env::temp_dir().join(Secret::random().expose());
        fs::create_dir(&folder).unwrap();
        let names = || fs::read_dir(&folder).unwrap().count();
        try_create(&folder.join("a.db")).unwrap();
        try_create(&folder.join("b/c/a.db")).unwrap();
        assert_eq!(names(), 0);
        // A file in place of the folder.
        fs::write(folder.join("file"), "").unwrap();
        assert!(try_create(&folder.join("file/a.db")).is_err());
        assert!(try_create(&folder.join("file/b/a.db")).is_err());
        assert_eq!(names(), 1);
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(existing_folder("a.db".as_ref()), Path::new("."));
    }
}
