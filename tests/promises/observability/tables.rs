use std::{collections::BTreeSet, fs, path::Path};

use axum_oten::{
    audit::{EventKind, Reason},
    metric::Metric,
};

/// The names after `Reason::` in the sources of a folder.
fn reasons_in(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            reasons_in(&path, names);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let paths = source.split("Reason::").skip(1);
        let variants = paths.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next());
        names.extend(variants.map(str::to_owned));
    }
}

#[test]
fn b5_every_reason_is_given_by_an_error() {
    let mut given = BTreeSet::new();
    for module in ["protocol", "provider", "web"] {
        reasons_in(&Path::new("src").join(module), &mut given);
    }
    for reason in Reason::all() {
        assert!(given.contains(&format!("{reason:?}")), "{reason:?}");
    }
}

#[test]
fn b5_every_reason_has_its_own_code() {
    let codes: BTreeSet<_> = Reason::all().iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), Reason::all().len());
    for code in codes {
        let is_valid = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        assert!(code.bytes().all(is_valid), "{code}");
    }
}

/// The tables in the documentation are generated from these texts.
#[test]
fn b5_descriptions_are_sentences_that_fit_in_a_table() {
    let reasons = Reason::all().iter();
    let reasons = reasons.flat_map(|reason| [reason.description(), reason.help()]);
    let events = EventKind::all().iter().map(|kind| kind.description());
    let metrics = Metric::all().iter().map(|metric| metric.description());
    for sentence in reasons.chain(events).chain(metrics) {
        assert!(sentence.ends_with('.'), "{sentence}");
        assert!(!sentence.contains(['|', '\n']), "{sentence}");
    }
}
