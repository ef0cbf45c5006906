//! Who may come in, and as whom: sudoers(5), pam.d(5), sshd_config(5), `sshd -T`, authorized_keys
//! and the journal's lines about sign-ins. Nothing in them may stop the readers, and a place that
//! is named is a place in the file.

use host::act::Names;
use host::confirm::{parse_accepted, parse_journal};
use jiff::Timestamp;
use model::value::{FileSeen, FileType, Meta};
use model::{Answer, HostPath, Mode, Observed, Probe, Value};
use resource::kind::sshd::{config, effective::Effective, words};
use resource::kind::sudoers::{self, Item};
use resource::kind::{authorized_key, pam::PamModule, pam_call, pam_stack};
use resource::{Answers, ContentEdit, Edit};

pub fn run(text: &str) {
    let lines = text.lines().count();
    sudo(text);
    assert!(pam_stack::lines(text).len() <= lines);
    for module in [
        PamModule::Faillock,
        PamModule::Pwquality,
        PamModule::Pwhistory,
    ] {
        if let Some(on) = pam_call::turn_on(text, module, "") {
            assert!(on.lines().count() >= lines, "{on:?}");
            assert_eq!(
                pam_call::turn_on(&on, module, ""),
                Some(on.clone()),
                "{on:?}"
            );
        }
    }
    drop(pam_stack::read(
        &host(&HostPath::literal("/etc/pam.d/sshd"), text),
        "sshd",
    ));
    ssh(text);
    for line in text.lines() {
        if let Some(key) = authorized_key::parse_line(line) {
            assert!(line.contains(key.data) && line.contains(key.options));
        }
        words::matches(line.as_bytes(), text.as_bytes());
    }
    drop((
        parse_accepted(text),
        parse_journal(text, Timestamp::UNIX_EPOCH),
        Names::parse(text, text),
    ));
}

/// A host with one file.
fn host(path: &HostPath, text: &str) -> Answers {
    let meta = Meta {
        file_type: FileType::Regular,
        mode: Mode::new(0o644),
        uid: 0,
        gid: 0,
        owner: None,
        group: None,
        size_bytes: text.len() as u64,
        hard_links: 1,
        target: None,
        acl: None,
        default_acl: None,
    };
    let content = text.as_bytes().to_vec().into();
    let file = FileSeen {
        meta,
        content,
        resolved: None,
    };
    let answer = Observed::new(Answer::Known(Value::File(file)));
    Answers::from_iter([(Probe::file(path.clone()), answer)])
}

fn sudo(text: &str) {
    let path = HostPath::literal("/etc/sudoers");
    let (sudoers, _) = sudoers::read(&host(&path, text));
    for item in &sudoers.items {
        let span = match item {
            Item::Grant(grant) => {
                drop((sudoers.users(grant), sudoers.runs_as_root(grant)));
                let _ = sudoers.is_any_command(grant);
                grant.tag.clone()
            }
            Item::Setting(setting) => setting.removal.clone(),
            Item::Hidden { .. } => None,
        };
        let Some(Edit::Content { change, .. }) = span.map(sudoers::without) else {
            continue;
        };
        assert!(matches!(change, ContentEdit::Piece { .. }));
        change
            .apply(Some(text.as_bytes()))
            .expect("a piece that was read is there");
    }
}

fn ssh(text: &str) {
    let path = HostPath::literal(config::MAIN);
    let (read, _) = config::read(&host(&path, text));
    for line in read.lines() {
        drop(line.canonical());
        let changed = line.with_value("no");
        let again = host(&path, &changed);
        let (again, _) = config::read(&again);
        let value = again.lines().next().map(|line| line.args.clone());
        assert_eq!(
            value,
            Some(vec!["no".to_owned()]),
            "{:?} {changed:?}",
            line.text
        );
    }
    let _ = read.winner("permitrootlogin");
    drop(Effective::parse(text).words("permitrootlogin"));
}
