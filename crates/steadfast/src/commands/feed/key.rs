//! `steadfast feed key`: a new pair of keys for bundles.

use std::path::PathBuf;

use host::feeds;

use super::refused;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::show;
use crate::style::Style;

/// Make a key that signs bundles
///
/// The secret half goes into the file, which only you can read, and the public half beside it,
/// into NAME.pub.pem: that one goes to the hosts. Nothing is overwritten. Both are PEM (PKCS#8
/// and SubjectPublicKeyInfo), which openssl reads and writes as well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  steadfast feed key ana.pem")]
pub struct Args {
    #[arg(value_name = "NAME.pem")]
    path: PathBuf,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let (public, public_path) = feeds::generate(&args.path).map_err(refused)?;
    let mut out = output::stdout();
    let style = Style::for_stdout();
    show::feeds::made_key(&mut out, &args.path, &public_path, public.id(), &style)?;
    Ok(Exit::AsWanted)
}
