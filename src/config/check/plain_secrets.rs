use ::url::Url;

use super::checker::Checker;
use crate::config::{
    Key, Origin,
    keys::{self, Shape},
    raw::Given,
};

/// Secrets that stand in a TOML file as they are. Such files are copied, shown to helpers and put
/// under version control.
pub(super) fn check(checker: &mut Checker<'_>) {
    let secrets = Key::all().iter().filter(|key| key.shape() == Shape::Secret);
    for key in secrets {
        let Some(value) = checker.raw.get(key) else {
            continue;
        };
        let (Given::Text(text), Origin::File(_)) = (&value.given, &value.origin) else {
            continue;
        };
        if is_secret(key, text.expose()) {
            let cure = format!(
                "Set {} instead, or here `{}` to the path of a file that holds nothing else.",
                key.variable(),
                key.file_name().unwrap_or_default(),
            );
            checker.discourage(
                key,
                "holds a secret in the open, in a file that gets copied and shown around",
                &cure,
            );
        }
    }
}

/// An address is a secret if a password is in it.
fn is_secret(key: &Key, text: &str) -> bool {
    let is_address = [keys::SESSION_STORE.name(), keys::PROXY.name()].contains(&key.name());
    !is_address || Url::parse(text).is_ok_and(|url| has_password(&url))
}

fn has_password(url: &Url) -> bool {
    let names_one = |name: &str| name.to_ascii_lowercase().contains("password");
    url.password().is_some() || url.query_pairs().any(|(name, _)| names_one(&name))
}
