//! What is made of the answers of programs that end with success whatever they find, and the grammar
//! of crontabs. Case F13 of 2026-11-30: all of this was written, and nothing said a word.

use host::validate::{cron, named, said};
use model::{Action, HostPath};

use crate::bench::{action, put};

#[test]
fn crontabs() {
    let is_account = |name: &str| matches!(name, "root" | "www-data");
    let good = "# ours\nSHELL=/bin/sh\nPATH = /usr/bin\nMAILTO=\"\"\n\n\
                17 *\t* * *\troot cd / && run-parts --report /etc/cron.hourly\n\
                */5,7 0-23/2 1,15 jan-Mar sun root true\n@daily www-data true\n\
                5-55/10 * * * * root test -x /x || exit 0 # k=v\n";
    assert_eq!(cron::check(good, &is_account), Ok(()));
    assert_eq!(cron::check("", &is_account), Ok(()));
    for (line, wrong) in [
        ("* * * * * nobdy true", "there is no account `nobdy`"),
        ("60 * * * * root true", "`60` is no minute"),
        ("* 24 * * * root true", "`24` is no hour"),
        ("* * 0 * * root true", "`0` is no day of the month"),
        ("* * * 13 * root true", "`13` is no month"),
        ("* * * * 8 root true", "`8` is no day of the week"),
        ("*/0 * * * * root true", "`*/0` is no minute"),
        ("5-1 * * * * root true", "`5-1` is no minute"),
        ("* * * * root true", "`root` is no day of the week"),
        ("@often root true", "`@often` is no time"),
        ("@daily root", "there is no command"),
        ("garbage", "`garbage` is no minute"),
    ] {
        let refused = cron::check(&format!("# a comment\n{line}\n"), &is_account);
        assert_eq!(refused, Err((2, wrong.to_owned())), "{line}");
    }
    let (line, why) = cron::check("@daily root true", &is_account).expect_err("no newline");
    assert!(line == 1 && why.contains("no newline"), "{why}");
}

#[test]
fn logrotate_is_heard_about_the_files_that_change_only() {
    let said = "warning: logrotate in debug mode does nothing except printing debug messages!\n\
                reading config file /etc/logrotate.d/app\n\
                warning: app:2 unknown option 'weeklyy' -- ignoring line\n\
                error: old:9 unknown group 'gone'\n\
                error: skipping \"/var/log/x\" because parent directory has insecure permissions\n";
    let app = HostPath::literal("/etc/logrotate.d/app");
    assert_eq!(
        said::of_logrotate(said, [&app].into_iter()),
        Some("warning: app:2 unknown option 'weeklyy' -- ignoring line".to_owned())
    );
    let other = HostPath::literal("/etc/logrotate.d/ap");
    assert_eq!(said::of_logrotate(said, [&other].into_iter()), None);
}

#[test]
fn findmnt_is_heard_about_what_is_new() {
    let before = "/srv\n   [E] unreachable on boot required source: UUID=0\n   [W] x\n\n\
                  0 parse errors, 1 error, 1 warning\n";
    let garbage = "\n1 parse error, 0 errors, 0 warnings\nfindmnt: /etc/fstab: parse error at line 3 -- ignored\n";
    let target = "/new\n   [E] unreachable on boot required target: No such file or directory\n";
    let source = "/new\n   [E] unreachable on boot required source: LABEL=x\n";
    let of = |before: &str, after: &str| {
        said::of_findmnt(before, after, "LABEL=x /new ext4 defaults 0 2\n")
    };
    assert_eq!(of(before, before), None);
    assert_eq!(of("", target), None);
    let new = of(before, &format!("{before}{source}"));
    assert_eq!(
        new.as_deref(),
        Some("/new: unreachable on boot required source: LABEL=x")
    );
    let new = of(before, &format!("{before}{garbage}"));
    assert_eq!(new.as_deref(), Some("a line is no entry"));
    let table = "LABEL=x /new ext4 rw,nofail 0 2\n";
    assert_eq!(said::of_findmnt("", source, table), None);
    // One more than there was.
    assert!(of(garbage, &format!("{garbage}{garbage}")).is_some());
    assert_eq!(of(garbage, garbage), None);
}

/// The file that a program names is the one that it refuses, not the first that it was shown.
#[test]
fn the_refused_file_is_the_one_that_is_named() {
    const PATHS: [&str; 5] = [
        "/etc/nginx/sites-available/site.conf",
        "/etc/nginx/conf.d/hardening.conf",
        "/etc/ssh/sshd_config",
        "/etc/ssh/sshd_config.d/10-own.conf",
        "/etc/logrotate.d/own",
    ];
    let all: Vec<Action> = PATHS.iter().map(|path| action(put(path, "x"))).collect();
    let all: Vec<&Action> = all.iter().collect();
    for (said, path) in [
        (
            "2026/12/01 nginx: [emerg] \"server_tokens\" directive is duplicate in \
             /etc/nginx/conf.d/hardening.conf:1\n\
             nginx: configuration file /etc/nginx/nginx.conf test failed",
            Some(1),
        ),
        (
            "/etc/ssh/sshd_config.d/10-own.conf: line 2: Bad option: X",
            Some(3),
        ),
        ("/etc/ssh/sshd_config line 2: Bad option: X", Some(2)),
        ("can't read /etc/ssh/sshd_config.", Some(2)),
        ("error: own:2 unknown option 'weeklyy'", Some(4)),
        ("error: known:2 unknown option 'weeklyy'", None),
        ("/etc/nginx/nginx.conf test failed", None),
    ] {
        let found = named(said, &all).and_then(|one| one.effect.path());
        let wanted = path.map(|place: usize| HostPath::literal(PATHS[place]));
        assert_eq!(found, wanted.as_ref(), "{said}");
    }
}
