use std::fmt;

use sha2::{Digest, Sha256};

/// The key of a record: a hash of what kind of record it is and its id.
///
/// A reader of the store finds no id that would work as a cookie, and a cookie's value, whatever
/// it is, can never address a record of another kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    hash: [u8; 32],
    kind: &'static str,
}

impl RecordKey {
    /// The key of the record of this kind with this id.
    #[must_use]
    pub fn new(kind: &'static str, id: &str) -> Self {
        let hash = Sha256::new()
            .chain_update(kind)
            // No kind contains it: `("a", "bc")` and `("ab", "c")` are two keys.
            .chain_update([0])
            .chain_update(id);
        Self {
            hash: hash.finalize().into(),
            kind,
        }
    }

    /// The 32 bytes, for a store that keeps keys as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.hash
    }

    /// What kind of record it is, such as `session`; it is part of the hash already.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

/// 64 hexadecimal digits, for a store that keeps keys as text.
impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hash
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordKey({}, {self})", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_id_are_kept_apart() {
        let keys = [
            RecordKey::new("a", "bc"),
            RecordKey::new("ab", "c"),
            RecordKey::new("abc", ""),
            RecordKey::new("a", "b\0c"),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!(keys[0].to_string().len(), 64);
    }
}
