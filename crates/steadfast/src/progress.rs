//! Progress of long work, on standard error, and only when that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A single line that says what is going on, and is gone afterwards.
pub struct Progress(ProgressBar);

impl Progress {
    /// `indicatif` draws nothing when standard error is not a terminal.
    pub fn on_stderr() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Draws nothing: for looks within other work that shows itself.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    pub fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
        // Ten times a second: smooth to the eye, nothing to the processor.
        self.0.enable_steady_tick(Duration::from_millis(100));
    }

    pub fn observing(&self, event: &host::Progress) {
        match event {
            host::Progress::Walk { entries, .. } => {
                self.say(format!("walking local file systems: {entries} files"));
            }
            host::Progress::Round { .. } => self.say("looking"),
        }
    }

    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}
