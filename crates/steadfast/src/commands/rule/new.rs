//! `steadfast rule new`: the skeleton of a rule.

use std::io::Write;

use model::RuleId;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Print the skeleton of a new rule, ready to be filled in
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  steadfast rule new site-banner > policy/baselines/site.yaml")]
pub struct Args {
    #[arg(value_name = "ID", default_value = "site-banner")]
    id: RuleId,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut out = output::stdout();
    out.write_all(skeleton(&args.id).as_bytes())?;
    Ok(Exit::AsWanted)
}

/// A rule that loads and can be proven as it is.
pub fn skeleton(id: &RuleId) -> String {
    format!(
        r#"# yaml-language-server: $schema=../baseline.schema.json
# `steadfast schema baseline > policy/baseline.schema.json` makes that file, for editors.
# One rule of your own. `steadfast rule lint` checks it, `steadfast rule test` proves it.
baseline: site
releases: {{debian: ["12", "13"]}}
rules:
  - rule: {id}
    # A statement that is true when the rule passes.
    title: People are told whose host this is
    severity: low        # low, medium, high, critical
    area: accounts
    why: Say in a sentence or two what goes wrong without it.
    # applies: package("openssh-server").installed
    params:
      owner: {{type: string, default: the platform team}}
    want:
      - file: {{path: /etc/motd, content: "This host belongs to {{{{ owner }}}}.\n", mode: "0644"}}
    tests:
      - name: an empty message
        given:
          - file: {{path: /etc/motd, content: ""}}
        expect: fail      # then fixed, then pass, then undone byte for byte
"#
    )
}
