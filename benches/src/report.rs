//! The results of `check` and `load`, kept in one file for `chart`.

use std::{
    fmt, fs,
    io::{IsTerminal, stderr},
    path::PathBuf,
    process::Command,
};

use serde::{Deserialize, Serialize};

use crate::Bad;

/// Replaces the line of a terminal, and does nothing without one.
pub fn progress(line: &str) {
    if stderr().is_terminal() {
        eprint!("\r{line:60}\r");
    }
}

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub scenario: String,
    /// What was measured.
    pub name: String,
    pub value: f64,
    pub unit: String,
    pub limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Limit {
    AtLeast(f64),
    AtMost(f64),
    Exactly(f64),
}

impl Row {
    /// A row with a figure and its unit.
    pub fn new(
        [scenario, name]: [&str; 2],
        (value, unit): (f64, &str),
        limit: Option<Limit>,
    ) -> Self {
        Self {
            scenario: scenario.to_owned(),
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
            limit,
        }
    }

    pub fn is_met(&self) -> bool {
        match self.limit {
            None => true,
            Some(Limit::AtLeast(limit)) => self.value >= limit,
            Some(Limit::AtMost(limit)) => self.value <= limit,
            Some(Limit::Exactly(limit)) => self.value == limit,
        }
    }

    /// The figure, its expectation and the verdict.
    fn cells(&self) -> [String; 3] {
        let value = format!("{} {}", Number(self.value), self.unit);
        let value = value.trim_end().to_owned();
        let expected = match self.limit {
            None => return [value, String::new(), String::new()],
            Some(Limit::AtLeast(limit)) => format!("at least {}", Number(limit)),
            Some(Limit::AtMost(limit)) => format!("at most {}", Number(limit)),
            Some(Limit::Exactly(limit)) => format!("exactly {}", Number(limit)),
        };
        let verdict = if self.is_met() { "ok" } else { "MISSED" };
        [value, expected, verdict.to_owned()]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [value, expected, verdict] = self.cells();
        let Self { scenario, name, .. } = self;
        write!(
            f,
            "{scenario:12}  {name:58} {value:>14}  {expected:16} {verdict}"
        )
    }
}

/// A number with three significant digits or, from 100 on, without a fraction.
pub struct Number(pub f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.0.abs() {
            size if size == size.trunc() || size >= 100.0 => 0,
            size if size >= 10.0 => 1,
            size if size >= 1.0 => 2,
            _ => 3,
        };
        write!(f, "{:.decimals$}", self.0)
    }
}

/// The versions with which the figures were measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions(pub Vec<String>);

impl Conditions {
    pub fn new() -> Self {
        let output = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().ok();
            let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
            text.unwrap_or_default().trim().to_owned()
        };
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let git = |words: &[&str], more: &[&str]| {
            let paths = ["--", "src", "templates", "Cargo.toml", "Cargo.lock"];
            output("git", &[&["-C", root], words, &paths, more].concat())
        };
        let mut commit = git(&["log", "-1", "--format=%h"], &[]);
        // `--write` changes the guide.
        if !git(&["status", "--porcelain"], &["benches/src", ":!src/guide"]).is_empty() {
            commit += "-dirty";
        }
        let manifest = fs::read_to_string(format!("{root}/Cargo.toml")).unwrap_or_default();
        let version = manifest.lines().find_map(|line| {
            let version = line.strip_prefix("version = ")?;
            Some(version.trim_matches('"').to_owned())
        });
        let redis = output("redis-server", &["--version"]);
        let redis = redis
            .split_whitespace()
            .find_map(|word| word.strip_prefix("v="));
        let rustc = output("rustc", &["--version"]);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let models = cpu.lines().filter_map(|line| {
            line.strip_prefix("model name")?
                .split_once(": ")
                .map(|it| it.1)
        });
        let models: Vec<&str> = models.collect();
        Self(vec![
            format!("axum-oten {} ({commit})", version.unwrap_or_default()),
            rustc.split(" (").next().unwrap_or_default().to_owned(),
            format!("Redis {}", redis.unwrap_or("not installed")),
            format!("Linux {}", kernel.trim()),
            format!(
                "{} x {}",
                models.len(),
                models.first().unwrap_or(&"unknown CPU")
            ),
        ])
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub conditions: Conditions,
    pub rows: Vec<Row>,
}

impl Report {
    /// Reads the file of results.
    pub fn read() -> Result<Self, Bad> {
        let text = fs::read_to_string(file())
            .map_err(|_| "there are no results: run benches/check and benches/load")?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Adds rows to the file, in place of older ones of the same scenarios. Results of other versions
    /// are dropped.
    pub fn add(rows: &[Row]) -> Result<(), Bad> {
        let conditions = Conditions::new();
        let mut report = Self::read().unwrap_or_default();
        report.rows.retain(|old| {
            report.conditions == conditions && rows.iter().all(|new| new.scenario != old.scenario)
        });
        report.rows.extend_from_slice(rows);
        report.conditions = conditions;
        fs::write(file(), serde_json::to_string_pretty(&report)?)?;
        Ok(())
    }

    /// A Markdown table.
    pub fn table(&self) -> String {
        let mut text = format!("Measured with {}.\n\n", self.conditions.0.join(", "));
        text += "| scenario | | figure | expected | |\n|---|---|---:|---|---|\n";
        for row in &self.rows {
            let cells = row.cells().join(" | ");
            text += &format!("| {} | {} | {cells} |\n", row.scenario, row.name);
        }
        text
    }
}

fn file() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/target/results.json").into()
}
