//! A guide to the crate, from the first sign-in to production.
//!
//! The [crate documentation](crate) has the quick start. These pages go into detail:
//!
//! 1. [How it works](how_it_works): the steps of a sign-in.
//! 2. [Configuration](configuration): every setting, its sources and its default.
//! 3. [Composition](composition): the order of layers, fallbacks, nested routers, static files and CORS.
//! 4. [Sessions](sessions): records, stores, expiry and token refresh.
//! 5. [Signing out](signing_out): from the app and from Oten, and back-channel logout.
//! 6. [APIs](apis): routes that are called with access tokens, and calls to other APIs.
//! 7. [Single-page apps](single_page_apps): session state and API calls for scripts.
//! 8. [Errors](errors): error pages, log entries, and how to fix the cause.
//! 9. [Operations](operations): commands, container, health, proxies, events and metrics.
//! 10. [Going to production](production): a checklist.
//! 11. [Testing](testing): tests with an emulated Oten.
//! 12. [Security](security): threats, defenses, and the tests for each.
//! 13. [Migration](coming_from): equivalents of other libraries' settings.
//! 14. [Glossary](glossary): the terms used here.
//!
//! The modules contain documentation only.

#[doc = include_str!("how_it_works.md")]
pub mod how_it_works {}

#[doc = include_str!("configuration.md")]
#[doc = crate::config::settings_table!()]
pub mod configuration {}

#[doc = include_str!("composition.md")]
pub mod composition {}

#[doc = include_str!("sessions.md")]
pub mod sessions {}

#[doc = include_str!("signing_out.md")]
pub mod signing_out {}

#[doc = include_str!("apis.md")]
pub mod apis {}

#[doc = include_str!("single_page_apps.md")]
pub mod single_page_apps {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("operations.md")]
#[doc = crate::check::check_table!()]
pub mod operations {}

#[doc = include_str!("production.md")]
pub mod production {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("coming_from.md")]
pub mod coming_from {}

#[doc = include_str!("glossary.md")]
pub mod glossary {}
