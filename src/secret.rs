//! Values that nobody may read by accident: redacted in `Debug`, compared in constant time, wiped
//! when dropped.
//!
//! ```
//! use axum_oten::Secret;
//!
//! let secret = Secret::from("correct horse battery staple");
//! assert!(secret == Secret::from("correct horse battery staple"));
//! assert!(secret != Secret::from("correct horse battery stapler"));
//! assert_eq!(format!("{secret:?}"), "[redacted]");
//! ```

use std::fmt::{self, Write};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A text that is redacted in `Debug`, compared in constant time and wiped when dropped.
///
/// There is no `Display` and no `Serialize`: whoever needs the text calls
/// [`expose`](Self::expose), which is easy to find in a review.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A new secret of 256 random bits from the operating system, 43 characters of base64url.
    ///
    /// # Panics
    ///
    /// When the operating system has no randomness to give. There is no safe way to go on.
    #[must_use]
    pub fn random() -> Self {
        Self(Zeroizing::new(
            BASE64_URL_SAFE_NO_PAD.encode(*random_bytes::<32>()),
        ))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Random bytes from the operating system.
///
/// # Panics
///
/// When the operating system has no randomness to give. There is no safe way to go on.
pub(crate) fn random_bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).expect("the operating system must provide random bytes");
    bytes
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
        text
    })
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
pub(crate) fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Writes the text of a [`Secret`] into a stored record: `#[serde(with = "secret::exposed")]`.
pub(crate) mod exposed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Secret;

    pub(crate) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        secret.expose().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_secrets_are_long_and_differ() {
        let (a, b) = (Secret::random(), Secret::random());
        assert_eq!(a.expose().len(), 43);
        assert_ne!(a, b);
    }
}
