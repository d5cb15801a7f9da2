//! The records of sessions, tokens, login attempts and native sign-ins: reading and writing are inverse.

#![no_main]

use axum_oten::fuzz::{RECORD_KINDS, record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let kind = kind % RECORD_KINDS;
    let Some(written) = record(kind, bytes) else {
        return;
    };
    assert_eq!(record(kind, &written).as_ref(), Some(&written));
    // What is written is the shortest form. Other kinds have JSON, which has several forms.
    if kind == 0 && written.len() == bytes.len() {
        assert_eq!(written, bytes);
    }
    let length = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % written.len();
    assert_eq!(
        record(kind, &written[..length]),
        None,
        "{length} of {}",
        written.len()
    );
});
