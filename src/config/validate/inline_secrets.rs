use super::validator::Validator;
use crate::config::Problem;

/// Secrets that stand in a TOML file as they are, also where something else is used instead. Such
/// files are copied, shown to helpers and put under version control.
pub(super) fn check(validator: &mut Validator<'_>) {
    for (key, origin) in &validator.raw.inline_secrets {
        let help = format!(
            "Remove it there. Set {} instead, or in the file `{}` to the path of a file that holds \
             nothing else.",
            key.variable(),
            key.file_name().unwrap_or_default(),
        );
        validator.discourage_problem(Problem {
            key: key.name().to_owned(),
            origin: origin.clone(),
            message: "holds a secret in the open, in a file that gets copied and shown around"
                .to_owned(),
            help,
        });
    }
}
