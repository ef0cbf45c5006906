//! `steadfast feed sign`: a further signature on a bundle.

use std::path::PathBuf;

use host::feeds;
use jiff::Timestamp;

use super::{KeyFolder, refused};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::show;
use crate::style::Style;

/// Add a signature to a bundle that somebody else signed
///
/// For hosts that want several people's word (`threshold`): nobody needs to hold two keys. The
/// bundle is checked whole before it is signed: who signed it, by --trust or --keys, that it is
/// not expired, and that every feed in it is what was signed. The signatures of before stay.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  steadfast feed sign feeds.bundle --key ben.pem --trust ana.pub.pem"
)]
pub struct Args {
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The key that signs, as `steadfast feed key` makes it; may be given several times
    #[arg(long, value_name = "KEY.pem", required = true)]
    key: Vec<PathBuf>,
    /// A public key whose signature has to be there already, instead of one of those in --keys;
    /// may be given several times, and then all of them have to
    #[arg(long, value_name = "PUB.pem")]
    trust: Vec<PathBuf>,
    #[command(flatten)]
    folder: KeyFolder,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let signers = args.key.iter().map(|path| feeds::secret_key(path));
    let signers: Vec<_> = signers.collect::<Result<_, _>>().map_err(refused)?;
    let keys = match args.trust.as_slice() {
        [] => feeds::folder_keys(&args.folder.keys, Some(1)).map(|accept| accept.keys),
        named => feeds::named_keys(named, named.len()).map(Some),
    };
    let Some(keys) = keys.map_err(refused)? else {
        return Err(refused(feeds::FeedError::NoKeys {
            path: args.bundle.clone(),
        }));
    };
    let now = Timestamp::now();
    let cosigned = feeds::cosign(&args.bundle, &signers, &keys, now).map_err(refused)?;
    let ids: Vec<_> = signers.iter().map(|key| key.public().id()).collect();
    let mut out = output::stdout();
    show::feeds::cosigned(
        &mut out,
        &args.bundle,
        &cosigned,
        &ids,
        &Style::for_stdout(),
    )?;
    Ok(Exit::AsWanted)
}
