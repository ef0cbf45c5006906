//! `patches.yaml`: what must pass before and after a patch, and the backups of data.

use std::sync::Arc;

use jiff::SignedDuration;
use model::HostPath;
use model::patching::{DataBackup, DebconfAnswer, PatchPolicy, SmokeCheck};

use crate::error::{ContentError, Problems, SourceText};
use crate::keys::{Keys, Shape, items};
use crate::yaml::{Node, Tree};

const FILE: Shape<'_> = Shape {
    known: &["answers", "checks", "data"],
    needed: &[],
};
const CHECK: Shape<'_> = Shape {
    known: &["run", "timeout"],
    needed: &["run"],
};
const DATA: Shape<'_> = Shape {
    known: &["packages", "paths", "restored", "within"],
    needed: &["packages", "restored", "within"],
};

const ANSWER: Shape<'_> = Shape {
    known: &["package", "question", "type", "value"],
    needed: &["package", "question", "type", "value"],
};
/// What debconf calls the kinds of questions that a policy may answer (debconf-devel(7)). Passwords are no
/// part of a policy: plans and the journal hold the answers.
const KINDS: [&str; 4] = ["boolean", "multiselect", "select", "string"];

/// Where a check names no time.
const USUAL_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
const LONGEST_TIMEOUT: SignedDuration = SignedDuration::from_hours(1);

pub(crate) fn read_file(
    root: &Node,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> PatchPolicy {
    let mut policy = PatchPolicy::default();
    if root.tree == Tree::Null {
        return policy;
    }
    let Some(keys) = Keys::of(root, "patches.yaml", FILE, source, problems) else {
        return policy;
    };
    if let Some(node) = keys.node("checks") {
        let list = items(node, "checks", source, problems).unwrap_or_default();
        let checks = list.iter();
        policy.checks = checks
            .filter_map(|item| read_check(item, source, problems))
            .collect();
    }
    if let Some(node) = keys.node("data") {
        let list = items(node, "data", source, problems).unwrap_or_default();
        let backups = list.iter();
        policy.data = backups
            .filter_map(|item| read_backup(item, source, problems))
            .collect();
    }
    if let Some(node) = keys.node("answers") {
        let list = items(node, "answers", source, problems).unwrap_or_default();
        let answers = list.iter();
        policy.answers = answers
            .filter_map(|item| read_answer(item, source, problems))
            .collect();
    }
    policy
}

fn read_answer(
    item: &Node,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Option<DebconfAnswer> {
    let keys = Keys::of(item, "an answer", ANSWER, source, problems)?;
    let package = keys.text("package", problems);
    let question = keys.text("question", problems);
    let kind = keys.text("type", problems);
    // An empty answer is one too.
    let value: Option<String> = keys.value("value", problems);
    let answer = DebconfAnswer {
        package: package?,
        question: question?,
        kind: kind?,
        value: value?,
    };
    let in_names = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
    let in_questions = |c: char| in_names(c) || c == '/';
    let mut wrong = |key: &str, what: &str, help: &str| {
        let place = keys.place_of(keys.node(key).unwrap_or(item));
        problems.push(ContentError::new(what.to_owned(), place).help(help.to_owned()));
    };
    if !answer.package.chars().all(in_names) {
        wrong(
            "package",
            "not a package's name",
            "without its architecture: postfix",
        );
        return None;
    }
    if !answer.question.chars().all(in_questions) || !answer.question.contains('/') {
        wrong(
            "question",
            "not a question of debconf",
            "as debconf names it: postfix/main_mailer_type",
        );
        return None;
    }
    if !KINDS.contains(&answer.kind.as_str()) {
        wrong(
            "type",
            "not a type of question that a policy answers",
            "string, boolean, select or multiselect",
        );
        return None;
    }
    if answer.value.chars().any(char::is_control) {
        wrong(
            "value",
            "an answer with a control character",
            "an answer is one line",
        );
        return None;
    }
    Some(answer)
}

fn read_check(
    item: &Node,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Option<SmokeCheck> {
    let keys = Keys::of(item, "a check", CHECK, source, problems)?;
    let argv: Option<Vec<String>> = keys.value("run", problems);
    let timeout = time(&keys, "timeout", problems).unwrap_or(USUAL_TIMEOUT);
    let argv = argv?;
    let wrong = |why: &str| {
        let node = keys.node("run").unwrap_or(item);
        ContentError::new(why.to_owned(), keys.place_of(node))
    };
    if !argv.first().is_some_and(|program| program.starts_with('/')) {
        problems.push(
            wrong("a check without a program's absolute path")
                .help("a list: [/usr/local/sbin/smoke, --quick]; no shell reads it"),
        );
        return None;
    }
    if argv.iter().any(|word| word.contains('\0')) {
        problems.push(wrong("a word with a zero byte"));
        return None;
    }
    if timeout.is_zero() || timeout.is_negative() || timeout > LONGEST_TIMEOUT {
        problems.push(
            ContentError::new(
                "`timeout` is not between a second and an hour",
                keys.place_of(keys.node("timeout").unwrap_or(item)),
            )
            .help("write 30s or 5m"),
        );
        return None;
    }
    Some(SmokeCheck {
        argv,
        limit_seconds: timeout.as_secs().unsigned_abs(),
    })
}

fn read_backup(
    item: &Node,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Option<DataBackup> {
    let keys = Keys::of(item, "a backup of data", DATA, source, problems)?;
    let packages: Option<Vec<String>> = keys.value("packages", problems);
    let paths: Option<Vec<HostPath>> = keys.value("paths", problems);
    let restored: Option<HostPath> = keys.value("restored", problems);
    let within = keys.text("within", problems);
    let within_days = within.and_then(|text| {
        let days = text.strip_suffix('d').unwrap_or(&text).parse().ok();
        let place = keys.place_of(keys.node("within").unwrap_or(item));
        problems.keep(days.filter(|days| *days > 0).ok_or_else(|| {
            ContentError::new("`within` is not a number of days", place)
                .help("how long a restore that succeeded proves something: 7d")
        }))
    });
    let packages = packages?;
    let in_names = |c: char| c.is_ascii_alphanumeric() || "-._+*?".contains(c);
    let good = |name: &String| !name.is_empty() && name.chars().all(in_names);
    if packages.is_empty() || !packages.iter().all(good) {
        problems.push(
            ContentError::new(
                "a backup of data of no package",
                keys.place_of(keys.node("packages").unwrap_or(item)),
            )
            .help("names and patterns of packages: [\"postgresql-*\"]"),
        );
        return None;
    }
    let paths = paths.unwrap_or_default();
    if let Some(path) = paths.iter().find(|path| is_of_the_system(path)) {
        problems.push(
            ContentError::new(
                format!("`{path}` holds more than data"),
                keys.place_of(keys.node("paths").unwrap_or(item)),
            )
            .help("name the directory in which the service keeps its data: no undo touches it"),
        );
        return None;
    }
    Some(DataBackup {
        packages,
        paths,
        restored: restored?,
        within_days: within_days?,
    })
}

/// An undo that leaves these out would be none.
fn is_of_the_system(path: &HostPath) -> bool {
    let parts = path.as_bytes().split(|byte| *byte == b'/');
    let depth = parts.filter(|part| !part.is_empty()).count();
    [
        "/bin",
        "/boot",
        "/etc",
        "/lib",
        "/lib64",
        "/sbin",
        "/usr",
        "/var/lib/dpkg",
        "/var/lib/apt",
    ]
    .iter()
    .any(|top| path.is_within(&HostPath::literal(top)))
        || depth < 2
}

fn time(keys: &Keys<'_>, key: &str, problems: &mut Problems) -> Option<SignedDuration> {
    let node = keys.node(key)?;
    let text = keys.text(key, problems)?;
    problems.keep(text.parse().map_err(|_| {
        ContentError::new(
            format!("`{key}` is not a length of time"),
            keys.place_of(node),
        )
        .help("write 30s or 5m")
    }))
}
