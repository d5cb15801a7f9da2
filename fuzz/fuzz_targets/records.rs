//! The records of sessions, tokens, login attempts and native sign-ins: reading and writing are inverse.

#![no_main]

use axum_oten::fuzz::{RECORD_KINDS, record};
use libfuzzer_sys::fuzz_target;

/// One record of each kind and state.
const VALID: [&[u8]; 8] = [
    include_bytes!("../seeds/records/attempt"),
    include_bytes!("../seeds/records/code"),
    include_bytes!("../seeds/records/guest"),
    include_bytes!("../seeds/records/moved"),
    include_bytes!("../seeds/records/native"),
    include_bytes!("../seeds/records/session"),
    include_bytes!("../seeds/records/tokens"),
    include_bytes!("../seeds/records/used"),
];

fuzz_target!(init: assert_accepted(), |data: &[u8]| {
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

fn assert_accepted() {
    for valid in VALID {
        assert_eq!(record(valid[0], &valid[1..]).as_deref(), Some(&valid[1..]));
    }
}
