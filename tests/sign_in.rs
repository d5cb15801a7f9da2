//! Promises S1 to S9: signing in.

use axum::http::StatusCode;

use crate::common::{ClientKind, TestSite};

#[tokio::test]
async fn s1_every_kind_of_client_signs_in_and_comes_back() {
    for kind in ClientKind::ALL {
        let site = TestSite::builder().client(kind).start().await;
        let mut browser = site.browser();
        let refused = browser.get("/profile?tab=x").await;
        assert_eq!(refused.location(), "/login?return_to=%2Fprofile%3Ftab%3Dx");
        browser.sign_in("alice", "/profile?tab=x").await;
        let profile = browser.get("/profile?tab=x").await;
        assert_eq!(profile.status, StatusCode::OK, "{kind:?}");
        assert_eq!(profile.json()["sub"], "alice");
        assert_eq!(browser.who().await, "user alice");
    }
}
