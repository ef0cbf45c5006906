//! `sshd`: effective values, their places, and edits that make them as wanted.

use model::value::{Output, Reason};
use model::{HostPath, Probe, Tool};
use proptest::prelude::*;
use resource::kind::sshd::config::{self, Config};
use resource::kind::sshd::words;
use resource::{Answers, Judgement};

use crate::support::{Host, check, fix, judge, observe, refused, resource, words as in_words};

const DEBIAN: &str = "\
# This is the sshd server system-wide configuration file.

Include /etc/ssh/sshd_config.d/*.conf

#PermitRootLogin prohibit-password
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem\tsftp\t/usr/lib/openssh/sftp-server
";

const DEFAULTS: &str = "\
permitrootlogin without-password
x11forwarding no
logingracetime 120
maxauthtries 6
maxstartups 10:30:100
permitemptypasswords no
banner none
ciphers chacha20-poly1305@openssh.com,aes128-ctr,aes128-cbc,aes256-gcm@openssh.com
macs hmac-sha1
";

/// A Debian host with these drop-ins.
fn debian(drop_ins: &[(&str, &str)]) -> Host {
    with_main(DEBIAN, drop_ins)
}

fn with_main(main: &str, drop_ins: &[(&str, &str)]) -> Host {
    let mut host = Host::new()
        .file("/etc/ssh/sshd_config", main)
        .dir("/etc/ssh/sshd_config.d");
    host.sshd_defaults = Some(DEFAULTS.to_owned());
    for (name, content) in drop_ins {
        host = host.file(&format!("/etc/ssh/sshd_config.d/{name}"), content);
    }
    host
}

fn offline(mut host: Host) -> Host {
    host.sshd_defaults = None;
    host.cannot_tell(
        Probe::Tool {
            tool: Tool::SshdEffective,
            args: Vec::new(),
        },
        Reason::Offline,
    )
}

const ROOT_NO: &str = "sshd: {option: PermitRootLogin, value: no}";
const OURS: &str = "/etc/ssh/sshd_config.d/00-steadfast.conf";
const MAIN: &str = "/etc/ssh/sshd_config";

#[test]
fn a_default_gets_a_line_in_our_drop_in() {
    let after = check(ROOT_NO, &debian(&[]), "drift: prohibit-password, wanted no");
    assert_eq!(after.content(OURS).as_deref(), Some("PermitRootLogin no\n"));
    assert_eq!(after.content(MAIN).as_deref(), Some(DEBIAN));
    assert_eq!(after.done, ["Reload ssh.service"]);
}

#[test]
fn a_line_of_the_distributions_file_is_overruled_from_our_drop_in() {
    let after = check(
        "sshd: {option: x11forwarding, value: no}",
        &debian(&[]),
        "drift: yes, wanted no @ /etc/ssh/sshd_config:8",
    );
    assert_eq!(after.content(OURS).as_deref(), Some("X11Forwarding no\n"));
    assert_eq!(after.content(MAIN).as_deref(), Some(DEBIAN));
}

#[test]
fn a_line_that_people_wrote_is_edited_in_place() {
    let host = debian(&[(
        "10-legacy.conf",
        "# for the old backup\n\tpermitrootlogin\tyes # until May\nPermitEmptyPasswords yes\n",
    )]);
    let after = check(
        ROOT_NO,
        &host,
        "drift: yes, wanted no @ /etc/ssh/sshd_config.d/10-legacy.conf:2",
    );
    assert_eq!(
        after
            .content("/etc/ssh/sshd_config.d/10-legacy.conf")
            .as_deref(),
        Some("# for the old backup\n\tpermitrootlogin\tno # until May\nPermitEmptyPasswords yes\n")
    );
    assert_eq!(after.content(OURS), None);
}

#[test]
fn the_note_says_which_place_wins() {
    let host = with_main(
        "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\n",
        &[("10-legacy.conf", "PermitRootLogin yes\n")],
    );
    let Judgement::Drift(drifts) = judge(ROOT_NO, &host) else {
        panic!("a drift");
    };
    assert_eq!(
        drifts[0].note.as_deref(),
        Some(
            "/etc/ssh/sshd_config:2 says no; \
             /etc/ssh/sshd_config.d/10-legacy.conf:1 is read first and wins"
        )
    );
}

#[test]
fn without_an_include_that_comes_first_the_main_file_is_edited() {
    // No include at all: before the first Match.
    let host = with_main("Port 22\nMatch User bob\n  X11Forwarding no\n", &[]);
    let after = check(ROOT_NO, &host, "drift: prohibit-password, wanted no");
    assert_eq!(
        after.content(MAIN).as_deref(),
        Some("Port 22\nPermitRootLogin no\nMatch User bob\n  X11Forwarding no\n")
    );
    // The include comes after the line that wins.
    let host = with_main("PermitRootLogin yes\nInclude sshd_config.d/*.conf\n", &[]);
    let after = check(
        ROOT_NO,
        &host,
        "drift: yes, wanted no @ /etc/ssh/sshd_config:1",
    );
    assert_eq!(
        after.content(MAIN).as_deref(),
        Some("PermitRootLogin no\nInclude sshd_config.d/*.conf\n")
    );
    // An include within a Match block is none that would serve us.
    let host = with_main(
        "Match User bob\nInclude /etc/ssh/sshd_config.d/*.conf\n",
        &[],
    );
    let after = check(ROOT_NO, &host, "drift: prohibit-password, wanted no");
    assert_eq!(
        after.content(MAIN).as_deref(),
        Some("PermitRootLogin no\nMatch User bob\nInclude /etc/ssh/sshd_config.d/*.conf\n")
    );
}

#[test]
fn the_drop_in_directory_is_made_where_it_is_missing() {
    let mut host = Host::new().file(MAIN, DEBIAN);
    host.sshd_defaults = Some(DEFAULTS.to_owned());
    let after = check(ROOT_NO, &host, "drift: prohibit-password, wanted no");
    assert_eq!(after.content(OURS).as_deref(), Some("PermitRootLogin no\n"));
}

#[test]
fn our_drop_in_keeps_what_people_put_into_it() {
    let ours = "Banner none\nMatch User bob\n  X11Forwarding no\n";
    let after = check(
        ROOT_NO,
        &debian(&[("00-steadfast.conf", ours)]),
        "drift: prohibit-password, wanted no",
    );
    assert_eq!(
        after.content(OURS).as_deref(),
        Some("Banner none\nPermitRootLogin no\nMatch User bob\n  X11Forwarding no\n")
    );
}

#[test]
fn match_blocks_that_weaken_are_drifts_of_their_own() {
    let host = debian(&[
        (
            "10-a.conf",
            "PermitRootLogin no\nMatch Address 10.0.0.0/8\n    PermitRootLogin yes\n",
        ),
        ("20-b.conf", "Match all\nBanner none\n"),
    ]);
    let (said, after) = fix(ROOT_NO, &host);
    assert_eq!(
        said,
        "drift: yes, wanted no @ /etc/ssh/sshd_config.d/10-a.conf:3"
    );
    assert_eq!(
        after.content("/etc/ssh/sshd_config.d/10-a.conf").as_deref(),
        Some("PermitRootLogin no\nMatch Address 10.0.0.0/8\n    PermitRootLogin no\n")
    );
    // A `Match` ends with its file: the line in the next file is global.
    let host = debian(&[
        ("10-a.conf", "Match User bob\nX11Forwarding no\n"),
        ("20-b.conf", "PermitRootLogin no\n"),
    ]);
    check(
        ROOT_NO,
        &host,
        "ok: no @ /etc/ssh/sshd_config.d/20-b.conf:1",
    );
}

#[test]
fn match_all_overrides_the_global_section() {
    let host = debian(&[(
        "10-a.conf",
        "PermitRootLogin no\nMatch all\nPermitRootLogin yes\n",
    )]);
    let after = check(
        ROOT_NO,
        &host,
        "drift: yes, wanted no @ /etc/ssh/sshd_config.d/10-a.conf:3",
    );
    assert_eq!(
        after.content("/etc/ssh/sshd_config.d/10-a.conf").as_deref(),
        Some("PermitRootLogin no\nMatch all\nPermitRootLogin no\n")
    );
}

/// Among blocks that match, the first value is taken: `sshd -T -C user=root,addr=10.1.1.1` says no.
#[test]
fn a_block_without_effect_is_no_finding() {
    for good in [
        "Match all\nPermitRootLogin no\nMatch Address 10.0.0.0/8\nPermitRootLogin yes\n",
        // Who signs in as ana is not root.
        "PermitRootLogin no\nMatch User ana\nPermitRootLogin yes\n",
        "PermitRootLogin no\nMatch User *,!root Address 10.0.0.0/8\nPermitRootLogin yes\n",
    ] {
        let said = crate::support::words(&judge(ROOT_NO, &with_main(good, &[])));
        assert!(said.starts_with("ok"), "{good}: {said}");
    }
    for bad in [
        "Match Address 10.0.0.0/8\nPermitRootLogin yes\nMatch all\nPermitRootLogin no\n",
        "PermitRootLogin no\nMatch User ana,r*\nPermitRootLogin yes\n",
        "PermitRootLogin no\nMatch Group admins\nPermitRootLogin yes\n",
    ] {
        let said = crate::support::words(&judge(ROOT_NO, &with_main(bad, &[])));
        assert!(said.starts_with("drift: yes"), "{bad}: {said}");
    }
    // Of another option, ana's own value counts.
    let said = crate::support::words(&judge(
        "sshd: {option: X11Forwarding, value: no}",
        &with_main("X11Forwarding no\nMatch User ana\nX11Forwarding yes\n", &[]),
    ));
    assert!(said.starts_with("drift: yes"), "{said}");
}

#[test]
fn values_compare_in_one_form() {
    for (option, value, line, expected) in [
        (
            "PermitRootLogin",
            "prohibit-password",
            "",
            "ok: prohibit-password",
        ),
        (
            "PermitRootLogin",
            "without-password",
            "",
            "ok: prohibit-password",
        ),
        (
            "LoginGraceTime",
            "{from: 1, to: 120, set: 60}",
            "LoginGraceTime 2m",
            "ok: 120",
        ),
        ("LoginGraceTime", "2m", "", "ok: 120"),
        (
            "MaxStartups",
            "{at_most: 100, set: 60}",
            "",
            "ok: 10:30:100",
        ),
        (
            "MaxAuthTries",
            "{at_most: 4, set: 4}",
            "MaxAuthTries=3",
            "ok: 3",
        ),
        ("ChallengeResponseAuthentication", "no", "", "ok: no"),
        (
            "AllowUsers",
            "ana li",
            "AllowUsers ana\nAllowUsers li",
            "ok: ana li",
        ),
    ] {
        let host = debian(&[("10-a.conf", line)]);
        let yaml = format!("sshd: {{option: {option}, value: {value}}}");
        let said = in_words(&judge(&yaml, &host));
        let said = said.split(" @ ").next().unwrap_or_default();
        assert_eq!(said, expected, "{yaml} with {line}");
    }
}

#[test]
fn a_bound_is_no_promise_about_unlimited() {
    check(
        "sshd: {option: LoginGraceTime, value: {from: 1, to: 60, set: 60}}",
        &debian(&[("10-a.conf", "LoginGraceTime 0\n")]),
        "drift: 0, wanted 1 to 60 @ /etc/ssh/sshd_config.d/10-a.conf:1",
    );
}

#[test]
fn lists_lose_what_is_not_wanted_and_keep_their_order() {
    let after = check(
        "sshd: {option: Ciphers, forbid: ['*-cbc', 'arcfour*']}",
        &debian(&[]),
        "drift: aes128-cbc in the list, wanted none of *-cbc, arcfour*",
    );
    assert_eq!(
        after.content(OURS).as_deref(),
        Some("Ciphers chacha20-poly1305@openssh.com,aes128-ctr,aes256-gcm@openssh.com\n")
    );
    let after = check(
        "sshd: {option: Ciphers, allow: ['aes*-ctr', 'aes*-gcm@*']}",
        &debian(&[("50-x.conf", "Ciphers aes256-cbc,aes256-ctr\n")]),
        "drift: aes256-cbc in the list, wanted only aes*-ctr, aes*-gcm@* \
         @ /etc/ssh/sshd_config.d/50-x.conf:1",
    );
    assert_eq!(
        after.content("/etc/ssh/sshd_config.d/50-x.conf").as_deref(),
        Some("Ciphers aes256-ctr\n")
    );
    check(
        "sshd: {option: MACs, forbid: [hmac-sha1]}",
        &debian(&[]),
        "drift: hmac-sha1 in the list, wanted none of hmac-sha1 \
         (by hand: choose a value for `MACs`: nothing of the list is left)",
    );
}

#[test]
fn options_that_add_up_lose_words_from_each_line() {
    let host = debian(&[(
        "10-a.conf",
        "AcceptEnv LD_PRELOAD TERM\nAcceptEnv LD_LIBRARY_PATH\n",
    )]);
    let after = check(
        "sshd: {option: AcceptEnv, forbid: ['LD_*']}",
        &host,
        "drift: LD_PRELOAD, LD_LIBRARY_PATH in the list, wanted none of LD_* \
         @ /etc/ssh/sshd_config.d/10-a.conf:1",
    );
    assert_eq!(
        after.content("/etc/ssh/sshd_config.d/10-a.conf").as_deref(),
        Some("AcceptEnv TERM\n")
    );
    let after = check(
        "sshd: {option: AllowGroups, value: ssh}",
        &debian(&[("10-a.conf", "AllowGroups a\nAllowGroups b\n")]),
        "drift: a b, wanted ssh @ /etc/ssh/sshd_config.d/10-a.conf:1",
    );
    assert_eq!(
        after.content("/etc/ssh/sshd_config.d/10-a.conf").as_deref(),
        Some("AllowGroups ssh\n")
    );
    check(
        "sshd: {option: AllowGroups, value: ssh}",
        &debian(&[
            ("10-a.conf", "AllowGroups ssh\n"),
            ("20-b.conf", "AllowGroups ssh\n"),
        ]),
        "ok: ssh @ /etc/ssh/sshd_config.d/10-a.conf:1",
    );
    check(
        "sshd: {option: AllowGroups, value: ssh}",
        &debian(&[]),
        "drift: not set, wanted ssh",
    );
}

#[test]
fn the_last_of_several_max_startups_may_win() {
    let host = debian(&[("10-a.conf", "MaxStartups 10:30:60\nMaxStartups 200\n")]);
    let (_, after) = fix(
        "sshd: {option: MaxStartups, value: {at_most: 100, set: 60}}",
        &host,
    );
    // The stand-in for sshd is of the newer kind, where the first wins: nothing drifts.
    assert_eq!(after, host);
    let mut old = debian(&[("10-a.conf", "MaxStartups 10:30:60\nMaxStartups 5:30:200\n")]);
    old.sshd_defaults = None;
    old.tools.insert(
        (Tool::SshdEffective, Vec::new()),
        Output {
            status: Some(0),
            stdout: "maxstartups 5:30:200\n".to_owned(),
            stderr: String::new(),
        },
    );
    let Judgement::Drift(drifts) = judge(
        "sshd: {option: MaxStartups, value: {at_most: 100, set: 60}}",
        &old,
    ) else {
        panic!("a drift");
    };
    let mut after = old.clone();
    after.apply(&drifts[0].edits);
    assert_eq!(
        after.content("/etc/ssh/sshd_config.d/10-a.conf").as_deref(),
        Some("MaxStartups 10:30:60\nMaxStartups 10:30:60\n")
    );
}

#[test]
fn what_sshd_cannot_be_asked_is_read_from_files_where_they_decide() {
    check(
        ROOT_NO,
        &offline(debian(&[("10-a.conf", "PermitRootLogin no\n")])),
        "ok: no @ /etc/ssh/sshd_config.d/10-a.conf:1",
    );
    // No line: a default of the distribution, which files do not tell.
    check(
        ROOT_NO,
        &offline(debian(&[])),
        "unknown: offline: programs of this tree are not run",
    );
    // A file that can't be read may hold a line that wins, or a `Match all` block.
    let drop_in: HostPath = "/etc/ssh/sshd_config.d/20-b.conf".parse().expect("a path");
    let host = debian(&[("10-a.conf", "PermitRootLogin no\n"), ("20-b.conf", "")]);
    let host = host.cannot_tell(Probe::file(drop_in), Reason::NeedsRoot);
    check(
        ROOT_NO,
        &offline(host.clone()),
        "unknown: offline: programs of this tree are not run",
    );
    // With sshd's own answer the global value is known, but not what `Match` blocks do.
    check(ROOT_NO, &host, "unknown: needs root: run with sudo");
}

#[test]
fn sshds_refusals_are_told_apart() {
    let answer = |stderr: &str| {
        let mut host = debian(&[]);
        host.sshd_defaults = None;
        host.tools.insert(
            (Tool::SshdEffective, Vec::new()),
            Output {
                status: Some(255),
                stdout: String::new(),
                stderr: stderr.to_owned(),
            },
        );
        host
    };
    check(
        ROOT_NO,
        &answer("/etc/ssh/sshd_config line 9: Bad configuration option: Foo\n"),
        "error: sshd refuses its configuration: \
         /etc/ssh/sshd_config line 9: Bad configuration option: Foo",
    );
    check(
        ROOT_NO,
        &answer("sshd: no hostkeys available -- exiting.\n"),
        "unknown: sshd -T: sshd: no hostkeys available -- exiting.",
    );
    check(
        "sshd: {option: PerSourcePenalties, value: yes}",
        &debian(&[]),
        "n/a: this version of sshd has no option `PerSourcePenalties`",
    );
}

/// Debian's own unit (openssh-server 1:9.2p1), as far as it matters.
const UNIT: &str = "\
[Service]
EnvironmentFile=-/etc/default/ssh
ExecStartPre=/usr/sbin/sshd -t
ExecStart=/usr/sbin/sshd -D $SSHD_OPTS
ExecReload=/usr/sbin/sshd -t
";

/// What the unit really starts counts, whatever part of it says so.
#[test]
fn what_the_unit_starts_counts() {
    let main = "/usr/lib/systemd/system/ssh.service";
    let drop_in = "/etc/systemd/system/ssh.service.d/site.conf";
    let base = debian(&[("10-a.conf", "PermitRootLogin no\n")])
        .file(main, UNIT)
        .unit("ssh.service", "active", "enabled", &[main]);
    let fine = "ok: no @ /etc/ssh/sshd_config.d/10-a.conf:1";
    let other = |at: &str| format!("unknown: sshd runs with another file, /etc/ssh/other ({at})");
    let forced = |at: &str, place: &str| {
        format!("drift: yes, wanted no @ {at} (by hand: take `PermitRootLogin` out of {place})")
    };
    check(ROOT_NO, &base, fine);
    for (content, expected) in [
        (
            "ExecStart=\nExecStart=/usr/sbin/sshd -D -f /etc/ssh/other",
            other(&format!("{drop_in}:3")),
        ),
        (
            "ExecStart=\nExecStart=-/usr/sbin/sshd -D4f/etc/ssh/other",
            other(&format!("{drop_in}:3")),
        ),
        (
            "ExecStart=\nExecStart=/usr/sbin/sshd -D -oInclude=/etc/ssh/other",
            other(&format!("{drop_in}:3")),
        ),
        (
            "Environment=\"SSHD_OPTS=-f /etc/ssh/other\"",
            other(&format!("{drop_in}:2")),
        ),
        (
            "EnvironmentFile=/etc/ssh/more",
            forced("/etc/ssh/more:1", "SSHD_OPTS"),
        ),
        (
            "ExecStart=\nExecStart=/usr/sbin/sshd -D -oPermitRootLogin=yes",
            forced(&format!("{drop_in}:3"), "ExecStart"),
        ),
        (
            "ExecStart=\nExecStart=/usr/sbin/sshd -D -o \"PermitRootLogin yes\"",
            forced(&format!("{drop_in}:3"), "ExecStart"),
        ),
        (
            "Environment=OPTS=yes\nExecStart=\nExecStart=/usr/sbin/sshd -o PermitRootLogin=${OPTS}",
            forced(&format!("{drop_in}:4"), "ExecStart"),
        ),
        (
            "ExecStart=\nExecStart=/bin/sh -c 'exec sshd -f /etc/ssh/other'",
            format!("unknown: sshd is started by /bin/sh ({drop_in}:3)"),
        ),
        (
            "ExecStart=\nExecStart=/usr/sbin/sshd -f /etc/ssh/%H",
            format!("unknown: {drop_in}:3: this command is not understood"),
        ),
        (
            "PassEnvironment=SSHD_OPTS",
            format!("unknown: {drop_in}:2: variables of systemd's own environment are passed on"),
        ),
        (
            "ExecStart=\nExecStart=/usr/sbin/sshd -D -f /etc/ssh/sshd_config",
            fine.to_owned(),
        ),
        ("Environment=LANG=C", fine.to_owned()),
        // What was added is taken back.
        (
            "ExecStart=/usr/sbin/sshd -f /x\nExecStart=\nExecStart=/usr/sbin/sshd -D",
            fine.to_owned(),
        ),
    ] {
        let host = base
            .clone()
            .file(drop_in, &format!("[Service]\n{content}\n"))
            .file("/etc/ssh/more", "SSHD_OPTS='-o PermitRootLogin=yes'\n");
        check(ROOT_NO, &host, &expected);
    }
}

#[test]
fn the_command_line_of_the_service_counts() {
    let host = debian(&[("10-a.conf", "PermitRootLogin no\n")]);
    check(
        ROOT_NO,
        &host.clone().file(
            "/etc/default/ssh",
            "# options\nSSHD_OPTS='-u0 -o PermitRootLogin=yes'\n",
        ),
        "drift: yes, wanted no @ /etc/default/ssh:2 (by hand: take `PermitRootLogin` out of SSHD_OPTS)",
    );
    check(
        ROOT_NO,
        &host
            .clone()
            .file("/etc/default/ssh", "SSHD_OPTS=\"-f /srv/sshd\"\n"),
        "unknown: sshd runs with another file, /srv/sshd (/etc/default/ssh:1)",
    );
    check(
        ROOT_NO,
        &host.file("/etc/default/ssh", "SSHD_OPTS=\n"),
        "ok: no @ /etc/ssh/sshd_config.d/10-a.conf:1",
    );
}

#[test]
fn mistakes_are_refused_at_load() {
    for (yaml, why) in [
        (
            "sshd: {option: PermitRootLogn, value: no}",
            "`PermitRootLogn` is not an option of sshd_config(5)",
        ),
        (
            "sshd: {option: PermitRootLogin, value: 'false'}",
            "sshd says `yes` and `no`, not `false`",
        ),
        (
            "sshd: {option: PermitRootLogin}",
            "say exactly one of `value`, `allow` and `forbid`",
        ),
        (
            "sshd: {option: PermitRootLogin, forbid: [yes]}",
            "`PermitRootLogin` is not a list: use `value`",
        ),
        (
            "sshd: {option: Ciphers, value: +aes128-cbc}",
            "write the whole list: `+`, `-` and `^` depend on the default",
        ),
        (
            "sshd: {option: MaxAuthTries, value: {at_most: 4, set: 6}}",
            "`set` does not satisfy the expectation itself",
        ),
        (
            "sshd: {option: Ciphers, allow: ['a,b']}",
            "`a,b` is not one name",
        ),
    ] {
        refused(yaml, why);
    }
}

#[test]
fn malformed_files_are_survived() {
    let nested = (0..40)
        .map(|at| format!("Include /etc/ssh/n{at}\n"))
        .collect::<String>();
    for text in [
        "PermitRootLogin \"no\nPermitRootLogin yes\n",
        "Include\nInclude /etc/../x\nInclude [a-\nMatch\n=\n\"\n\"x\n\\\n",
        "\u{0}\u{1}\u{feff}\nPermitRootLogin\n",
        "Include /etc/ssh/sshd_config\n",
        nested.as_str(),
    ] {
        let mut host = with_main(text, &[]);
        for at in 0..40 {
            let name = format!("/etc/ssh/n{at}");
            host = host.file(&name, "Include /etc/ssh/sshd_config\n");
        }
        let resource = resource(ROOT_NO);
        let mut seen = Answers::default();
        for _ in 0..4 {
            for probe in resource.probes(&seen) {
                let observed = host.answer(&probe);
                seen.insert(probe, observed);
            }
        }
        let judgement = resource.judge(&seen);
        assert!(
            !matches!(judgement, Judgement::Compliant { .. }),
            "{text:?}: {judgement:?}"
        );
    }
}

fn parsed(text: &str) -> Config {
    let host = with_main(text, &[]);
    let resource = resource(ROOT_NO);
    config::read(&observe(&resource, &host)).0
}

#[test]
fn words_of_a_line() {
    for (line, option, args) in [
        ("Port 22", "port", &["22"][..]),
        ("  pOrT=22", "port", &["22"]),
        ("Port = 22 # why", "port", &["22"]),
        ("Banner \"/etc/my banner\"", "banner", &["/etc/my banner"]),
        ("Banner /a#b", "banner", &["/a#b"]),
        ("AcceptEnv A 'B C' D\\ E", "acceptenv", &["A", "B C", "D E"]),
        (
            "PubkeyAcceptedKeyTypes x",
            "pubkeyacceptedalgorithms",
            &["x"],
        ),
        ("UsePAM", "usepam", &[]),
    ] {
        let config = parsed(line);
        let found = config.lines().next().expect("one line");
        assert_eq!(
            (found.option.as_str(), &found.args[..]),
            (
                option,
                &args.iter().map(|&a| a.to_owned()).collect::<Vec<_>>()[..]
            ),
            "{line}"
        );
    }
    assert_eq!(parsed("# Port 22\n\n   #x\n").lines().count(), 0);
    // sshd refuses it; what it would set is not known.
    let config = parsed("\"PermitRootLogin yes\n");
    assert_eq!(config.lines().count(), 0);
    assert!(config.hidden().is_some());
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => ("[ \t]{0,2}", "(PermitRootLogin|permitrootlogin|X11Forwarding|MaxAuthTries)", "( |\t|=)", "(yes|no|prohibit-password|6)", "( # x)?")
            .prop_map(|(a, b, c, d, e)| format!("{a}{b}{c}{d}{e}")),
        1 => Just("# a comment".to_owned()),
        1 => Just(String::new()),
        1 => Just("Match User bob".to_owned()),
        1 => Just("Match all".to_owned()),
        1 => Just("Include /etc/ssh/sshd_config.d/*.conf".to_owned()),
    ]
}

proptest! {
    /// Whatever the files look like: after the fix the host complies (`fix` demands it), and
    /// every line that is not about the option is still there, in order.
    #[test]
    fn a_fix_holds_and_other_lines_survive(
        main in prop::collection::vec(line(), 0..12),
        drop_in in prop::collection::vec(line().prop_filter("one level", |l| !l.starts_with("Include")), 0..6),
    ) {
        let main = main.join("\n");
        // One include at most: files that are read twice make line numbers ambiguous.
        prop_assume!(main.matches("Include").count() <= 1);
        let host = with_main(&main, &[("10-x.conf", &drop_in.join("\n"))]);
        let (_, after) = fix(ROOT_NO, &host);
        for at in [MAIN, "/etc/ssh/sshd_config.d/10-x.conf"] {
            let others = |host: &Host| {
                let content = host.content(at).unwrap_or_default();
                content
                    .lines()
                    .filter(|line| !line.to_lowercase().contains("permitrootlogin"))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            prop_assert_eq!(others(&host), others(&after));
        }
    }

    #[test]
    fn any_bytes_are_survived(text in "(?s).{0,200}", pattern in "[a*?]{0,8}", name in "[ab]{0,8}") {
        let _ = parsed(&text);
        let _ = words::canonical("logingracetime", std::slice::from_ref(&text));
        // A star for every character matches whatever has at most as many.
        prop_assert!(words::matches(b"*", name.as_bytes()));
        prop_assert_eq!(words::matches(pattern.as_bytes(), pattern.as_bytes()), true);
    }
}

/// sshd_config(5), AcceptEnv: both sides are patterns, and what matters is whether some name
/// matches both.
#[test]
fn patterns_that_share_a_name() {
    for (one, other, share) in [
        ("LD_*", "L*", true),
        ("LD_*", "*_PRELOAD", true),
        ("LD_*", "**", true),
        ("LD_*", "?*", true),
        ("PATH", "PAT?", true),
        ("PATH", "P*", true),
        ("BASH_*", "B*", true),
        ("LD_*", "LANG", false),
        ("LD_*", "LC_*", false),
        ("PATH", "PATHS*", false),
        ("?", "*", true),
        ("", "*", true),
        ("", "?", false),
        ("a*b*c", "*bb?", true),
        ("a*b", "*a", false),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            assert_eq!(
                words::overlap(one.as_bytes(), other.as_bytes()),
                share,
                "{one} {other}"
            );
        }
    }
    let yaml = "sshd: {option: AcceptEnv, forbid: ['LD_*', PATH]}";
    let host = debian(&[("10-site.conf", "AcceptEnv LANG LC_* *LD_PRELOAD\n")]);
    let (said, after) = fix(yaml, &host);
    assert!(said.starts_with("drift: *LD_PRELOAD in the list"), "{said}");
    let after = after.content("/etc/ssh/sshd_config.d/10-site.conf");
    assert_eq!(after.as_deref(), Some("AcceptEnv LANG LC_*\n"));
}

#[test]
fn blocks_about_root() {
    for (condition, is_all) in [
        ("User root", true),
        ("User ro*", true),
        ("User *", true),
        ("user ana,root", true),
        ("Group root", true),
        ("User root Address 192.0.2.0/24", false),
        ("User *,!root", false),
        ("User ana", false),
        ("All", false),
    ] {
        assert_eq!(words::is_all_of_root(condition), is_all, "{condition}");
    }
    // The block wins over what stands before it, and a later one is never reached.
    let yaml = "sshd: {option: PermitRootLogin, value: 'no'}";
    let block = |value: &str| format!("Match User root\n  PermitRootLogin {value}\n");
    let said = |text: &str| in_words(&judge(yaml, &debian(&[("10-site.conf", text)])));
    assert!(said(&block("no")).starts_with("ok: no"));
    let later = "Match Address 192.0.2.0/24\n  PermitRootLogin yes\n";
    assert!(said(&(block("no") + later)).starts_with("ok: no"));
    assert!(said(&(later.to_owned() + &block("no"))).starts_with("drift: yes"));
    assert!(said(&block("yes")).starts_with("drift: yes"));
}

#[test]
fn options_that_another_one_makes_moot() {
    let said = |yaml: &str, text: &str| in_words(&judge(yaml, &debian(&[("10-site.conf", text)])));
    let x11 = "sshd: {option: X11Forwarding, value: 'no'}";
    let all = "DisableForwarding yes\n";
    assert!(said(x11, all).starts_with("ok: no, by DisableForwarding"));
    let again = format!("{all}Match User ana\n  DisableForwarding no\n");
    assert!(!said(x11, &again).starts_with("ok"));
    let passwords = "sshd: {option: PasswordAuthentication, value: 'no', unless_key_wanted: true}";
    let yes = "PasswordAuthentication yes\n";
    for (methods, is_ok) in [
        ("publickey,password", true),
        ("publickey,password publickey,keyboard-interactive", true),
        ("publickey password", false),
        ("any", false),
    ] {
        let text = format!("{yes}AuthenticationMethods {methods}\n");
        let said = said(passwords, &text);
        assert_eq!(said.starts_with("ok"), is_ok, "{methods}: {said}");
    }
    assert!(said(passwords, yes).starts_with("drift: yes"));
}
