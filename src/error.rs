use std::{error::Error, iter};

/// Returns an error and its sources in one line, separated by colons.
// Public for the program `oten`, which prints its errors in the same form.
pub fn with_causes(error: &dyn Error) -> String {
    let errors = iter::successors(Some(error), |error| (**error).source());
    let texts: Vec<String> = errors.map(ToString::to_string).collect();
    texts.join(": ")
}
