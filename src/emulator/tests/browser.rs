use std::time::Duration;

use axum::{body::Body, response::Response};
use http::{Request, StatusCode, header};

use super::kit::*;

/// A browser with one cookie.
pub(super) struct Browser<'a> {
    kit: &'a Kit,
    pub(super) cookie: String,
}

impl<'a> Browser<'a> {
    pub(super) fn new(kit: &'a Kit) -> Self {
        Self {
            kit,
            cookie: String::new(),
        }
    }

    pub(super) async fn get(&mut self, url: &str) -> Response {
        let path = url
            .replace(self.kit.emulator.issuer(), "")
            .replace("/oten/", "/");
        let request = Request::get(path).header(header::COOKIE, &self.cookie);
        self.kit.send(request.body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&mut self, path: &str, parameters: &[(&str, &str)]) -> Response {
        let request = Request::post(path)
            .header(header::COOKIE, &self.cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let response = self
            .kit
            .send(request.body(form(parameters).into()).unwrap())
            .await;
        if let Some(cookie) = response.headers().get(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(
                cookie.ends_with("; Path=/oten; HttpOnly; SameSite=Lax")
                    || cookie.contains("Max-Age=0")
            );
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        response
    }

    /// Asks for authorization with changed claims; the answer is where it leads.
    pub(super) async fn authorize(
        &mut self,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> String {
        let mut claims = self.kit.claims("shop");
        change(&mut claims);
        location(&self.get(&self.kit.signed_url("shop", &claims)).await)
    }

    pub(super) async fn login(&mut self, page: &str, user: &str) -> String {
        let parameters = [("interaction", interaction(page)), ("user", user)];
        location(&self.post("/v1/oauth/login", &parameters).await)
    }

    async fn decide(&mut self, page: &str, decision: &str) -> Response {
        let parameters = [("interaction", interaction(page)), ("decision", decision)];
        self.post("/v1/oauth/consent", &parameters).await
    }

    /// Signs Alice in and agrees.
    pub(super) async fn sign_in(&mut self) {
        let login = self.authorize(|_| ()).await;
        let consent = self.login(&login, "alice").await;
        let callback = location(&self.decide(&consent, "allow").await);
        assert!(
            callback.starts_with(REDIRECT) && callback.contains("code="),
            "{callback}"
        );
    }

    pub(super) async fn title(&mut self, page: &str) -> String {
        let html = text_body(self.get(page).await).await;
        let title = html.split_once("<title>").unwrap().1;
        title.split(" - ").next().unwrap().to_owned()
    }
}

pub(super) fn interaction(page: &str) -> &str {
    page.strip_prefix("/oten/v1/oauth/interaction?id=")
        .expect("a page of ours")
}

fn error(callback: &str) -> Option<String> {
    query_value(&callback.parse().unwrap(), "error")
}

#[tokio::test]
async fn a_person_signs_in_and_agrees() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    let page = browser.authorize(|_| ()).await;
    let response = browser.get(&page).await;
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let html = text_body(response).await;
    for shown in [
        "shop",
        "alice@example.com",
        "Bob Brown",
        "Carol Clark",
        "for development",
    ] {
        assert!(html.contains(shown), "{shown}");
    }
    assert!(html.contains(r#"action="/oten/v1/oauth/login""#));
    assert_eq!(
        browser.title(&page).await,
        "Sign in",
        "a page can be reloaded"
    );

    let page = browser.login(&page, "alice").await;
    let html = text_body(browser.get(&page).await).await;
    assert!(html.contains("Alice Adams") && html.contains("See your email address"));
    let callback = location(&browser.decide(&page, "allow").await);
    assert_eq!(
        query_value(&callback.parse().unwrap(), "state").as_deref(),
        Some("the-state")
    );
}

#[tokio::test]
async fn a_person_can_say_no() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    let page = browser.authorize(|_| ()).await;
    let page = browser.login(&page, "bob").await;
    let callback = location(&browser.decide(&page, "deny").await);
    assert_eq!(error(&callback).as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn the_second_time_nothing_is_asked() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    browser.sign_in().await;
    assert!(browser.authorize(|_| ()).await.contains("code="));
    let silent = browser
        .authorize(|claims| claims["prompt"] = "none".into())
        .await;
    assert!(silent.contains("code="));

    let less = browser
        .authorize(|claims| claims["scope"] = "openid".into())
        .await;
    assert_eq!(
        browser.title(&less).await,
        "Allow access",
        "another scope, another consent"
    );
    let other = format!("{less}&as=someone-else");
    assert_eq!(browser.title(&other).await, "Sign in");
    let consent = browser.login(&less, "bob").await;
    assert!(
        text_body(browser.get(&consent).await)
            .await
            .contains("Bob Brown")
    );
}

#[tokio::test]
async fn prompt_and_max_age_are_honoured() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    let nobody = browser
        .authorize(|claims| claims["prompt"] = "none".into())
        .await;
    assert_eq!(error(&nobody).as_deref(), Some("login_required"));
    browser.sign_in().await;

    for prompt in ["login", "select_account"] {
        let page = browser
            .authorize(|claims| claims["prompt"] = prompt.into())
            .await;
        assert_eq!(browser.title(&page).await, "Sign in");
    }
    let page = browser
        .authorize(|claims| claims["prompt"] = "consent".into())
        .await;
    assert_eq!(browser.title(&page).await, "Allow access");
    let silent = browser
        .authorize(|claims| {
            claims["prompt"] = "none".into();
            claims["scope"] = "openid".into();
        })
        .await;
    assert_eq!(error(&silent).as_deref(), Some("consent_required"));

    kit.clock.advance(Duration::from_secs(60));
    let fresh = browser
        .authorize(|claims| claims["max_age"] = 60.into())
        .await;
    assert!(fresh.contains("code="));
    let page = browser
        .authorize(|claims| claims["max_age"] = 59.into())
        .await;
    assert_eq!(browser.title(&page).await, "Sign in");
    assert!(browser.login(&page, "alice").await.contains("code="));
}

#[tokio::test]
async fn a_page_is_used_once_and_waits_ten_minutes() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    let page = browser.authorize(|_| ()).await;
    browser.login(&page, "alice").await;
    let again = [("interaction", interaction(&page)), ("user", "alice")];
    let response = browser.post("/v1/oauth/login", &again).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);

    let page = browser
        .authorize(|claims| claims["prompt"] = "login".into())
        .await;
    kit.clock.advance(Duration::from_secs(600));
    assert_eq!(browser.title(&page).await, "This sign-in is over");
}

#[tokio::test]
async fn nobody_agrees_before_signing_in() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    let page = browser.authorize(|_| ()).await;
    let callback = location(&browser.decide(&page, "allow").await);
    assert_eq!(error(&callback).as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn strangers_and_the_disabled_cannot_sign_in() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    browser.sign_in().await;
    kit.emulator.disable_user("alice");
    let page = browser.authorize(|_| ()).await;
    for user in ["alice", "mallory"] {
        let parameters = [("interaction", interaction(&page)), ("user", user)];
        let response = browser.post("/v1/oauth/login", &parameters).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    // The page still waits for somebody else.
    assert_eq!(browser.title(&page).await, "Sign in");
}

#[tokio::test]
async fn a_refusal_without_an_address_is_an_escaped_page() {
    let kit = kit();
    let response = kit.get("/v1/oauth/authorize?%3Cb%3E=1&%3Cb%3E=2").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let html = text_body(response).await;
    assert!(
        html.contains("invalid_request") && !html.contains("<b>"),
        "{html}"
    );
}

#[tokio::test]
async fn the_front_page_signs_out() {
    let kit = kit();
    let mut browser = Browser::new(&kit);
    browser.sign_in().await;
    assert!(
        text_body(browser.get("/").await)
            .await
            .contains("Alice Adams")
    );
    let old = browser.cookie.clone();
    assert_eq!(
        location(&browser.post("/v1/oauth/sign-out", &[]).await),
        "/oten"
    );
    browser.cookie = old;
    assert_eq!(browser.title("/").await, "Who is here");
    assert!(
        text_body(browser.get("/").await)
            .await
            .contains("Nobody is signed in")
    );
}

#[tokio::test]
async fn an_app_carries_it_under_a_path() {
    let kit = kit();
    let app: axum::Router = axum::Router::new().nest("/oten", kit.emulator.router());
    for path in ["/oten", "/oten/.well-known/openid-configuration"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(app.clone(), request)
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}
