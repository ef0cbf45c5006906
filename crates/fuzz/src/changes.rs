//! The changing half of the host: edits of account files, the merge of an undo, and what other
//! programs say. Nothing that is in one may stop them, and no line of others is lost.

use host::act::account_files::{AccountFiles, Defaults};
use host::act::package::parse_simulation;
use host::act::runtime::parse_mountinfo;
use host::act::unit::Install;
use host::confirm::parse_accepted;
use host::merge::merge;
use model::AccountOp;

/// Stands between the files in an input; it is in no text.
const BETWEEN: u8 = 0xff;

pub fn run(input: &[u8]) {
    let mut parts = input.splitn(3, |byte| *byte == BETWEEN).map(<[u8]>::to_vec);
    let mut next = || parts.next().unwrap_or_default();
    let (first, second, third) = (next(), next(), next());
    accounts(&first, &second);
    let undone = merge(&first, &second, &first);
    assert_eq!(undone.as_ref(), Ok(&second), "nobody else changed it");
    assert_eq!(
        merge(&first, &first, &third).as_ref(),
        Ok(&third),
        "we changed nothing"
    );
    drop(merge(&first, &second, &third));
    let text = String::from_utf8_lossy(&first);
    drop((
        parse_simulation(&text),
        Install::parse(&text),
        Defaults::parse(&text),
    ));
    drop((parse_mountinfo(&first, b"/tmp"), parse_accepted(&text)));
}

fn accounts(passwd: &[u8], others: &[u8]) {
    let before = AccountFiles {
        passwd: passwd.to_vec(),
        shadow: Some(others.to_vec()),
        group: others.to_vec(),
        gshadow: Some(others.to_vec()),
    };
    let name = || "ann".to_owned();
    let ops = [
        AccountOp::RemoveUser { name: name() },
        AccountOp::LockPassword { name: name() },
        AccountOp::SetUid {
            name: name(),
            uid: 7,
        },
        AccountOp::CreateGroup {
            name: name(),
            gid: None,
            system: true,
        },
        AccountOp::RemoveGroup { name: name() },
        AccountOp::AddMember {
            group: "sudo".to_owned(),
            user: name(),
        },
        AccountOp::SetAgeing {
            name: name(),
            min_days: Some(1),
            max_days: None,
            warn_days: None,
            inactive_days: Some(2),
        },
    ];
    for op in ops {
        let mut after = before.clone();
        if after.apply(&op, &Defaults::default(), 20000).is_err() {
            continue;
        }
        let kept = |line: &&[u8]| !line.is_empty() && !line.starts_with(b"ann:");
        let lines = |file: &[u8]| -> Vec<Vec<u8>> {
            file.split(|byte| *byte == b'\n')
                .filter(kept)
                .map(<[u8]>::to_vec)
                .collect()
        };
        assert_eq!(lines(&before.passwd), lines(&after.passwd), "{op:?}");
    }
}
