use std::borrow::Cow;

use super::table::Entries;
use crate::{
    secret::hex,
    store::{MAX_EXCESS, StoreError},
};

/// The members of a set in one buffer, in the order of their expiry.
///
/// Each member is a header of 8 bytes and its text: see [`Member`]. IDs of records, which are
/// hexadecimal, take half of their length.
#[derive(Default)]
pub(super) struct Members(Box<[u8]>);

/// A member as it is stored.
#[derive(Clone, Copy)]
struct Member<'a> {
    /// The expiry in 48 bits, whether the text is hexadecimal in one bit, and the number of bytes in 15
    /// bits.
    header: u64,
    bytes: &'a [u8],
}

const HEADER_BYTES: usize = 8;
const MAX_BYTES: u64 = 0x7fff;
const IS_HEX: u64 = MAX_BYTES + 1;
const MAX_EXPIRY: i64 = 0xffff_ffff_ffff;

impl Members {
    /// Adds a member or changes its expiry. Returns the members beyond `limit`, which stay.
    pub(super) fn add(
        &mut self,
        text: &str,
        expires_at: i64,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (is_hex, bytes) = pack(text);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length > MAX_BYTES {
            return Err(StoreError::backend("a member of a set is too long"));
        }
        let expires_at = expires_at.clamp(0, MAX_EXPIRY).cast_unsigned();
        let added = Member {
            header: expires_at << 16 | if is_hex { IS_HEX } else { 0 } | length,
            bytes: &bytes,
        };
        let mut members: Vec<_> = self
            .iter()
            .filter(|member| !member.is_same(added))
            .collect();
        let excess = (members.len() + 1).saturating_sub(limit).min(MAX_EXCESS);
        let excess = excess.min(members.len());
        let excess = members[..excess].iter().copied();
        let excess = excess.map(Member::text).collect();
        let at = members.partition_point(|member| member.expires_at() <= added.expires_at());
        members.insert(at, added);
        self.0 = join(&members);
        Ok(excess)
    }

    /// Removes a member, and those that have expired.
    pub(super) fn remove(&mut self, text: &str, now: i64) {
        let (is_hex, bytes) = pack(text);
        let removed = Member {
            header: if is_hex { IS_HEX } else { 0 },
            bytes: &bytes,
        };
        let live = self.iter().skip_while(|member| member.expires_at() <= now);
        let others: Vec<_> = live.filter(|member| !member.is_same(removed)).collect();
        self.0 = join(&others);
    }

    /// Returns the members that expire after `now`.
    pub(super) fn texts(&self, now: i64) -> Vec<String> {
        let live = self.iter().skip_while(|member| member.expires_at() <= now);
        live.map(Member::text).collect()
    }

    fn iter(&self) -> impl Iterator<Item = Member<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let member;
            (member, rest) = split(rest)?;
            Some(member)
        })
    }
}

impl Entries for Members {
    fn count(&self) -> usize {
        self.iter().count()
    }

    fn first_expiry(&self) -> Option<i64> {
        split(&self.0).map(|(first, _)| first.expires_at())
    }

    fn remove_first(&mut self) -> Option<i64> {
        let (_, others) = split(&self.0)?;
        self.0 = others.into();
        self.first_expiry()
    }
}

impl Member<'_> {
    fn expires_at(self) -> i64 {
        (self.header >> 16).cast_signed()
    }

    fn is_same(self, other: Member<'_>) -> bool {
        self.header & IS_HEX == other.header & IS_HEX && self.bytes == other.bytes
    }

    fn text(self) -> String {
        if self.header & IS_HEX != 0 {
            hex(self.bytes)
        } else {
            String::from_utf8_lossy(self.bytes).into_owned()
        }
    }
}

/// Splits the first member off.
fn split(members: &[u8]) -> Option<(Member<'_>, &[u8])> {
    let (header, rest) = members.split_first_chunk::<HEADER_BYTES>()?;
    let header = u64::from_be_bytes(*header);
    let length = usize::try_from(header & MAX_BYTES).ok()?;
    let (bytes, rest) = rest.split_at_checked(length)?;
    Some((Member { header, bytes }, rest))
}

fn join(members: &[Member<'_>]) -> Box<[u8]> {
    let sizes = members
        .iter()
        .map(|member| HEADER_BYTES + member.bytes.len());
    let mut joined = Vec::with_capacity(sizes.sum());
    for member in members {
        joined.extend(member.header.to_be_bytes());
        joined.extend(member.bytes);
    }
    joined.into()
}

/// Returns the bytes to store for a text, and whether its hexadecimal digits were decoded.
fn pack(text: &str) -> (bool, Cow<'_, [u8]>) {
    let digits = text.as_bytes();
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, odd) = digits.as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(value(*high)? << 4 | value(*low)?));
    match bytes.collect::<Option<Vec<_>>>() {
        Some(bytes) if odd.is_empty() => (true, bytes.into()),
        _ => (false, digits.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_stored_and_hexadecimal_digits_take_half_of_the_space() {
        let mut members = Members::default();
        let digits = "0123456789abcdef".repeat(4);
        let long = "x".repeat(MAX_BYTES.try_into().unwrap());
        let texts = [
            "",
            "a",
            "ab",
            "AB",
            "0a ",
            "ä",
            &digits,
            &digits[1..],
            &long,
        ];
        for text in texts {
            members.add(text, 1, usize::MAX).unwrap();
        }
        assert_eq!(members.texts(0), texts);
        assert!(members.add(&format!("{long}x"), 1, usize::MAX).is_err());
        for text in texts {
            members.remove(text, 0);
        }
        assert_eq!(members.count(), 0);
        members.add(&digits, i64::MAX, 1).unwrap();
        assert_eq!(members.0.len(), HEADER_BYTES + 32);
        assert_eq!(members.first_expiry(), Some(MAX_EXPIRY));
    }
}
