use std::collections::BTreeMap;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use axum_oten::emulator::Emulator;
use http_body_util::BodyExt;
use tower::ServiceExt;
use url::Url;

use super::TestSite;

/// A browser that keeps cookies, sends the headers of a browser, and does not follow redirects.
#[derive(Clone)]
pub struct Browser {
    app: Router,
    emulator: Emulator,
    origin: String,
    login_path: String,
    pub cookies: BTreeMap<String, String>,
}

/// A response of the site.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// The target of the redirect.
    pub fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.headers[header::LOCATION].to_str().unwrap()
    }

    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }

    /// The complete `Set-Cookie` headers.
    pub fn set_cookies(&self) -> Vec<&str> {
        let cookies = self.headers.get_all(header::SET_COOKIE).iter();
        cookies.map(|cookie| cookie.to_str().unwrap()).collect()
    }

    /// Returns whether the response changes the session cookie.
    pub fn sets_session(&self) -> bool {
        let cookies = self.set_cookies();
        cookies.iter().any(|cookie| cookie.contains("_session="))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Browser {
    pub fn new(site: &TestSite) -> Self {
        Self {
            app: site.app.clone(),
            emulator: site.emulator.clone(),
            origin: site.oten.config().origin(),
            login_path: site.oten.login_path(),
            cookies: BTreeMap::new(),
        }
    }

    /// The same browser at another app.
    pub fn app(&mut self, app: Router) {
        self.app = app;
    }

    /// Navigates to a page.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(self.navigation(Method::GET, path)).await
    }

    /// Submits a form from a page of the site.
    pub async fn post(&mut self, path: &str) -> Answer {
        let mut request = self.navigation(Method::POST, path);
        request
            .headers_mut()
            .insert("sec-fetch-site", "same-origin".parse().unwrap());
        self.send(request).await
    }

    /// A request of a script on a page of the site.
    pub async fn fetch(&mut self, method: Method, path: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "*/*")
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-dest", "empty")
            .header("sec-fetch-site", "same-origin")
            .body(Body::from(body.to_owned()))
            .unwrap();
        self.send(request).await
    }

    /// The request of a navigation, to be changed before it is sent.
    pub fn navigation(&self, method: Method, path: &str) -> Request<Body> {
        let path = path.strip_prefix(&self.origin).unwrap_or(path);
        Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .body(Body::empty())
            .unwrap()
    }

    /// Sends a request with the browser's cookies, and stores the cookies of the response.
    pub async fn send(&mut self, mut request: Request<Body>) -> Answer {
        if !self.cookies.is_empty() {
            let pairs = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let cookies = pairs.collect::<Vec<_>>().join("; ");
            request
                .headers_mut()
                .insert(header::COOKIE, cookies.parse().unwrap());
        }
        let answer = send(&self.app, request).await;
        for cookie in answer.set_cookies() {
            self.keep(cookie);
        }
        answer
    }

    /// Stores a cookie of a response.
    pub fn keep(&mut self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        if attributes.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The session cookie.
    pub fn session_cookie(&self) -> Option<&str> {
        self.cookies.get("oten_session").map(String::as_str)
    }

    /// The names of the login cookies.
    pub fn login_cookies(&self) -> Vec<&str> {
        let names = self.cookies.keys().map(String::as_str);
        names.filter(|name| name.contains("_login_")).collect()
    }

    /// Requests `/login` and returns the authorization URL.
    pub async fn start_login(&mut self, return_to: &str) -> Url {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("return_to", return_to)
            .finish();
        let answer = self.get(&format!("{}?{query}", self.login_path)).await;
        answer.location().parse().unwrap()
    }

    /// Follows the redirect of a callback that restarts the login, and returns the authorization URL.
    pub async fn follow_restart(&mut self, callback: &Answer) -> Url {
        let to = callback.location();
        assert!(to.starts_with(&self.login_path), "{to}");
        assert!(!callback.sets_session());
        let url: Url = self.get(to).await.location().parse().unwrap();
        assert!(url.as_str().starts_with(self.emulator.issuer()), "{url}");
        url
    }

    /// Signs `user` in at the provider, consents, and returns the path and query of the callback.
    pub fn approve(&self, authorization_url: &Url, user: &str) -> String {
        let callback = self.emulator.approve(authorization_url, user).unwrap();
        path_and_query(&callback)
    }

    /// Signs in from `/login` to the callback, whose response redirects to the return path.
    pub async fn sign_in(&mut self, user: &str, return_to: &str) -> Answer {
        let authorization_url = self.start_login(return_to).await;
        let callback = self.approve(&authorization_url, user);
        let answer = self.get(&callback).await;
        assert_eq!(answer.location(), return_to);
        answer
    }

    /// The user as the site reports it: `guest` or `user alice`.
    pub async fn signed_in_as(&mut self) -> String {
        self.get("/").await.body
    }
}

/// Sends a request without a browser.
pub async fn send(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

/// A URL without its origin.
pub fn path_and_query(url: &Url) -> String {
    url[url::Position::BeforePath..].to_owned()
}
