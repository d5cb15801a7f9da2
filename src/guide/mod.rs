//! A guide to the crate, from the first sign-in to production.
//!
//! The [crate documentation](crate) has the quick start. Each kind of app has a page, most of them with a
//! picture of the requests, and a program to copy in the folder `examples`:
//!
//! | your app | page | program |
//! |---|---|---|
//! | a site with pages | [How it works](how_it_works) | `minimal.rs` |
//! | a site without a client secret | [Public clients](how_it_works#public-clients) | `minimal.rs` |
//! | a single-page app | [Single-page apps](single_page_apps) | `spa.rs` |
//! | a native app with a backend | [Native apps](native_apps) | `native_custom_scheme.rs`, `native_loopback.rs` |
//! | an API for other programs | [APIs](apis) | `bearer_api.rs` |
//! | pages for some users | [Access](access) | `admin_panel.rs` |
//! | a service without users, or calls to an API | [Services](services) | `service.rs`, `api.rs` |
//!
//! All pages:
//!
//! 1. [How it works](how_it_works): the steps of a sign-in.
//! 2. [Configuration](configuration): every setting, its sources and its default.
//! 3. [Composition](composition): the order of layers, fallbacks, nested routers, static files and CORS.
//! 4. [Sessions](sessions): records, stores, expiry and token refresh.
//! 5. [Signing out](signing_out): from the app and from Oten, and back-channel logout.
//! 6. [APIs](apis): routes that are called with access tokens.
//! 7. [Services](services): calls to APIs, in the app's own name or on behalf of the user.
//! 8. [Single-page apps](single_page_apps): session state and API calls for scripts.
//! 9. [Native apps](native_apps): sign-in for apps on phones and desktops, which hold a session of their own.
//! 10. [Access](access): rules for users, fresh sign-ins, and forms.
//! 11. [Errors](errors): error pages, log entries, and how to fix the cause.
//! 12. [Operations](operations): commands, container, health, proxies, events and metrics.
//! 13. [Sizing](sizing): memory, requests and token budget, from a thousand to a hundred million sessions.
//! 14. [Going to production](production): a checklist.
//! 15. [Testing](testing): tests with an emulated Oten.
//! 16. [Security](security): threats, defenses, and the tests for each.
//! 17. [Requirements](requirements): what security standards ask, point by point.
//! 18. [Evidence](evidence): what has been tested, and how to repeat it.
//! 19. [Other providers](other_providers): Keycloak, Entra, Google, Zitadel, and others.
//! 20. [Migration](coming_from): equivalents of other libraries' settings.
//! 21. [Glossary](glossary): the terms used here.
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

#[doc = include_str!("services.md")]
pub mod services {}

#[doc = include_str!("single_page_apps.md")]
pub mod single_page_apps {}

#[doc = include_str!("other_providers.md")]
pub mod other_providers {}

#[doc = include_str!("native_apps.md")]
pub mod native_apps {}

#[doc = include_str!("access.md")]
pub mod access {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("operations.md")]
#[doc = crate::check::check_table!()]
pub mod operations {}

#[doc = include_str!("sizing.md")]
#[doc = include_str!("sizing.svg")]
pub mod sizing {}

#[doc = include_str!("production.md")]
pub mod production {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("requirements.md")]
pub mod requirements {}

#[doc = include_str!("evidence.md")]
pub mod evidence {}

#[doc = include_str!("coming_from.md")]
pub mod coming_from {}

#[doc = include_str!("glossary.md")]
pub mod glossary {}
