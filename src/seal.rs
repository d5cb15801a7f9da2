//! Authenticated encryption of records, for stores that other parties can read or write.
//!
//! A *sealed record* is encrypted and authenticated with AES-256-GCM-SIV (RFC 8452). It consists of
//! a version byte, the ID of the key, a nonce, the ciphertext and its tag. The associated data covers
//! the version, the ID of the key, and the kind, key and client of the record. A sealed record
//! therefore opens only as the same record, for the same client and with the same key.
//!
//! Every record gets a random nonce of 96 bits, because processes do not share a counter. With
//! AES-GCM or ChaCha20-Poly1305, a repeated nonce reveals the difference of two plaintexts and allows
//! forgeries. A key could then seal at most 2^32 records (NIST SP 800-38D section 8.3). With
//! AES-GCM-SIV, a repeated nonce only reveals whether two records with the same associated data are
//! equal, so keys need not be rotated after a number of records. XChaCha20-Poly1305 would also work,
//! but aws-lc-rs does not provide it.

use std::{fmt, sync::Arc};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

#[cfg(feature = "check")]
use crate::secret::constant_time_eq;
use crate::secret::hex;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
/// Long enough to distinguish an operator's keys. Keys with the same ID are tried one by one.
const KEY_ID_BYTES: usize = 4;
/// The version and the ID of the key.
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES;
const TAG_BYTES: usize = 16;

type KeyId = [u8; KEY_ID_BYTES];

/// A 256-bit key that seals records in the store. `Debug` shows only its ID, a short hash.
#[derive(Clone)]
pub struct SealingKey {
    id: KeyId,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl SealingKey {
    /// Parses 32 bytes in standard base64 with padding, which are 44 characters.
    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        // The decoder requires a buffer for the length of the text, including padding.
        let mut decoded = Zeroizing::new([0; KEY_BYTES + 1]);
        let length = BASE64_STANDARD.decode_slice(text, decoded.as_mut()).ok()?;
        let bytes = decoded.get(..length)?.try_into().map(Zeroizing::new).ok()?;
        Some(Self::new(bytes))
    }

    /// Compares two keys in constant time.
    #[cfg(feature = "check")]
    pub(crate) fn is_same_key(&self, other: &Self) -> bool {
        constant_time_eq(self.bytes.as_ref(), other.bytes.as_ref())
    }

    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let hash: [u8; 32] = Sha256::digest(*bytes).into();
        let mut id = KeyId::default();
        id.copy_from_slice(&hash[..KEY_ID_BYTES]);
        Self { id, bytes }
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", hex(&self.id))
    }
}

/// Seals records with the first key and opens them with any key. Clones share the keys.
#[derive(Clone)]
pub(crate) struct Sealer {
    first: Key,
    others: Arc<[Key]>,
    client_id: Arc<str>,
}

/// A key that is ready for use.
#[derive(Clone)]
struct Key {
    id: KeyId,
    cipher: Arc<RandomizedNonceKey>,
}

/// The record that a sealed value is bound to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AssociatedData<'a> {
    pub(crate) kind: &'a str,
    pub(crate) key: &'a [u8],
}

/// Error returned when a sealed record cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the record is not sealed, or has an unknown version")]
    NotSealed,
    #[error("the record is sealed with a key that is not configured")]
    UnknownKey,
    #[error("the record was modified, or belongs to another key or client")]
    Tampered,
}

impl Sealer {
    /// Creates a sealer for the records of a client. Returns `None` if there are no keys.
    pub(crate) fn new(keys: &[SealingKey], client_id: &str) -> Option<Self> {
        let (first, others) = keys.split_first()?;
        Some(Self {
            first: Key::new(first),
            others: others.iter().map(Key::new).collect(),
            client_id: client_id.into(),
        })
    }

    pub(crate) fn seal(&self, data: AssociatedData<'_>, plain: &[u8]) -> Vec<u8> {
        let key = &self.first;
        let start = HEADER_BYTES + NONCE_LEN;
        // Sized in advance, because a buffer that grows leaves copies of the plaintext in memory.
        let mut sealed = Vec::with_capacity(start + plain.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend(key.id);
        sealed.extend([0; NONCE_LEN]);
        sealed.extend(plain);
        let data = self.encode(&sealed[..HEADER_BYTES], data);
        let (nonce, tag) = key
            .cipher
            .seal_in_place_separate_tag(Aad::from(data), &mut sealed[start..])
            .expect("the operating system must provide random bytes");
        sealed[HEADER_BYTES..start].copy_from_slice(nonce.as_ref());
        sealed.extend(tag.as_ref());
        sealed
    }

    /// Opens a record that was sealed with any of the keys and the same associated data.
    pub(crate) fn open(
        &self,
        data: AssociatedData<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (header, rest) = sealed
            .split_at_checked(HEADER_BYTES)
            .filter(|(header, _)| header[0] == VERSION)
            .ok_or(OpenError::NotSealed)?;
        let (nonce, ciphertext) = rest
            .split_at_checked(NONCE_LEN)
            .filter(|(_, ciphertext)| ciphertext.len() >= TAG_BYTES)
            .ok_or(OpenError::NotSealed)?;
        let data = self.encode(header, data);
        let mut error = OpenError::UnknownKey;
        for key in self.keys().filter(|key| key.id == header[1..]) {
            match key.open(nonce, &data, ciphertext) {
                Some(plain) => return Ok(plain),
                None => error = OpenError::Tampered,
            }
        }
        Err(error)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(self.others.iter())
    }

    /// Encodes the associated data. A length before each part makes the encoding unambiguous.
    fn encode(&self, header: &[u8], data: AssociatedData<'_>) -> Vec<u8> {
        let parts = [
            header,
            data.kind.as_bytes(),
            data.key,
            self.client_id.as_bytes(),
        ];
        let with_length = |part: &[u8]| [&part.len().to_be_bytes()[..], part].concat();
        parts.into_iter().flat_map(with_length).collect()
    }
}

impl Key {
    fn new(key: &SealingKey) -> Self {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM_SIV, key.bytes.as_ref())
            .expect("the cipher accepts keys of 32 bytes");
        Self {
            id: key.id,
            cipher: Arc::new(cipher),
        }
    }

    fn open(&self, nonce: &[u8], data: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = Zeroizing::new(ciphertext.to_vec());
        let length = self
            .cipher
            .open_in_place(nonce, Aad::from(data), &mut plain)
            .ok()?
            .len();
        plain.truncate(length);
        Some(plain)
    }
}

/// Shows the IDs of the keys.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys().map(|key| hex(&key.id)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::random_bytes;

    const DATA: AssociatedData<'_> = AssociatedData {
        kind: "tokens",
        key: b"the hash of an id",
    };
    const PLAIN: &[u8] = b"an access token";

    fn key() -> SealingKey {
        SealingKey::new(random_bytes())
    }

    fn with_keys(keys: &[SealingKey]) -> Sealer {
        Sealer::new(keys, "my-site").unwrap()
    }

    #[test]
    fn l7_a_sealed_record_is_unreadable_and_opens() {
        let sealer = with_keys(&[key()]);
        for plain in [PLAIN, b""] {
            let record = sealer.seal(DATA, plain);
            assert_eq!(*sealer.open(DATA, &record).unwrap(), plain);
            assert_eq!(record.len(), plain.len() + 33);
        }
        let record = sealer.seal(DATA, PLAIN);
        assert!(
            !record
                .windows(8)
                .any(|part| PLAIN.windows(8).any(|plain| plain == part))
        );
        assert_ne!(
            record,
            sealer.seal(DATA, PLAIN),
            "each record has its own nonce"
        );
    }

    #[test]
    fn l7_every_flipped_bit_is_detected() {
        let sealer = with_keys(&[key(), key()]);
        let record = sealer.seal(DATA, PLAIN);
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut changed = record.clone();
                changed[at] ^= 1 << bit;
                let expected = match at {
                    0 => OpenError::NotSealed,
                    1..HEADER_BYTES => OpenError::UnknownKey,
                    _ => OpenError::Tampered,
                };
                let error = sealer.open(DATA, &changed).unwrap_err();
                assert_eq!(error, expected, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn l7_every_other_length_is_detected() {
        let sealer = with_keys(&[key()]);
        let record = sealer.seal(DATA, PLAIN);
        for length in 0..record.len() {
            assert!(sealer.open(DATA, &record[..length]).is_err(), "{length}");
        }
        let longer = [record, vec![0]].concat();
        assert_eq!(sealer.open(DATA, &longer), Err(OpenError::Tampered));
    }

    #[test]
    fn l7_a_record_opens_only_for_its_kind_key_and_client() {
        let keys = [key()];
        let client = |id| Sealer::new(&keys, id).unwrap();
        let record = client("my-site").seal(DATA, PLAIN);
        for (client_id, kind, key) in [
            ("my-site", "login_attempt", DATA.key),
            ("my-site", DATA.kind, &b"the hash of another id"[..]),
            ("your-site", DATA.kind, DATA.key),
            // The same bytes, split at another position.
            ("my-site", "token", b"sthe hash of an id"),
            ("dmy-site", DATA.kind, b"the hash of an i"),
        ] {
            let opened = client(client_id).open(AssociatedData { kind, key }, &record);
            assert_eq!(opened, Err(OpenError::Tampered), "{client_id} {kind}");
        }
    }

    #[test]
    fn l7_keys_can_be_rotated() {
        let (old, new) = (key(), key());
        let before = with_keys(std::slice::from_ref(&old)).seal(DATA, PLAIN);
        let during = with_keys(&[new.clone(), old.clone()]);
        assert_eq!(*during.open(DATA, &before).unwrap(), PLAIN);
        // The new key seals, so the old one can be removed later.
        let record = during.seal(DATA, PLAIN);
        let after = with_keys(&[new]);
        assert_eq!(*after.open(DATA, &record).unwrap(), PLAIN);
        assert_eq!(after.open(DATA, &before), Err(OpenError::UnknownKey));
    }

    #[test]
    fn l7_keys_with_the_same_id_are_all_tried() {
        let (mut a, b) = (key(), key());
        a.id = b.id;
        let record = with_keys(std::slice::from_ref(&b)).seal(DATA, PLAIN);
        assert_eq!(*with_keys(&[a, b]).open(DATA, &record).unwrap(), PLAIN);
    }

    #[test]
    fn l7_plain_records_are_not_accepted_as_sealed() {
        let sealer = with_keys(&[key()]);
        for plain in [
            &b""[..],
            b"{}",
            b"{\"access_token\":\"0123456789\",\"scope\":null}",
        ] {
            assert_eq!(sealer.open(DATA, plain), Err(OpenError::NotSealed));
        }
    }

    #[test]
    fn l7_a_sealer_needs_a_key() {
        assert!(Sealer::new(&[], "my-site").is_none());
    }

    #[test]
    fn b2_debug_shows_only_key_ids() {
        let key = SealingKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        // The first bytes of the SHA-256 of the bytes 0 to 31.
        assert_eq!(format!("{key:?}"), "SealingKey(630dcd29)");
        assert_eq!(format!("{:?}", with_keys(&[key])), "[\"630dcd29\"]");
    }
}
