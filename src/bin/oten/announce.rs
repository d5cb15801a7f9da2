use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

/// Tells whoever started the program where the site is and what to do there: a title, and a line
/// for each label with its text.
pub(crate) fn announce(title: &str, lines: &[(&str, &str)]) {
    let width = lines.iter().map(|(label, _)| label.len()).max();
    let width = width.unwrap_or_default();
    let mut page = format!("\n  {title}\n\n");
    for (label, text) in lines {
        // Writing to a string does not fail.
        let _ = writeln!(page, "    {label:width$}   {text}");
    }
    page.push('\n');
    // Whoever closed stdout does not want to read it; the site goes on.
    let _ = io::stdout().lock().write_all(page.as_bytes());
}
