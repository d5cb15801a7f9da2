//! The browsers, and what they see.

use std::time::Duration;

use axum_oten::emulator::Emulator;
use futures_util::future::{join_all, try_join_all};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use url::Position;

use crate::{
    Bad,
    load::{
        USERS,
        browser::{Answer, Browser},
    },
};

const PAUSE: Duration = Duration::from_millis(500);

/// A page that takes longer counts as an outage after the repair.
const SLOW: Duration = Duration::from_secs(2);

/// Browsers that sign out while the fault lasts.
const LEAVERS: usize = 6;
/// Browsers with the cookies of a session that has ended.
const SIGNED_OUT: usize = 5;

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Before,
    Broken,
    Repaired(Instant),
    /// With the time of the repair.
    Over(Instant),
}

impl Phase {
    fn is_over(self) -> bool {
        matches!(self, Self::Over(_))
    }

    fn repaired(self) -> Option<Instant> {
        match self {
            Self::Repaired(at) | Self::Over(at) => Some(at),
            Self::Before | Self::Broken => None,
        }
    }
}

/// What the browsers have seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Browsers whose user is signed out at the end.
    pub lost: usize,
    pub pages: usize,
    /// Answers 503 with `Retry-After`.
    pub unavailable: usize,
    /// Requests without an answer: the connection failed.
    pub cut: usize,
    /// All other answers.
    pub wrong: usize,
    /// One of them.
    pub example: Option<String>,
    pub longest_answer: Duration,
    /// The longest time in which a browser got no page.
    pub longest_outage: Duration,
    /// The time from the repair until every browser got pages again, or the end if one did not.
    pub recovery: Duration,
    pub sign_ins: usize,
    /// New sign-ins that got an error page because the provider fails. Elsewhere such pages are wrong.
    pub failed_sign_ins: usize,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.pages += other.pages;
        self.unavailable += other.unavailable;
        self.cut += other.cut;
        self.wrong += other.wrong;
        self.example = self.example.take().or(other.example);
        self.longest_answer = self.longest_answer.max(other.longest_answer);
        self.longest_outage = self.longest_outage.max(other.longest_outage);
        self.recovery = self.recovery.max(other.recovery);
        self.sign_ins += other.sign_ins;
        self.failed_sign_ins += other.failed_sign_ins;
    }

    fn wrong(&mut self, who: &str, what: &str, answer: &Answer) {
        self.wrong += 1;
        let summary = answer.summary();
        self.example
            .get_or_insert_with(|| format!("{who}, {what}: {summary}"));
    }

    /// Counts an answer that is no page.
    fn count(&mut self, who: &str, what: &str, answer: &Answer) {
        if is_unavailable(answer) {
            self.unavailable += 1;
        } else {
            self.wrong(who, what, answer);
        }
    }
}

fn is_unavailable(answer: &Answer) -> bool {
    answer.status == 503 && answer.header("retry-after").is_some()
}

/// Runs all browsers until the run is over.
pub struct Traffic {
    address: String,
    browsers: Vec<Browser>,
    leavers: Vec<Browser>,
    signed_out: Vec<Browser>,
}

impl Traffic {
    /// Signs in the browsers, eight at a time.
    pub async fn sign_in(emulator: &Emulator, address: &str, count: usize) -> Result<Self, Bad> {
        const LANES: usize = 8;
        let total = count + LEAVERS + SIGNED_OUT;
        let lanes = (0..LANES).map(async |lane| {
            let mut browsers = Vec::new();
            for number in (lane..total).step_by(LANES) {
                let mut browser = Browser::new(address);
                browser
                    .sign_in(emulator, USERS[number % USERS.len()])
                    .await?;
                browsers.push(browser);
            }
            Ok::<_, Bad>(browsers)
        });
        let lanes = try_join_all(lanes).await?;
        let mut browsers: Vec<Browser> = lanes.into_iter().flatten().collect();
        let leavers = browsers.split_off(browsers.len() - LEAVERS);
        let mut signed_out = browsers.split_off(count);
        for browser in &mut signed_out {
            let tab = browser.tab(address);
            browser.sign_out().await?;
            *browser = tab;
        }
        Ok(Self {
            address: address.to_owned(),
            browsers,
            leavers,
            signed_out,
        })
    }

    pub async fn run(
        self,
        emulator: &Emulator,
        provider_fails: bool,
        phase: &watch::Receiver<Phase>,
    ) -> Seen {
        let emulator = emulator.clone();
        let count = u32::try_from(self.browsers.len()).unwrap_or(u32::MAX);
        let mut tasks = Vec::new();
        for (browser, lane) in self.browsers.into_iter().zip(0u32..) {
            let delay = PAUSE * lane / count.max(1);
            tasks.push(tokio::spawn(user(browser, delay, phase.clone())));
        }
        for browser in self.leavers {
            tasks.push(tokio::spawn(leaver(browser, phase.clone())));
        }
        for browser in self.signed_out {
            tasks.push(tokio::spawn(signed_out(browser, phase.clone())));
        }
        tasks.push(tokio::spawn(newcomers(
            self.address,
            emulator,
            provider_fails,
            phase.clone(),
        )));
        let mut seen = Seen::default();
        for one in join_all(tasks).await {
            match one {
                Ok(one) => seen.add(one),
                Err(error) => {
                    seen.wrong += 1;
                    seen.example = Some(error.to_string());
                }
            }
        }
        seen
    }
}

/// A signed-in user who requests pages.
async fn user(mut browser: Browser, delay: Duration, phase: watch::Receiver<Phase>) -> Seen {
    sleep(delay).await;
    let mut seen = Seen::default();
    // Answers that lead to a sign-in. If it is needed, the user is lost, and the answers are right.
    let (mut redirects, mut is_out) = (0, false);
    let mut last_page = Instant::now();
    loop {
        if phase.borrow().is_over() {
            break;
        }
        let begin = Instant::now();
        let answer = browser.get("/profile").await;
        let took = begin.elapsed();
        seen.longest_answer = seen.longest_answer.max(took);
        match answer {
            Ok(answer) if browser.shows_user(&answer) => {
                let now = Instant::now();
                seen.pages += 1;
                seen.longest_outage = seen.longest_outage.max(now - last_page);
                last_page = now;
                if let Some(at) = phase.borrow().repaired()
                    && (is_out || begin < at || took > SLOW)
                {
                    seen.recovery = now - at;
                }
                is_out = false;
            }
            Ok(answer) => {
                is_out = true;
                if answer.status == 303 {
                    redirects += 1;
                    let summary = answer.summary();
                    seen.example
                        .get_or_insert_with(|| format!("user: {summary}"));
                } else {
                    seen.count("user", "page", &answer);
                }
            }
            Err(_) => {
                is_out = true;
                seen.cut += 1;
            }
        }
        sleep(PAUSE).await;
    }
    seen.longest_outage = seen.longest_outage.max(last_page.elapsed());
    if let Some(at) = phase.borrow().repaired()
        && is_out
    {
        seen.recovery = at.elapsed();
    }
    if browser.page().await.is_err() && browser.page().await.is_err() {
        seen.lost = 1;
    } else {
        seen.wrong += redirects;
    }
    seen
}

/// A user who signs out while the fault lasts. When the site has confirmed it, no cookie may open a page.
async fn leaver(mut browser: Browser, phase: watch::Receiver<Phase>) -> Seen {
    let mut watched = phase.clone();
    watched.wait_for(|phase| *phase != Phase::Before).await.ok();
    sleep(Duration::from_secs(1)).await;
    let mut seen = Seen::default();
    while !phase.borrow().is_over() {
        let tab = browser.tab_here();
        match browser.post_logout().await {
            Ok(answer) if answer.status == 303 => {
                seen.add(signed_out(tab, phase).await);
                return seen;
            }
            Ok(answer) => seen.count("leaver", "sign-out", &answer),
            // The site may have received it.
            Err(_) => return seen,
        }
        sleep(2 * PAUSE).await;
    }
    seen
}

/// A browser that still sends the cookies of a session that has ended.
async fn signed_out(mut browser: Browser, phase: watch::Receiver<Phase>) -> Seen {
    let mut seen = Seen::default();
    while !phase.borrow().is_over() {
        let tab = browser.tab_here();
        match browser.get("/profile").await {
            Ok(answer) if answer.status == 303 => {}
            Ok(answer) => seen.count("signed out", "page", &answer),
            Err(_) => seen.cut += 1,
        }
        browser = tab;
        sleep(2 * PAUSE).await;
    }
    seen
}

/// Users who sign in, one after the other.
async fn newcomers(
    address: String,
    emulator: Emulator,
    provider_fails: bool,
    phase: watch::Receiver<Phase>,
) -> Seen {
    let mut seen = Seen::default();
    for user in USERS.iter().cycle() {
        if phase.borrow().is_over() {
            break;
        }
        let mut browser = Browser::new(&address);
        if newcomer(&mut browser, &emulator, provider_fails, user, &mut seen)
            .await
            .is_err()
        {
            seen.cut += 1;
        }
        sleep(PAUSE).await;
    }
    seen
}

async fn newcomer(
    browser: &mut Browser,
    emulator: &Emulator,
    provider_fails: bool,
    user: &'static str,
    seen: &mut Seen,
) -> Result<(), Bad> {
    let mut login = browser.get("/login?return_to=/profile").await?;
    for is_last in [false, true] {
        if login.status != 303 {
            seen.count("newcomer", "login", &login);
            return Ok(());
        }
        let callback = emulator.approve(login.header("location").unwrap_or_default(), user)?;
        let callback = browser.get(&callback[Position::BeforePath..]).await?;
        // The provider has taken the code and answered with an error or a wrong ID token.
        if provider_fails && callback.status == 502 {
            seen.failed_sign_ins += 1;
            return Ok(());
        }
        if callback.status != 303 {
            seen.count("newcomer", "callback", &callback);
            return Ok(());
        }
        // A callback whose answer was lost has used the login attempt. The site starts another sign-in once.
        let next = callback.header("location").unwrap_or_default();
        if is_last || !next.starts_with("/login") {
            break;
        }
        login = browser.get(next).await?;
    }
    browser.set_user(user);
    let page = browser.get("/profile").await?;
    if browser.shows_user(&page) {
        seen.sign_ins += 1;
    } else {
        seen.count("newcomer", "page", &page);
    }
    Ok(())
}
