//! Sealed records: what was sealed opens, and nothing else does.

#![no_main]

use std::sync::LazyLock;

use axum_oten::fuzz::Seal;
use libfuzzer_sys::fuzz_target;

static SEAL: LazyLock<Seal> =
    LazyLock::new(|| Seal::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap());

// A position of two bytes, and the record.
fuzz_target!(|data: &[u8]| {
    let record = &[7; 32];
    assert_eq!(SEAL.open(record, data.to_vec()), None);
    let Some((position, plain)) = data.split_first_chunk() else {
        return;
    };
    let sealed = SEAL.seal(record, plain);
    assert_eq!(SEAL.open(record, sealed.clone()).as_deref(), Some(plain));
    let position = usize::from(u16::from_be_bytes(*position));
    let (at, bit) = (position / 8 % sealed.len(), position % 8);
    let mut flipped = sealed.clone();
    flipped[at] ^= 1 << bit;
    assert_eq!(SEAL.open(record, flipped), None, "byte {at}, bit {bit}");
    assert_eq!(SEAL.open(record, sealed[..at].to_vec()), None, "{at} bytes");
    assert_eq!(SEAL.open(record, [&sealed[..], &[0]].concat()), None);
    let mut other = *record;
    other[at % 32] ^= 1 << bit;
    assert_eq!(SEAL.open(&other, sealed), None);
});
