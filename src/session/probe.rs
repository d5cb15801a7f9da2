use std::time::Duration;

use tokio::time::timeout;

use super::records::{Kind, Records, STORE_TIMEOUT};
use crate::{secret::Secret, store::StoreError};

/// A process that dies in the middle leaves a record behind for no longer.
const LIFETIME: Duration = Duration::from_secs(60);

impl Records {
    /// Writes a record, reads it and removes it, all within the time one call has.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        timeout(STORE_TIMEOUT, self.write_read_remove())
            .await
            .unwrap_or(Err(StoreError::TimedOut))
    }

    async fn write_read_remove(&self) -> Result<(), StoreError> {
        let (id, value) = (Secret::random(), Secret::random());
        let (id, value) = (id.expose(), value.expose());
        let expires_at = self.clock().now() + LIFETIME;
        self.insert_new(Kind::Probe, id, &value, expires_at).await?;
        let found = self.load::<String>(Kind::Probe, id).await?;
        self.remove(Kind::Probe, id).await?;
        match found {
            Some(found) if found.value == value => Ok(()),
            _ => Err(StoreError::Backend(
                "it does not give back what was just put in".into(),
            )),
        }
    }
}
