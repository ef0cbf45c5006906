//! The built-in `openssh` baseline: it reads, compiles for its releases, and is complete.

use std::collections::BTreeSet;

use content::{Baselines, Repository, Request, compile};
use model::{BaselineName, Outcome};
use resource::Applies;

use crate::support::host;

#[test]
fn every_rule_compiles_and_has_a_bad_case() {
    let repository = Repository::builtin().unwrap_or_else(|errors| panic!("{}", errors.plain()));
    let name = BaselineName::new("openssh").expect("a name");
    let rules: Vec<_> = repository
        .rules()
        .filter(|rule| rule.baseline == name)
        .collect();
    let in_default = rules.iter().filter(|rule| rule.profile.is_none()).count();
    assert!(
        in_default >= 22,
        "{in_default} rules in the default profile"
    );
    for rule in &rules {
        let id = &rule.id;
        assert!(id.as_str().starts_with("ssh-"), "{id}");
        assert!(
            rule.why.ends_with('.') && !rule.title.ends_with('.'),
            "{id}"
        );
        assert_eq!(rule.releases["debian"], ["12", "13"], "{id}");
        assert!(
            rule.tests.iter().any(|test| test.expect == Outcome::Fail),
            "{id} has no bad case"
        );
    }
    let compiled = |profiles: &[&str], packages: &[&str]| {
        let request = Request {
            baselines: Baselines::Named(vec![name.clone()]),
            profiles: profiles.iter().map(|&name| name.to_owned()).collect(),
            ..Request::default()
        };
        compile(&repository, &host(packages), &request)
            .unwrap_or_else(|errors| panic!("{}", errors.plain()))
    };
    let default = compiled(&[], &["openssh-server"]);
    assert_eq!(default.rules.len(), in_default);
    assert!(
        default
            .rules
            .iter()
            .all(|rule| rule.applies == Applies::Yes)
    );
    // No option is wanted by two rules in two ways, whatever profile is on.
    let strict = compiled(&["strict"], &["openssh-server"]);
    assert_eq!(strict.rules.len(), rules.len());
    let keys: Vec<_> = strict
        .rules
        .iter()
        .flat_map(|rule| rule.want.iter().map(|want| want.resource.key()))
        .collect();
    assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len());
    let without = compiled(&[], &[]);
    assert!(
        without
            .rules
            .iter()
            .all(|rule| matches!(rule.applies, Applies::No(_)))
    );
}
