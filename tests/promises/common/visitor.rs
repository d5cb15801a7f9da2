use axum::http::{HeaderMap, Method, header};
use reqwest::{Client, RequestBuilder, Response, redirect::Policy};

use super::Answer;

/// A browser at programs that listen on this machine. It keeps cookies and does not follow redirects.
#[derive(Clone)]
pub struct Visitor {
    client: Client,
    cookies: Vec<(String, String)>,
}

impl Default for Visitor {
    fn default() -> Self {
        let client = Client::builder().no_proxy().redirect(Policy::none());
        Self {
            client: client.build().unwrap(),
            cookies: Vec::new(),
        }
    }
}

impl Visitor {
    /// A program that sends an access token.
    pub fn with_token(token: &str) -> Self {
        let mut headers = HeaderMap::new();
        let value = format!("Bearer {token}").parse().unwrap();
        headers.insert(header::AUTHORIZATION, value);
        let client = Client::builder().no_proxy().default_headers(headers);
        Self {
            client: client.build().unwrap(),
            cookies: Vec::new(),
        }
    }

    /// Navigates to a page.
    pub async fn get(&mut self, url: &str) -> Answer {
        self.try_get(url).await.unwrap()
    }

    pub async fn try_get(&mut self, url: &str) -> reqwest::Result<Answer> {
        self.send(self.navigation(Method::GET, url)).await
    }

    /// Submits a form from a page of the site.
    pub async fn post(&mut self, url: &str) -> Answer {
        let form = self.navigation(Method::POST, url);
        self.send(form).await.unwrap()
    }

    /// Submits a form with fields.
    pub async fn submit(&mut self, url: &str, fields: &str) -> Answer {
        let form = self
            .navigation(Method::POST, url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(fields.to_owned());
        self.send(form).await.unwrap()
    }

    fn navigation(&self, method: Method, url: &str) -> RequestBuilder {
        self.request(method, url)
            .header(header::ACCEPT, "text/html")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
    }

    /// A request with the cookies, to be completed before it is sent.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let pairs = self.cookies.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        self.client
            .request(method, url)
            .header(header::COOKIE, cookies)
    }

    /// Sends a request, and keeps the cookies of the response.
    pub async fn send(&mut self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        self.keep(response.headers());
        answer(response).await
    }

    fn keep(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(header::SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.retain(|(kept, _)| kept != name);
            if !attributes.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

async fn answer(response: Response) -> reqwest::Result<Answer> {
    Ok(Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.text().await?,
    })
}
