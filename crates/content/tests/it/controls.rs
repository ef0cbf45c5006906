//! `controls/`: every rule that a framework's control names is a built-in rule.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use content::Repository;
use model::RuleId;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Framework {
    framework: String,
    name: String,
    version: String,
    controls: BTreeMap<String, Vec<RuleId>>,
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../controls");
    let entries = fs::read_dir(folder).expect("`controls/` is part of the repository");
    entries
        .map(|entry| entry.expect("`controls/` can be listed").path())
        .collect()
}

#[test]
fn controls_name_rules_that_exist() {
    let repository = Repository::builtin().unwrap_or_else(|errors| panic!("{}", errors.plain()));
    let mut frameworks = 0;
    for path in files() {
        let shown = path.display();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{shown}: {error}"));
        // Refuses a control that stands twice.
        let read: Framework =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(
            path.file_stem().and_then(|stem| stem.to_str()),
            Some(read.framework.as_str())
        );
        assert!(!read.name.is_empty() && !read.version.is_empty(), "{shown}");
        for (control, rules) in read.controls {
            assert!(!rules.is_empty(), "{shown}: {control} names no rule");
            for rule in rules {
                assert!(
                    repository.rule(&rule).is_some(),
                    "{shown}: {control}: no rule `{rule}`"
                );
            }
        }
        frameworks += 1;
    }
    assert_eq!(frameworks, 3);
}
