//! The guide matches the code.

use std::{collections::BTreeSet, fs, path::Path};

use crate::program::process;

#[tokio::test]
async fn the_guide_lists_every_command_with_its_options() {
    let mut expected = Vec::new();
    for command in commands(&[]).await {
        let nested = commands(&[&command]).await;
        if nested.is_empty() {
            expected.push(row_of(&[&command]).await);
        }
        for nested in nested {
            expected.push(row_of(&[&command, &nested]).await);
        }
    }
    let page = page("operations");
    let found = rows(&page, "command").into_iter();
    let found: Vec<_> = found
        .map(|row| row.splitn(4, '|').take(3).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(
        found, expected,
        "src/guide/operations.md, as `oten --help` has it"
    );
}

async fn row_of(command: &[&str]) -> String {
    let options = help(command).await;
    let options = options
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--"));
    let options: Vec<_> = options
        .map(|line| format!("`--{}`", line.split([' ', ',']).next().unwrap()))
        .collect();
    let options = format!(" {} ", options.join(", "));
    let options = if options.trim().is_empty() {
        " "
    } else {
        &options
    };
    format!("| `{}` |{options}", command.join(" "))
}

/// The subcommands of a command.
async fn commands(command: &[&str]) -> Vec<String> {
    let help = help(command).await;
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    // An indented line continues the line before it.
    let lines = lines.filter_map(|line| line.strip_prefix("  "));
    let names = lines.filter_map(|line| line.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.map(str::to_owned).collect()
}

async fn help(command: &[&str]) -> String {
    let arguments = [command, &["--help"]].concat();
    process::run(&mut process::command(&arguments)).await.stdout
}

#[test]
fn every_threat_names_tests_that_exist() {
    let tests = test_names();
    let page = page("security");
    let threats = rows(&page, "threat");
    assert!(threats.len() > 20, "{} threats", threats.len());
    for threat in threats {
        let named = named_tests(threat);
        assert!(!named.is_empty(), "no test: {threat}");
        for name in named {
            assert!(tests.contains(name), "there is no test `{name}`: {threat}");
        }
    }
}

/// The tests in the last column of a row.
fn named_tests(row: &str) -> Vec<&str> {
    let column = row.rsplit('|').nth(1).unwrap();
    column.split('`').skip(1).step_by(2).collect()
}

/// The sections of the chapters that the page names which a client or an API can fulfil.
const REQUIREMENTS: &[(&str, &[&str])] = &[
    (
        "RFC 9700",
        &[
            "2.1", "2.1.1", "2.1.2", "2.2.1", "2.2.2", "2.3", "2.4", "2.5", "2.6", "4.1", "4.2",
            "4.3", "4.4", "4.5", "4.6", "4.7", "4.8", "4.9", "4.10", "4.11", "4.12", "4.13",
            "4.14", "4.15", "4.16", "4.17",
        ],
    ),
    ("RFC 9207", &["2.4", "2.4, absent", "4"]),
    (
        "OpenID Connect Core",
        &[
            "16.1", "16.2", "16.3", "16.4", "16.5", "16.6", "16.7", "16.8", "16.9", "16.10",
            "16.11", "16.12", "16.13", "16.14", "16.15", "16.16", "16.17", "16.18", "16.19",
            "16.20", "16.21", "16.22", "16.23",
        ],
    ),
    (
        "(V3)",
        &["3.3.1", "3.3.2", "3.3.3", "3.3.4", "3.5.1", "3.5.3"],
    ),
    (
        "(V6)",
        &[
            "6.1.1", "6.1.2", "6.1.3", "6.2", "6.3.1", "6.3.2", "6.3.3", "6.3.4", "6.4", "6.5",
            "6.6", "6.8.1", "6.8.2", "6.8.3", "6.8.4",
        ],
    ),
    (
        "(V7)",
        &[
            "7.1.1", "7.1.2", "7.1.3", "7.2.1", "7.2.2", "7.2.3", "7.2.4", "7.3.1", "7.3.2",
            "7.4.1", "7.4.2", "7.4.3", "7.4.4", "7.4.5", "7.5.1", "7.5.2", "7.6.1", "7.6.2",
        ],
    ),
    (
        "(V9)",
        &[
            "9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.2.2", "9.2.3", "9.2.4",
        ],
    ),
    (
        "(V10)",
        &[
            "10.1.1", "10.1.2", "10.2.1", "10.2.2", "10.3.1", "10.3.2", "10.3.3", "10.3.4",
            "10.5.1", "10.5.2", "10.5.3", "10.5.4", "10.5.5",
        ],
    ),
    ("(V14)", &["14.2.1", "14.3.1", "14.3.2", "14.3.3"]),
    (
        "(V16)",
        &[
            "16.2.1", "16.2.5", "16.3.1", "16.3.2", "16.4.1", "16.5.1", "16.5.3",
        ],
    ),
];

#[test]
fn every_requirement_has_a_test_or_a_reason() {
    let tests = test_names();
    let page = page("requirements");
    let tables: Vec<_> = page
        .split("\n#")
        .filter(|part| part.contains("|---|"))
        .collect();
    assert_eq!(tables.len(), REQUIREMENTS.len());
    for (table, (title, sections)) in tables.iter().zip(REQUIREMENTS) {
        assert!(table.lines().next().unwrap().contains(title), "{title}");
        let rows = table.lines().filter(|line| {
            line.starts_with("| ") && line[2..].starts_with(|first: char| first.is_ascii_digit())
        });
        let rows: Vec<_> = rows.collect();
        let numbers: Vec<_> = rows
            .iter()
            .map(|row| row.split('|').nth(1).unwrap().trim())
            .collect();
        assert_eq!(numbers, *sections, "{title}");
        for row in rows {
            let columns: Vec<_> = row.split(" | ").collect();
            assert_eq!(columns.len(), 4, "{row}");
            assert!(
                !columns.iter().any(|column| column.trim().is_empty()),
                "{row}"
            );
            for name in named_tests(row).iter().filter(|name| name.contains('_')) {
                assert!(tests.contains(*name), "there is no test `{name}`: {row}");
            }
        }
    }
}

/// The names of all functions in `tests` and `src`, but ignored tests, which `cargo test NAME` does not run.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["tests", "src"] {
        functions(Path::new(folder), &mut names);
    }
    names
}

fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            for item in source
                .split("\n\n")
                .filter(|item| !item.contains("#[ignore"))
            {
                let after = item.split("fn ").skip(1);
                let functions = after.filter_map(|rest| rest.split(['(', '<']).next());
                // Tests that a macro makes: their name, and the reason of the rejection.
                let made = item
                    .lines()
                    .filter_map(|line| line.split_once(", \""))
                    .map(|(name, _)| name.trim());
                names.extend(functions.chain(made).map(str::to_owned));
            }
        }
    }
}

/// The rows of the table whose first column has this title, without its header.
fn rows<'a>(page: &'a str, title: &str) -> Vec<&'a str> {
    let head = format!("| {title} |");
    page.lines()
        .skip_while(|line| !line.starts_with(&head))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect()
}

fn page(name: &str) -> String {
    fs::read_to_string(format!("src/guide/{name}.md")).unwrap()
}

#[test]
fn links_lead_to_files_pages_and_sections_that_exist() {
    let guide = fs::read_dir("src/guide").unwrap();
    let guide = guide.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned());
    let mut count = 0;
    for document in ["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]
        .into_iter()
        .chain(guide)
    {
        let text = fs::read_to_string(&document).unwrap();
        let links = text.split("](").skip(1);
        let links = links.filter_map(|link| link.split([')', ' ']).next());
        let examples = text.split('`').filter(|code| code.starts_with("examples/"));
        for link in links.chain(examples) {
            assert!(is_valid(link, &document), "{document}: {link}");
            count += 1;
        }
    }
    assert!(count > 100, "{count} links");
}

/// Leaves other sites and the code to rustdoc, which checks no sections.
fn is_valid(link: &str, document: &str) -> bool {
    const GUIDE: &str = "https://docs.rs/axum-oten/latest/axum_oten/guide/";
    let (target, section) = link.split_once('#').unwrap_or((link, ""));
    let this = document.strip_prefix("src/guide/");
    let name = if let Some(page) = target.strip_prefix(GUIDE) {
        page.trim_end_matches('/')
    } else if let Some(page) = target.strip_prefix("crate::guide::") {
        page
    } else if let (Some(this), "") = (this, target) {
        this.trim_end_matches(".md")
    } else if target.starts_with("https://") || target.starts_with("crate::") {
        return true;
    } else if this == Some("mod.rs") {
        target
    } else {
        return Path::new(target).exists();
    };
    let Ok(page) = fs::read_to_string(format!("src/guide/{name}.md")) else {
        return name.is_empty() || name == "crate";
    };
    let titles = page.lines().filter_map(|line| line.strip_prefix("# "));
    let mut anchors = titles.map(|title| title.to_lowercase().replace(' ', "-"));
    section.is_empty() || anchors.any(|anchor| anchor.replace('`', "") == section)
}
