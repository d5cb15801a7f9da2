use std::ops::RangeInclusive;

use super::refusal::{Refusal, refuse};

/// The rule for a number of things.
pub(super) fn among(range: RangeInclusive<u32>) -> impl FnOnce(&str) -> Result<u32, Refusal> {
    move |text| {
        // `u32::from_str` would also take a plus sign.
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(count) if is_digits && range.contains(&count) => Ok(count),
            _ => refuse(
                format!(
                    "is not a whole number from {} to {}",
                    range.start(),
                    range.end()
                ),
                "Write it in digits.",
            ),
        }
    }
}
