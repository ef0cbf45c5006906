//! `audit_rule`, and the one form of audit rules.

use model::Probe;
use model::value::Reason;
use resource::audit::{AuditLine, natural_order, parse_line, parse_rule};

use crate::support::{Host, check, judge, path, refused, words};

const PASSWD: &str = "audit_rule: {rule: '-w /etc/passwd -p wa -k identity'}";
const TIME: &str =
    "audit_rule: {rule: '-a always,exit -F arch=b64 -S adjtimex,settimeofday -k time'}";

/// A host with these rules loaded, and these in a file.
fn host(loaded: &[&str], file: &str) -> Host {
    let mut host = Host::new()
        .package("auditd", "1:3.0.9-1")
        .file("/etc/audit/rules.d/audit.rules", file);
    host.audit_rules = Some(loaded.iter().map(|rule| (*rule).to_owned()).collect());
    host
}

#[test]
fn spellings_of_one_rule_are_the_same() {
    for (one, other) in [
        ("-w /etc/sudoers.d/ -p wa", "-w /etc/sudoers.d -p aw"),
        ("-w /etc/passwd", "-w /etc/passwd -p rwxa"),
        (
            "-w/etc/passwd -pwa -kidentity",
            "-w /etc/passwd -p wa -k identity",
        ),
        (
            "-w /a -p x -k k",
            "-a always,exit -F path=/a -F perm=x -F key=k",
        ),
        ("-w /a -p x", "-a exit,always -S all -F dir=/a -F perm=x"),
        (
            "-a always,exit -F arch=b64 -S a -S b -F auid>=1000 -F auid!=unset",
            "-a always,exit -S b,a -F arch=x86_64 -F auid!=4294967295 -F loginuid>=1000",
        ),
        (
            "-a always,exit -S execve -C uid!=euid -F euid=0",
            "-a always,exit -S execve -C euid!=uid -F euid=0",
        ),
    ] {
        assert_eq!(parse_rule(one), parse_rule(other), "{one}");
        assert!(parse_rule(one).is_ok(), "{one}");
    }
    for (one, other) in [
        ("-w /a -p w", "-w /a -p x"),
        ("-a always,exit -C uid!=euid", "-a always,exit -C uid=euid"),
        ("-a always,exit -S a", "-a never,exit -S a"),
        (
            "-a always,exit -F auid>=1000",
            "-a always,exit -F auid>1000",
        ),
    ] {
        assert_ne!(parse_rule(one), parse_rule(other), "{one}");
    }
}

#[test]
fn other_lines_are_no_rules() {
    assert_eq!(parse_line("-e 2"), AuditLine::Enabled(2));
    assert_eq!(parse_line("-e2"), AuditLine::Enabled(2));
    for line in ["", "# -w /a", "-b 8192", "--loginuid-immutable", "  # x"] {
        assert_eq!(parse_line(line), AuditLine::Other, "{line}");
    }
    for line in ["-w", "-a x", "No rules", "w /etc/passwd", "-b many"] {
        assert_eq!(parse_line(line), AuditLine::NotUnderstood, "{line}");
    }
    assert_eq!(parse_line("-D"), AuditLine::DeleteAll(None));
}

#[test]
fn files_sort_by_their_numbers() {
    let mut names = [
        "99-z.rules",
        "audit.rules",
        "5-a.rules",
        "10-b.rules",
        "010-c.rules",
    ];
    names.sort_by(|a, b| natural_order(a.as_bytes(), b.as_bytes()));
    assert_eq!(
        names,
        [
            "5-a.rules",
            "10-b.rules",
            "010-c.rules",
            "99-z.rules",
            "audit.rules"
        ]
    );
}

#[test]
fn wanted_in_both_places() {
    let file = "## comment\n-D\n-w /etc/passwd -p wa\n";
    check(
        PASSWD,
        &host(&["-w /etc/passwd -p wa -k other"], file),
        "ok: loaded, and set at boot @ /etc/audit/rules.d/audit.rules:3",
    );
    check(
        PASSWD,
        &host(&[], file),
        "drift: set at boot, but not loaded, wanted -w /etc/passwd -p wa -k identity \
         @ /etc/audit/rules.d/audit.rules:3",
    );
    let after = check(
        PASSWD,
        &host(&["-w /etc/passwd -p wa -k other"], "-D\n"),
        "drift: loaded, but not set at boot, wanted -w /etc/passwd -p wa -k identity",
    );
    assert_eq!(
        after
            .content("/etc/audit/rules.d/50-steadfast.rules")
            .as_deref(),
        Some("-w /etc/passwd -p wa -k identity\n")
    );
}

#[test]
fn a_wider_rule_is_as_good() {
    let wide = "-a always,exit -F arch=b64 -S adjtimex,clock_settime,settimeofday -F key=t";
    check(
        TIME,
        &host(&[wide], wide),
        "ok: loaded, and set at boot @ /etc/audit/rules.d/audit.rules:1",
    );
    let parts =
        "-a always,exit -F arch=b64 -S adjtimex\n-a always,exit -F arch=b64 -S settimeofday\n";
    check(
        TIME,
        &host(&[wide], parts),
        "ok: loaded, and set at boot @ /etc/audit/rules.d/audit.rules:1",
    );
    // One that looks at one account only records less.
    let narrow = "-a always,exit -F arch=b64 -S adjtimex,settimeofday -F auid=1000";
    check(
        TIME,
        &host(&[narrow], narrow),
        "drift: not recorded, wanted -a always,exit -F arch=b64 -S adjtimex,settimeofday -k time",
    );
}

#[test]
fn a_rule_that_says_never_hides_those_after_it() {
    let hidden = "-a never,exit -F path=/etc/passwd -F perm=wa\n-w /etc/passwd -p wa\n";
    let lines: Vec<&str> = hidden.lines().collect();
    let said = words(&judge(PASSWD, &host(&lines, hidden)));
    assert_eq!(
        said,
        "drift: not recorded, wanted -w /etc/passwd -p wa -k identity"
    );

    check(
        PASSWD,
        &host(
            &["-w /etc/passwd -p wa"],
            "-a never,task\n-w /etc/passwd -p wa\n",
        ),
        "drift: auditing of processes is switched off, wanted -w /etc/passwd -p wa -k identity \
         @ /etc/audit/rules.d/audit.rules:1 (by hand: remove the rule `-a never,task`, and load \
         the rules anew)",
    );
}

/// The other line that Debian's auditd.service offers itself.
#[test]
fn rules_may_be_loaded_from_one_file() {
    let unit = "/usr/lib/systemd/system/auditd.service";
    let usual = "[Service]\nExecStart=/sbin/auditd\nExecStartPost=-/sbin/augenrules --load\n\
                 #ExecStartPost=-/sbin/auditctl -R /etc/audit/audit.rules\n";
    let drop_in = "/etc/systemd/system/auditd.service.d/x.conf";
    let other =
        "[Service]\nExecStartPost=\nExecStartPost=-/sbin/auditctl -R /etc/audit/audit.rules\n";
    let file = "/etc/audit/audit.rules";
    let rule = "-w /etc/passwd -p wa\n";
    let with = |loaded: &[&str], directory: &str, text: &str| {
        host(loaded, directory)
            .file(unit, usual)
            .file(drop_in, other)
            .file(file, text)
            .unit("auditd.service", "active", "enabled", &[unit, drop_in])
    };
    check(
        PASSWD,
        &with(&["-w /etc/passwd -p wa -k other"], "", rule),
        "ok: loaded, and set at boot @ /etc/audit/audit.rules:1",
    );
    // What lies in the directory is not loaded then, and `augenrules` would write over the file.
    check(
        PASSWD,
        &with(&["-w /etc/passwd -p wa -k other"], rule, ""),
        "drift: loaded, but not set at boot, wanted -w /etc/passwd -p wa -k identity (by hand: \
         add the rule to /etc/audit/audit.rules, and load it with `auditctl -R \
         /etc/audit/audit.rules`, as the service does)",
    );
    // A drop-in that nobody can read may say which.
    let unread = with(&["-w /etc/passwd -p wa -k other"], rule, "")
        .cannot_tell(Probe::file(path(drop_in)), Reason::NeedsRoot);
    let said = words(&judge(PASSWD, &unread));
    assert!(said.starts_with("unknown"), "{said}");
    // As installed, the directory counts.
    let usual = host(&["-w /etc/passwd -p wa -k other"], rule)
        .file(unit, usual)
        .unit("auditd.service", "active", "enabled", &[unit]);
    check(
        PASSWD,
        &usual,
        "ok: loaded, and set at boot @ /etc/audit/rules.d/audit.rules:1",
    );
}

#[test]
fn locked_rules_need_a_reboot() {
    check(
        PASSWD,
        &host(&["-e 2"], ""),
        "drift: not recorded, wanted -w /etc/passwd -p wa -k identity (by hand: the kernel's \
         rules are locked (-e 2): have the rule in /etc/audit/rules.d, and reboot)",
    );
    check(
        PASSWD,
        &host(&["-w /etc/passwd -p wa", "-e 0"], "-w /etc/passwd -p wa\n"),
        "drift: auditing is switched off, wanted -w /etc/passwd -p wa -k identity (by hand: start \
         auditd, or `auditctl -e 1`)",
    );
}

#[test]
fn a_kernel_that_does_not_tell_is_unknown() {
    let mut silent = host(&[], "-w /etc/passwd -p wa\n");
    silent.audit_rules = None;
    check(PASSWD, &silent, "unknown: not part of this case");
    // A role may bring the package and its rules at once.
    check(
        PASSWD,
        &Host::new().dir("/etc/audit/rules.d"),
        "drift: not recorded, wanted -w /etc/passwd -p wa -k identity",
    );
}

#[test]
fn what_is_no_rule_is_refused() {
    refused(
        "audit_rule: {rule: '-w passwd -p wa'}",
        "`-w passwd -p wa` is not an audit rule: `passwd` is not an absolute path",
    );
    refused(
        "audit_rule: {rule: '-D all'}",
        "`-D all` is not an audit rule: `-D` is not an option of a rule",
    );
}

/// A golden image (`audit --root`) has the rules of its files, and no kernel.
#[test]
fn a_tree_is_judged_by_its_rule_files() {
    use model::Probe;
    use model::value::Reason;
    let tree = |file: &str| {
        let mut tree = host(&[], file).cannot_tell(Probe::AuditRules, Reason::Offline);
        tree.audit_rules = None;
        tree
    };
    let rule = "-w /etc/passwd -p wa -k identity\n";
    check(
        PASSWD,
        &tree(rule),
        "ok: set at boot @ /etc/audit/rules.d/audit.rules:1",
    );
    check(
        PASSWD,
        &tree("-w /etc/group -p wa\n"),
        "drift: not set at boot, wanted -w /etc/passwd -p wa -k identity",
    );
}

/// What is taken away again, switched off, or not reached.
#[test]
fn a_rule_that_does_not_stay() {
    use model::Probe;
    use model::value::Reason;
    let tree = |file: &str| {
        let mut tree = host(&[], file).cannot_tell(Probe::AuditRules, Reason::Offline);
        tree.audit_rules = None;
        tree
    };
    let rule = "-w /etc/passwd -p wa -k identity\n";
    let file = "/etc/audit/rules.d/audit.rules";
    let ok = |line: u32| format!("ok: set at boot @ {file}:{line}");
    let gone = "drift: not set at boot";
    for (text, expected) in [
        (
            format!("{rule}-e 0\n"),
            format!(
                "drift: auditing is switched off at boot, wanted -w /etc/passwd -p wa -k identity @ {file}:2"
            ),
        ),
        (format!("-e 0\n{rule}-e 2\n"), ok(2)),
        (format!("{rule}-D -k identity\n"), gone.to_owned()),
        (format!("{rule}-D -k other\n"), ok(1)),
        // augenrules puts it first.
        (format!("{rule}-D\n"), ok(1)),
        (
            format!("{rule}-W /etc/passwd -p wa -k identity\n"),
            gone.to_owned(),
        ),
        (
            format!("-w /etc/x -p wz\n{rule}"),
            format!("unknown: {file}:1 is not understood, and auditctl loads nothing after"),
        ),
        (format!("-i\n-w /etc/x -p wz\n{rule}"), ok(3)),
        (format!("{rule}-w /etc/x -p wz\n"), ok(1)),
        // A part of it is hidden.
        (format!("-a never,exit -F uid=0\n{rule}"), gone.to_owned()),
        (
            format!("-a never,exit -F dir=/etc -F uid=0\n{rule}"),
            gone.to_owned(),
        ),
        (format!("-a never,exit -F dir=/var\n{rule}"), ok(2)),
        (format!("-a never,user -F uid=0\n{rule}"), ok(2)),
        // A directory is watched with all that lies below it.
        ("-w /etc/ -p wa\n".to_owned(), ok(1)),
        ("-a always,exit -F dir=/etc -F perm=wa\n".to_owned(), ok(1)),
        (
            "-a always,exit -F path=/etc -F perm=wa\n".to_owned(),
            gone.to_owned(),
        ),
        ("-w /et -p wa\n".to_owned(), gone.to_owned()),
    ] {
        let said = words(&judge(PASSWD, &tree(&text)));
        assert!(said.starts_with(&expected), "{text}: {said}");
    }
    let never = "-a never,exit -F arch=b32 -S adjtimex\n-a always,exit -F arch=b64 -S adjtimex,settimeofday\n";
    check(TIME, &tree(never), &ok(2));
    let said = words(&judge(
        TIME,
        &tree(&format!("-a never,exit -F uid=0\n{never}")),
    ));
    assert!(said.starts_with(gone), "{said}");
}

#[test]
fn numbers_are_names() {
    let check = |wanted: &str, there: &str, is_covered: bool| {
        let mut host = host(&[there], there);
        let auditd = host.packages.get_mut("auditd").expect("it is installed");
        auditd.architecture = "amd64".to_owned();
        let said = words(&judge(&format!("audit_rule: {{rule: '{wanted}'}}"), &host));
        assert_eq!(
            said.starts_with("ok"),
            is_covered,
            "{wanted} / {there}: {said}"
        );
    };
    let execve = "-a always,exit -F arch=b64 -S execve -C uid!=euid -F euid=0 -k privileged";
    check(
        execve,
        "-a always,exit -F arch=b64 -S 59 -C uid!=euid -F euid=0 -F key=x",
        true,
    );
    check(
        execve,
        "-a always,exit -F arch=c000003e -S 0x3b -C uid!=euid -F euid=0",
        true,
    );
    check(
        execve,
        "-a always,exit -F arch=b64 -S 11 -C uid!=euid -F euid=0",
        false,
    );
    // Without an architecture the numbers are the machine's own, and meet those of others.
    check(execve, "-a always,exit -S 59", true);
    let of_32 = execve.replace("b64", "b32");
    check(
        &of_32,
        "-a always,exit -F arch=b32 -S 11 -C uid!=euid -F euid=0",
        true,
    );
    check(&of_32, "-a always,exit -F arch=b32 -S 59", false);
    check(&of_32, "-a always,exit -S execve", false);
    check(&of_32, "-a always,exit -S 11", true);
    // A `never` by number hides as one by name.
    let both = format!("-a never,exit -F arch=b64 -S 59\n{execve}");
    let hidden = host(&[], &both);
    assert!(
        !words(&judge(
            &format!("audit_rule: {{rule: '{execve}'}}"),
            &hidden
        ))
        .contains("but not loaded")
    );
    let refused = "-a always,exit -F arch=b64 -S open,truncate -F exit=-EACCES -k refused";
    check(
        refused,
        "-a always,exit -F arch=b64 -S 2,76 -F exit=-13",
        true,
    );
    check(
        refused,
        "-a always,exit -F arch=b64 -S 2,76 -F exit=-1",
        false,
    );
}

/// auditctl(8): a watch, and the pair of rules in the syscall form, record the same.
#[test]
fn a_watch_in_the_syscall_form() {
    let rule = |arch: &str| {
        format!("-a always,exit -F arch={arch} -F path=/etc/passwd -F perm=wa -F key=a")
    };
    let (b32, b64) = (rule("b32"), rule("b64"));
    for (rules, is_all) in [
        (vec![&b32, &b64], true),
        (vec![&b64, &b32], true),
        (vec![&b64], false),
        (vec![&b32], false),
    ] {
        let loaded: Vec<&str> = rules.iter().map(|rule| rule.as_str()).collect();
        let host = host(&loaded, &(loaded.join("\n") + "\n"));
        let said = words(&judge(PASSWD, &host));
        assert_eq!(said.starts_with("ok"), is_all, "{rules:?}: {said}");
    }
    // What one of them never records is missing.
    let never = b32.replace("always", "never");
    let host = host(&[&never, &b32, &b64], "");
    assert!(words(&judge(PASSWD, &host)).contains("not recorded"));
}
