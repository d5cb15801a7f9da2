use crate::store::StoreError;

/// Runs a sequence of store calls to its end, even if whoever waits for it goes away: a browser that
/// closes the connection does not leave half a sign-in behind.
pub(super) async fn run_to_completion<T: Send + 'static>(
    steps: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(steps)
        .await
        .unwrap_or_else(|error| Err(StoreError::Backend(error.into())))
}
