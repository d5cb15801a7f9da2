//! Records made unreadable and tamper-evident, for stores that others may read and write.
//!
//! The cipher is AES-256-GCM-SIV (RFC 8452). Every record gets a random nonce of 96 bits, because
//! nothing counts across processes. With AES-GCM or ChaCha20-Poly1305 two equal nonces would give
//! away the difference of two records and the means to forge others, so that a key could seal no
//! more than 2^32 records (NIST SP 800-38D section 8.3). Here two equal nonces tell only whether
//! two equal records lie in the same place, which a reader of the store sees anyway: a key need not
//! be changed for its use. XChaCha20-Poly1305 would do too, but this crate's cryptography does not
//! have it.
//!
//! A sealed record is a version byte, the key's id, the nonce, the ciphertext and its tag. The
//! associated data is all that stands before the nonce and where the record belongs, so that a
//! record opens in no other place, for no other client, and with no other key.

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
/// Enough to tell an operator's keys apart. Where it does not, each key with the id is tried.
const KEY_ID_BYTES: usize = 4;
/// The version and the key's id.
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES;
const TAG_BYTES: usize = 16;

type KeyId = [u8; KEY_ID_BYTES];

/// A key that seals records in the store, of 256 bits. `Debug` shows its id only, a short hash.
#[derive(Clone)]
pub struct SealingKey {
    id: KeyId,
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

    /// Whether the two are one key, in a time that tells nothing about it.
    #[cfg(feature = "check")]
    pub(crate) fn is(&self, other: &Self) -> bool {
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

/// Seals records with one key and opens them with any of several. Copies share the keys.
#[derive(Clone)]
pub(crate) struct Sealer {
    first: Key,
    others: Arc<[Key]>,
    client_id: Arc<str>,
}

/// A key, ready for use.
#[derive(Clone)]
struct Key {
    id: KeyId,
    cipher: Arc<RandomizedNonceKey>,
}

/// Where a record belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// What kind of record it is.
    pub(crate) kind: &'a str,
    /// What it is found under.
    pub(crate) id: &'a [u8],
}

/// Why a record cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("it is not sealed, or by another version")]
    NotSealed,
    #[error("it is sealed with a key that is not configured")]
    UnknownKey,
    #[error("it was changed, or belongs to another place or client")]
    Tampered,
}

impl Sealer {
    /// A sealer for the records of a client, if there is a key. The first key seals.
    pub(crate) fn new(keys: &[SealingKey], client_id: &str) -> Option<Self> {
        let (first, others) = keys.split_first()?;
        Some(Self {
            first: Key::new(first),
            others: others.iter().map(Key::new).collect(),
            client_id: client_id.into(),
        })
    }

    /// The record as it may lie in the store, at this place only.
    pub(crate) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let key = &self.first;
        let start = HEAD_BYTES + NONCE_LEN;
        // Room for all of it: a buffer that grows leaves copies behind.
        let mut sealed = Vec::with_capacity(start + plain.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend(key.id);
        sealed.extend([0; NONCE_LEN]);
        sealed.extend(plain);
        let bound = self.bound(&sealed[..HEAD_BYTES], place);
        let (nonce, tag) = key
            .cipher
            .seal_in_place_separate_tag(Aad::from(bound), &mut sealed[start..])
            // As wherever this crate needs randomness.
            .expect("the operating system must provide random bytes");
        sealed[HEAD_BYTES..start].copy_from_slice(nonce.as_ref());
        sealed.extend(tag.as_ref());
        sealed
    }

    /// What was sealed for this place, with any of the keys.
    pub(crate) fn open(
        &self,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (head, rest) = sealed
            .split_at_checked(HEAD_BYTES)
            .filter(|(head, _)| head[0] == VERSION)
            .ok_or(OpenError::NotSealed)?;
        let (nonce, ciphertext) = rest
            .split_at_checked(NONCE_LEN)
            .filter(|(_, ciphertext)| ciphertext.len() >= TAG_BYTES)
            .ok_or(OpenError::NotSealed)?;
        let bound = self.bound(head, place);
        let mut error = OpenError::UnknownKey;
        for key in self.keys().filter(|key| key.id == head[1..]) {
            match key.open(nonce, &bound, ciphertext) {
                Some(plain) => return Ok(plain),
                None => error = OpenError::Tampered,
            }
        }
        Err(error)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(self.others.iter())
    }

    /// The associated data: each part behind its length, so that no two places are written alike.
    fn bound(&self, head: &[u8], place: Place<'_>) -> Vec<u8> {
        let parts = [
            head,
            place.kind.as_bytes(),
            place.id,
            self.client_id.as_bytes(),
        ];
        let with_length = |part: &[u8]| [&part.len().to_be_bytes()[..], part].concat();
        parts.into_iter().flat_map(with_length).collect()
    }
}

impl Key {
    fn new(key: &SealingKey) -> Self {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM_SIV, key.bytes.as_ref())
            .expect("32 bytes are a key of this cipher");
        Self {
            id: key.id,
            cipher: Arc::new(cipher),
        }
    }

    fn open(&self, nonce: &[u8], bound: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = Zeroizing::new(ciphertext.to_vec());
        let length = self
            .cipher
            .open_in_place(nonce, Aad::from(bound), &mut plain)
            .ok()?
            .len();
        plain.truncate(length);
        Some(plain)
    }
}

/// The ids of the keys.
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

    const PLACE: Place<'_> = Place {
        kind: "tokens",
        id: b"the hash of an id",
    };
    const PLAIN: &[u8] = b"an access token";

    fn key() -> SealingKey {
        SealingKey::new(random_bytes())
    }

    fn with_keys(keys: &[SealingKey]) -> Sealer {
        Sealer::new(keys, "my-site").unwrap()
    }

    #[test]
    fn l7_what_was_sealed_is_unreadable_and_opens() {
        let sealer = with_keys(&[key()]);
        for plain in [PLAIN, b""] {
            let record = sealer.seal(PLACE, plain);
            assert_eq!(*sealer.open(PLACE, &record).unwrap(), plain);
            assert_eq!(record.len(), plain.len() + 33);
        }
        let record = sealer.seal(PLACE, PLAIN);
        assert!(
            !record
                .windows(8)
                .any(|part| PLAIN.windows(8).any(|plain| plain == part))
        );
        assert_ne!(
            record,
            sealer.seal(PLACE, PLAIN),
            "each record has its own nonce"
        );
    }

    #[test]
    fn l7_every_changed_bit_is_noticed() {
        let sealer = with_keys(&[key(), key()]);
        let record = sealer.seal(PLACE, PLAIN);
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut changed = record.clone();
                changed[at] ^= 1 << bit;
                let expected = match at {
                    0 => OpenError::NotSealed,
                    1..HEAD_BYTES => OpenError::UnknownKey,
                    _ => OpenError::Tampered,
                };
                let error = sealer.open(PLACE, &changed).unwrap_err();
                assert_eq!(error, expected, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn l7_every_other_length_is_noticed() {
        let sealer = with_keys(&[key()]);
        let record = sealer.seal(PLACE, PLAIN);
        for length in 0..record.len() {
            assert!(sealer.open(PLACE, &record[..length]).is_err(), "{length}");
        }
        let longer = [record, vec![0]].concat();
        assert_eq!(sealer.open(PLACE, &longer), Err(OpenError::Tampered));
    }

    #[test]
    fn l7_a_record_belongs_to_its_kind_its_id_and_its_client() {
        let key = key();
        let client = |id| Sealer::new(std::slice::from_ref(&key), id).unwrap();
        let record = client("my-site").seal(PLACE, PLAIN);
        let place = |kind, id| Place { kind, id };
        for (client_id, kind, id) in [
            ("my-site", "login_attempt", PLACE.id),
            ("my-site", PLACE.kind, &b"the hash of another id"[..]),
            ("your-site", PLACE.kind, PLACE.id),
            // The same bytes in a row, divided elsewhere.
            ("my-site", "token", b"sthe hash of an id"),
            ("dmy-site", PLACE.kind, b"the hash of an i"),
        ] {
            let opened = client(client_id).open(place(kind, id), &record);
            assert_eq!(opened, Err(OpenError::Tampered), "{client_id} {kind}");
        }
    }

    #[test]
    fn l7_keys_can_be_rotated() {
        let (old, new) = (key(), key());
        let before = with_keys(std::slice::from_ref(&old)).seal(PLACE, PLAIN);
        let during = with_keys(&[new.clone(), old.clone()]);
        assert_eq!(*during.open(PLACE, &before).unwrap(), PLAIN);
        // From now on the new key seals, so that the old one can go.
        let record = during.seal(PLACE, PLAIN);
        let after = with_keys(&[new]);
        assert_eq!(*after.open(PLACE, &record).unwrap(), PLAIN);
        assert_eq!(after.open(PLACE, &before), Err(OpenError::UnknownKey));
    }

    #[test]
    fn l7_two_keys_with_one_id_are_both_tried() {
        let (mut a, b) = (key(), key());
        a.id = b.id;
        let record = with_keys(std::slice::from_ref(&b)).seal(PLACE, PLAIN);
        assert_eq!(*with_keys(&[a, b]).open(PLACE, &record).unwrap(), PLAIN);
    }

    #[test]
    fn l7_plain_records_are_not_taken_for_sealed_ones() {
        let sealer = with_keys(&[key()]);
        for plain in [
            &b""[..],
            b"{}",
            b"{\"access_token\":\"0123456789\",\"scope\":null}",
        ] {
            assert_eq!(sealer.open(PLACE, plain), Err(OpenError::NotSealed));
        }
    }

    #[test]
    fn l7_without_a_key_there_is_no_sealer() {
        assert!(Sealer::new(&[], "my-site").is_none());
    }

    #[test]
    fn b2_keys_are_shown_by_their_ids() {
        let key = SealingKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        // The beginning of the SHA-256 of the bytes 0 to 31.
        assert_eq!(format!("{key:?}"), "SealingKey(630dcd29)");
        assert_eq!(format!("{:?}", with_keys(&[key])), "[\"630dcd29\"]");
    }
}
