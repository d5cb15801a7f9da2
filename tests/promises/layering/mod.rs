//! The layers of the modules, and the imports among files.

mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use self::sources::{Crate, Edge, Imports};

/// The modules of the library from the lowest layer to the highest. A module uses lower layers only.
const LAYERS: [&[&str]; 9] = [
    &["clock", "secret", "error", "iter", "json", "text"],
    &["jose", "seal", "audit"],
    &["metric"],
    &["http"],
    &["config"],
    &["provider", "store"],
    &["protocol"],
    &["session"],
    &["check", "web"],
];

/// The number of layers that are foundations.
const FOUNDATIONS: usize = 4;

static LIBRARY: LazyLock<Crate> = LazyLock::new(|| {
    let mut library = Crate::read("src", "lib.rs");
    library
        .files
        .retain(|file| !file.path.starts_with("src/bin"));
    library.index()
});

static PROGRAM: LazyLock<Crate> = LazyLock::new(|| Crate::read("src/bin/oten", "main.rs").index());

#[test]
fn modules_use_lower_layers_only() {
    let violations = violations(|from, to| match (layer_of(from), layer_of(to)) {
        (Some(from), Some(to)) => to < from,
        (Some(_), None) => false,
        (None, _) => true,
    });
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_emulator_uses_foundations_only() {
    // It must not share the client's bugs.
    let is_foundation = |to: &str| layer_of(to).is_some_and(|layer| layer < FOUNDATIONS);
    let violations = violations(|from, to| from != "emulator" || is_foundation(to));
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// The imports from one module of the library to another that `is_allowed` denies.
fn violations(is_allowed: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let imports = LIBRARY.imports();
    let modules = |(from, to): &Edge| (module_of(from), module_of(to));
    let denied = imports.iter().filter(|(edge, _)| {
        let (from, to) = modules(edge);
        from != to && !is_allowed(&from, &to)
    });
    denied.map(|(edge, names)| describe(edge, names)).collect()
}

#[test]
fn the_table_for_contributors_lists_the_layers() {
    let document = std::fs::read_to_string("CONTRIBUTING.md").unwrap();
    let rows = document
        .lines()
        .skip_while(|line| !line.starts_with("| layer |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let layers = rows.flat_map(|row| row.split(" then "));
    let layers: Vec<Vec<_>> = layers
        .map(|layer| layer.split('`').skip(1).step_by(2).collect())
        .collect();
    assert_eq!(layers, LAYERS);
}

#[test]
fn every_module_has_a_layer() {
    let modules: BTreeSet<_> = LIBRARY
        .files
        .iter()
        .map(|file| module_of(&file.path))
        .collect();
    let layered = LAYERS
        .concat()
        .into_iter()
        .chain(["emulator", "fuzz", "guide", "lib"]);
    assert_eq!(modules, layered.map(str::to_owned).collect());
}

#[test]
fn files_import_each_other_in_no_circle() {
    let mut circles = Vec::new();
    for imports in [LIBRARY.imports(), PROGRAM.imports()] {
        circles.extend(circles_in(&imports));
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn the_program_uses_the_public_api_only() {
    for file in &PROGRAM.files {
        let path = file.path.display();
        for include in ["#[path", "include!("] {
            assert!(
                !file.source.contains(include),
                "{path} includes another file"
            );
        }
    }
}

#[test]
fn only_web_and_the_emulator_use_axum() {
    for file in &LIBRARY.files {
        let module = module_of(&file.path);
        if layer_of(&module).is_some() && module != "web" {
            let path = file.paths.iter().find(|path| path[0] == "axum");
            assert!(path.is_none(), "{}: {path:?}", file.path.display());
        }
    }
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The top-level module of a file: `web` for `src/web/oten.rs`, `clock` for `src/clock.rs`.
fn module_of(path: &Path) -> String {
    let module = path
        .strip_prefix("src")
        .unwrap()
        .components()
        .next()
        .unwrap();
    module
        .as_os_str()
        .to_str()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

fn describe((from, to): &Edge, names: &BTreeSet<String>) -> String {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    format!(
        "{} uses {} of {}",
        from.display(),
        names.join(", "),
        to.display()
    )
}

/// A description of each set of files that reach each other.
fn circles_in(imports: &Imports) -> Vec<String> {
    let reachable: BTreeMap<_, _> = imports
        .keys()
        .map(|(from, _)| (from, reached_from(from, imports)))
        .collect();
    let is_circular = |(from, to): &Edge| {
        reachable
            .get(to)
            .is_some_and(|reached| reached.contains(from))
    };
    let mut circles: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (edge, names) in imports.iter().filter(|(edge, _)| is_circular(edge)) {
        // Each file of a circle reaches the same files, itself included.
        circles
            .entry(&reachable[&edge.0])
            .or_default()
            .push(describe(edge, names));
    }
    circles
        .values()
        .map(|edges| format!("circle:\n  {}", edges.join("\n  ")))
        .collect()
}

fn reached_from<'a>(file: &'a PathBuf, imports: &'a Imports) -> BTreeSet<&'a PathBuf> {
    let (mut reached, mut to_visit) = (BTreeSet::new(), vec![file]);
    while let Some(file) = to_visit.pop() {
        let imported = imports.keys().filter(|(from, _)| from == file);
        to_visit.extend(imported.map(|(_, to)| to).filter(|to| reached.insert(*to)));
    }
    reached
}

#[test]
fn a_circle_is_reported_with_its_names() {
    let file = |name: &str| PathBuf::from(format!("src/{name}.rs"));
    let names = |name: &str| BTreeSet::from([name.to_owned()]);
    let mut imports = Imports::from([
        ((file("a"), file("b")), names("B")),
        ((file("b"), file("c")), names("C")),
    ]);
    assert!(circles_in(&imports).is_empty());
    imports.insert((file("c"), file("a")), names("A"));
    let circle = "circle:\n  src/a.rs uses B of src/b.rs\n  src/b.rs uses C of src/c.rs\n  src/c.rs uses A of src/a.rs";
    assert_eq!(circles_in(&imports), [circle]);
}

#[test]
fn a_name_is_followed_to_the_file_that_defines_it() {
    let edge = ("src/web/login.rs".into(), "src/session/return_to.rs".into());
    assert!(
        LIBRARY.imports()[&edge].contains("ReturnTo"),
        "a name re-exported by `session`"
    );
}
