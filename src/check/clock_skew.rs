//! Check of this machine's clock against the provider's.

use time::Duration;

use super::{
    discovery::ResponseTiming,
    finding::{CLOCK, Finding},
};

/// A smaller skew passes: it can come from the network and from rounding in `Date`.
const MAX_PASSED: Duration = Duration::seconds(5);

/// A larger skew fails, because tokens are rejected: their times are checked with this leeway.
const MAX_WARNING: Duration = Duration::seconds(60);

const HELP: &str = "Synchronize this machine's clock, preferably with NTP: `timedatectl set-ntp \
                    true`. Otherwise request objects and tokens are rejected as expired.";

pub(super) fn check(timing: Option<ResponseTiming>) -> Finding {
    let Some(timing) = timing else {
        return CLOCK.skipped("the provider did not respond");
    };
    let Some(skew) = skew(timing) else {
        return CLOCK.skipped("the provider's response has no `Date`");
    };
    let direction = if skew.is_positive() {
        "ahead of"
    } else {
        "behind"
    };
    let message = format!(
        "this machine's clock is {} {direction} the provider's",
        format_skew(skew.abs())
    );
    match skew.abs() {
        skew if skew <= MAX_PASSED => {
            CLOCK.passed("this machine's clock agrees with the provider's")
        }
        skew if skew <= MAX_WARNING => CLOCK.warning(message, HELP),
        _ => CLOCK.failed(message, HELP),
    }
}

/// Returns the smallest skew that explains the response; positive if this machine's clock is ahead.
///
/// The provider read its clock at an unknown time during the request, and `Date` is rounded down to
/// the second.
fn skew(timing: ResponseTiming) -> Option<Duration> {
    let date = timing.date?;
    // A date near the end of the calendar must not overflow.
    let duration = Duration::try_from(timing.duration).unwrap_or(Duration::MAX);
    let sent_at = timing.received_at.saturating_sub(duration);
    let earliest = sent_at - date.saturating_add(Duration::SECOND);
    let latest = timing.received_at - date;
    Some(if earliest.is_positive() {
        earliest
    } else if latest.is_negative() {
        latest
    } else {
        Duration::ZERO
    })
}

fn format_skew(skew: Duration) -> String {
    match skew.whole_seconds() {
        seconds if seconds < 120 => format!("{seconds} seconds"),
        seconds if seconds < 7_200 => format!("{} minutes", (seconds + 30) / 60),
        seconds if seconds < 172_800 => format!("{} hours", (seconds + 1_800) / 3_600),
        seconds => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::check::Status;

    fn check_ahead(ahead: Duration, duration: std::time::Duration) -> Finding {
        let date = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        check(Some(ResponseTiming {
            received_at: date + ahead,
            duration,
            date: Some(date),
        }))
    }

    #[test]
    fn findings_have_status_direction_and_amount_of_the_skew() {
        for (ahead, status, words) in [
            (0, Status::Passed, "agrees"),
            (6, Status::Passed, "agrees"),
            (-5, Status::Passed, "agrees"),
            (-6, Status::Warning, "6 seconds behind"),
            (31, Status::Warning, "30 seconds ahead of"),
            (61, Status::Warning, "60 seconds ahead of"),
            (62, Status::Failed, "61 seconds ahead of"),
            (-61, Status::Failed, "61 seconds behind"),
            (601, Status::Failed, "10 minutes ahead of"),
            (-600, Status::Failed, "10 minutes behind"),
            (36_000, Status::Failed, "10 hours ahead of"),
            (-864_000, Status::Failed, "10 days behind"),
        ] {
            let finding = check_ahead(Duration::seconds(ahead), std::time::Duration::ZERO);
            assert_eq!(finding.status, status, "{ahead}");
            assert!(finding.message.contains(words), "{}", finding.message);
            assert_eq!(finding.help.is_some(), status != Status::Passed);
        }
    }

    #[test]
    fn a_slow_response_is_not_a_wrong_clock() {
        let slow = std::time::Duration::from_secs(9);
        assert_eq!(
            check_ahead(Duration::seconds(9), slow).status,
            Status::Passed
        );
        assert_eq!(
            check_ahead(Duration::seconds(600), slow).status,
            Status::Failed
        );
        assert_eq!(
            check_ahead(Duration::seconds(-600), slow).status,
            Status::Failed
        );
    }

    #[test]
    fn a_date_at_the_end_of_the_calendar_is_a_wrong_clock() {
        let end = httpdate::parse_http_date("Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        for (received_at, duration) in [
            (now, std::time::Duration::ZERO),
            (now, std::time::Duration::MAX),
            (
                time::PrimitiveDateTime::MIN.assume_utc(),
                std::time::Duration::from_secs(1),
            ),
        ] {
            let finding = check(Some(ResponseTiming {
                received_at,
                duration,
                date: Some(end.into()),
            }));
            assert_eq!(finding.status, Status::Failed);
            assert!(finding.message.contains("days behind"), "{finding:?}");
        }
    }

    #[test]
    fn without_a_date_the_check_is_skipped() {
        assert_eq!(check(None).status, Status::Skipped);
        let timing = ResponseTiming {
            received_at: OffsetDateTime::UNIX_EPOCH,
            duration: std::time::Duration::ZERO,
            date: None,
        };
        assert_eq!(check(Some(timing)).status, Status::Skipped);
    }
}
