//! The reader and the writer of assignments.

use proptest::prelude::*;
use resource::Syntax;
use resource::syntax::{Case, Continued, Wins, scan, set};

/// Reads `section/key` and compares `line: value`.
#[track_caller]
fn reads(syntax: Syntax, text: &str, place: &str, expected: Option<(u32, &str)>) {
    let (section, key) = place.rsplit_once('/').unwrap_or(("", place));
    let found = syntax.effective(text, section, key);
    let found = found
        .as_ref()
        .map(|found| (found.line, found.value.as_str()));
    assert_eq!(found, expected, "{place} in {text:?}");
}

#[test]
fn the_assignment_that_counts_is_found() {
    use Syntax as S;
    let first = S::EQUALS.with_wins(Wins::First);
    let indented = S::INI.with_continued(Continued::Indented);
    let no_case = S::INI.with_case(Case::Insensitive);
    for (syntax, text, place, expected) in [
        (S::EQUALS, "a = 1\n#a = 2\n; a=3\n", "a", Some((1, "1"))),
        (S::EQUALS, "a=1\na = 2 \n", "a", Some((2, "2"))),
        (first, "a=1\na = 2 \n", "a", Some((1, "1"))),
        (S::EQUALS, "a = b = c", "a", Some((1, "b = c"))),
        (S::EQUALS, "ab = 1\n", "a", None),
        (S::EQUALS, "A = 1\n", "a", None),
        (S::EQUALS, "= 1\nno separator\n", "a", None),
        (S::EQUALS, "a =\n", "a", Some((1, ""))),
        (S::EQUALS, "a = 1\r\nb = 2\r\n", "b", Some((2, "2"))),
        (S::SPACE, "UMASK\t\t077\n", "UMASK", Some((1, "077"))),
        (S::SPACE, "UMASK \"022\" x\n", "UMASK", Some((1, "022"))),
        (S::SPACE, "UMASK\n", "UMASK", None),
        (S::COLON, "a: b: c\n", "a", Some((1, "b: c"))),
        (S::SHELL, "A=1 # one\n", "A", Some((1, "1"))),
        (S::SHELL, "export A='x y'\n", "A", Some((1, "x y"))),
        (
            S::SHELL,
            "A=\"x \\\"y\\\" \\\n z\"\nB=2\n",
            "B",
            Some((3, "2")),
        ),
        (S::SHELL, "A=\"x\ny\"\n", "A", Some((1, "x\ny"))),
        (S::SHELL, "A=\"x\n#y\n", "A", Some((1, "\"x"))),
        (S::SHELL, "A+=1\nif A=2; then\n", "A", None),
        (S::PAM_CONF, "deny = 3 # three\n", "deny", Some((1, "3"))),
        (S::PAM_CONF, "deny 4\n", "deny", Some((1, "4"))),
        (S::PAM_CONF, "deny=5\n", "deny", Some((1, "5"))),
        (S::PAM_CONF, "audit\n", "audit", Some((1, ""))),
        (S::PAM_CONF, "audit # yes\n", "audit", Some((1, ""))),
        (
            S::INI,
            "a=0\n[x]\na=1\n[y]\na=2\n[x]\na=3\n",
            "x/a",
            Some((7, "3")),
        ),
        (S::INI, "a=0\n[x]\na=1\n", "a", Some((1, "0"))),
        (S::INI, "[x] ; note\na=1\n", "x/a", Some((2, "1"))),
        (S::INI, "[X]\nA=1\n", "x/a", None),
        (no_case, "[X]\nA=1\n", "x/a", Some((2, "1"))),
        (
            S::SYSTEMD,
            "[S]\nA=x \\\n# note\n  y\nB=2\n",
            "S/A",
            Some((2, "x  y")),
        ),
        (
            S::SYSTEMD,
            "[S]\nA=x \\\n# note\n  y\nB=2\n",
            "S/B",
            Some((5, "2")),
        ),
        (S::SYSTEMD, "[S]\nA=x\\", "S/A", Some((2, "x"))),
        // As fail2ban reads its jails.
        (
            indented,
            "[sshd]\nignoreip = 127.0.0.1/8\n           ::1\n\n  # the office\n  10.1.0.0/16\nport = ssh\n",
            "sshd/ignoreip",
            Some((2, "127.0.0.1/8 ::1 10.1.0.0/16")),
        ),
        (
            indented,
            "[sshd]\nignoreip =\n  ::1\n  enabled = true\nport = ssh\n",
            "sshd/enabled",
            None,
        ),
        (
            indented,
            "[sshd]\n  a = 1\n  b = 2\n",
            "sshd/b",
            Some((3, "2")),
        ),
        (S::INI, "[sshd]\na = 1\n  b = 2\n", "sshd/b", Some((3, "2"))),
    ] {
        reads(syntax, text, place, expected);
    }
}

#[test]
fn an_edit_changes_the_value_and_nothing_else() {
    use Syntax as S;
    let no_case = S::EQUALS.with_case(Case::Insensitive);
    for (syntax, before, place, value, after) in [
        // In place, with the file's own spacing.
        (
            S::EQUALS,
            "# a\na   =   1\nb = 2",
            "a",
            "5",
            "# a\na   =   1\nb = 2".replace("1", "5"),
        ),
        (S::EQUALS, "a=1\na=2\n", "a", "3", "a=1\na=3\n".into()),
        (no_case, "Key = yes\n", "key", "no", "Key = no\n".into()),
        (S::EQUALS, "a =\n", "a", "1", "a =1\n".into()),
        (
            S::SPACE,
            "UMASK\t\"022\"\n",
            "UMASK",
            "077",
            "UMASK\t\"077\"\n".into(),
        ),
        (S::SHELL, "A='x' # y\n", "A", "z w", "A='z w' # y\n".into()),
        (
            S::SHELL,
            "A=x # y\n",
            "A",
            "z $w",
            "A=\"z \\$w\" # y\n".into(),
        ),
        (
            S::SHELL,
            "A=\"x \\\n y\"\nB=1\n",
            "A",
            "z",
            "A=\"z\"\nB=1\n".into(),
        ),
        (
            S::PAM_CONF,
            "deny = 3 # three\n",
            "deny",
            "5",
            "deny = 5 # three\n".into(),
        ),
        (
            S::PAM_CONF,
            "audit # on\n",
            "audit",
            "1",
            "audit = 1 # on\n".into(),
        ),
        (
            S::SYSTEMD,
            "[S]\nA=x \\\n y\nB=1\n",
            "S/A",
            "z",
            "[S]\nA=z\nB=1\n".into(),
        ),
        // After a commented-out example, with its spacing.
        (
            S::EQUALS,
            "# about a\n#a=1\n\nb = 2\n",
            "a",
            "3",
            "# about a\n#a=1\na=3\n\nb = 2\n".into(),
        ),
        (
            S::EQUALS,
            "# a = 1\nb=2\n",
            "a",
            "3",
            "# a = 1\na = 3\nb=2\n".into(),
        ),
        (
            S::SYSTEMD,
            "[J]\n#Storage=auto\n#Seal=yes\n",
            "J/Storage",
            "persistent",
            "[J]\n#Storage=auto\nStorage=persistent\n#Seal=yes\n".into(),
        ),
        (
            S::SPACE,
            "# UMASK is a mask\nA 1\n",
            "UMASK",
            "077",
            "# UMASK is a mask\nA 1\nUMASK 077\n".into(),
        ),
        (
            S::SPACE,
            "#UMASK\t022\nA 1\n",
            "UMASK",
            "077",
            "#UMASK\t022\nUMASK\t077\nA 1\n".into(),
        ),
        (
            S::PAM_CONF,
            "# audit\n#audit\nx\n",
            "audit",
            "",
            "# audit\n#audit\naudit\nx\n".into(),
        ),
        // At the end, with the spacing of the others and of the line endings.
        (S::EQUALS, "", "a", "1", "a = 1\n".into()),
        (S::EQUALS, "b=1", "a", "1", "b=1\na=1\n".into()),
        (S::EQUALS, "b=1\r\n", "a", "1", "b=1\r\na=1\r\n".into()),
        (S::SPACE, "B\t1\n", "A", "1", "B\t1\nA\t1\n".into()),
        // At the end of the section, before what belongs to the next one.
        (
            S::INI,
            "[x]\nb=1\n\n# about y\n[y]\nc=1\n",
            "x/a",
            "1",
            "[x]\nb=1\na=1\n\n# about y\n[y]\nc=1\n".into(),
        ),
        (
            S::INI,
            "[y]\nc = 1\n",
            "x/a",
            "1",
            "[y]\nc = 1\n\n[x]\na = 1\n".into(),
        ),
        (
            S::INI,
            "[y]\nc = 1\n",
            "a",
            "1",
            "a = 1\n[y]\nc = 1\n".into(),
        ),
        (S::SYSTEMD, "", "Service/A", "1", "[Service]\nA=1\n".into()),
    ] {
        let (section, key) = place.rsplit_once('/').unwrap_or(("", place));
        let found = set(before, syntax, section, key, value);
        assert_eq!(found, Ok(after.clone()), "{place} = {value} in {before:?}");
        assert_eq!(set(&after, syntax, section, key, value), found, "twice");
    }
}

#[test]
fn what_would_not_read_back_is_refused() {
    for (syntax, section, key, value) in [
        (Syntax::EQUALS, "", "a", "1\nb = 2"),
        (Syntax::EQUALS, "", "a", " 1"),
        (Syntax::EQUALS, "", "#a", "1"),
        (Syntax::EQUALS, "", "a=b", "1"),
        (Syntax::SPACE, "", "a", ""),
        (Syntax::SPACE, "", "a b", "1"),
        (Syntax::PAM_CONF, "", "a", "1 # 2"),
        (Syntax::SYSTEMD, "S", "a", "1\\"),
        (Syntax::INI, "S]", "a", "1"),
        (Syntax::INI, "", "[a", "1"),
        (Syntax::SHELL, "", "a-b", "1"),
        (Syntax::SHELL, "", "a", "1\n2"),
    ] {
        assert!(
            syntax.check(section, key, value).is_err(),
            "{section} {key} {value:?}"
        );
    }
    assert_eq!(Syntax::SHELL.check("", "a", "it's \"$x\""), Ok(()));
    assert_eq!(Syntax::PAM_CONF.check("", "audit", ""), Ok(()));
}

fn syntaxes() -> impl Strategy<Value = Syntax> {
    use Syntax as S;
    prop::sample::select(vec![
        S::EQUALS,
        S::SPACE,
        S::COLON,
        S::SHELL,
        S::PAM_CONF,
        S::INI,
        S::SYSTEMD,
        S::INI.with_wins(Wins::First).with_case(Case::Insensitive),
    ])
}

/// Text that looks like configuration more often than noise does.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b", "A", "=", " = ", " ", "\t", ":", "#", ";", "[x]", "[y]", "\n", "\n\n", "\r\n",
        "\\", "\\\n", "\"", "'", "1", "x y", "export ", "\u{e9}", "]", "[", "a=1\n", "a 1\n",
        "#a=1\n",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_written_value_reads_back_and_other_assignments_stay(
        syntax in syntaxes(), text in texts(), value in "[a-z0-9]{1,4}"
    ) {
        let section = if syntax.sections { "x" } else { "" };
        let Ok(after) = set(&text, syntax, section, "a", &value) else {
            // Only what is not closed may stand in the way.
            prop_assert!(text.contains(['\\', '"', '\'']), "refused: {:?}", &text);
            return Ok(());
        };
        let read = syntax.effective(&after, section, "a");
        prop_assert_eq!(read.map(|read| read.value), Some(value.clone()), "{:?}", &after);
        prop_assert_eq!(set(&after, syntax, section, "a", &value), Ok(after.clone()), "twice");
        let others = |text: &str| {
            scan(text, syntax)
                .assignments
                .iter()
                .filter(|one| !(syntax.same(one.section, section) && syntax.same(one.key, "a")))
                .map(|one| (one.section.to_owned(), one.key.to_owned(), one.value.clone()))
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(others(&after), others(&text), "{:?}", &after);
    }

    #[test]
    fn every_other_line_survives(syntax in syntaxes(), text in texts(), value in "[a-z0-9]{1,4}") {
        let section = if syntax.sections { "x" } else { "" };
        // A value that spans lines is replaced as one; these are looked at above.
        let text = text.replace(['\\', '"', '\''], "");
        let touched = syntax.effective(&text, section, "a").map(|found| found.line);
        let Ok(after) = set(&text, syntax, section, "a", &value) else {
            return Err(TestCaseError::fail("refused"));
        };
        let mut left = after.lines();
        for (line, text) in (1..).zip(text.lines()) {
            if touched != Some(line) {
                prop_assert!(left.any(|kept| kept == text), "line {} of {:?} is lost", line, &after);
            }
        }
    }
}
