//! Values that lie in places where others may read and write, made unreadable and tamper-evident.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::secret::hex;

const KEY_BYTES: usize = 32;
/// Enough to tell an operator's keys apart. Where it does not, each key with the id is tried.
const KEY_ID_BYTES: usize = 4;

/// A key that seals records in the store, of 256 bits. `Debug` shows its id only, a short hash.
#[derive(Clone)]
pub struct SealingKey {
    id: [u8; KEY_ID_BYTES],
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl SealingKey {
    /// The key that is written so: 32 bytes in standard base64 with padding, 44 characters.
    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        // The decoder asks for room by the length of the text, padding included.
        let mut decoded = Zeroizing::new([0; KEY_BYTES + 1]);
        let length = BASE64_STANDARD.decode_slice(text, decoded.as_mut()).ok()?;
        let bytes = decoded.get(..length)?.try_into().map(Zeroizing::new).ok()?;
        Some(Self::new(bytes))
    }

    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let hash: [u8; 32] = Sha256::digest(*bytes).into();
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&hash[..KEY_ID_BYTES]);
        Self { id, bytes }
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", hex(&self.id))
    }
}
