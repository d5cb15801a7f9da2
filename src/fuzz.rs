//! Entry functions of the fuzz targets in `fuzz/`. Part of builds with `cfg(fuzzing)` only, which `cargo
//! fuzz` sets.

use bytes::Bytes;

use crate::seal::{Sealer, SealingKey};

pub use crate::{
    protocol::fuzz::{
        TokenAnswer, access_token, callback, id_token, logout_token, logout_url, token_answer,
    },
    session::fuzz::{RECORD_KINDS, leads_to, record, return_to},
    web::fuzz::{ReadCookies, client_address, cookies, login_cookie, logout_form},
};

/// Seals records with one key.
#[derive(Clone)]
#[allow(missing_debug_implementations)]
pub struct Seal(Sealer);

impl Seal {
    /// Takes 32 bytes in base64.
    #[must_use]
    pub fn new(key: &str) -> Option<Self> {
        Sealer::new(&[SealingKey::from_base64(key)?]).map(Self)
    }

    /// Seals a record under its key in the store.
    #[must_use]
    pub fn seal(&self, record: &[u8; 32], plain: &[u8]) -> Vec<u8> {
        self.0.seal(record, plain)
    }

    /// Opens a sealed record.
    #[must_use]
    pub fn open(&self, record: &[u8; 32], sealed: Vec<u8>) -> Option<Bytes> {
        self.0.open(record, sealed.into()).ok()
    }
}
