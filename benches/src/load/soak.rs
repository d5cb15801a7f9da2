//! What remains in memory.

use std::time::Duration;

use axum_oten::emulator::Deviation;
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::{
    select,
    time::{Instant, interval, sleep},
};

use super::{Run, USERS, browser::Browser, show};
use crate::{
    Bad, Server,
    process::ALL_CORES,
    report::Limit::{AtMost, Exactly},
};

/// Login attempts that no user completes.
pub async fn attempts(run: &mut Run) -> Result<(), Bad> {
    const ATTEMPTS: usize = 10_000;
    let server = Server::start("attempts", &["taskset", "-c", "0"], None)?;
    let logins = |count| get_all(&server.address, "/login", 303, count);
    logins(100).await?;
    let mut memory = vec![server.process.memory()?];
    for round in ["first", "second", "third"] {
        show("abandon 10000 login attempts", logins(ATTEMPTS)).await?;
        memory.push(server.process.memory()?);
        // The clock moves by 11 minutes; the answer is the number of records that are left.
        let left = Browser::new(&server.address).get("/later").await?;
        let left: f64 = left.body().trim().parse()?;
        let name = format!("records after the time of the {round} 10000");
        run.row(&name, (left, ""), Exactly(0.0));
        memory.push(server.process.memory()?);
    }
    let mb = |bytes: f64| (bytes / 1e6, "MB");
    let attempt = (memory[1] - memory[0]) / ATTEMPTS as f64;
    run.row("before", mb(memory[0]), None);
    run.row("after 10000", mb(memory[1]), None);
    run.row("an attempt", (attempt, "bytes"), None);
    run.row("after 10000 and their time", mb(memory[2]), None);
    let limit = AtMost(1.05 * memory[1] / 1e6);
    run.row("after 30000 and their time", mb(memory[6]), limit);
    Ok(())
}

/// Idle, and per signed-in session.
pub async fn memory(run: &mut Run) -> Result<(), Bad> {
    const SESSIONS: usize = 10_000;
    let site = run.site("memory:", ALL_CORES).await?;
    show("idle", sleep(Duration::from_secs(3))).await;
    let (idle, own) = (site.process.memory()?, site.process.own_memory()?);
    run.row("oten serve, idle", (idle / 1e6, "MB"), AtMost(7.0));
    let name = "oten serve, idle, without pages of files";
    run.row(name, (own / 1e6, "MB"), None);

    let users = run.many_users();
    let sign_ins = async |count: usize| {
        let lanes = (0..8).map(async |_| {
            let mut browser = Browser::new(&site.address);
            for _ in 0..count.div_ceil(8) {
                browser.sign_in(&run.emulator, "alice").await?;
                browser.forget_cookies();
            }
            Ok::<_, Bad>(())
        });
        show("sign in", try_join_all(lanes)).await
    };
    sign_ins(1000).await?;
    let before = site.process.memory()?;
    sign_ins(SESSIONS).await?;
    let session = (site.process.memory()? - before) / SESSIONS as f64;
    drop(users);
    let name = "oten serve, session with three tokens";
    run.row(name, (session, "bytes"), AtMost(2000.0));

    let peer = Server::start("axum-login", &["taskset", "-c", "0"], None)?;
    get_all(&peer.address, "/sign-in", 200, 1000).await?;
    let before = peer.process.memory()?;
    get_all(&peer.address, "/sign-in", 200, SESSIONS).await?;
    let session = (peer.process.memory()? - before) / SESSIONS as f64;
    let name = "axum-login, session without tokens";
    run.row(name, (session, "bytes"), None);
    Ok(())
}

/// Sends requests without cookies, over eight connections.
async fn get_all(address: &str, path: &str, status: u16, count: usize) -> Result<(), Bad> {
    let lanes = (0..8).map(async |_| {
        let mut browser = Browser::new(address);
        for _ in 0..count.div_ceil(8) {
            browser.get(path).await?.require(status, path)?;
            browser.forget_cookies();
        }
        Ok::<_, Bad>(())
    });
    try_join_all(lanes).await.map(drop)
}

/// Mixed traffic on one process: memory and descriptors must stay flat.
pub async fn soak(run: &mut Run, lasts: Duration) -> Result<(), Bad> {
    const SAMPLE: Duration = Duration::from_secs(10);
    let site = run.site("memory:", ALL_CORES).await?;
    // Refreshes are due after two seconds.
    run.emulator
        .deviate(Deviation::TokenField("expires_in", json!(4)));
    let (visits, samples) = {
        let end = Instant::now() + lasts;
        let visits = USERS.iter().cycle().take(12).map(async |user| {
            let mut visits = 0;
            while Instant::now() < end {
                visit(run, &site.address, user).await?;
                visits += 1;
            }
            Ok::<_, Bad>(visits)
        });
        let mut visits = std::pin::pin!(try_join_all(visits));
        let mut samples = Vec::new();
        let mut tick = interval(SAMPLE);
        tick.tick().await;
        let begin = Instant::now();
        loop {
            select! {
                visits = &mut visits => break (visits?, samples),
                _ = tick.tick() => {
                    let sample = (site.process.memory()?, site.process.descriptors()?);
                    let time = begin.elapsed().as_secs_f64();
                    eprintln!("{time:5.0} s  {:6.2} MB  {:3} descriptors", sample.0 / 1e6, sample.1);
                    samples.push((time, sample));
                }
            }
        }
    };
    let settled = &samples[samples.len() / 3..];
    if settled.len() < 3 {
        return Err("the soak is too short: use at least --minutes 1".into());
    }
    let span = settled[settled.len() - 1].0 - settled[0].0;
    let memory: Vec<_> = settled.iter().map(|(time, it)| (*time, it.0)).collect();
    let descriptors: Vec<_> = settled.iter().map(|(time, it)| (*time, it.1)).collect();
    let visits: i32 = visits.iter().sum();
    run.row("sessions", (visits.into(), ""), None);
    run.row("refreshes", (run.emulator.refreshes() as f64, ""), None);
    let last = memory.last().map_or(f64::NAN, |it| it.1);
    run.row("memory at the end", (last / 1e6, "MB"), None);
    // Every login attempt leaves a record for ten minutes, in a short soak until its end.
    let attempts = match samples.len() - settled.len() {
        0..60 => f64::from(visits) * 4.0 / 3.0 * span / lasts.as_secs_f64(),
        _ => 0.0,
    };
    let limit = 0.3 + 600.0 * attempts / 1e6;
    let growth = slope(&memory) * span / 1e6;
    let name = "growth of memory in the last two thirds";
    run.row(name, (growth, "MB"), AtMost(limit));
    let growth = slope(&descriptors) * span;
    let name = "growth of descriptors in the last two thirds";
    run.row(name, (growth, ""), AtMost(2.0));
    Ok(())
}

/// A session from sign-in to sign-out, with pages, a refresh, an abandoned attempt and bad cookies.
async fn visit(run: &Run, address: &str, user: &'static str) -> Result<(), Bad> {
    let mut browser = Browser::new(address);
    browser.sign_in(&run.emulator, user).await?;
    for _ in 0..100 {
        browser.page().await?;
        sleep(Duration::from_millis(25)).await;
    }
    browser.sign_out().await?;
    if user == "alice" {
        browser.start_login().await?; // abandoned
    }
    let mut stranger = Browser::new(address);
    for value in ["x", "AAAAAAAAAAAAAAAAAAAAAA", "\"%00;", &"z".repeat(4000)] {
        stranger.set_cookie("oten_session", value);
        stranger.set_cookie("oten_login_x", value);
        stranger
            .get("/profile")
            .await?
            .require(303, "page with a bad cookie")?;
    }
    Ok(())
}

/// The slope of the line that fits best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let over = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum::<f64>();
    over / points
        .iter()
        .map(|point| (point.0 - x).powi(2))
        .sum::<f64>()
}
