use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::records::{Kind, Records};
use crate::{
    secret::{Secret, exposed},
    store::StoreError,
};

/// The tokens of a session. They lie beside it, in a record of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tokens {
    #[serde(with = "exposed")]
    pub(crate) access_token: Secret,
    #[serde(with = "time::serde::timestamp")]
    pub(crate) access_token_expires_at: OffsetDateTime,
    pub(crate) scope: Option<String>,
}

impl Tokens {
    /// Keeps new tokens until `expires_at`; the answer is the id they are found under.
    pub(super) async fn keep(
        &self,
        records: &Records,
        expires_at: OffsetDateTime,
    ) -> Result<Secret, StoreError> {
        let id = Secret::random();
        records
            .insert_new(Kind::Tokens, id.expose(), self, expires_at)
            .await?;
        Ok(id)
    }

    pub(super) async fn load(records: &Records, id: &Secret) -> Result<Option<Self>, StoreError> {
        let found = records.load(Kind::Tokens, id.expose()).await?;
        Ok(found.map(|found| found.value))
    }

    pub(super) async fn forget(records: &Records, id: &Secret) -> Result<(), StoreError> {
        records.remove(Kind::Tokens, id.expose()).await
    }
}
