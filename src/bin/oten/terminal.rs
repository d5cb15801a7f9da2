//! What the program prints: results on stdout, hints on stderr, colors and progress on terminals.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use axum_oten::check::Status;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use textwrap::{Options, WordSplitter};

use crate::error::Error;

/// Writes all of `text` to stdout, which may be redirected to a file.
///
/// # Errors
///
/// [`Error::Output`] if it cannot be written completely, so that half a key is never taken for one.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Error::Output)
}

/// Prints a value as JSON to stdout, for other programs.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Error::Output(error.into()))?;
    // A closed stdout is no error: the exit code holds the result.
    let _ = print(&format!("{json}\n"));
    Ok(())
}

/// Prints a line to stdout, with its colors if stdout is a terminal that supports them.
pub(crate) fn print_line(text: impl fmt::Display) {
    // A closed stdout is no error: the exit code holds the result.
    let _ = writeln!(anstream::stdout().lock(), "{text}");
}

/// Prints a line for the user to stderr.
pub(crate) fn print_note(text: &str) {
    // A closed stderr is no error.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints where a server listens and how to use it.
pub(crate) fn print_banner(title: &str, rows: &[(&str, &str)]) {
    let rows = format_rows(rows);
    let rows: String = rows.lines().flat_map(|row| ["    ", row, "\n"]).collect();
    // A closed stdout does not stop the server.
    let _ = print(&format!("\n  {title}\n\n{rows}\n"));
}

/// Formats a line for each label and its text, with aligned columns.
pub(crate) fn format_rows(rows: &[(&str, impl AsRef<str>)]) -> String {
    let width = rows.iter().map(|(label, _)| label.len()).max();
    let width = width.unwrap_or_default();
    let mut lines = String::new();
    for (label, text) in rows {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{label:width$}   {}", text.as_ref());
    }
    lines
}

/// Prints rows of a status mark, a name, a message and an optional hint.
#[derive(Debug)]
pub(crate) struct StatusTable {
    name_width: usize,
    /// The width of the terminal in columns. Without a terminal, lines are not wrapped.
    width: usize,
}

impl StatusTable {
    /// Lines are not wrapped on terminals narrower than this.
    const MIN_WIDTH: u16 = 60;

    /// A table with a column wide enough for these names.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let terminal = terminal_size::terminal_size_of(io::stdout());
        let width = terminal.map(|(width, _)| width.0);
        let width = width.filter(|width| *width >= Self::MIN_WIDTH);
        Self {
            name_width: names.map(str::len).max().unwrap_or_default(),
            width: width.map_or(usize::MAX, usize::from),
        }
    }

    /// Prints a row, with the help below the message.
    pub(crate) fn print_row(&self, status: Status, name: &str, message: &str, help: Option<&str>) {
        let (mark, style) = mark(status);
        let name_width = self.name_width;
        let head = format!("  {style}{mark}{style:#} {name:name_width$}  ");
        let indent = " ".repeat(name_width + 6);
        print_line(wrap(message, self.width, &head, &indent));
        if let Some(help) = help {
            let head = format!("{indent}→ ");
            print_line(wrap(help, self.width, &head, &format!("{indent}  ")));
        }
    }
}

/// Breaks lines at spaces only: a URL or a command stays in one piece.
fn wrap(text: &str, width: usize, first_indent: &str, indent: &str) -> String {
    let options = Options::new(width)
        .initial_indent(first_indent)
        .subsequent_indent(indent)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(text, options)
}

fn mark(status: Status) -> (char, Style) {
    match status {
        Status::Passed => ('✓', AnsiColor::Green.on_default()),
        Status::Warning => ('!', AnsiColor::Yellow.on_default()),
        Status::Failed => ('✗', AnsiColor::Red.on_default().bold()),
        _ => ('–', AnsiColor::BrightBlack.on_default()),
    }
}

/// Shows what the program is waiting for, if stderr is a terminal.
#[derive(Debug)]
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("  {spinner} waiting for {msg} …") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Shows `message` from now on.
    pub(crate) fn set_message(&self, message: &'static str) {
        self.0.set_message(message);
        self.0.enable_steady_tick(Duration::from_millis(100));
    }

    /// Hides the spinner while `print` runs.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        // Before the first message, suspending would draw an empty one.
        if self.0.message().is_empty() {
            print();
        } else {
            self.0.suspend(print);
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_at_spaces() {
        for (text, width, lines) in [
            ("one two three", 7, "one two\nthree"),
            ("one two three", 6, "one\ntwo\nthree"),
            ("https://long.example/x y", 5, "https://long.example/x\ny"),
            ("oten --help --all-of-it", 5, "oten\n--help\n--all-of-it"),
            ("äöü äöü", 7, "äöü äöü"),
            ("", 7, ""),
            ("one  two", usize::MAX, "one  two"),
        ] {
            assert_eq!(wrap(text, width, "", ""), lines);
        }
        assert_eq!(wrap("one two", 7, "- ", "  "), "- one\n  two");
    }

    #[test]
    fn marks_differ_without_their_colors() {
        let all = [
            Status::Passed,
            Status::Warning,
            Status::Failed,
            Status::Skipped,
        ];
        let marks: std::collections::HashSet<_> = all.map(|status| mark(status).0).into();
        assert_eq!(marks.len(), all.len());
    }
}
