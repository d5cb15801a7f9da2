//! Answers on stdout: tables for people, JSON for programs.

use std::{
    fmt::Display,
    io::{self, Write},
};

use anstyle::{AnsiColor, Color, Style};
use axum_oten::check::Status;
use serde::Serialize;

/// What stands before the name in a line.
const MARGIN: usize = 4;

/// What stands before a help.
const HELP: &str = "→ ";

/// Narrower than this nothing is wrapped.
const NARROWEST: usize = 60;

/// A table whose rows begin with a mark and a name.
#[derive(Debug)]
pub(crate) struct Table {
    name_width: usize,
    /// The terminal's; elsewhere lines are as long as they are.
    width: Option<usize>,
}

impl Table {
    /// A table with room for these names.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let width = terminal_size::terminal_size_of(io::stdout());
        let width = width.map(|(width, _)| usize::from(width.0));
        Self {
            name_width: names.map(str::len).max().unwrap_or_default(),
            width: width.filter(|width| *width >= NARROWEST),
        }
    }

    /// Prints a row, and the help below it.
    pub(crate) fn row(&self, status: Status, name: &str, message: &str, help: Option<&str>) {
        let (mark, style) = mark(status);
        let mut lines = self.wrapped(message).into_iter();
        let first = lines.next().unwrap_or_default();
        let name_width = self.name_width;
        line(format_args!(
            "  {style}{mark}{style:#} {name:name_width$}  {first}"
        ));
        let indent = self.indent();
        for more in lines {
            line(format_args!("{:indent$}{more}", ""));
        }
        let help = help.map(|help| self.wrapped(&format!("{HELP}{help}")));
        for help in help.into_iter().flatten() {
            line(format_args!("{:indent$}{help}", ""));
        }
    }

    fn indent(&self) -> usize {
        MARGIN + self.name_width + 2
    }

    fn wrapped(&self, text: &str) -> Vec<String> {
        match self.width {
            Some(width) => wrap(text, width.saturating_sub(self.indent()).max(20)),
            None => vec![text.to_owned()],
        }
    }
}

/// Prints a line. Colours go where there is a terminal that wants them.
pub(crate) fn line(text: impl Display) {
    // Whoever closed stdout does not want to read it.
    let _ = writeln!(anstream::stdout().lock(), "{text}");
}

/// Prints one JSON document and nothing else.
pub(crate) fn json(answer: &impl Serialize) -> io::Result<()> {
    let mut json = serde_json::to_string_pretty(answer)?;
    json.push('\n');
    let _ = io::stdout().lock().write_all(json.as_bytes());
    Ok(())
}

fn mark(status: Status) -> (char, Style) {
    let (mark, color) = match status {
        Status::Passed => ('✓', AnsiColor::Green),
        Status::Warning => ('!', AnsiColor::Yellow),
        Status::Failed => ('✗', AnsiColor::Red),
        _ => ('–', AnsiColor::BrightBlack),
    };
    let style = Style::new().fg_color(Some(Color::Ansi(color)));
    (
        mark,
        if status == Status::Failed {
            style.bold()
        } else {
            style
        },
    )
}

/// The words in lines of at most `width` characters; a longer word has a line of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else {
            continue;
        };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_long_as_they_may_be() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 6), ["one", "two", "three"]);
        assert_eq!(
            wrap("https://long.example/x y", 5),
            ["https://long.example/x", "y"]
        );
        assert_eq!(wrap("äöü äöü", 7), ["äöü äöü"]);
        assert_eq!(wrap("", 7), [""]);
    }

    #[test]
    fn marks_differ_without_their_colours() {
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
