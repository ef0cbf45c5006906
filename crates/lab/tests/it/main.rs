//! Proof that the lab's hosts are real: they boot, run, keep and lose what they should.
//!
//! Modules named `lab_*` need root and the lab; elsewhere they say `skipped: …` and prove nothing.

#![expect(
    clippy::print_stderr,
    reason = "a test that fails or is skipped says why"
)]

use std::path::PathBuf;

use lab::Requirements;

mod lab_container;
mod lab_machine;

/// Whether the lab may be used; where not, the reason is said.
fn lab_is_wanted(needs: Requirements) -> bool {
    match lab::wanted(std::env::var_os("STEADFAST_LAB").as_deref(), needs) {
        Ok(()) => {
            lab::tell_failures(|words| eprintln!("{words}"));
            true
        }
        Err(why) => {
            eprintln!("skipped: {why}");
            false
        }
    }
}

/// Where images are kept: `STEADFAST_LAB_CACHE`, or the usual place.
fn cache() -> PathBuf {
    std::env::var_os("STEADFAST_LAB_CACHE").map_or_else(|| lab::DEFAULT_CACHE.into(), PathBuf::from)
}
