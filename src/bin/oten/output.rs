use std::io::{self, Write};

use crate::failure::Failure;

/// Writes what was asked for to stdout, to the end: half a key in a redirected file is none.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Failure::Output)
}

/// Tells the person at the terminal something that is not part of the output.
pub(crate) fn hint(text: &str) {
    // Whoever closed stderr does not want to read it.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
