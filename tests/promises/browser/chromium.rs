//! Debian's Chromium, driven through its WebDriver.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use fantoccini::{
    Client, ClientBuilder, Locator,
    cookies::Cookie,
    elements::Element,
    error::CmdError,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use url::Url;

/// The help shown if no browser is installed.
const HELP: &str = "install it: apt-get install --no-install-recommends chromium chromium-driver";

/// Long enough for a busy machine; a page that takes longer is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A screen size and color scheme.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) name: &'static str,
    pub(super) width: u64,
    height: u64,
    colour_scheme: &'static str,
}

impl Screen {
    pub(super) const fn new(
        name: &'static str,
        width: u64,
        height: u64,
        colour_scheme: &'static str,
    ) -> Self {
        Self {
            name,
            width,
            height,
            colour_scheme,
        }
    }

    fn is_phone(&self) -> bool {
        self.width < 500
    }
}

/// A browser with its own profile.
pub(super) struct Chromium {
    pub(super) client: Client,
}

/// Opens a browser for a scenario, and closes it even if the scenario panics.
pub(super) async fn browse<V>(visit: impl FnOnce(Chromium) -> V)
where
    V: Future<Output = ()> + Send + 'static,
{
    browse_in("en-US,en", visit).await;
}

/// Opens a browser whose user prefers these languages.
pub(super) async fn browse_in<V>(languages: &str, visit: impl FnOnce(Chromium) -> V)
where
    V: Future<Output = ()> + Send + 'static,
{
    let (mut driver, port) = start_driver().await;
    let profile = fresh_profile();
    let mut capabilities = Capabilities::new();
    capabilities.insert("goog:chromeOptions".into(), options(&profile, languages));
    capabilities.insert("goog:loggingPrefs".into(), json!({ "browser": "ALL" }));
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(&format!("http://127.0.0.1:{port}"))
        .await
        .unwrap_or_else(|error| panic!("Chromium does not start ({error}); {HELP}"));
    let browser = Chromium {
        client: client.clone(),
    };
    let outcome = tokio::spawn(visit(browser)).await;
    // Errors while closing are ignored: they change no result.
    let _ = client.close().await;
    let _ = driver.kill().await;
    let _ = std::fs::remove_dir_all(&profile);
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl Chromium {
    /// Waits for an element of the page and returns it.
    pub(super) async fn find(&self, css: &str) -> Element {
        self.find_by(Locator::Css(css)).await
    }

    /// Waits for a page with this text.
    pub(super) async fn wait_for(&self, text: &str) {
        let body = format!("//body[contains(., '{text}')]");
        self.find_by(Locator::XPath(&body)).await;
    }

    async fn find_by(&self, locator: Locator<'_>) -> Element {
        let wait = self.client.wait().at_most(PATIENCE);
        match wait.for_element(locator).await {
            Ok(element) => element,
            Err(error) => panic!("no {locator:?} on {}: {error}", self.here().await),
        }
    }

    /// The URL of the page.
    pub(super) async fn here(&self) -> Url {
        self.client.current_url().await.unwrap()
    }

    pub(super) async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub(super) async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap();
    }

    /// Clicks on an element and waits until another page has replaced its page. A page that is opened before
    /// that would be replaced, too.
    pub(super) async fn leave_by(&self, css: &str) {
        let element = self.find(css).await;
        element.clone().click().await.unwrap();
        let limit = Instant::now() + PATIENCE;
        while element.tag_name().await.is_ok() {
            assert!(Instant::now() < limit, "{css} leads to no page");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The visible text of the page.
    pub(super) async fn text(&self) -> String {
        self.find("body").await.text().await.unwrap()
    }

    /// A cookie of the page.
    pub(super) async fn cookie(&self, name: &str) -> Cookie<'static> {
        match self.client.get_named_cookie(name).await {
            Ok(cookie) => cookie,
            Err(error) => panic!("no cookie `{name}` on {}: {error}", self.here().await),
        }
    }

    /// Restores a cookie for the current site.
    pub(super) async fn remember(&self, cookie: Cookie<'static>) {
        self.client.add_cookie(cookie).await.unwrap();
    }

    /// Removes the cookies of all sites and paths.
    pub(super) async fn forget_cookies(&self) {
        self.devtools("Network.clearBrowserCookies", json!({}))
            .await;
    }

    /// Emulates the size and color scheme of a screen.
    pub(super) async fn look_through(&self, screen: &Screen) {
        let metrics = json!({
            "width": screen.width,
            "height": screen.height,
            "deviceScaleFactor": if screen.is_phone() { 2 } else { 1 },
            "mobile": screen.is_phone(),
        });
        let scheme = json!({ "name": "prefers-color-scheme", "value": screen.colour_scheme });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [scheme] }),
        )
        .await;
    }

    /// Runs a script in the page and returns its result, once a promise is resolved.
    pub(super) async fn run(&self, script: &str) -> Value {
        match self.client.execute(script, Vec::new()).await {
            Ok(result) => result,
            Err(error) => panic!("a script fails on {}: {error}", self.here().await),
        }
    }

    /// The rules of axe-core (WCAG 2.2 AA and best practices) that the page breaks, each with the elements
    /// that break it.
    pub(super) async fn accessibility_problems(&self) -> Vec<String> {
        let axe = super::installed("axe").join("node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(axe).unwrap();
        let script = format!(
            "{axe}; return axe.run().then(({{ violations }}) => violations.map(({{ id, nodes }}) =>
                `${{id}}: ${{nodes.map((node) => node.html).join(' ')}}`))"
        );
        serde_json::from_value(self.run(&script).await).unwrap()
    }

    /// The width of the page. If it exceeds the screen, users must scroll sideways.
    pub(super) async fn page_width(&self) -> u64 {
        let width = self.run("return document.documentElement.scrollWidth");
        width.await.as_u64().unwrap()
    }

    /// The size of the page with all that it has loaded, in bytes.
    pub(super) async fn page_weight(&self) -> u64 {
        let script = "return performance.getEntries()
            .filter((it) => ['navigation', 'resource'].includes(it.entryType))
            .reduce((sum, it) => sum + it.decodedBodySize, 0)";
        self.run(script).await.as_u64().unwrap()
    }

    /// Requests the page again, with its cookies but outside of the browser.
    pub(super) async fn request_page(&self) -> reqwest::Response {
        let cookies = self.client.get_all_cookies().await.unwrap();
        let cookies = cookies
            .iter()
            .map(|it| format!("{}={}", it.name(), it.value()));
        let cookies: Vec<_> = cookies.collect();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(self.here().await).header("accept", "text/html");
        let request = request.header("cookie", cookies.join("; "));
        request.send().await.unwrap()
    }

    /// A picture of the page from top to bottom.
    pub(super) async fn whole_page(&self) -> Vec<u8> {
        let whole = json!({ "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", whole).await;
        let picture = picture["data"].as_str().unwrap_or_default();
        BASE64_STANDARD.decode(picture).unwrap()
    }

    /// Violations of a content security policy that the browser reported.
    pub(super) async fn blocked(&self) -> Vec<String> {
        let log = self
            .command("se/log", json!({ "type": "browser" }))
            .await
            .unwrap();
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter_map(|entry| Some(entry["message"].as_str()?.to_owned()))
            .filter(|message| message.contains("Content Security Policy"))
            .collect()
    }

    async fn devtools(&self, name: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": name, "params": parameters });
        self.command("goog/cdp/execute", body).await.unwrap()
    }

    async fn command(&self, path: &'static str, body: Value) -> Result<Value, CmdError> {
        self.client.issue_cmd(Extension { path, body }).await
    }
}

/// A command of Chromium's driver.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

/// Starts the driver on a free port and returns the port. The driver listens on one of IPv4 and then on the
/// same of IPv6, and ends if that one is in use.
async fn start_driver() -> (Child, u16) {
    for _ in 0..3 {
        if let Some(started) = try_to_start_driver().await {
            return started;
        }
    }
    panic!("chromedriver ended three times before it listened");
}

async fn try_to_start_driver() -> Option<(Child, u16)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("chromedriver does not start ({error}); {HELP}"));
    let stdout = driver.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines();
    let port = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return Some(port.trim_end_matches('.').parse().unwrap());
            }
        }
        None
    };
    let port = tokio::time::timeout(PATIENCE, port).await.unwrap()?;
    // Keeps reading, so that the driver never writes to a full or closed pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Some((driver, port))
}

fn options(profile: &Path, languages: &str) -> Value {
    json!({
        "binary": "/usr/bin/chromium",
        "prefs": { "intl.accept_languages": languages },
        "args": [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            format!("--user-data-dir={}", profile.display()),
        ],
    })
}

fn fresh_profile() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "oten-chromium-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let profile = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&profile).unwrap();
    profile
}
