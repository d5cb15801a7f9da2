//! Traffic, and what may happen to it.

use std::time::Duration;

use axum_oten::emulator::{Endpoint::Token, Fault};
use futures_util::future::{join, join_all, try_join_all};
use tokio::time::{Instant, sleep};

use super::{Run, browser::Browser, millis, pages, pages_at_once, right, show};
use crate::{
    Bad,
    process::{ALL_CORES, FIRST_CORE, Redis, Site},
    report::Limit::{AtMost, Exactly},
};

const PAUSE: Duration = Duration::from_millis(20);

/// Signed-in browsers that request a protected page, each one again as soon as it is answered.
pub async fn steady(run: &mut Run) -> Result<(), Bad> {
    let (stores, _redis) = run.stores().await?;
    for (store, address) in &stores {
        let site = run.site(address, FIRST_CORE).await?;
        let mut browsers = run.browsers(&site, 32).await?;
        pages(&mut browsers, Duration::from_secs(1), Duration::ZERO).await?;
        let lasts = Duration::from_secs(10);
        let took = pages(&mut browsers, lasts, Duration::ZERO).await?;
        let rate = took.len() as f64 / lasts.as_secs_f64();
        run.row(store, (rate, "pages/s"), None);
        run.latencies(store, took, Some(100.0));
    }
    Ok(())
}

/// Browsers that sign in at once: login, provider, callback and page.
pub async fn storm(run: &mut Run) -> Result<(), Bad> {
    const BROWSERS: usize = 1000;
    let (stores, _redis) = run.stores().await?;
    let _users = run.many_users();
    for (store, address) in &stores {
        let site = run.site(address, FIRST_CORE).await?;
        let begin = Instant::now();
        let emulator = &run.emulator;
        let sign_ins = (0..BROWSERS).map(async |_| {
            let mut browser = Browser::new(&site.address);
            browser.sign_in(emulator, "alice").await?;
            Ok::<_, Bad>(begin.elapsed())
        });
        let sign_ins = show("sign-ins at once", join_all(sign_ins)).await;
        let rate = BROWSERS as f64 / begin.elapsed().as_secs_f64();
        let took = right(sign_ins);
        let failed = ((BROWSERS - took.len()) as f64, "");
        run.row(&format!("{store}: failed of 1000"), failed, Exactly(0.0));
        run.row(store, (rate, "sign-ins/s"), None);
        run.latencies(store, took, Some(10_000.0));
    }
    Ok(())
}

/// 1000 requests at once after access tokens have expired.
pub async fn expiry(run: &mut Run) -> Result<(), Bad> {
    let (stores, _redis) = run.stores().await?;
    for (store, address) in &stores {
        let one = run.site(address, ALL_CORES).await?;
        expire(run, store, 1, &[&one]).await?;
        if *store == "memory" {
            expire(run, store, 100, &[&one]).await?;
        } else {
            let two = run.site(address, ALL_CORES).await?;
            expire(run, store, 1, &[&one, &two]).await?;
            expire(run, store, 100, &[&one, &two]).await?;
        }
    }
    Ok(())
}

async fn expire(run: &mut Run, store: &str, sessions: usize, sites: &[&Site]) -> Result<(), Bad> {
    const REQUESTS: usize = 1000;
    let browsers = run.expired(sites[0], sessions).await?;
    // The call takes long enough for all requests to arrive meanwhile.
    let delay = Fault::Delay(Duration::from_millis(500));
    run.emulator.fault(Token, delay);
    let (calls, reused) = (run.emulator.calls(Token), run.emulator.reuse_detected());
    let tabs = (0..REQUESTS).map(|number| {
        let site = sites[number / sessions % sites.len()];
        browsers[number % sessions].tab(&site.address)
    });
    let (pages, longest) = pages_at_once(tabs.collect()).await;
    show("wait for late calls", sleep(Duration::from_secs(2))).await;
    let calls = (run.emulator.calls(Token) - calls) as f64;
    run.emulator.clear_faults();
    let text = ["1 session", "100 sessions"][usize::from(sessions > 1)];
    let processes = ["1 process", "2 processes"][sites.len() - 1];
    let name = format!("{store}, {text}, {processes}");
    let failed = (REQUESTS as f64 - pages, "");
    run.row(&format!("{name}: failed of 1000"), failed, Exactly(0.0));
    let expected = match sessions as f64 {
        1.0 => Exactly(1.0),
        sessions => AtMost(sessions),
    };
    run.row(&format!("{name}: token requests"), (calls, ""), expected);
    run.row(&format!("{name}: last answer"), (longest, "ms"), None);
    let reused = ((run.emulator.reuse_detected() - reused) as f64, "");
    run.row(&format!("{name}: reused tokens"), reused, Exactly(0.0));
    Ok(())
}

/// Users with fresh and with expired access tokens while the provider is slow, then down.
pub async fn provider(run: &mut Run) -> Result<(), Bad> {
    const LASTS: Duration = Duration::from_secs(8);
    let site = run.site("memory:", FIRST_CORE).await?;
    let mut fresh = run.browsers(&site, 16).await?;
    pages(&mut fresh, Duration::from_secs(2), PAUSE).await?;
    let took = pages(&mut fresh, LASTS, PAUSE).await?;
    let before = run.latencies("up, fresh tokens", took, None);
    // Unchanged, but for the noise of the machine.
    let limit = Some(2.0 * before + 5.0);
    for state in ["slow", "down"] {
        let expired = run.expired(&site, 99).await?;
        match state {
            "slow" => run
                .emulator
                .fault(Token, Fault::Delay(Duration::from_secs(3))),
            _ => run.emulator.stop().await,
        }
        let (took, (pages, longest)) =
            tokio::join!(pages(&mut fresh, LASTS, PAUSE), pages_at_once(expired));
        run.latencies(&format!("{state}, fresh tokens"), took?, limit);
        let name = format!("{state}, expired tokens");
        let failed = (99.0 - pages, "");
        run.row(&format!("{name}: failed of 99"), failed, Exactly(0.0));
        let limit = AtMost(10_000.0);
        run.row(&format!("{name}: last answer"), (longest, "ms"), limit);
        run.emulator.clear_faults();
    }
    run.emulator.resume().await?;
    let begin = Instant::now();
    run.browsers(&site, 1).await?;
    let took = (millis(begin.elapsed()), "ms");
    run.row("up again: sign-in", took, AtMost(1000.0));
    Ok(())
}

/// Redis is killed and started again, under traffic.
pub async fn store(run: &mut Run) -> Result<(), Bad> {
    let Some(mut redis) = Redis::start(&run.folder).await? else {
        return Ok(());
    };
    let site = run.site(&redis.url(), ALL_CORES).await?;
    let mut browsers = run.browsers(&site, 99).await?;
    // The last is a guest.
    browsers.push(Browser::new(&site.address));
    let end = Instant::now() + Duration::from_secs(10);
    let lanes = browsers.iter_mut().zip(1..).map(async |(browser, number)| {
        let mut seen = Seen::default();
        while Instant::now() < end {
            let (answer, is_right) = if number > 99 {
                let answer = browser.get("/login").await?;
                let is_right = answer.status == 303;
                (answer, is_right)
            } else {
                let answer = browser.get("/profile").await?;
                let is_right = browser.shows_user(&answer);
                (answer, is_right)
            };
            let is_unavailable = answer.status == 503
                && answer.header("retry-after").is_some()
                && answer.header("set-cookie").is_none();
            if is_unavailable {
                seen.unavailable += 1;
                seen.last_unavailable = Some(Instant::now());
            } else if is_right {
                seen.right += 1;
            } else {
                seen.wrong += 1;
            }
            seen.longest = seen.longest.max(answer.took);
            sleep(5 * PAUSE).await;
        }
        Ok::<_, Bad>(seen)
    });
    let outage = async {
        sleep(Duration::from_secs(1)).await;
        redis.kill();
        sleep(Duration::from_secs(5)).await;
        redis.restart().await?;
        Ok::<_, Bad>(Instant::now())
    };
    let both = join(try_join_all(lanes), outage);
    let (seen, back) = show("kill Redis under traffic", both).await;
    let (seen, back) = (seen?, back?);
    let sum = |of: fn(&Seen) -> u32| (f64::from(seen.iter().map(of).sum::<u32>()), "");
    run.row("pages", sum(|seen| seen.right), None);
    let name = "503 with Retry-After while Redis is down";
    run.row(name, sum(|seen| seen.unavailable), None);
    run.row("other answers", sum(|seen| seen.wrong), Exactly(0.0));
    let longest = seen.iter().map(|seen| seen.longest).max();
    let longest = (millis(longest.unwrap_or_default()), "ms");
    run.row("longest answer", longest, AtMost(3000.0));
    let last = seen.iter().filter_map(|seen| seen.last_unavailable).max();
    let last = last.map_or(f64::NAN, |last| {
        millis(last.saturating_duration_since(back))
    });
    run.row("last 503 after the restart", (last, "ms"), AtMost(2000.0));
    browsers.pop();
    let (pages, _) = pages_at_once(browsers).await;
    run.row("users lost of 99", (99.0 - pages, ""), Exactly(0.0));
    Ok(())
}

/// The answers to one browser.
#[derive(Default)]
struct Seen {
    right: u32,
    unavailable: u32,
    wrong: u32,
    longest: Duration,
    last_unavailable: Option<Instant>,
}
