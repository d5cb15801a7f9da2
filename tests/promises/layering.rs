//! The rule that keeps the rooms apart: a room uses those above it and the leaves, nothing else.

use std::{fs, path::Path};

/// What every room may use.
const LEAVES: [&str; 8] = [
    "audit", "clock", "error", "http", "jose", "metric", "seal", "secret",
];

/// The rooms from top to bottom.
const ROOMS: [&str; 7] = [
    "config", "provider", "protocol", "store", "session", "check", "web",
];

#[test]
fn rooms_use_only_the_rooms_above_them() {
    for (floor, room) in ROOMS.iter().enumerate() {
        let allowed = |used: &str| LEAVES.contains(&used) || ROOMS[..=floor].contains(&used);
        check(room, allowed);
    }
}

#[test]
fn the_emulator_and_the_leaves_use_leaves_only() {
    check("emulator", |used| {
        used == "emulator" || LEAVES.contains(&used)
    });
    for leaf in LEAVES {
        check(leaf, |used| LEAVES.contains(&used));
    }
}

#[test]
fn the_program_uses_the_public_api_only() {
    for (file, source) in sources(Path::new("src/bin/oten")) {
        assert!(
            !source.contains("#[path"),
            "{file} takes a file from elsewhere"
        );
        assert!(
            !source.contains("include!("),
            "{file} takes a file from elsewhere"
        );
    }
}

#[test]
fn only_web_and_the_emulator_know_axum() {
    for room in ROOMS.iter().chain(&LEAVES).filter(|room| **room != "web") {
        for (file, source) in room_sources(room) {
            let code = source.lines().filter(|line| !is_comment(line));
            for line in code {
                assert!(!line.contains("axum::"), "{file}: {line}");
            }
        }
    }
}

fn check(room: &str, allowed: impl Fn(&str) -> bool) {
    let sources = room_sources(room);
    assert!(!sources.is_empty(), "no room `{room}`");
    for (file, source) in sources {
        for used in used_rooms(&source) {
            assert!(
                allowed(&used),
                "{file} uses `crate::{used}`, which is not above `{room}`"
            );
        }
    }
}

/// The first segment of every `crate::` path, also of those in `use crate::{…}`.
fn used_rooms(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .filter(|line| !is_comment(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => used.push(first_segment(rest)),
            Some(group) => used.extend(top_level_items(group).map(first_segment)),
        }
    }
    used
}

/// The items of `{a, b::{c, d}, e}`, given all after the first brace.
fn top_level_items(group: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut start, mut items) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            items.push(group[start..at].trim());
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    items.into_iter().filter(|item| !item.is_empty())
}

fn first_segment(path: &str) -> String {
    path.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn room_sources(room: &str) -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = sources(&src.join(room));
    let file = src.join(format!("{room}.rs"));
    if let Ok(source) = fs::read_to_string(&file) {
        found.push((file.display().to_string(), source));
    }
    found
}

fn sources(folder: &Path) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            found.push((path.display().to_string(), source));
        }
    }
    found
}

#[test]
fn the_rule_can_be_broken() {
    let source = "use crate::{\n    jose::{Key, web},\n    web::Oten,\n};\nlet x = crate::store::X;\n// crate::never";
    assert_eq!(used_rooms(source), ["jose", "web", "store"]);
}
