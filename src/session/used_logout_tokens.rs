use time::OffsetDateTime;

use crate::store::StoreError;
use crate::store::{RecordKind, Records};

/// The logout tokens that were used, each for as long as it would be believed again.
#[derive(Clone, Debug)]
pub(crate) struct UsedLogoutTokens {
    records: Records,
    client_id: String,
}

impl UsedLogoutTokens {
    pub(crate) fn new(records: Records, client_id: &str) -> Self {
        let client_id = client_id.to_owned();
        Self { records, client_id }
    }

    pub(crate) async fn contains(&self, issuer: &str, jti: &str) -> Result<bool, StoreError> {
        let id = self.id(issuer, jti);
        let found = self
            .records
            .load::<u8>(RecordKind::LogoutToken, &id)
            .await?;
        Ok(found.is_some())
    }

    /// Notes that a token was used. Answers `false` if somebody noted it before.
    pub(crate) async fn add(
        &self,
        issuer: &str,
        jti: &str,
        ends_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let id = self.id(issuer, jti);
        self.records
            .insert_raw(RecordKind::LogoutToken, &id, b"1", ends_at)
            .await
    }

    fn id(&self, issuer: &str, jti: &str) -> String {
        serde_json::json!([self.client_id, issuer, jti]).to_string()
    }
}
