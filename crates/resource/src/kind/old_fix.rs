//! The lines of pam_faillock(8) that an older version of Steadfast wrote into `common-auth`, as long
//! as pam-auth-update(8) has not met them: the right password enters today, and is refused once that
//! writes its jumps anew.

use model::value::Reason;
use model::{Blob, HostPath, Probe, SourceLine};

use super::pam::{PamModule, calls_of};
use super::pam_call::jumps_made_anew;
use super::pam_guard::{Guard, guard};
use super::pam_stack::{self, Entry, Stack};
use crate::{Answers, ContentEdit, Drift, Edit};

pub const SERVICE: &str = "common-auth";

/// What pam-auth-update(8) wrote there last, one module a line: lines by hand are not in it.
fn record() -> HostPath {
    HostPath::literal("/var/lib/pam/auth")
}

pub fn probe() -> Probe {
    Probe::file(record())
}

/// A stack that refuses a right password once pam-auth-update(8) has run, and what makes it one
/// that does not.
///
/// Without what pam-auth-update(8) has written down, nobody can tell what it would do.
pub fn refused_later(seen: &Answers) -> Result<Option<Drift>, Reason> {
    let saved = seen.file(&record()).known_or_absent()?;
    let saved = saved.map(|saved| String::from_utf8_lossy(saved.content.as_bytes()).into_owned());
    Ok(refused_with(saved.as_deref(), seen))
}

fn refused_with(saved: Option<&str>, seen: &Answers) -> Option<Drift> {
    let path = HostPath::literal(pam_stack::DIRECTORY).join(SERVICE).ok()?;
    let file = seen.file(&path).known()?;
    let text = std::str::from_utf8(file.content.as_bytes()).ok()?;
    let anew = jumps_made_anew(text, saved)?;
    let mut edits: Vec<Edit> = Vec::new();
    let mut content: Option<Blob> = Some(file.content.clone());
    let mut change = |change: ContentEdit| {
        let before = content.take();
        content =
            before.and_then(|before| change.apply(Some(before.as_bytes())).ok().map(Blob::from));
        edits.push(Edit::Content {
            path: path.clone(),
            change,
            new_file: None,
            as_user: None,
        });
        content.clone()
    };
    let at: Vec<SourceLine> = anew
        .iter()
        .map(|word| SourceLine::new(path.clone(), word.line))
        .collect();
    let mut later = None;
    for word in anew {
        later = change(ContentEdit::Piece {
            line: word.line,
            old: word.old,
            from: word.from,
            to: word.to,
            instead: word.instead,
        });
    }
    let stack = stack_of(&later?)?;
    let misled = stack.misled("auth");
    let misled = misled.first()?;
    let observed = format!(
        "a right password is refused as soon as pam-auth-update runs: it leads the success of {} to {}",
        misled.entry.call.module, misled.lands_on.call.module
    );
    let mended = change(ContentEdit::PamModule {
        module: PamModule::Faillock,
        extra: String::new(),
    });
    let holds = |content: &Blob| {
        stack_of(content).is_some_and(|stack| {
            let calls: Vec<&Entry> = stack.entries.iter().collect();
            stack.misled("auth").is_empty()
                && matches!(guard(&calls), Guard::Holds | Guard::NoPassword)
        })
    };
    let is_mended = mended.as_ref().is_some_and(holds);
    Some(Drift {
        observed,
        wanted: "a right password is accepted".to_owned(),
        at,
        note: Some(
            "lines of an older version of Steadfast; each package with modules of PAM runs \
             pam-auth-update, and then nobody can sign in, sudo or su with a password"
                .to_owned(),
        ),
        edits: if is_mended { edits } else { Vec::new() },
        by_hand: (!is_mended).then(|| {
            format!(
                "take the lines of {} out of {path}, and turn it on again",
                PamModule::Faillock.file()
            )
        }),
        ..Drift::default()
    })
}

fn stack_of(content: &Blob) -> Option<Stack> {
    let entries = calls_of(&String::from_utf8_lossy(content.as_bytes()))?;
    Some(Stack {
        entries,
        hidden: None,
    })
}
