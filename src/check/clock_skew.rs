//! This machine's clock against the provider's.

use time::Duration;

use super::{Finding, checks::CLOCK, discovery::Heard};

/// What networks and `Date`'s whole seconds may make of two clocks that agree.
const AGREES: Duration = Duration::seconds(5);

/// Past this, tokens are refused: the leeway for theirs.
const TOLERABLE: Duration = Duration::seconds(60);

const HELP: &str = "Set this machine's clock, best by NTP: `timedatectl set-ntp true`. Request \
                    objects and tokens are good for a short time by two clocks.";

pub(super) fn check(heard: Option<Heard>) -> Finding {
    let Some(heard) = heard else {
        return CLOCK.skipped("the provider did not answer");
    };
    let Some(skew) = skew(heard) else {
        return CLOCK.skipped("the provider's answer does not tell its time");
    };
    let direction = if skew.is_positive() {
        "ahead of"
    } else {
        "behind"
    };
    let message = format!(
        "this machine's clock is {} {direction} the provider's",
        amount(skew.abs())
    );
    match skew.abs() {
        skew if skew <= AGREES => CLOCK.passed("this machine's clock agrees with the provider's"),
        skew if skew <= TOLERABLE => CLOCK.warning(message, HELP),
        _ => CLOCK.failed(message, HELP),
    }
}

/// By how much our clock is ahead at least, whenever in between the provider looked at its own:
/// `Date` is cut to the second, and the answer took its time.
fn skew(heard: Heard) -> Option<Duration> {
    let date = heard.date?;
    // A provider may claim to live at the end of time, which must not overflow.
    let took = Duration::try_from(heard.took).unwrap_or(Duration::MAX);
    let earliest = heard.at.saturating_sub(took) - date.saturating_add(Duration::SECOND);
    let latest = heard.at - date;
    Some(if earliest.is_positive() {
        earliest
    } else if latest.is_negative() {
        latest
    } else {
        Duration::ZERO
    })
}

fn amount(skew: Duration) -> String {
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

    fn heard(ahead: Duration, took: std::time::Duration) -> Finding {
        let date = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        check(Some(Heard {
            at: date + ahead,
            took,
            date: Some(date),
        }))
    }

    #[test]
    fn each_skew_has_its_verdict_direction_and_amount() {
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
            let finding = heard(Duration::seconds(ahead), std::time::Duration::ZERO);
            assert_eq!(finding.status, status, "{ahead}");
            assert!(finding.message.contains(words), "{}", finding.message);
            assert_eq!(finding.help.is_some(), status != Status::Passed);
        }
    }

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        let slow = std::time::Duration::from_secs(9);
        assert_eq!(heard(Duration::seconds(9), slow).status, Status::Passed);
        assert_eq!(heard(Duration::seconds(600), slow).status, Status::Failed);
        assert_eq!(heard(Duration::seconds(-600), slow).status, Status::Failed);
    }

    #[test]
    fn a_date_at_the_end_of_time_is_a_wrong_clock() {
        let end = httpdate::parse_http_date("Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        for (at, took) in [
            (now, std::time::Duration::ZERO),
            (now, std::time::Duration::MAX),
            (
                time::PrimitiveDateTime::MIN.assume_utc(),
                std::time::Duration::from_secs(1),
            ),
        ] {
            let finding = check(Some(Heard {
                at,
                took,
                date: Some(end.into()),
            }));
            assert_eq!(finding.status, Status::Failed);
            assert!(finding.message.contains("days behind"), "{finding:?}");
        }
    }

    #[test]
    fn without_a_date_nothing_is_claimed() {
        assert_eq!(check(None).status, Status::Skipped);
        let heard = Heard {
            at: OffsetDateTime::UNIX_EPOCH,
            took: std::time::Duration::ZERO,
            date: None,
        };
        assert_eq!(check(Some(heard)).status, Status::Skipped);
    }
}
