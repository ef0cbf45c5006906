//! `steadfast rule`: the rules themselves.

mod lint;
mod list;
mod new;
mod show;
mod test;

use crate::exit::Exit;
use crate::failure::Failure;

/// Look at rules, check a policy, and prove rules on real hosts
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    List(list::Args),
    Show(show::Args),
    Lint(lint::Args),
    Test(test::Args),
    New(new::Args),
}

pub fn run(command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Lint(args) => lint::run(args),
        Command::Test(args) => test::run(args),
        Command::New(args) => new::run(args),
    }
}

/// The id, or a failure that suggests the nearest one that there is.
fn find<'a>(repository: &'a content::Repository, id: &str) -> Result<&'a content::Rule, Failure> {
    if let Some(rule) = repository.rules().find(|rule| rule.id.as_str() == id) {
        return Ok(rule);
    }
    let known = repository.rules().map(|rule| rule.id.as_str());
    let help = crate::suggest::nearest(id, known).map_or_else(
        || "steadfast rule list shows them all".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Failure::new(
        Exit::BadInput,
        format_args!("there is no rule `{}`", model::printable(id.as_bytes())),
        help,
    ))
}
