//! Variables of the caller that sudo hands on, and that decide which code a command runs.

use model::printable;

use crate::kind::files_where::glob_matches;
use crate::kind::sudoers::{self, Scope, Setting, SettingValue, Sudoers};
use crate::{Drift, Edit};

/// What sudo itself takes out of an environment that it does not clean (`initial_badenv_table` in
/// env.c), and their like in runtimes that are younger than that list.
const CODE: [&str; 46] = [
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "ENV",
    "FPATH",
    "GCONV_PATH",
    "GLOBIGNORE",
    "HOSTALIASES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LOCALDOMAIN",
    "NLSPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NULLCMD",
    "PATH_LOCALE",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLIO_DEBUG",
    "PERLLIB",
    "PS4",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "READNULLCMD",
    "RES_OPTIONS",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "TERMCAP",
    "TERMINFO",
    "TERMINFO_DIRS",
    "TERMPATH",
    "TMPPREFIX",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
    "_RLD_LIST",
    "_RLD_ROOT",
    "LD_ORIGIN_PATH",
];

/// Does this entry of a list let such a variable through? `NAME=VALUE` is about one value.
fn is_bad(entry: &str) -> bool {
    let name = entry.split('=').next().unwrap_or_default();
    CODE.iter()
        .any(|code| glob_matches(name.as_bytes(), code.as_bytes()))
}

/// The settings that hand such variables on, and `setenv`, which lets the caller choose any.
pub(super) fn kept(sudoers: &Sudoers) -> Vec<Drift> {
    let mut drifts = Vec::new();
    for list in ["env_keep", "env_check"] {
        for setting in sudoers.settings().filter(|setting| setting.name == list) {
            let bad = still_kept(sudoers, setting);
            if !bad.is_empty() {
                drifts.push(drift(setting, &bad));
            }
        }
    }
    for setting in sudoers.settings().filter(|one| one.name == "setenv") {
        let is_last = sudoers
            .settings()
            .filter(|other| other.name == setting.name && other.scope == setting.scope)
            .last()
            .is_some_and(|last| std::ptr::eq(last, setting));
        if is_last && setting.value == SettingValue::Flag(true) {
            let edits = setting.removal.clone().map(sudoers::without);
            drifts.push(finished(
                setting,
                "the caller chooses the variables of commands".to_owned(),
                edits,
            ));
        }
    }
    drifts
}

/// The bad entries that a setting adds, less those that a later one for the same takes away.
fn still_kept(sudoers: &Sudoers, setting: &Setting) -> Vec<String> {
    let (SettingValue::Set(text) | SettingValue::Add(text)) = &setting.value else {
        return Vec::new();
    };
    let mut bad: Vec<String> = text
        .split_whitespace()
        .filter(|entry| is_bad(entry))
        .map(str::to_owned)
        .collect();
    let later = sudoers
        .settings()
        .skip_while(|other| !std::ptr::eq(*other, setting))
        .skip(1)
        .filter(|other| other.name == setting.name && other.scope == setting.scope);
    for other in later {
        match &other.value {
            SettingValue::Set(_) | SettingValue::Flag(false) => bad.clear(),
            SettingValue::Take(text) => {
                bad.retain(|entry| !text.split_whitespace().any(|taken| taken == entry));
            }
            SettingValue::Add(_) | SettingValue::Flag(true) => {}
        }
    }
    bad
}

fn drift(setting: &Setting, bad: &[String]) -> Drift {
    let (text, operator) = match &setting.value {
        SettingValue::Add(text) => (text, "+="),
        SettingValue::Set(text) => (text, "="),
        SettingValue::Take(_) | SettingValue::Flag(_) => return Drift::default(),
    };
    let left: Vec<&str> = text
        .split_whitespace()
        .filter(|entry| !bad.iter().any(|bad| bad == entry))
        .collect();
    let name = &setting.name;
    let edit = match (left.is_empty(), operator) {
        (true, "+=") => setting.removal.clone().map(sudoers::without),
        (is_empty, operator) => setting.span.clone().map(|mut span| {
            span.instead = match is_empty {
                true => format!("!{name}"),
                false => format!("{name} {operator} \"{}\"", left.join(" ")),
            };
            sudoers::without(span)
        }),
    };
    let entries: Vec<String> = bad.iter().map(|one| printable(one.as_bytes())).collect();
    finished(
        setting,
        format!("`{}` of the caller in {name}", entries.join(" ")),
        edit,
    )
}

fn finished(setting: &Setting, observed: String, edit: Option<Edit>) -> Drift {
    let note = match &setting.scope {
        Scope::Everyone => None,
        Scope::Only(sign, members) => {
            let names: Vec<String> = members
                .iter()
                .map(|member| printable(member.name.as_bytes()))
                .collect();
            Some(format!("for `Defaults{sign}{}`", names.join(",")))
        }
    };
    Drift {
        observed,
        wanted: "a clean environment for every command".to_owned(),
        at: vec![setting.at.clone()],
        note,
        by_hand: edit
            .is_none()
            .then(|| format!("change `{}` with visudo", setting.name)),
        edits: edit.into_iter().collect(),
        ..Drift::default()
    }
}
