use std::time::Duration;

use time::OffsetDateTime;

/// Activity is noted when this part of the idle time has passed, not at each request.
const TOUCHES_PER_IDLE_TIME: u32 = 20;

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// Without a request.
    pub(crate) idle: Duration,
    /// In any case.
    pub(crate) absolute: Duration,
}

impl Lifetimes {
    /// When a session ends whatever happens.
    pub(crate) fn ends_at(self, created_at: OffsetDateTime) -> OffsetDateTime {
        created_at + self.absolute
    }

    /// When a session ends that is used now and never again.
    pub(crate) fn expires_at(
        self,
        created_at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> OffsetDateTime {
        (now + self.idle).min(self.ends_at(created_at))
    }

    /// The new end of a session that is used now, if it is worth writing down.
    pub(crate) fn due_touch(
        self,
        created_at: OffsetDateTime,
        expires_at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        let renewed = self.expires_at(created_at, now);
        (renewed - expires_at >= self.idle / TOUCHES_PER_IDLE_TIME).then_some(renewed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn l6_activity_is_noted_every_twentieth_of_the_idle_time() {
        let lifetimes = Lifetimes {
            idle: 20 * HOUR,
            absolute: 100 * HOUR,
        };
        let created = OffsetDateTime::UNIX_EPOCH;
        let expires = lifetimes.expires_at(created, created);
        assert_eq!(expires, created + 20 * HOUR);
        let almost = created + HOUR - Duration::from_secs(1);
        assert_eq!(lifetimes.due_touch(created, expires, almost), None);
        assert_eq!(
            lifetimes.due_touch(created, expires, created + HOUR),
            Some(created + 21 * HOUR)
        );
    }

    #[test]
    fn l6_no_activity_outlives_the_absolute_lifetime() {
        let lifetimes = Lifetimes {
            idle: 20 * HOUR,
            absolute: 30 * HOUR,
        };
        let created = OffsetDateTime::UNIX_EPOCH;
        let late = created + 29 * HOUR;
        assert_eq!(lifetimes.expires_at(created, late), created + 30 * HOUR);
        let expires = lifetimes.ends_at(created);
        assert_eq!(lifetimes.due_touch(created, expires, late), None);
    }
}
