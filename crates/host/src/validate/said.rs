//! What programs say that end with success whatever they find, or that find more than was changed:
//! which of it is about the change.

use std::collections::BTreeMap;

use model::HostPath;

/// `logrotate -d` says `error: app:3 unknown option …` (version 3.22: `warning:`), with the bare name
/// of a file that it includes, and goes on. What it says of the logs themselves, and of files that
/// nobody changes, is not meant.
pub fn of_logrotate<'a>(said: &str, changed: impl Iterator<Item = &'a HostPath>) -> Option<String> {
    let names: Vec<String> = changed
        .flat_map(|path| {
            let name = String::from_utf8_lossy(path.file_name()).into_owned();
            [format!("{path}:"), format!("{name}:")]
        })
        .collect();
    let is_meant = |line: &&str| {
        let said = line
            .strip_prefix("error: ")
            .or(line.strip_prefix("warning: "));
        said.is_some_and(|said| names.iter().any(|name| said.starts_with(name.as_str())))
    };
    let complaints: Vec<&str> = said.lines().filter(is_meant).collect();
    (!complaints.is_empty()).then(|| complaints.join("; "))
}

/// `findmnt --verify` finds what is wrong with a whole table, such as a disk that is not plugged in
/// now. Only what it did not say of the table before counts, and no missing mount point: the change
/// itself may make it, and systemd makes it otherwise; nor what `table`, as it is to be, says may be
/// missing.
pub fn of_findmnt(before: &str, after: &str, table: &str) -> Option<String> {
    let (before, after) = (problems(before, table), problems(after, table));
    let new: Vec<&str> = after
        .iter()
        .filter(|(problem, count)| before.get(*problem).is_none_or(|old| old < *count))
        .map(|(problem, _)| problem.as_str())
        .collect();
    (!new.is_empty()).then(|| new.join("; "))
}

/// Each problem with the mount point that it is about, and how often.
fn problems(said: &str, table: &str) -> BTreeMap<String, usize> {
    let mut problems = BTreeMap::new();
    let mut mount_point = "";
    for line in said.lines() {
        let problem = match line.trim().strip_prefix("[E] ") {
            Some(problem) if problem.contains("required target") => continue,
            Some(problem)
                if problem.contains("required source") && may_miss(table, mount_point) =>
            {
                continue;
            }
            Some(problem) => format!("{mount_point}: {problem}"),
            // Where it stands differs when lines were added above.
            None if line.contains(": parse error at line ") => "a line is no entry".to_owned(),
            None => {
                if !line.starts_with(' ') {
                    mount_point = line.trim();
                }
                continue;
            }
        };
        *problems.entry(problem).or_default() += 1;
    }
    problems
}

/// fstab(5): `nofail`, and `noauto`, which is not mounted at boot.
fn may_miss(table: &str, mount_point: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let options = fields.get(3).copied().unwrap_or_default();
        fields.get(1) == Some(&mount_point)
            && options
                .split(',')
                .any(|option| matches!(option, "nofail" | "noauto"))
    })
}
