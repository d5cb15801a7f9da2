use super::{
    Expected, IdTokenError,
    claims::ALLOWED,
    id_token::{IdTokenClaims, verify_id_token},
};
use crate::{
    jose::CompactJws,
    provider::{Provider, ProviderError, ProviderMetadata},
    secret::Secret,
};

/// Why an ID token is not believed: it is a lie, or its key is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdTokenCheckError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
}

/// Verifies an ID token with the provider's key for it.
pub(crate) async fn check_id_token(
    provider: &Provider,
    metadata: &ProviderMetadata,
    id_token: Option<&Secret>,
    expected: &Expected<'_>,
) -> Result<IdTokenClaims, IdTokenCheckError> {
    let id_token = id_token.ok_or(IdTokenError::Missing)?;
    let jws = CompactJws::parse(id_token.expose()).map_err(IdTokenError::from)?;
    let algorithm = jws.algorithm(&ALLOWED).map_err(IdTokenError::from)?;
    let key = provider.key(metadata, jws.key_id(), algorithm).await?;
    Ok(verify_id_token(jws, &key, expected)?)
}
