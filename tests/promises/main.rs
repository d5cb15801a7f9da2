//! Tests of the promises in `tests/PROMISES.md`, one module per chapter, in one binary so that they
//! link once.

// Here an `unwrap` is an assertion.
#![allow(clippy::unwrap_used)]
#![allow(unreachable_pub, missing_docs)]

mod access_rules;
mod app_session;
mod bad_input;
mod bearer;
mod browser;
mod check;
mod common;
mod composition;
mod config_files;
mod cookies;
mod events;
mod examples;
mod fresh_login;
mod guide;
mod http2;
mod id_token;
mod kept_forms;
mod keys;
mod layering;
mod long_lived;
mod malformed_records;
mod native;
mod observability;
mod other_providers;
mod pages;

mod program;
mod promises_kept;
mod provider;
mod refresh;
mod requests;
mod responses;
mod sealing;
mod secrets;
mod services;
mod session_list;
mod sign_in;
mod sign_out;
mod sizes;
mod spa;
mod stores;
mod tls;
mod unusual_answers;
