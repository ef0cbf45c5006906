//! `steadfast reference`: the generated pages of `docs/reference/`, for `cargo xtask docs`.

use std::path::PathBuf;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::reference;

/// Write the reference pages into a directory
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    for page in reference::pages() {
        std::fs::write(args.output.join(page.file), page.text)?;
    }
    Ok(Exit::AsWanted)
}
