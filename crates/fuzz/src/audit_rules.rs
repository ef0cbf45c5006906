//! Audit rules, lines of sysctl.d(5) and globs: nothing may stop the readers, and a rule
//! records at least what it records itself.

use resource::audit::{AuditLine, RuleList, natural_order, parse_line};
use resource::kind::files_where::glob_matches;
use resource::kind::sysctl;

pub fn run(text: &str) {
    for line in text.lines() {
        let read = parse_line(line);
        if let AuditLine::Rule { rule, .. } = read.clone() {
            let mut rules = RuleList::default();
            rules.add(read, ());
            assert!(rules.cover(&rule).is_some(), "{line:?}");
        }
        sysctl::parse_line(line);
        glob_matches(line.as_bytes(), text.as_bytes());
        let (a, b) = (line.as_bytes(), text.as_bytes());
        assert_eq!(natural_order(a, b), natural_order(b, a).reverse());
    }
}
