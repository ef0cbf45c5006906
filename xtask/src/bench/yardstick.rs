//! What stands beside work that no other tool does: `zstd -19` of one file, which is the same each
//! time. Two runs on two machines are compared by their ratios to it.

use std::fmt::Write as _;
use std::sync::OnceLock;

use super::{Ground, TURNS, Taken, alone, fresh, text, write};
use crate::Result;

/// Lines of the file, some 4 MB.
const LINES: u32 = 100_000;

/// What the yardstick takes here, measured once in a run.
pub(super) fn yardstick(ground: &Ground) -> Result<Taken> {
    static MEASURED: OnceLock<Taken> = OnceLock::new();
    if let Some(taken) = MEASURED.get() {
        return Ok(*taken);
    }
    let file = fresh(ground, "yardstick")?.join("file");
    let (mut content, mut number) = (String::new(), 1_u32);
    for line in 0..LINES {
        // A linear congruential generator (Numerical Recipes): neither all alike nor all random.
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let _ = writeln!(content, "line {line} of the yardstick says {number:08x}");
    }
    write(&file, &content)?;
    let argv = [
        "/usr/bin/zstd",
        "-19",
        "--single-thread",
        "-q",
        "-c",
        text(&file)?,
    ];
    let taken = alone(&argv, TURNS)?;
    Ok(*MEASURED.get_or_init(|| taken))
}

/// How it is written in the column of peers, and the ratio to it.
pub(super) fn beside(ground: &Ground, ours: Taken) -> Result<(String, String)> {
    let yardstick = yardstick(ground)?;
    Ok((
        format!("`zstd -19` of 4 MB: {:.3} s CPU", yardstick.cpu_s),
        format!("{:.3}", ours.cpu_s / yardstick.cpu_s),
    ))
}
