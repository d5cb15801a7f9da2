//! The documented sizes of records.

use axum_oten::{Clock, MemoryStore};

use crate::common::{ExternalStore, TestSite};

#[tokio::test]
async fn records_are_as_small_as_documented() {
    let clock = Clock::manual();
    let memory = MemoryStore::default().with_clock(clock.clone());
    let store = ExternalStore::new(memory.clone());
    let site = TestSite::builder()
        .config(|config| config.session_key("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
        .start_with(store.clone(), memory, clock)
        .await;
    site.signed_in("alice").await;
    for (kind, limit) in [("session", 512), ("tokens", 1536), ("login_attempt", 384)] {
        for (_, value) in store.written(kind) {
            assert!(value.len() <= limit, "{kind}: {} bytes", value.len());
        }
    }
}
