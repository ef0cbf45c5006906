//! `steadfast feed`: the advisories that this host's packages are held against.

mod export;
mod import;
mod key;
mod list;
mod remove;
mod sign;
mod source;

use std::path::PathBuf;

use advisory::assess::FeedState;
use host::Create;
use host::feeds::{self, FeedError, FeedName, Feeds, Imported};
use jiff::Timestamp;
use serde_json::Value;
use trust::Rejected;

use crate::assessing::{USUAL_AGE_DAYS, days};
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::feeds::AsOf;

/// Feeds of advisories: from files, from signed bundles, or fetched
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Import(import::Args),
    Add(source::AddArgs),
    Update(source::UpdateArgs),
    List(list::Args),
    Remove(remove::Args),
    Export(export::Args),
    Sign(sign::Args),
    Key(key::Args),
}

/// Where the keys are that may sign bundles.
const KEYS: &str = "/etc/steadfast/feed-keys";

pub fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Import(args) => import::run(args, context),
        Command::Add(args) => source::add(args, context),
        Command::Update(args) => source::update(args, context),
        Command::List(args) => list::run(args, context),
        Command::Remove(args) => remove::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Sign(args) => sign::run(args),
        Command::Key(args) => key::run(args),
    }
}

/// Wrong input is the person's to mend; a folder that can't be trusted needs one; what is not
/// believed was stopped at a gate.
pub fn refused(error: FeedError) -> Failure {
    if error.is_full() {
        let help = "nothing was changed; make room on this file system, and try again";
        return Failure::with_help(Exit::Findings, error, help);
    }
    let nothing = "nothing was changed".to_owned();
    let (exit, help) = match &error {
        FeedError::State(_) => {
            let FeedError::State(error) = error else {
                unreachable!("it was just looked at");
            };
            return context::refused(error);
        }
        FeedError::Busy => (Exit::Findings, "try again later".to_owned()),
        FeedError::Index { .. } => (
            Exit::Unchecked,
            "import the feed again; steadfast feed list shows the feeds".to_owned(),
        ),
        FeedError::BadName(_) => (
            Exit::BadInput,
            "a name has lower-case letters, digits and hyphens, as in debian-osv".to_owned(),
        ),
        FeedError::Refused { .. } => (Exit::BadInput, nothing),
        FeedError::Rejected { source, .. } => (Exit::Findings, rejected(source)),
        FeedError::NoKeys { .. } => (
            Exit::BadInput,
            format!(
                "name the key of who made it with --trust PUB.pem, or put it into {KEYS}; get it \
                 from them by another way than the bundle"
            ),
        ),
        FeedError::NotSigned { .. } => (
            Exit::BadInput,
            "nothing was changed; add --unsigned when you know where it comes from".to_owned(),
        ),
        FeedError::Key { .. } | FeedError::Keys(_) => (
            Exit::BadInput,
            "keys are Ed25519 as PEM, as `steadfast feed key` and openssl write them".to_owned(),
        ),
        FeedError::BadAddress { .. } => (
            Exit::BadInput,
            "https://HOST/PATH; http:// to other machines only with --insecure-http".to_owned(),
        ),
        FeedError::Fetch { .. } => (
            Exit::Unchecked,
            "the feeds of before are as they were".to_owned(),
        ),
        FeedError::NoFetcher(_) => (
            Exit::Unchecked,
            "fetch the file elsewhere, and use steadfast feed import FILE".to_owned(),
        ),
        FeedError::NoFeed(_) => (
            Exit::BadInput,
            "steadfast feed list shows the feeds".to_owned(),
        ),
        FeedError::NoSource(_) => (
            Exit::BadInput,
            "steadfast feed add NAME URL adds one".to_owned(),
        ),
        FeedError::NoDocuments(_) => (
            Exit::BadInput,
            "it was imported by an earlier version: import it again".to_owned(),
        ),
        FeedError::Io { .. } | FeedError::TooMany => {
            return Failure::because(Exit::BadInput, error);
        }
    };
    Failure::with_help(exit, error, help)
}

fn rejected(why: &Rejected) -> String {
    match why {
        Rejected::TooFewKeys { .. } => {
            "nothing was changed; it was changed on its way, or signed by somebody else"
        }
        Rejected::Expired { .. } => {
            "nothing was changed; get a newer one, and look at this host's clock"
        }
        Rejected::Older { .. } => {
            "nothing was changed; an older bundle does not know what a newer one said"
        }
        Rejected::FromTheFuture { .. } => "nothing was changed; look at this host's clock",
        Rejected::OtherType { .. } => {
            "nothing was changed; it may be made by another version of Steadfast"
        }
        Rejected::Malformed(_) => "nothing was changed",
    }
    .to_owned()
}

/// The feeds' folder, made when there is none.
fn open(context: &Context) -> Result<Feeds, Failure> {
    let feeds = Feeds::open(context.directory(), Create::Yes).map_err(refused)?;
    Ok(feeds.expect("a folder that may be made is there"))
}

fn names(typed: &[String]) -> Result<Vec<FeedName>, Failure> {
    let names = typed.iter().map(|name| FeedName::new(name));
    names.collect::<Result<_, _>>().map_err(refused)
}

/// Who is believed.
#[derive(Debug, clap::Args)]
struct Trust {
    /// A public key that may sign bundles, instead of those in --keys; may be given several times
    #[arg(long, value_name = "PUB.pem")]
    trust: Vec<PathBuf>,
    /// How many different keys have to sign [default: what --keys says in its file `threshold`,
    /// or 1]
    #[arg(long, value_name = "N")]
    threshold: Option<usize>,
    #[command(flatten)]
    folder: KeyFolder,
    /// Take also what nobody signed, though --trust or --keys speaks of keys
    #[arg(long)]
    unsigned: bool,
}

#[derive(Debug, clap::Args)]
struct KeyFolder {
    /// The folder of the public keys that may sign bundles; where there is one, only what is
    /// signed is taken
    #[arg(long, value_name = "DIR", default_value = KEYS)]
    keys: PathBuf,
}

impl KeyFolder {
    fn accept(&self) -> Result<feeds::Accept, Failure> {
        feeds::folder_keys(&self.keys, None).map_err(refused)
    }
}

impl Trust {
    fn accept(&self) -> Result<feeds::Accept, Failure> {
        let mut accept = match self.trust.as_slice() {
            [] => feeds::folder_keys(&self.folder.keys, self.threshold).map_err(refused)?,
            named => feeds::Accept {
                keys: Some(feeds::named_keys(named, self.threshold.unwrap_or(1)).map_err(refused)?),
                unsigned: false,
            },
        };
        accept.unsigned |= self.unsigned;
        Ok(accept)
    }
}

/// As of now, by the usual age.
fn as_of(now: Timestamp) -> AsOf {
    let fresh = days(USUAL_AGE_DAYS);
    AsOf { now, fresh }
}

/// A feed that was imported, for programs.
fn value(imported: &Imported, AsOf { now, fresh }: AsOf) -> Value {
    let state = FeedState::of(&imported.feed, now, fresh);
    let mut value = serde_json::to_value(&state).expect("names and numbers");
    value["size_bytes"] = imported.size_bytes.into();
    value
}
