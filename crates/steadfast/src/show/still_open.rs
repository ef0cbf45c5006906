//! Says what a finding waits for whose new version is installed already.

use advisory::assess::{Finding, KeptOpen, Until};

/// Units and processes that are named at once.
const NAMED: usize = 3;

/// `until cron.service is restarted`, `until a reboot: init.scope still runs old files`, `since change
/// c-3 is not finished`; none for a finding of what is installed.
pub fn until(finding: &Finding) -> Option<String> {
    if let Some(version) = &finding.until_boot_of {
        return Some(format!("until kernel {version} is booted"));
    }
    let of = |wanted: Until| -> Vec<&str> {
        let kept = finding.kept_open.iter();
        kept.filter_map(|kept| match kept {
            KeptOpen::RunsOldFiles { who, until } if *until == wanted => Some(who.as_str()),
            _ => None,
        })
        .collect()
    };
    let unfinished = finding.kept_open.iter().find_map(|kept| match kept {
        KeptOpen::Unfinished { change } => Some(change),
        KeptOpen::RunsOldFiles { .. } => None,
    });
    if let Some(change) = unfinished {
        return Some(format!("since change {change} is not finished"));
    }
    let (reboot, restart, end) = (of(Until::Reboot), of(Until::Restart), of(Until::End));
    if !reboot.is_empty() {
        let all = [reboot, restart, end].concat();
        let run = if all.len() == 1 { "runs" } else { "run" };
        return Some(format!(
            "until a reboot: {} still {run} old files",
            list(&all)
        ));
    }
    let said = [
        (restart, "is restarted", "are restarted"),
        (end, "ends", "end"),
    ];
    let said: Vec<String> = said
        .iter()
        .filter(|(names, ..)| !names.is_empty())
        .map(|(names, one, many)| {
            let verb = if names.len() == 1 { one } else { many };
            format!("{} {verb}", list(names))
        })
        .collect();
    (!said.is_empty()).then(|| format!("until {}", said.join(", and ")))
}

/// The same, and whether that is since only the version is new.
pub fn why_open(finding: &Finding) -> Option<String> {
    let until = until(finding)?;
    // What ends it may bring back either version.
    Some(match is_unfinished(finding) {
        true => {
            format!("open {until}; unless it is at work, steadfast recover ends it")
        }
        false => format!("a newer version is installed: open {until}"),
    })
}

/// Of what was asked for by name, where the installed version has the fix.
pub fn fixed_and_open(finding: &Finding) -> Option<String> {
    Some(match is_unfinished(finding) {
        true => why_open(finding)?,
        false => {
            let until = until(finding)?;
            format!("fixed in what is installed, and still running as it was: open {until}")
        }
    })
}

/// Is an upgrade of it interrupted, or at work?
pub fn is_unfinished(finding: &Finding) -> bool {
    let mut kept = finding.kept_open.iter();
    kept.any(|kept| matches!(kept, KeptOpen::Unfinished { .. }))
}

/// Who keeps it open, for programs.
pub fn by(finding: &Finding) -> Vec<String> {
    let booted = finding.until_boot_of.iter();
    let booted = booted.map(|_| "the booted kernel".to_owned());
    let kept = finding.kept_open.iter().map(|kept| match kept {
        KeptOpen::RunsOldFiles { who, .. } => who.clone(),
        KeptOpen::Unfinished { change } => format!("change {change}"),
    });
    booted.chain(kept).collect()
}

/// `a`, `a and b`, `a, b, c and 2 more`.
pub fn list(names: &[&str]) -> String {
    let printable = |name: &&str| model::printable(name.as_bytes());
    let shown: Vec<String> = names.iter().take(NAMED).map(printable).collect();
    match (names.len().saturating_sub(NAMED), shown.as_slice()) {
        (0, [most @ .., last]) if !most.is_empty() => format!("{} and {last}", most.join(", ")),
        (0, _) => shown.join(", "),
        (more, _) => format!("{} and {more} more", shown.join(", ")),
    }
}
