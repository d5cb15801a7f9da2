use super::checker::Checker;
use crate::config::Problem;

/// Secrets that stand in a TOML file as they are, also where something else is used instead. Such
/// files are copied, shown to helpers and put under version control.
pub(super) fn check(checker: &mut Checker<'_>) {
    for (key, origin) in &checker.raw.plain_secrets {
        let cure = format!(
            "Remove it there. Set {} instead, or in the file `{}` to the path of a file that holds \
             nothing else.",
            key.variable(),
            key.file_name().unwrap_or_default(),
        );
        checker.discourage_problem(Problem {
            key: key.name().to_owned(),
            origin: origin.clone(),
            message: "holds a secret in the open, in a file that gets copied and shown around"
                .to_owned(),
            cure,
        });
    }
}
