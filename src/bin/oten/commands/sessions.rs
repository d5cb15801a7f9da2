use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum_oten::{
    Oten,
    audit::{Event, EventKind},
    config::StoreUrl,
    session::{ActiveSession, SessionHandle},
    store,
};
use clap::{Args, Subcommand};
use serde_json::json;
use time::OffsetDateTime;
use tokio::time::timeout;

use super::settings::{ConfigArgs, with_default_store};
use crate::{
    error::Error,
    key_file,
    terminal::{self, Spinner, print_line, print_note},
};

/// The number of sessions that are read at a time.
const PAGE_SIZE: usize = 1_000;

/// How long a command takes before it says what it waits for.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all sessions in the store, or those of a user
    List {
        #[command(flatten)]
        config: ConfigArgs,
        /// List the sessions of the user with this `sub`
        #[arg(long, value_name = "SUB")]
        subject: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End one session of a user, all of a user or all of the site
    ///
    /// Revokes the refresh tokens if the provider has a revocation endpoint. Users can sign in again.
    End {
        #[command(flatten)]
        config: ConfigArgs,
        /// End the sessions of the user with this `sub`
        #[arg(long, value_name = "SUB", required_unless_present = "all")]
        subject: Option<String>,
        /// End only this session of the user, as `sessions list` names it
        #[arg(long, value_name = "SESSION", conflicts_with = "all")]
        session: Option<SessionHandle>,
        /// End the sessions of all users
        #[arg(long, conflicts_with = "subject", requires = "yes")]
        all: bool,
        /// Confirm `--all`
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(args: SessionsArgs) -> Result<(), Error> {
    match args.action {
        Action::List {
            config,
            subject,
            json,
        } => {
            let store = open(&config).await?;
            list(&store.oten, subject.as_deref(), json).await?;
            store.complete()
        }
        Action::End {
            config,
            subject,
            session,
            json,
            ..
        } => {
            let store = open(&config).await?;
            let end = end(&store.oten, subject.as_deref(), session);
            let ended = noticeably("the sessions to end", end).await?;
            if json {
                terminal::print_json(&json!({ "ended": ended }))?;
            } else {
                let plural = if ended == 1 { "" } else { "s" };
                print_line(format_args!("{ended} session{plural} ended"));
            }
            noticeably("the refresh tokens to be revoked", store.oten.shutdown()).await;
            store.complete()
        }
    }
}

/// The store of a site.
struct SiteStore {
    oten: Oten,
    has_unsealed: Arc<AtomicBool>,
}

impl SiteStore {
    /// Returns an error if a record could not be opened: the session in it is neither listed nor ended.
    fn complete(&self) -> Result<(), Error> {
        if self.has_unsealed.load(Ordering::Relaxed) {
            return Err(Error::UnsealedRecords);
        }
        Ok(())
    }
}

/// Opens the store of the site, which must exist.
async fn open(config: &ConfigArgs) -> Result<SiteStore, Error> {
    let builder = with_default_store(config.builder()?, key_file::read_or_generate_session_key)?;
    let config = builder.build()?;
    match config.session_store() {
        StoreUrl::Memory => {
            return Err(Error::Arguments(
                "`session_store` is `memory:`, whose sessions only the site itself can see. Set it to \
                 the store of a site that runs with another one",
            ));
        }
        StoreUrl::Sqlite(path) if !path.exists() => return Err(Error::NoStore(path.clone())),
        _ => {}
    }
    let store = store::open(config.session_store()).await?;
    let has_unsealed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&has_unsealed);
    let log = move |event: &Event| {
        if event.kind() == EventKind::UnsealedRecord {
            seen.store(true, Ordering::Relaxed);
        }
    };
    let oten = Oten::builder(config, store).audit(log).build()?;
    Ok(SiteStore { oten, has_unsealed })
}

async fn end(
    oten: &Oten,
    subject: Option<&str>,
    session: Option<SessionHandle>,
) -> Result<usize, Error> {
    Ok(match (subject, session) {
        (Some(subject), Some(session)) => oten.end_session(subject, session).await?.into(),
        (Some(subject), None) => oten.end_sessions_of(subject).await?,
        (None, _) => oten.end_all_sessions().await?,
    })
}

async fn list(oten: &Oten, subject: Option<&str>, json: bool) -> Result<(), Error> {
    let sessions = noticeably("the session store", async {
        if let Some(subject) = subject {
            return oten.sessions_of(subject).await;
        }
        let (mut sessions, mut next) = (Vec::new(), None);
        loop {
            let page = oten.sessions_page(next.as_deref(), PAGE_SIZE).await?;
            sessions.extend(page.sessions);
            next = page.next;
            if next.is_none() {
                return Ok(sessions);
            }
        }
    });
    let sessions = sessions.await?;
    if json {
        return terminal::print_json(&sessions);
    }
    if sessions.is_empty() {
        print_note("there are no sessions");
        return Ok(());
    }
    print_line(row([
        "SESSION",
        "SUBJECT",
        "SIGNED IN",
        "LAST USED",
        "DEVICE",
    ]));
    for session in &sessions {
        print_line(row_of(session));
    }
    Ok(())
}

fn row_of(session: &ActiveSession) -> String {
    let device = session.device().unwrap_or_default();
    row([
        &session.handle().to_string(),
        // Of the provider, which may send any text.
        &session.user().subject().escape_debug().to_string(),
        &minute(session.started_at()),
        &minute(session.last_used_at()),
        &device,
    ])
}

fn row([session, subject, started, last_used, device]: [&str; 5]) -> String {
    let row = format!("{session:32}  {subject:24}  {started:17}  {last_used:17}  {device}");
    row.trim_end().to_owned()
}

fn minute(at: OffsetDateTime) -> String {
    format!("{} {:02}:{:02}Z", at.date(), at.hour(), at.minute())
}

/// Says what the program waits for if it takes long.
async fn noticeably<T>(subject: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = timeout(PATIENCE, &mut work).await {
        return done;
    }
    let spinner = Spinner::new();
    spinner.set_message(subject);
    let done = work.await;
    drop(spinner);
    done
}
