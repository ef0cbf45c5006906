//! The baselines that the program carries.

use content::Repository;

#[test]
fn every_built_in_baseline_reads() {
    if let Err(errors) = Repository::builtin() {
        panic!("{errors}");
    }
}
