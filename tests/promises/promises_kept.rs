//! Every promise of `PROMISES.md` has a test whose name begins with its number.

use std::{fs, path::Path};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_promise_has_a_test() {
    let promises = fs::read_to_string(Path::new(ROOT).join("tests/PROMISES.md")).unwrap();
    let tests = [sources("tests"), sources("src")].concat();
    let numbers: Vec<_> = promises
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split_once("** "))
        .map(|(number, _)| number.to_lowercase())
        .collect();
    assert!(numbers.len() > 20, "the list was not found");
    for number in numbers {
        let test = format!("fn {number}_");
        assert!(
            tests.iter().any(|source| source.contains(&test)),
            "no test is named `{number}_…`"
        );
    }
}

fn sources(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}
