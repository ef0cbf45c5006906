//! Kinds that judge a file and edit it: nothing that is in the file may stop them, what they say
//! can be carried out, and after that they ask for no other change. The first byte chooses the
//! file and what is wanted of it.

use std::collections::BTreeMap;

use model::value::{DirEntry, FileSeen, FileType, Meta, MountsSeen, PackageSeen, Reason};
use model::{Answer, HostPath, Mode, Observed, Probe, Value};
use resource::{Answers, Drift, Edit, EditError, Judgement, Resource};

const CASES: [(&str, &str); 19] = [
    (
        "/etc/apt/sources.list",
        r#"{"apt_sources": {"require": "signed"}}"#,
    ),
    (
        "/etc/apt/sources.list",
        r#"{"apt_sources": {"require": "signed_by"}}"#,
    ),
    (
        "/etc/apt/sources.list.d/a.sources",
        r#"{"apt_sources": {"require": "signed"}}"#,
    ),
    (
        "/etc/apt/sources.list.d/a.sources",
        r#"{"apt_sources": {"require": "signed_by"}}"#,
    ),
    (
        "/etc/apt/sources.list.d/a.sources",
        r#"{"apt_sources": {"require": "https"}}"#,
    ),
    (
        "/etc/apt/sources.list.d/a.sources",
        r#"{"apt_source": {"name": "a", "uri": "https://h/d", "suites": ["s"], "components": ["c"], "signed_by": "/k"}}"#,
    ),
    (
        "/etc/apt/apt.conf",
        r#"{"apt_setting": {"key": "APT::Get::AllowUnauthenticated", "value": "false"}}"#,
    ),
    (
        "/etc/apt/apt.conf.d/99z",
        r#"{"apt_setting": {"key": "APT::Periodic::Unattended-Upgrade", "value": "1"}}"#,
    ),
    (
        "/etc/sudoers",
        r#"{"sudo_limit": {"forbid": "passwordless_everything"}}"#,
    ),
    (
        "/etc/sudoers",
        r#"{"sudo_defaults": {"option": "use_pty"}}"#,
    ),
    (
        "/etc/sudoers",
        r#"{"sudo_defaults": {"option": "logfile", "value": "/var/log/sudo.log"}}"#,
    ),
    (
        "/etc/sudoers.d/a",
        r#"{"sudo_rule": {"name": "a", "user": "ana", "commands": ["/bin/true"]}}"#,
    ),
    (
        "/etc/sysctl.d/10-a.conf",
        r#"{"sysctl": {"key": "net.ipv4.ip_forward", "value": 0}}"#,
    ),
    (
        "/etc/audit/rules.d/a.rules",
        r#"{"audit_rule": {"rule": "-w /etc/passwd -p wa -k identity"}}"#,
    ),
    (
        "/etc/login.defs",
        r#"{"login_setting": {"file": "login.defs", "key": "UMASK", "value": "027"}}"#,
    ),
    (
        "/etc/default/useradd",
        r#"{"login_setting": {"file": "useradd", "key": "INACTIVE", "value": "30"}}"#,
    ),
    (
        "/etc/a.ini",
        r#"{"ini": {"path": "/etc/a.ini", "section": "s", "key": "k", "value": "v"}}"#,
    ),
    (
        "/etc/systemd/journald.conf",
        r#"{"unit_option": {"unit": "journald.conf", "section": "Journal", "option": "Storage", "value": "persistent", "default": "auto"}}"#,
    ),
    (
        "/etc/pam.d/common-password",
        r#"{"pam": {"module": "pwquality"}}"#,
    ),
];

type Files = BTreeMap<HostPath, Vec<u8>>;

pub fn run(input: &[u8]) {
    let Some((choice, content)) = input.split_first() else {
        return;
    };
    let (path, wanted) = CASES[usize::from(*choice) % CASES.len()];
    let wanted: Resource = serde_json::from_str(wanted).expect("a declaration of ours");
    let mut files = Files::from([
        (HostPath::literal(path), content.to_vec()),
        (
            HostPath::literal("/usr/share/keyrings/debian-archive-keyring.gpg"),
            Vec::new(),
        ),
    ]);
    if path == "/etc/sudoers.d/a" {
        files.insert(
            HostPath::literal("/etc/sudoers"),
            b"@includedir /etc/sudoers.d\n".to_vec(),
        );
    }
    let Judgement::Drift(drifts) = judge(&wanted, &files) else {
        return;
    };
    if carry_out(&drifts, &mut files).is_none() || drifts.iter().any(|d| d.by_hand.is_some()) {
        return;
    }
    match judge(&wanted, &files) {
        // A line that can't be understood, further on, may still hide something.
        Judgement::Compliant { .. } | Judgement::Unknown(_) => {}
        // What runs is another matter than what the files say.
        Judgement::Drift(again) => {
            let before = files.clone();
            carry_out(&again, &mut files);
            assert!(before == files, "{wanted:?}: {again:?}");
        }
        other => panic!("{wanted:?}: {other:?} after {drifts:?}"),
    }
}

/// None where a change can't be made, and says so.
fn carry_out(drifts: &[Drift], files: &mut Files) -> Option<()> {
    for edit in drifts.iter().flat_map(|drift| &drift.edits) {
        let Edit::Content { path, change, .. } = edit else {
            continue;
        };
        match change.apply(files.get(path).map(Vec::as_slice)) {
            Ok(content) => drop(files.insert(path.clone(), content)),
            Err(error @ EditError::LineGone { .. }) => panic!("{error}: {drifts:?}"),
            Err(_) => return None,
        }
    }
    Some(())
}

fn judge(wanted: &Resource, files: &Files) -> Judgement {
    let mut seen = Answers::default();
    for _ in 0..4 {
        for probe in wanted.probes(&seen) {
            if !seen.contains(&probe) {
                let answer = Observed::new(answer(&probe, files));
                seen.insert(probe, answer);
            }
        }
    }
    wanted.judge(&seen)
}

fn answer(probe: &Probe, files: &Files) -> Answer {
    Answer::Known(match probe {
        Probe::File { path, .. } => match files.get(path) {
            Some(content) => Value::File(FileSeen {
                meta: meta(FileType::Regular),
                content: content.clone().into(),
                resolved: None,
            }),
            None => return Answer::Absent,
        },
        Probe::Dir { path } => {
            let names = |file: &HostPath| {
                (file.parent().as_ref() == Some(path)).then(|| DirEntry {
                    name: file.file_name().to_vec().into(),
                    file_type: FileType::Regular,
                })
            };
            Value::Dir(files.keys().filter_map(names).collect())
        }
        Probe::Meta { path } if files.contains_key(path) => Value::Meta(meta(FileType::Regular)),
        Probe::Meta { path } if path.as_bytes().ends_with(b".d") => {
            Value::Meta(meta(FileType::Directory))
        }
        Probe::Meta { .. } => return Answer::Absent,
        Probe::Package { .. } => Value::Package(PackageSeen {
            version: "1".to_owned(),
            architecture: "all".to_owned(),
            installed: true,
            status: "install ok installed".to_owned(),
            automatic: None,
        }),
        Probe::Sysctl { .. } => Value::Sysctl("1".to_owned()),
        Probe::AuditRules => Value::AuditRules(Vec::new()),
        Probe::Mounts => Value::Mounts(MountsSeen {
            mounted: Vec::new(),
            fstab: Vec::new(),
        }),
        other => {
            let why = format!("{other:?} is not part of this");
            return Answer::Unknown(Reason::Failed { why });
        }
    })
}

fn meta(file_type: FileType) -> Meta {
    Meta {
        file_type,
        mode: Mode::new(0o644),
        uid: 0,
        gid: 0,
        owner: Some("root".to_owned()),
        group: Some("root".to_owned()),
        size_bytes: 0,
        hard_links: 1,
        target: None,
        acl: None,
        default_acl: None,
    }
}
