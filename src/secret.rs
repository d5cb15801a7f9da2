use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A string that is redacted in `Debug`, compared in constant time and wiped from memory when dropped.
///
/// `Secret` implements neither `Display` nor `Serialize`, so every use of the text is a call of
/// [`expose`](Self::expose), which a review can search for.
///
/// ```
/// use axum_oten::Secret;
///
/// let secret = Secret::from("correct horse battery staple");
/// assert!(secret == Secret::from("correct horse battery staple"));
/// assert!(secret != Secret::from("correct horse battery stapler"));
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Returns a new secret of 256 random bits from the operating system, 43 characters of
    /// base64url.
    ///
    /// # Panics
    ///
    /// Panics if the operating system provides no random numbers.
    #[must_use]
    pub fn random() -> Self {
        let [secret] = Self::random_array();
        secret
    }

    /// Returns several secrets like [`random`](Self::random) in one call of the operating system.
    pub(crate) fn random_array<const N: usize>() -> [Self; N] {
        let mut bytes = Zeroizing::new([[0; 32]; N]);
        fill(bytes.as_flattened_mut());
        bytes
            .each_ref()
            .map(|bytes| Self(Zeroizing::new(base64url(bytes))))
    }

    /// The text of the secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
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

/// Reads and writes the text of a [`Secret`] in sealed records: `#[serde(with = "exposed")]`.
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

/// Returns random bytes from the operating system.
///
/// # Panics
///
/// Panics if the operating system provides no random numbers.
pub(crate) fn random_bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    fill(bytes.as_mut());
    bytes
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system must provide random numbers");
}

/// Returns bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// The inverse of [`hex`], which accepts upper-case digits as well.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !odd.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(16 * high? + low?).ok()?;
    }
    Some(bytes)
}

/// Returns `BASE64URL(bytes)` (RFC 7515 section 2).
pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends `BASE64URL(bytes)` to a string.
pub(crate) fn append_base64url(text: &mut String, bytes: impl AsRef<[u8]>) {
    BASE64_URL_SAFE_NO_PAD.encode_string(bytes, text);
}

/// The inverse of [`base64url`]. Padding and non-zero trailing bits are rejected.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

/// Whether two byte strings are equal, in a time that depends only on their lengths.
pub(crate) fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
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
