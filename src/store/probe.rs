use std::time::Duration;

use tokio::time::timeout;

use super::records::{RecordKind, Records, STORE_TIMEOUT};
use crate::{secret::Secret, store::StoreError};

/// A probe that was not taken back, because the process ended in between, is gone after this time.
const LIFETIME: Duration = Duration::from_secs(60);

/// How the probe lay in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    Yes,
    No,
}

/// Why a store is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what was written is not what is read back")]
    Lost,
    #[error("what was removed is still there")]
    Kept,
}

impl Records {
    /// Writes a record, reads it and removes it, as a sign-in does, all within the time that one call
    /// has.
    pub(crate) async fn probe(&self) -> Result<Sealed, ProbeError> {
        timeout(STORE_TIMEOUT, probe(self))
            .await
            .unwrap_or(Err(ProbeError::Store(StoreError::TimedOut)))
    }
}

async fn probe(records: &Records) -> Result<Sealed, ProbeError> {
    let (id, said) = (Secret::random(), Secret::random());
    let (id, said) = (id.expose(), said.expose());
    let end = records.clock().now() + LIFETIME;
    records
        .insert_new(RecordKind::Probe, id, &said, end)
        .await?;
    let outcome = read_back(records, id, said).await;
    records.remove(RecordKind::Probe, id).await?;
    let sealed = outcome?;
    match records.load_raw(RecordKind::Probe, id).await? {
        None => Ok(sealed),
        Some(_) => Err(ProbeError::Kept),
    }
}

async fn read_back(records: &Records, id: &str, said: &str) -> Result<Sealed, ProbeError> {
    let found = records.load::<String>(RecordKind::Probe, id).await?;
    if found.is_none_or(|found| found.value != said) {
        return Err(ProbeError::Lost);
    }
    let raw = records.load_raw(RecordKind::Probe, id).await?;
    let raw = raw.ok_or(ProbeError::Lost)?;
    let is_readable = raw.windows(said.len()).any(|part| part == said.as_bytes());
    Ok(if is_readable { Sealed::No } else { Sealed::Yes })
}
