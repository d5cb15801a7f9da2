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

    /// The key of a record of this kind, from the text it displays as.
    pub(crate) fn from_hex(kind: &'static str, text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let (high, low) = (digit(pair[0])?, digit(pair[1])?);
            *byte = u8::try_from(16 * high + low).ok()?;
        }
        Some(Self { hash, kind })
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

    #[test]
    fn a_key_survives_being_text() {
        let key = RecordKey::new("a", "bc");
        assert_eq!(RecordKey::from_hex("a", &key.to_string()), Some(key));
        let digits = "0".repeat(63);
        for text in [
            "",
            "zz",
            &digits,
            &format!("{digits}g"),
            &format!("{digits}00"),
        ] {
            assert_eq!(RecordKey::from_hex("a", text), None, "{text}");
        }
    }
}
