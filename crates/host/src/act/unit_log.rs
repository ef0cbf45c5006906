//! The last words of a unit that did not come up: its own lines of the journal say why, which
//! systemd's word for the failure does not.

use std::time::Duration;

use model::printable;
use model::secrets::hidden;

use super::ActError;
use super::program::Program;

/// A program says in its last lines why it ends.
const LINES: usize = 5;
/// Of a longer line, its start is enough.
const LINE_LIMIT_CHARS: usize = 300;
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// The last lines that the journal has of a unit, harmless to show; empty where it has none or can't
/// be asked.
fn last_lines(name: &str) -> Vec<String> {
    let lines = format!("--lines={LINES}");
    let unit = format!("--unit={name}");
    let asked = Program::find(&["/usr/bin/journalctl", "/bin/journalctl"]).and_then(|program| {
        program
            .args(["--quiet", "--no-pager", "--output=cat", "--boot"])
            .args([lines.as_str(), unit.as_str()])
            .limit(ASK_LIMIT)
            .run()
    });
    match asked {
        Ok(ended) if ended.succeeded() => ended.stdout.lines().filter_map(shown).collect(),
        _ => Vec::new(),
    }
}

fn shown(line: &str) -> Option<String> {
    let line = line.trim();
    let start: String = line.chars().take(LINE_LIMIT_CHARS).collect();
    (!start.is_empty()).then(|| hidden(&printable(start.as_bytes()), false).into_owned())
}

/// Why a unit is not up, with its last words.
pub fn with_last_lines(name: &str, why: &str) -> String {
    match last_lines(name).as_slice() {
        [] => why.to_owned(),
        lines => format!("{why}; its journal ends with: {}", lines.join(" | ")),
    }
}

/// A failure of systemctl about a unit, with the unit's last words.
pub(super) fn explained(error: ActError, name: &str) -> ActError {
    match error {
        ActError::Failed { program, why } => ActError::Failed {
            program,
            why: with_last_lines(name, &why),
        },
        other => other,
    }
}
