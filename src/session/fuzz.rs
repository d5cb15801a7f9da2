//! Entry functions of fuzz targets.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    ReturnTo,
    attempt::Record as Attempt,
    device::device_name,
    native::{Code, NativeSignIn},
    record::SessionRecord,
    tokens::Tokens,
};

/// Returns an accepted return path.
#[must_use]
pub fn return_to(path: &str) -> Option<String> {
    ReturnTo::parse(path).map(|path| path.as_str().to_owned())
}

/// Returns whether an accepted return path could lead to a route.
#[must_use]
pub fn leads_to(path: &str, route: &str) -> bool {
    ReturnTo::parse(path).is_some_and(|path| path.leads_to(route))
}

/// The number of kinds of records that [`record`] reads.
pub const RECORD_KINDS: u8 = 5;

/// Reads a record of this kind, uses its parts and writes it again.
#[must_use]
pub fn record(kind: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    match kind {
        0 => session(&Bytes::copy_from_slice(bytes)),
        1 => again::<Tokens>(bytes),
        2 => again::<Attempt>(bytes),
        3 => again::<NativeSignIn>(bytes),
        _ => again::<Code>(bytes),
    }
}

fn session(bytes: &Bytes) -> Option<Vec<u8>> {
    match SessionRecord::parse(bytes)? {
        SessionRecord::Left(left) => written(&left),
        SessionRecord::Session(data) => {
            if let Some(user) = &data.user {
                let _ = (
                    user.name(),
                    user.email(),
                    user.signed_in_at(),
                    format!("{user:?}"),
                );
                let _ = (user.authenticated_at(), user.session_ends_at());
            }
            let _ = device_name(&data.device.user_agent);
            written(&data)
        }
    }
}

fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<Vec<u8>> {
    written(&postcard::from_bytes::<T>(bytes).ok()?)
}

fn written(record: &impl Serialize) -> Option<Vec<u8>> {
    Some(postcard::to_stdvec(record).expect("a record that was read can be written"))
}
