//! How text looks on the terminal at hand: colour, width, and whether it can show
//! more than ASCII. Nothing may depend on colour to be understood.

use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Paragraphs wider than this are tiring to read, however wide the terminal is.
const WIDEST: usize = 100;
/// Narrower than this, columns stop making sense; the terminal wraps by itself.
const NARROWEST: usize = 40;
/// Where no terminal says otherwise.
const USUAL: usize = 80;

/// The terminal's abilities, and the reader's wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    /// Columns to fill at most.
    pub width: usize,
    /// May anything beyond ASCII be written? If not, it is escaped: on a terminal with an
    /// eight-bit character set, a byte of a UTF-8 sequence can be a control character.
    pub unicode: bool,
}

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Plain,
    Strong,
    Dim,
    Critical,
    High,
    Medium,
    Low,
    Good,
    Bad,
    Wary,
    /// Something to type.
    Command,
}

impl Role {
    /// The parameters of SGR (ECMA-48, 8.3.117). Only the eight basic colours, which every
    /// theme makes readable on its own ground.
    const fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "1",
            Self::Dim => "2",
            Self::Critical => "1;31",
            Self::High | Self::Bad => "31",
            Self::Medium | Self::Wary => "33",
            Self::Low => "34",
            Self::Good => "32",
            Self::Command => "36",
        }
    }
}

impl From<model::Severity> for Role {
    fn from(severity: model::Severity) -> Self {
        match severity {
            model::Severity::Critical => Self::Critical,
            model::Severity::High => Self::High,
            model::Severity::Medium => Self::Medium,
            model::Severity::Low => Self::Low,
        }
    }
}

impl Style {
    pub fn for_stdout() -> Self {
        Self::of(&std::io::stdout())
    }

    pub fn for_stderr() -> Self {
        Self::of(&std::io::stderr())
    }

    /// Without colour, for files and tests.
    pub const fn plain(width: usize, unicode: bool) -> Self {
        Self {
            colour: false,
            width,
            unicode,
        }
    }

    fn of(stream: &(impl IsTerminal + AsFd)) -> Self {
        let terminal = stream.is_terminal();
        let columns = terminal
            .then(|| rustix::termios::tcgetwinsize(stream).ok())
            .flatten()
            .map(|size| usize::from(size.ws_col));
        Self::from_environment(terminal, columns, |name| std::env::var(name).ok())
    }

    /// The same with the environment handed in. `columns` is the terminal's width, where known.
    pub fn from_environment(
        terminal: bool,
        columns: Option<usize>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        // https://no-color.org: set to anything but nothing.
        let colour =
            terminal && given("NO_COLOR").is_none() && given("TERM").is_none_or(|t| t != "dumb");
        // locale(7): the first of these that is set decides.
        let charset = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(given);
        let unicode = charset.is_some_and(|name| {
            let name = name.to_ascii_lowercase();
            name.ends_with("utf-8") || name.ends_with("utf8")
        });
        let width = columns
            .filter(|columns| *columns > 0)
            .map_or(USUAL, |columns| columns.clamp(NARROWEST, WIDEST));
        Self {
            colour,
            width,
            unicode,
        }
    }

    /// The text in its role's colour.
    pub fn paint(&self, role: Role, text: &str) -> String {
        if !self.colour || role.sgr().is_empty() || text.is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{}m{text}\x1b[0m", role.sgr())
    }

    /// Our own signs, or what stands for them in ASCII.
    pub const fn sign(&self, sign: Sign) -> &'static str {
        match (sign, self.unicode) {
            (Sign::Done, true) => "✓",
            (Sign::Done, false) => "ok",
            (Sign::Failed, true) => "✗",
            (Sign::Failed, false) => "!!",
            (Sign::Waiting, true) => "…",
            (Sign::Waiting, false) => "..",
            (Sign::To, true) => "→",
            (Sign::To, false) => "->",
            (Sign::Bar, true) => "│",
            (Sign::Bar, false) => "|",
            (Sign::More, true) => "…",
            (Sign::More, false) => "...",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Done,
    Failed,
    Waiting,
    /// From one value to another.
    To,
    /// Between a line number and the line.
    Bar,
    /// Something was left out here.
    More,
}
