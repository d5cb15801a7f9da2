//! The output on a terminal.

use std::time::Duration;

use axum_oten::emulator::{Endpoint, Fault};
use tokio::process::Command;

use super::checked_site::CheckedSite;
use crate::program::process::run;

/// The program on a terminal that `script` of util-linux emulates; its stdout is the terminal's output.
fn on_a_terminal(site: &CheckedSite, line: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_oten");
    let line = format!("stty rows 24 cols 80; {program} {line}");
    let command = site.command(&[]);
    let command = command.as_std();
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(std::process::Stdio::null())
        .current_dir(command.get_current_dir().unwrap());
    script
}

#[tokio::test]
async fn a_terminal_shows_colors_and_progress() {
    let site = CheckedSite::valid()
        .await
        .set("OTEN_SCOPES", "openid phone");
    let slow = Fault::Delay(Duration::from_millis(400));
    site.emulator.fault(Endpoint::Discovery, slow);
    let ended = run(&mut on_a_terminal(&site, "check")).await;
    let seen = ended.stdout;
    assert_eq!(ended.status.code(), Some(1), "{seen}");
    assert!(seen.contains("\u{1b}[32m✓"), "green: {seen:?}");
    assert!(seen.contains('✗'), "{seen:?}");
    assert!(
        !seen.contains("waiting for  "),
        "the message is empty: {seen:?}"
    );
    assert!(
        seen.contains("waiting for the provider's discovery document"),
        "{seen:?}"
    );
    // Lines are wrapped at the width of the terminal.
    assert!(seen.contains("register exactly\r\n"), "{seen}");
}

#[tokio::test]
async fn no_color_is_respected() {
    let site = CheckedSite::valid().await;
    let mut check = on_a_terminal(&site, "check 2>/dev/null");
    let ended = run(check.env("NO_COLOR", "1")).await;
    assert!(ended.stdout.contains("✓ configuration"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("\u{1b}[3"), "{:?}", ended.stdout);
}
