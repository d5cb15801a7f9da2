//! What every store does the same way: alone, among many, between two processes, and when its
//! server goes away.

mod conformance;
mod folder;
mod outage;
mod race;
mod schema;
mod servers;
mod site;
mod tested;
mod wire;

use tested::Tested;

/// Runs each operation's tests on each store.
macro_rules! on_every_store {
    ($($test:ident)*) => {
        on_every_store!(@ memory $($test)*);
        on_every_store!(@ wrapped $($test)*);
        on_every_store!(@ sqlite $($test)*);
        on_every_store!(@ postgres $($test)*);
        on_every_store!(@ redis $($test)*);
    };
    (@ $store:ident $($test:ident)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::conformance::$test(super::Tested::$store().await).await;
                }
            )*
        }
    };
}

on_every_store! {
    insert_puts_a_record_where_none_is
    load_gives_back_what_was_put
    a_record_ends_when_the_clock_says_so
    replace_takes_any_version_or_the_named_one
    every_write_is_another_version
    touch_moves_the_end_and_nothing_else
    take_hands_out_once
    remove_if_leaves_another_value_alone
    what_is_gone_does_not_come_back
    keys_of_kinds_are_apart
    values_are_any_bytes
    a_far_end_is_no_trouble
    one_of_fifty_inserts
    one_of_fifty_inserts_over_an_expired_record
    one_of_fifty_takes
    one_of_fifty_replaces_a_version
    a_take_and_a_replace_end_in_nothing
    a_set_keeps_each_member_until_its_end
    members_are_any_text
    sets_and_records_are_apart
    no_add_is_lost_among_many
}
