use std::borrow::Cow;

/// How many edits a name may be away from what was meant.
const MAX_EDITS: usize = 2;

/// The name that was probably meant.
pub(super) fn closest(
    name: &str,
    names: impl Iterator<Item = Cow<'static, str>>,
) -> Option<Cow<'static, str>> {
    names
        .map(|candidate| (edits(name, &candidate), candidate))
        .filter(|(edits, _)| *edits <= MAX_EDITS)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The Levenshtein distance: how many characters to insert, remove or replace.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replace = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        for (name, meant) in [
            ("scope", Some("scopes")),
            ("redirect_url", Some("redirect_uri")),
            ("clientid", Some("client_id")),
            ("client-secret", Some("client_secret")),
            ("client_secret_fil", Some("client_secret_file")),
            ("enviroment", Some("environment")),
            ("database", None),
            ("", None),
        ] {
            assert_eq!(closest(name, keys::names()).as_deref(), meant, "{name}");
        }
    }
}
