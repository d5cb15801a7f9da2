//! Configuration files. The word MARKER stands for secrets.

#![no_main]

use axum_oten::config::ConfigBuilder;
use libfuzzer_sys::fuzz_target;
use toml::{Table, Value};

const MARKER: &str = "MARKER";

fuzz_target!(|text: &str| {
    // The names of unknown settings are printed.
    let table = text.parse::<Table>();
    if table
        .as_ref()
        .is_ok_and(|table| table.iter().any(|(name, value)| is_shown(name, value)))
    {
        return;
    }
    let builder = match ConfigBuilder::from_toml("oten.toml", text) {
        Ok(builder) => {
            assert!(table.is_ok());
            builder
        }
        Err(error) => {
            assert!(
                table.is_err() && !format!("{error} {error:?}").contains(MARKER),
                "{error}"
            );
            return;
        }
    };
    let _ = builder.is_production();
    if let Err(error) = builder.clone().build_api() {
        assert!(!error.problems().is_empty());
        assert!(!format!("{error} {error:?}").contains(MARKER), "{error}");
    }
    match builder.build() {
        Err(error) => {
            assert!(!error.problems().is_empty());
            assert!(!format!("{error} {error:?}").contains(MARKER), "{error}");
        }
        Ok(config) => {
            assert!(!format!("{:?}", config.warnings()).contains(MARKER));
            let others = table
                .unwrap()
                .into_iter()
                .filter(|(name, _)| name != "client_secret");
            if !format!("{:?}", others.collect::<Table>()).contains(MARKER) {
                assert!(!format!("{config:?}").contains(MARKER));
            }
        }
    }
});

/// Whether problems may show the marker: in names, in paths of files and in redirect URIs.
fn is_shown(name: &str, value: &Value) -> bool {
    let is_public = ["_file", "redirect_uri", "native_links"]
        .iter()
        .any(|end| name.ends_with(end));
    is_public && format!("{value:?}").contains(MARKER)
        || name.contains(MARKER)
        || has_marked_name(value)
}

fn has_marked_name(value: &Value) -> bool {
    match value {
        Value::Table(table) => table
            .iter()
            .any(|(name, value)| name.contains(MARKER) || has_marked_name(value)),
        Value::Array(values) => values.iter().any(has_marked_name),
        _ => false,
    }
}
