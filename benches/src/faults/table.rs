//! The table of the results.

use std::{fmt, fs, time::Duration};

use serde::Serialize;

use super::{servers::postgres_version, traffic::Seen};
use crate::{
    Bad,
    report::{Conditions, Number},
};

const JSON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/faults.json");
const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/guide/operations.md");
const MARKS: [&str; 2] = ["<!-- faults -->\n", "<!-- end of faults -->"];

pub const HEAD: [&str; 2] = [
    "| fault | users lost | wrong answers | pages | 503 | longest outage | longest answer | recovery | |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---|",
];

const MAX_RECOVERY: Duration = Duration::from_secs(5);

/// A refresh waits at most 16 seconds; a balancer and a busy machine add some.
const MAX_ANSWER: Duration = Duration::from_secs(18);

/// One row with its goals.
#[derive(Debug, Serialize)]
pub struct Line {
    name: String,
    lost: usize,
    /// Answers that are neither pages nor 503 with `Retry-After`, and requests without an answer.
    wrong: usize,
    pages: usize,
    unavailable: usize,
    longest_outage_seconds: f64,
    longest_answer_seconds: f64,
    recovery_seconds: f64,
    sign_ins: usize,
    failed_sign_ins: usize,
    pub problems: Vec<String>,
}

impl Line {
    pub fn new(name: &str, seen: &Seen) -> Self {
        let mut problems = Vec::new();
        let wrong = seen.wrong + seen.cut;
        if seen.lost > 0 {
            problems.push(format!("{} users are lost", seen.lost));
        }
        if seen.lost + wrong > 0 {
            let example = seen.example.as_deref().unwrap_or("no answer");
            problems.push(format!(
                "{} wrong, {} cut; for example {example}",
                seen.wrong, seen.cut
            ));
        }
        if seen.recovery > MAX_RECOVERY {
            problems.push("the recovery takes too long".to_owned());
        }
        if seen.longest_answer > MAX_ANSWER {
            problems.push("an answer takes too long".to_owned());
        }
        if seen.pages == 0 {
            problems.push("no browser got a page".to_owned());
        }
        Self {
            name: name.to_owned(),
            lost: seen.lost,
            wrong,
            pages: seen.pages,
            unavailable: seen.unavailable,
            longest_outage_seconds: seen.longest_outage.as_secs_f64(),
            longest_answer_seconds: seen.longest_answer.as_secs_f64(),
            recovery_seconds: seen.recovery.as_secs_f64(),
            sign_ins: seen.sign_ins,
            failed_sign_ins: seen.failed_sign_ins,
            problems,
        }
    }

    pub fn failed(name: &str, problem: &str) -> Self {
        Self {
            problems: vec![problem.to_owned()],
            ..Self::new(name, &Seen::default())
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            lost,
            wrong,
            pages,
            unavailable,
            ..
        } = self;
        let [outage, answer, recovery] = [
            self.longest_outage_seconds,
            self.longest_answer_seconds,
            self.recovery_seconds,
        ]
        .map(Number);
        let verdict = if self.problems.is_empty() {
            "ok"
        } else {
            "MISSED"
        };
        write!(
            f,
            "| {name} | {lost} | {wrong} | {pages} | {unavailable} | {outage} s | {answer} s | \
             {recovery} s | {verdict} |"
        )
    }
}

/// Writes the lines as JSON, and as a table into the guide.
pub fn write(lines: &[Line]) -> Result<(), Bad> {
    let mut conditions = Conditions::new().0;
    conditions.insert(2, postgres_version());
    let json = serde_json::json!({ "conditions": conditions, "lines": lines });
    fs::write(JSON, serde_json::to_string_pretty(&json)?)?;
    let mut table = format!("Measured with {}.\n\n", conditions.join(", "));
    for head in HEAD {
        table += &format!("{head}\n");
    }
    for line in lines {
        table += &format!("{line}\n");
    }
    let guide = fs::read_to_string(GUIDE)?;
    let missing = "operations.md has no marks for the table";
    let (before, rest) = guide.split_once(MARKS[0]).ok_or(missing)?;
    let (_, after) = rest.split_once(MARKS[1]).ok_or(missing)?;
    let [begin, end] = MARKS;
    fs::write(GUIDE, format!("{before}{begin}\n{table}\n{end}{after}"))?;
    Ok(())
}
