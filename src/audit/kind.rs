use serde::{Serialize, Serializer};

use super::Level;

/// What happened.
///
/// ```
/// use axum_oten::audit::EventKind;
///
/// assert_eq!(EventKind::SignedIn.name(), "signed_in");
/// assert!(EventKind::SignedIn.fields().contains(&"subject"));
/// // Why somebody was refused is a field, not a kind of its own.
/// assert!(EventKind::Refused.fields().contains(&"reason"));
/// assert!(EventKind::all().iter().all(|kind| kind.name() != "forbidden"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A user signed in.
    SignedIn,
    /// A user signed out here.
    SignedOut,
    /// The provider signed a user out.
    BackChannelLogout,
    /// A request did not get what it wanted.
    Refused,
    /// A callback belonged to no sign-in of its browser.
    FreshStart,
    /// A user's tokens were renewed.
    Refreshed,
    /// A user's tokens were not renewed this time.
    RefreshFailed,
    /// Renewed tokens could not be stored.
    RefreshLost,
    /// The provider knows a sign-in no more.
    SignInEnded,
    /// A refresh token was not revoked.
    RevocationFailed,
    /// A record in the store could not be opened.
    UnsealedRecord,
}

/// What there is to know about a kind.
struct Row {
    name: &'static str,
    levels: &'static [Level],
    fields: &'static [&'static str],
    message: &'static str,
    description: &'static str,
}

impl EventKind {
    /// Every kind there is.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &[
            Self::SignedIn,
            Self::SignedOut,
            Self::BackChannelLogout,
            Self::Refused,
            Self::FreshStart,
            Self::Refreshed,
            Self::RefreshFailed,
            Self::RefreshLost,
            Self::SignInEnded,
            Self::RevocationFailed,
            Self::UnsealedRecord,
        ]
    }

    /// The name in the field `event`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The levels that events of this kind have, the least first.
    #[must_use]
    pub fn levels(self) -> &'static [Level] {
        self.row().levels
    }

    /// The names of the fields that events of this kind have, all of them or some.
    #[must_use]
    pub fn fields(self) -> &'static [&'static str] {
        self.row().fields
    }

    /// What happened, and what is in the fields.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.row().description
    }

    /// The message in the log.
    pub(super) fn message(self) -> &'static str {
        self.row().message
    }

    fn row(self) -> Row {
        match self {
            Self::SignedIn => Row {
                name: "signed_in",
                levels: &[Level::Info],
                fields: &["correlation_id", "subject"],
                message: "a user signed in",
                description: "A user signed in. `subject` is a hash of who it is, the same until the \
                          process ends, or the subject itself with `log_subjects`.",
            },
            Self::SignedOut => Row {
                name: "signed_out",
                levels: &[Level::Info],
                fields: &["correlation_id", "subject"],
                message: "a user signed out",
                description: "A user signed out, or the app ended the session.",
            },
            Self::BackChannelLogout => Row {
                name: "back_channel_logout",
                levels: &[Level::Info],
                fields: &["correlation_id", "subject", "sessions"],
                message: "the provider signed a user out",
                description: "The provider ended `sessions` sessions, which may be none. `subject` is \
                          absent where it named a session that is not there.",
            },
            Self::Refused => Row {
                name: "refused",
                levels: &[Level::Debug, Level::Warn, Level::Error],
                fields: &["correlation_id", "reason", "status", "cause"],
                message: "a request was refused",
                description: "A request did not get what it wanted, for the `reason` in the table \
                          below; `cause` tells the whole story. A request of a program that is not signed in is `debug`; what \
                          the site or the provider is at fault for is `error`. A request that did \
                          not come through the layer has no `correlation_id`, and is in the log \
                          only.",
            },
            Self::FreshStart => Row {
                name: "fresh_start",
                levels: &[Level::Warn],
                fields: &["correlation_id"],
                message: "a callback belongs to no sign-in of this browser; it is sent to sign in \
                          once more",
                description: "A callback belonged to no sign-in of its browser, which was sent to sign \
                          in once more: too late, gone back to, or forged.",
            },
            Self::Refreshed => Row {
                name: "refreshed",
                levels: &[Level::Info],
                fields: &["correlation_id", "subject"],
                message: "a user's tokens were renewed",
                description: "A user's tokens were renewed.",
            },
            Self::RefreshFailed => Row {
                name: "refresh_failed",
                levels: &[Level::Warn],
                fields: &["correlation_id", "subject", "cause"],
                message: "a user's tokens were not renewed",
                description: "A user's tokens were not renewed this time, and will be tried again. \
                          Nobody was signed out.",
            },
            Self::RefreshLost => Row {
                name: "refresh_lost",
                levels: &[Level::Error],
                fields: &["correlation_id", "subject", "cause"],
                message: "renewed tokens could not be stored; this user may have to sign in again",
                description: "The provider renewed a user's tokens and the store did not take them. \
                          The user may have to sign in again.",
            },
            Self::SignInEnded => Row {
                name: "sign_in_ended",
                levels: &[Level::Warn],
                fields: &["correlation_id", "subject", "cause"],
                message: "a user's tokens were not renewed",
                description: "The provider knows a sign-in no more, or vouched for somebody else: the \
                          session ended.",
            },
            Self::RevocationFailed => Row {
                name: "revocation_failed",
                levels: &[Level::Warn],
                fields: &["correlation_id", "cause"],
                message: "a refresh token was not revoked; it ends by itself",
                description: "After a sign-out the provider did not take a refresh token back; it ends \
                          by itself.",
            },
            Self::UnsealedRecord => Row {
                name: "unsealed_record",
                levels: &[Level::Warn],
                fields: &["kind", "cause"],
                message: "a record in the session store cannot be opened; it counts as absent",
                description: "A record of this `kind` in the store was sealed with a key that is not \
                          there any more, or somebody changed it. It counts as absent.",
            },
        }
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
