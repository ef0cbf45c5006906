//! Edits of fstab(5), of mount units and of systemd's lists: nothing that is in a file may stop
//! them, an edit that was made is not made again, and no other line is lost.

use resource::ContentEdit;

pub fn run(text: &str) {
    let options = vec!["nodev".to_owned(), "size=10%".to_owned()];
    let edits = [
        ContentEdit::Fstab {
            path: "/tmp".to_owned(),
            options: options.clone(),
            new_line: Some("tmpfs /tmp tmpfs rw 0 0".to_owned()),
        },
        ContentEdit::MountUnit {
            base: "mode=1777,dev".to_owned(),
            options,
        },
        ContentEdit::AssignList {
            section: "Service".to_owned(),
            key: "ExecStart".to_owned(),
            value: "/bin/true".to_owned(),
        },
    ];
    for edit in edits {
        let Ok(after) = edit.apply(Some(text.as_bytes())) else {
            continue;
        };
        assert_eq!(edit.apply(Some(&after)), Ok(after.clone()), "{edit:?}");
        if matches!(edit, ContentEdit::Fstab { .. }) {
            let lines = |text: &[u8]| text.split(|byte| *byte == b'\n').count();
            assert!(lines(&after) >= lines(text.as_bytes()), "{edit:?}");
        }
    }
}
