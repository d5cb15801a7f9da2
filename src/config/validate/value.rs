//! Rules for values that several settings share.

use std::{collections::HashSet, ops::RangeInclusive, time::Duration};

use crate::config::problem::{Invalid, invalid};

/// The units of a duration and their seconds, longest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Accepts one of several names.
pub(super) fn choice<T, const N: usize>(text: &str, choices: [(&str, T); N]) -> Result<T, Invalid> {
    let names = choices.each_ref().map(|(name, _)| *name);
    match choices.into_iter().find(|(name, _)| *name == text) {
        Some((_, choice)) => Ok(choice),
        None => invalid(
            "is not one of the possible values",
            format!("Write {}.", one_of(&names)),
        ),
    }
}

/// "`a`, `b` or `c`".
pub(in crate::config) fn one_of(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// Accepts a whole number in this range.
pub(super) fn flag(text: &str) -> Result<bool, Invalid> {
    choice(text, [("true", true), ("false", false)])
}

pub(super) fn count(range: RangeInclusive<u32>) -> impl FnOnce(&str) -> Result<u32, Invalid> {
    move |text| {
        // `u32::from_str` would also accept a plus sign.
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(count) if is_digits && range.contains(&count) => Ok(count),
            _ => invalid(
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

/// Accepts a duration in this range.
pub(super) fn duration(
    range: RangeInclusive<Duration>,
) -> impl FnOnce(&str) -> Result<Duration, Invalid> {
    move |text| match parse_duration(text) {
        Some(duration) if range.contains(&duration) => Ok(duration),
        Some(_) => {
            let [shortest, longest] = [*range.start(), *range.end()].map(format_duration);
            invalid(
                "is too short or too long",
                format!("Choose from {shortest} to {longest}."),
            )
        }
        None => invalid(
            "is not a duration in whole seconds",
            "Write seconds, or a number with a unit: `90s`, `30m`, `12h`, `7d`.",
        ),
    }
}

/// Formats a duration in the longest unit that fits it exactly.
pub(in crate::config) fn format_duration(duration: Duration) -> String {
    if duration.subsec_nanos() != 0 {
        return format!("{duration:?}");
    }
    let seconds = duration.as_secs();
    let (unit, size) = UNITS
        .into_iter()
        .find(|(_, size)| seconds > 0 && seconds.is_multiple_of(*size))
        .unwrap_or(('s', 1));
    format!("{}{unit}", seconds / size)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (digits, size) = UNITS
        .into_iter()
        .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))
        .unwrap_or((text, 1));
    // `u64::from_str` would also accept a plus sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = digits.parse::<u64>().ok()?.checked_mul(size)?;
    Some(Duration::from_secs(seconds))
}

/// Splits a text into words, none of which may occur twice.
pub(in crate::config) fn distinct_words(text: &str) -> Result<Vec<&str>, Invalid> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let mut seen = HashSet::new();
    if !words.iter().all(|word| seen.insert(*word)) {
        return invalid("contains a word twice", "Remove the repetition.");
    }
    Ok(words)
}

/// Accepts `VSCHAR` of RFC 6749 appendix A except the space.
pub(super) fn visible_ascii(text: &str) -> Result<String, Invalid> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return invalid(
            "contains a space or a character that is not ASCII",
            "Copy it again from Oten's developer portal.",
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_and_formatted() {
        for (text, seconds, again) in [
            ("0", 0, "0s"),
            ("90", 90, "90s"),
            ("90s", 90, "90s"),
            ("30m", 1_800, "30m"),
            ("60m", 3_600, "1h"),
            ("12h", 43_200, "12h"),
            ("7d", 604_800, "7d"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration.as_secs(), seconds, "{text}");
            assert_eq!(format_duration(duration), again);
            assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
    }

    #[test]
    fn other_texts_are_not_durations() {
        for text in [
            "",
            "h",
            "-1",
            "+1",
            "1.5h",
            "1h30m",
            "1 h",
            "1H",
            "1w",
            "99999999999999999999",
            "18446744073709551615d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        let fraction = format_duration(Duration::from_millis(1_500));
        assert_eq!(parse_duration(&fraction), None);
    }
}
