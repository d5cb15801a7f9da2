//! What is seen on a terminal.

use std::time::Duration;

use axum_oten::emulator::{Endpoint, Fault};
use tokio::process::Command;

use super::doctor::Patient;
use crate::program::process::run;

/// The program on a terminal, which `script` of util-linux makes; it prints what the terminal saw.
fn on_a_terminal(patient: &Patient, line: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_oten");
    let line = format!("stty rows 24 cols 80; {program} {line}");
    let of_the_program = patient.command(&[]);
    let of_the_program = of_the_program.as_std();
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]);
    for (name, value) in of_the_program.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(std::process::Stdio::null())
        .current_dir(of_the_program.get_current_dir().unwrap());
    script
}

#[tokio::test]
async fn a_terminal_shows_colours_and_what_is_waited_for() {
    let patient = Patient::healthy().await.set("OTEN_SCOPES", "openid phone");
    let slow = Fault::Delay(Duration::from_millis(400));
    patient.emulator.fault(Endpoint::Discovery, slow);
    let ended = run(&mut on_a_terminal(&patient, "check")).await;
    let seen = ended.stdout;
    assert_eq!(ended.status.code(), Some(1), "{seen}");
    assert!(seen.contains("\u{1b}[32m✓"), "green: {seen:?}");
    assert!(seen.contains('✗'), "{seen:?}");
    assert!(
        !seen.contains("waiting for  "),
        "nobody knows what for: {seen:?}"
    );
    assert!(
        seen.contains("waiting for the provider's discovery document"),
        "{seen:?}"
    );
    // Wrapped, and none of its lines is longer than the terminal.
    assert!(seen.contains("to be registered in\r\n"), "{seen}");
}

#[tokio::test]
async fn no_color_is_respected() {
    let patient = Patient::healthy().await;
    let mut check = on_a_terminal(&patient, "check 2>/dev/null");
    let ended = run(check.env("NO_COLOR", "1")).await;
    assert!(ended.stdout.contains("✓ configuration"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("\u{1b}[3"), "{:?}", ended.stdout);
}
