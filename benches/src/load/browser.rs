//! A browser: cookies and one keep-alive connection.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum_oten::emulator::Emulator;
use tokio::time::timeout;
use url::Position;

use crate::{Bad, client::Connection};

/// The server closes idle connections after 30 seconds.
const IDLE: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Browser {
    address: String,
    cookies: BTreeMap<String, String>,
    connection: Option<(Connection, Instant)>,
    /// The signed-in user.
    user: &'static str,
}

/// A whole response.
pub struct Answer {
    pub status: u16,
    pub took: Duration,
    text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().filter_map(move |line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap_or_default().1
    }

    /// The status and where it leads, or the title of the page.
    pub fn summary(&self) -> String {
        let title = self.body().split("<title>").nth(1);
        let title = title.and_then(|rest| rest.split('<').next());
        let to = self.header("location").or(title).unwrap_or_default();
        format!("{} {to}", self.status)
    }

    pub fn require(self, status: u16, what: &str) -> Result<Self, Bad> {
        if self.status == status {
            return Ok(self);
        }
        Err(format!("{what}: {status} was expected:\n{}", self.text).into())
    }
}

impl Browser {
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            cookies: BTreeMap::new(),
            connection: None,
            user: "",
        }
    }

    /// Another tab, with the same cookies, at the same or another process.
    pub fn tab(&self, address: &str) -> Self {
        Self {
            cookies: self.cookies.clone(),
            user: self.user,
            ..Self::new(address)
        }
    }

    /// Another tab at the same address.
    pub fn tab_here(&self) -> Self {
        self.tab(&self.address)
    }

    pub fn set_user(&mut self, user: &'static str) {
        self.user = user;
    }

    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    pub fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer, Bad> {
        self.request("GET", path).await
    }

    async fn request(&mut self, method: &str, path: &str) -> Result<Answer, Bad> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\naccept: text/html\r\n\
             sec-fetch-site: same-origin\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n",
            self.address
        );
        if !self.cookies.is_empty() {
            let pairs = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let pairs: Vec<String> = pairs.collect();
            request += &format!("cookie: {}\r\n", pairs.join("; "));
        }
        if method == "POST" {
            request += "content-length: 0\r\n";
        }
        request += "\r\n";
        let begin = Instant::now();
        let exchange = async {
            let mut connection = match self.connection.take() {
                Some((connection, used)) if used.elapsed() < IDLE => connection,
                _ => Connection::open(&self.address).await?,
            };
            let text = connection.send(request.as_bytes()).await?;
            let text = String::from_utf8_lossy(text).into_owned();
            self.connection = Some((connection, Instant::now()));
            Ok::<_, Bad>(text)
        };
        let text = timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| format!("no answer to {method} {path} in time"))??;
        let answer = Answer {
            status: text.get(9..12).unwrap_or_default().parse()?,
            took: begin.elapsed(),
            text,
        };
        for cookie in answer.headers("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            match pair.split_once('=') {
                Some((name, "")) => drop(self.cookies.remove(name)),
                Some((name, value)) => self.set_cookie(name, value),
                None => {}
            }
        }
        Ok(answer)
    }

    /// Starts a login attempt and returns the URL of the provider.
    pub async fn start_login(&mut self) -> Result<String, Bad> {
        let login = self.get("/login?return_to=/profile").await?;
        let login = login.require(303, "login")?;
        let url = login.header("location").ok_or("login has no location")?;
        Ok(url.to_owned())
    }

    /// Signs the user in: login, provider, callback and page.
    pub async fn sign_in(&mut self, emulator: &Emulator, user: &'static str) -> Result<(), Bad> {
        let url = self.start_login().await?;
        let callback = emulator.approve(url, user)?;
        let callback = self.get(&callback[Position::BeforePath..]).await?;
        callback.require(303, "callback")?;
        self.user = user;
        self.page().await?;
        Ok(())
    }

    /// Requests the protected page and requires the user's own.
    pub async fn page(&mut self) -> Result<Answer, Bad> {
        let answer = self.get("/profile").await?.require(200, "page")?;
        if !self.shows_user(&answer) {
            return Err(
                format!("page of another user than {}:\n{}", self.user, answer.text).into(),
            );
        }
        Ok(answer)
    }

    pub fn shows_user(&self, answer: &Answer) -> bool {
        answer.status == 200 && answer.text.contains(&format!("<dd>{}", self.user))
    }

    pub async fn post_logout(&mut self) -> Result<Answer, Bad> {
        self.request("POST", "/logout").await
    }

    pub async fn sign_out(&mut self) -> Result<(), Bad> {
        self.post_logout().await?.require(303, "logout")?;
        let page = self.get("/profile").await?;
        page.require(303, "page after the sign-out").map(drop)
    }
}
