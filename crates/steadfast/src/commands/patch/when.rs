//! When a patch may begin on this host.

use std::str::FromStr;
use std::time::Duration;

use ::plan::window::{BadWindow, Slot, Start, Window};
use host::LocalHost;
use jiff::{SignedDuration, Timestamp};
use model::Digest;
use model::effect::USUAL_NEED_SECONDS;
use model::plan::Selection;

use crate::context;
use crate::duration::Span;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::patch::{Begins, span};

const USUAL_NEED: Duration = Duration::from_secs(USUAL_NEED_SECONDS);

/// A window as it was written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    text: String,
    window: Window,
}

impl FromStr for Written {
    type Err = BadWindow;

    fn from_str(text: &str) -> Result<Self, BadWindow> {
        Ok(Self {
            text: text.trim().to_owned(),
            window: Window::parse(text, &host::zones::named)?,
        })
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct When {
    /// Begin only in this window, at this host's own place in it, in UTC or the time zone at its end:
    /// "daily 01:00-04:00 Europe/Berlin"; several after commas: "Mon-Fri 22:00-02:00, Sat 01:00-03:00"
    #[arg(long, value_name = "WINDOW")]
    window: Option<Written>,
    /// How long it takes at most: what can't end within the window is not begun [default: 30m]
    #[arg(long, value_name = "TIME", requires = "window")]
    needs: Option<Span>,
}

impl When {
    /// As it is kept in a plan. An upgrade is stopped where it would end after its window.
    pub(super) fn select(&self, selection: &mut Selection) {
        let Some(written) = &self.window else {
            return;
        };
        let needs = self.needs.map_or(USUAL_NEED, |needs| needs.0).as_secs();
        selection.window = Some(written.text.clone());
        selection.needs_seconds = Some(needs);
        selection.limit_seconds = Some(selection.limit_seconds.map_or(needs, |at| at.min(needs)));
    }

    /// The window of a saved plan, or the one that is asked for beside it.
    pub(super) fn with_saved(&self, saved: &Selection) -> Result<Option<Times>, Failure> {
        let planned = Times::of(saved)?;
        let (Some(written), Some(planned)) = (&self.window, &planned) else {
            return Ok(planned.or_else(|| self.times()));
        };
        let same_need = self.needs.is_none_or(|needs| needs.0 == planned.needs);
        match written.window == planned.window && same_need {
            true => Ok(Some(planned.clone())),
            false => Err(Failure::new(
                Exit::BadInput,
                format_args!("this plan has a window of its own: {}", planned.window),
                "nothing was changed; plan it again with the other window",
            )),
        }
    }

    pub(super) fn times(&self) -> Option<Times> {
        let written = self.window.as_ref()?;
        Some(Times {
            window: written.window.clone(),
            needs: self.needs.map_or(USUAL_NEED, |needs| needs.0),
        })
    }
}

/// A window, and what is needed of it.
#[derive(Clone, Debug)]
pub(super) struct Times {
    window: Window,
    needs: Duration,
}

impl Times {
    /// Those that a plan was saved with.
    pub(super) fn of(selection: &Selection) -> Result<Option<Self>, Failure> {
        let Some(text) = &selection.window else {
            return Ok(None);
        };
        let window = Window::parse(text, &host::zones::named)
            .map_err(|error| Failure::with_help(Exit::BadInput, error, "plan it again"))?;
        let needs = selection.needs_seconds.map(Duration::from_secs);
        Ok(Some(Self {
            window,
            needs: needs.unwrap_or(USUAL_NEED),
        }))
    }

    pub(super) const fn needs(&self) -> Duration {
        self.needs
    }

    /// This host's place in its next window. What takes longer than any window is refused.
    pub(super) fn begins(&self, host: &LocalHost) -> Result<Begins, Failure> {
        let now = Timestamp::now();
        let Some(slot) = self.slot(now, host) else {
            return Err(self.too_short());
        };
        Ok(Begins {
            now: now >= slot.first,
            first: slot.first,
            last: slot.last,
            closes: slot.closes,
            needs_seconds: self.needs.as_secs(),
        })
    }

    /// Waits for this host's place in a window that is open, or `for_next` one. Is it there? A closed
    /// one is no time to begin, and no fault either: whoever asks each night is told and goes on.
    pub(super) fn wait(&self, host: &LocalHost, for_next: bool) -> Result<bool, Failure> {
        context::heed_interrupts();
        loop {
            let first = match self.start(host) {
                Start::Now => return Ok(true),
                Start::Never => return Err(self.too_short()),
                Start::Later(first) => first,
                Start::Closed(first) if for_next => first,
                Start::Closed(first) => {
                    crate::say(format_args!(
                        "nothing was changed: the window ({}) is closed, or too little of it is \
                         left, and this host begins at {first:.0}",
                        self.window
                    ));
                    return Ok(false);
                }
            };
            crate::say(format_args!(
                "this host begins at {first:.0} (Ctrl-C ends the wait)"
            ));
            while Timestamp::now() < first {
                if context::is_interrupted() {
                    return Err(Failure::new(
                        Exit::Findings,
                        "interrupted while it waited",
                        "nothing was changed",
                    ));
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }

    pub(super) fn refuse_unless_open(&self, host: &LocalHost) -> Result<(), Failure> {
        match self.start(host) {
            Start::Now => Ok(()),
            Start::Later(next) | Start::Closed(next) => Err(Failure::new(
                Exit::Findings,
                format_args!(
                    "the window ({}) is closed, or too little of it is left",
                    self.window
                ),
                format_args!("nothing was changed; this host may begin at {next:.0}"),
            )),
            Start::Never => Err(self.too_short()),
        }
    }

    /// Is the window open, and stays so for that long?
    pub(super) fn is_open_for(&self, needs: Duration) -> bool {
        let now = Timestamp::now();
        let needs = SignedDuration::try_from(needs).unwrap_or(SignedDuration::MAX);
        let slot = self.window.slot(now, &Digest::of(b""), needs);
        slot.is_some_and(|slot| now >= slot.opens)
    }

    fn too_short(&self) -> Failure {
        Failure::new(
            Exit::BadInput,
            format_args!(
                "the window ({}) is shorter than the {} that are reckoned with",
                self.window,
                span(self.needs)
            ),
            "nothing was changed; take a longer window, or reckon with less: --needs",
        )
    }

    fn start(&self, host: &LocalHost) -> Start {
        self.window
            .start(Timestamp::now(), &digest(host), self.reckoned())
    }

    fn slot(&self, now: Timestamp, host: &LocalHost) -> Option<Slot> {
        self.window.slot(now, &digest(host), self.reckoned())
    }

    fn reckoned(&self) -> SignedDuration {
        SignedDuration::try_from(self.needs).unwrap_or(SignedDuration::MAX)
    }
}

/// What spreads the hosts of a fleet over a window: each one's own, and always the same.
fn digest(host: &LocalHost) -> Digest {
    let identity = host.identity();
    let of_name = || Digest::of(identity.hostname.as_bytes());
    identity.machine.unwrap_or_else(of_name)
}
