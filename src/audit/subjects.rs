use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::secret::{hex, random_bytes};

/// How users are named in events.
pub(crate) struct Subjects {
    /// No key: subjects are named as they are.
    key: Option<Zeroizing<[u8; 32]>>,
}

impl Subjects {
    pub(crate) fn new(log_subjects: bool) -> Self {
        Self {
            key: (!log_subjects).then(random_bytes),
        }
    }

    /// The subject, or 16 hexadecimal digits that are the same for the same user until the process
    /// ends and tell nothing to anybody who does not have the key.
    pub(crate) fn pseudonym(&self, issuer: &str, subject: &str) -> String {
        let Some(key) = &self.key else {
            return subject.to_owned();
        };
        // The key is of the hash's length, so that a prefix is as good as HMAC's two passes, and
        // only 64 bits of the state are shown, so that nothing can be appended to it.
        let hash = Sha256::new()
            .chain_update(key.as_ref())
            .chain_update(issuer)
            .chain_update([0])
            .chain_update(subject)
            .finalize();
        hex(&hash[..8])
    }
}
