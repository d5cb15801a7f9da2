use std::io::{self, Write};

/// Tells whoever started the program where the site is and what to do there: a title, and a line
/// for each label with its text.
pub(crate) fn announce(title: &str, lines: &[(&str, &str)]) {
    let width = lines
        .iter()
        .map(|(label, _)| label.len())
        .max()
        .unwrap_or(0);
    let lines: String = lines
        .iter()
        .map(|(label, text)| format!("    {label:width$}   {text}\n"))
        .collect();
    let text = format!("\n  {title}\n\n{lines}\n");
    // Whoever closed stdout does not want to read it; the site goes on.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}
