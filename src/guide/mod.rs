//! The guide: from the first sign-in to production, and what to do when something is wrong.
//!
//! The [crate's front page](crate) has the quick start. From there:
//!
//! 1. [How it works](how_it_works): what happens between a click and a signed-in user.
//! 2. [Configuration](configuration): every setting, where it comes from, what it defaults to.
//! 3. [Sessions](sessions): what is stored where, stores, time-outs, renewal, several machines.
//! 4. [Signing out](signing_out): here, at Oten, and when Oten says so.
//! 5. [Errors](errors): what users see, what the log says, what to do.
//! 6. [Operations](operations): the program's commands, the container, health, events, metrics.
//! 7. [Going to production](production): a checklist.
//! 8. [Testing](testing): your app against a strict local Oten, and the faults it can play.
//! 9. [Security](security): threats, defences, and the test for each.
//! 10. [Coming from elsewhere](coming_from): which setting of another library is which here.
//!
//! These pages are documentation only: there is no code in this module.

#[doc = include_str!("how_it_works.md")]
pub mod how_it_works {}

#[doc = include_str!("configuration.md")]
#[doc = crate::config::settings_table!()]
pub mod configuration {}

#[doc = include_str!("sessions.md")]
pub mod sessions {}

#[doc = include_str!("signing_out.md")]
pub mod signing_out {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("production.md")]
pub mod production {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("coming_from.md")]
pub mod coming_from {}
