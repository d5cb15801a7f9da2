use std::time::Duration;

use super::refusal::{Refusal, refuse};

/// The units of a duration and their seconds, longest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The rule for a duration between two others, both allowed.
pub(super) fn within(
    shortest: Duration,
    longest: Duration,
) -> impl FnOnce(&str) -> Result<Duration, Refusal> {
    move |text| match parse(text) {
        Some(duration) if (shortest..=longest).contains(&duration) => Ok(duration),
        Some(_) => refuse(
            "is too short or too long",
            format!("Choose from {} to {}.", human(shortest), human(longest)),
        ),
        None => refuse(
            "is not a duration in whole seconds",
            "Write seconds, or a number with its unit: `90s`, `30m`, `12h`, `7d`.",
        ),
    }
}

/// A duration as an operator writes it, in the longest unit that fits it exactly.
pub(in crate::config) fn human(duration: Duration) -> String {
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

fn parse(text: &str) -> Option<Duration> {
    let (digits, size) = UNITS
        .into_iter()
        .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))
        .unwrap_or((text, 1));
    // `u64::from_str` would also take a plus sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = digits.parse::<u64>().ok()?.checked_mul(size)?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_back() {
        for (text, seconds, again) in [
            ("0", 0, "0s"),
            ("90", 90, "90s"),
            ("90s", 90, "90s"),
            ("30m", 1_800, "30m"),
            ("60m", 3_600, "1h"),
            ("12h", 43_200, "12h"),
            ("7d", 604_800, "7d"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration.as_secs(), seconds, "{text}");
            assert_eq!(human(duration), again);
            assert_eq!(parse(&human(duration)), Some(duration));
        }
    }

    #[test]
    fn anything_else_is_no_duration() {
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
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&human(Duration::from_millis(1_500))), None);
    }
}
