use std::time::Duration;

use axum::{body::Body, response::Response};
use http::{Request, StatusCode, header};

use super::support::*;

/// A browser that keeps one cookie.
pub(super) struct Browser<'a> {
    provider: &'a TestProvider,
    pub(super) cookie: String,
}

impl<'a> Browser<'a> {
    pub(super) fn new(provider: &'a TestProvider) -> Self {
        Self {
            provider,
            cookie: String::new(),
        }
    }

    pub(super) async fn get(&mut self, url: &str) -> Response {
        let path = url
            .replace(self.provider.emulator.issuer(), "")
            .replace("/oten/", "/");
        let request = Request::get(path).header(header::COOKIE, &self.cookie);
        self.provider
            .send(request.body(Body::empty()).unwrap())
            .await
    }

    pub(super) async fn post(&mut self, path: &str, parameters: &[(&str, &str)]) -> Response {
        let request = Request::post(path)
            .header(header::COOKIE, &self.cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let response = self
            .provider
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

    /// Opens an authorization URL with changed claims and returns the redirect target.
    pub(super) async fn authorize(
        &mut self,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> String {
        let mut claims = self.provider.claims("shop");
        change(&mut claims);
        location(&self.get(&self.provider.signed_url("shop", &claims)).await)
    }

    pub(super) async fn login(&mut self, page: &str, user: &str) -> String {
        let parameters = [("interaction", interaction(page)), ("user", user)];
        location(&self.post("/v1/oauth/login", &parameters).await)
    }

    async fn decide(&mut self, page: &str, decision: &str) -> Response {
        let parameters = [("interaction", interaction(page)), ("decision", decision)];
        self.post("/v1/oauth/consent", &parameters).await
    }

    /// Signs Alice in and consents.
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
        .expect("a page of the emulator")
}

fn error(callback: &str) -> Option<String> {
    query_value(&callback.parse().unwrap(), "error")
}

#[tokio::test]
async fn signs_in_after_consent() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
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
        "the page survives a reload"
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
async fn returns_access_denied_when_the_user_denies() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
    let page = browser.authorize(|_| ()).await;
    let page = browser.login(&page, "bob").await;
    let callback = location(&browser.decide(&page, "deny").await);
    assert_eq!(error(&callback).as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn skips_pages_for_a_known_consent() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
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
        "another scope needs another consent"
    );
    let other = format!("{less}&as=another-user");
    assert_eq!(browser.title(&other).await, "Sign in");
    let consent = browser.login(&less, "bob").await;
    assert!(
        text_body(browser.get(&consent).await)
            .await
            .contains("Bob Brown")
    );
}

#[tokio::test]
async fn honours_prompt_and_max_age() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
    let signed_out = browser
        .authorize(|claims| claims["prompt"] = "none".into())
        .await;
    assert_eq!(error(&signed_out).as_deref(), Some("login_required"));
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

    provider.clock.advance(Duration::from_secs(60));
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
async fn accepts_a_page_once_and_expires_it_after_ten_minutes() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
    let page = browser.authorize(|_| ()).await;
    browser.login(&page, "alice").await;
    let again = [("interaction", interaction(&page)), ("user", "alice")];
    let response = browser.post("/v1/oauth/login", &again).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);

    let page = browser
        .authorize(|claims| claims["prompt"] = "login".into())
        .await;
    provider.clock.advance(Duration::from_secs(600));
    assert_eq!(browser.title(&page).await, "Sign-in page expired");
}

#[tokio::test]
async fn denies_consent_before_sign_in() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
    let page = browser.authorize(|_| ()).await;
    let callback = location(&browser.decide(&page, "allow").await);
    assert_eq!(error(&callback).as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn rejects_unknown_and_disabled_users() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
    browser.sign_in().await;
    provider.emulator.disable_user("alice");
    let page = browser.authorize(|_| ()).await;
    for user in ["alice", "mallory"] {
        let parameters = [("interaction", interaction(&page)), ("user", user)];
        let response = browser.post("/v1/oauth/login", &parameters).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    // The page still accepts another user.
    assert_eq!(browser.title(&page).await, "Sign in");
}

#[tokio::test]
async fn escapes_the_description_on_the_rejection_page() {
    let provider = provider();
    let response = provider
        .get("/v1/oauth/authorize?%3Cb%3E=1&%3Cb%3E=2")
        .await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let html = text_body(response).await;
    assert!(
        html.contains("invalid_request") && !html.contains("<b>"),
        "{html}"
    );
}

#[tokio::test]
async fn signs_out_on_the_front_page() {
    let provider = provider();
    let mut browser = Browser::new(&provider);
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
    assert_eq!(browser.title("/").await, "Account");
    assert!(
        text_body(browser.get("/").await)
            .await
            .contains("You are not signed in")
    );
}

#[tokio::test]
async fn serves_under_the_path_of_an_app() {
    let provider = provider();
    let app: axum::Router = axum::Router::new().nest("/oten", provider.emulator.router());
    for path in ["/oten", "/oten/.well-known/openid-configuration"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(app.clone(), request)
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}
