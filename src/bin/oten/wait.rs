use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// Shows on a terminal that something is being waited for; elsewhere nothing.
#[derive(Debug)]
pub(crate) struct Wait(ProgressBar);

impl Wait {
    pub(crate) fn new() -> Self {
        // Draws on stderr, if that is a terminal.
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("  {spinner} waiting for {msg} …") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Says what is being waited for.
    pub(crate) fn waits_for(&self, what: &'static str) {
        self.0.set_message(what);
        self.0.enable_steady_tick(TICK);
    }

    /// Lets something be printed in between.
    pub(crate) fn aside(&self, print: impl FnOnce()) {
        if self.0.message().is_empty() {
            print();
        } else {
            self.0.suspend(print);
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
