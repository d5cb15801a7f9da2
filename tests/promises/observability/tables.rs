use std::{collections::BTreeSet, fs};

use axum_oten::{
    audit::{EventKind, Level, Reason},
    metric::Metric,
};

/// Compares a table of a module's documentation with what it should be, and shows that if it is not.
fn assert_table(file: &str, title: &str, expected: &[String]) {
    let source = fs::read_to_string(file).unwrap();
    let head = format!("//! | {title} |");
    let rows: Vec<_> = source
        .lines()
        .skip_while(|line| !line.starts_with(&head))
        .skip(2)
        .map_while(|line| line.strip_prefix("//! |"))
        .map(|row| format!("|{row}"))
        .collect();
    let wanted = expected.join("\n//! ");
    assert_eq!(
        rows, expected,
        "{file}: the table should be\n//! {wanted}\n"
    );
}

fn code(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let names = names.into_iter();
    let names: Vec<_> = names.map(|name| format!("`{}`", name.as_ref())).collect();
    names.join(", ")
}

#[test]
fn b5_the_documentation_lists_every_event() {
    let rows: Vec<_> = EventKind::all()
        .iter()
        .map(|kind| {
            let levels = kind.levels().iter().map(|level: &Level| level.name());
            let levels: Vec<_> = levels.collect();
            format!(
                "| `{}` | {} | {} | {} |",
                kind.name(),
                levels.join(", "),
                code(kind.fields()),
                kind.description()
            )
        })
        .collect();
    assert_table("src/audit/mod.rs", "event", &rows);
}

#[test]
fn b5_the_documentation_lists_every_reason() {
    let rows: Vec<_> = Reason::all()
        .iter()
        .map(|reason| {
            let (description, help) = (reason.description(), reason.help());
            format!("| `{}` | {description} | {help} |", reason.code())
        })
        .collect();
    assert_table("src/audit/mod.rs", "reason", &rows);
}

#[test]
fn b5_the_documentation_lists_every_metric() {
    let rows: Vec<_> = Metric::all()
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric
                .labels()
                .iter()
                .map(|label| match label.name() {
                    // There are too many of them.
                    "reason" => "`reason`".to_owned(),
                    name => format!("`{name}`: {}", code(label.values())),
                })
                .collect();
            format!(
                "| `{}` | {} | {} | {} |",
                metric.name(),
                format!("{:?}", metric.kind()).to_lowercase(),
                labels.join("; "),
                metric.description()
            )
            .replace("|  |", "| |")
        })
        .collect();
    assert_table("src/metric/mod.rs", "metric", &rows);
}

/// Each reason is some error's, and has a code of its own with all that belongs to it.
#[test]
fn b5_every_reason_is_given_by_the_code() {
    let source = fs::read_to_string("src/web/error.rs").unwrap();
    let given: BTreeSet<_> = source
        .split("Reason::")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next())
        .collect();
    let table: Vec<_> = Reason::all().iter().map(|it| format!("{it:?}")).collect();
    let table: BTreeSet<_> = table.iter().map(String::as_str).collect();
    assert_eq!(given, table);

    let codes: BTreeSet<_> = Reason::all().iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), Reason::all().len(), "two have the same code");
    for reason in Reason::all() {
        let code = reason.code();
        assert!(code.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'));
        for sentence in [reason.description(), reason.help()] {
            assert!(sentence.ends_with('.') && !sentence.contains('|'), "{code}");
        }
    }
}
