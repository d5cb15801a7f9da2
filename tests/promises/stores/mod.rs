//! The behaviour that all stores share: alone, under concurrency, with two processes and during
//! outages.

mod access;
mod clock_skew;
mod conformance;
#[path = "../../../examples/custom_store.rs"]
#[allow(dead_code, reason = "the tests do not run the example's app")]
mod custom_store;
mod failover;
mod malformed;
mod outage;
mod race;
mod redis_servers;
mod schema;
pub(crate) mod servers;
mod site;
mod store_pair;
mod tcp_proxy;
pub(crate) mod temp_dir;
pub(crate) mod tls;

use store_pair::StorePair;

/// Defines each conformance test for each store.
macro_rules! on_every_store {
    ($($test:ident)*) => {
        on_every_store!(@ memory $($test)*);
        on_every_store!(@ custom $($test)*);
        on_every_store!(@ sqlite $($test)*);
        on_every_store!(@ postgres $($test)*);
        on_every_store!(@ redis $($test)*);
        on_every_store!(@ redis_cluster $($test)*);
        on_every_store!(@ redis_sentinels $($test)*);
        on_every_store!(@ #[ignore = "requires tests/foreign/install"] valkey $($test)*);
        on_every_store!(@ #[ignore = "requires tests/foreign/install"] valkey_cluster $($test)*);
    };
    (@ $(#[$ignore:meta])? $store:ident $($test:ident)*) => {
        mod $store {
            on_every_store!(@@ [$(#[$ignore])?] $store $($test)*);
        }
    };
    (@@ $ignore:tt $store:ident $($test:ident)*) => {
        $(on_every_store!(@@@ $ignore $store $test);)*
    };
    (@@@ [$(#[$ignore:meta])?] $store:ident $test:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[$ignore])?
        async fn $test() {
            super::conformance::$test(super::StorePair::$store().await).await;
        }
    };
}

on_every_store! {
    insert_creates_a_record_only_if_none_exists
    load_returns_the_inserted_record
    a_record_expires_by_the_clock
    replace_accepts_any_version_or_the_given_one
    every_write_creates_a_new_version
    touch_changes_only_the_expiry
    take_returns_a_record_once
    remove_if_keeps_another_value
    a_removed_record_does_not_return
    records_of_different_kinds_are_separate
    values_can_contain_any_bytes
    any_lifetime_is_supported
    one_of_fifty_inserts_succeeds
    one_of_fifty_inserts_replaces_an_expired_record
    one_of_fifty_takes_succeeds
    one_of_fifty_replaces_succeeds
    take_wins_against_replace_and_touch
    each_member_of_a_set_has_its_own_expiry
    members_can_contain_any_text
    sets_and_records_are_separate
    concurrent_changes_to_a_set_are_not_lost
    l9_a_full_set_returns_the_members_that_expire_first
    l9_an_addition_returns_a_bounded_number_of_members
    l11_a_store_whose_clock_is_off_keeps_lifetimes
    l11_records_expire_by_the_system_clock_of_the_store
}
