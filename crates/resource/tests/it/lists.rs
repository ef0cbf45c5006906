//! `name_list` and `resource_limit`: files of lines that people write in many ways.

use crate::support::{Host, check, judge, refused, words};

const CRON: &str = "name_list: {path: /etc/cron.allow, names: [root], implied: [root]}";
const CORE: &str = "resource_limit: {item: core, at_most: 0}";
const MAIN: &str = "/etc/security/limits.conf";
const OURS: &str = "/etc/security/limits.d/50-steadfast-core.conf";

#[test]
fn names_count_and_not_bytes() {
    for good in ["", "# who may\nroot\n", "root\n", "root", "\n# nobody\n"] {
        let host = Host::new().file("/etc/cron.allow", good);
        assert!(words(&judge(CRON, &host)).starts_with("ok"), "{good}");
    }
    let after = check(
        CRON,
        &Host::new().file("/etc/cron.allow", "# who may\nroot\nbob\n"),
        "drift: `bob` is named, wanted root, and nobody else @ /etc/cron.allow:3",
    );
    assert_eq!(
        after.content("/etc/cron.allow").as_deref(),
        Some("# who may\nroot\n")
    );
    let after = check(
        CRON,
        &Host::new(),
        "drift: absent, wanted root, and nobody else",
    );
    assert_eq!(after.content("/etc/cron.allow").as_deref(), Some("root\n"));
    // One who is wanted, and not implied.
    let ana = "name_list: {path: /etc/cron.allow, names: [root, ana], implied: [root]}";
    let after = check(
        ana,
        &Host::new().file("/etc/cron.allow", "ana # admin\n"),
        "drift: `ana # admin` is named, `ana` is not named, wanted root, ana, and nobody else \
         @ /etc/cron.allow:1",
    );
    assert_eq!(after.content("/etc/cron.allow").as_deref(), Some("ana\n"));
    refused(
        "name_list: {path: /etc/cron.allow, names: ['a b']}",
        "`a b` is not one name",
    );
}

#[test]
fn a_limit_holds_wherever_it_is_written() {
    let host = |main: &str| Host::new().file(MAIN, main).dir("/etc/security/limits.d");
    for good in [
        "* hard core 0\n",
        "* hard core 0\nroot hard core 0\n",
        "*\t-\tcore\t0   # none\nroot - core 0\n",
        "* hard core unlimited\n* hard core 0\nroot hard core 0\n",
    ] {
        assert!(words(&judge(CORE, &host(good))).starts_with("ok"), "{good}");
    }
    let after = check(
        CORE,
        &host("* soft core 0\n"),
        "drift: no hard limit of core, wanted at most 0",
    );
    assert_eq!(after.content(OURS).as_deref(), Some("* hard core 0\n"));
    // Root may raise each, and a line that does so for root says that it is meant.
    check(
        CORE,
        &host("* hard core 0\nroot hard core unlimited\n"),
        &format!("drift: hard core unlimited for root, wanted at most 0 @ {MAIN}:2"),
    );
    // A later file wins.
    let ours = "* hard core 0\nroot hard core 0\n";
    let late = "/etc/security/limits.d/90-x.conf";
    let after = check(
        CORE,
        &host("")
            .file(OURS, ours)
            .file(late, "* hard core unlimited # big\n"),
        &format!("drift: hard core unlimited for *, wanted at most 0 @ {late}:1"),
    );
    assert_eq!(
        after.content(late).as_deref(),
        Some("* hard core 0 # big\n")
    );
    // An earlier one is overruled by our own.
    let after = check(
        CORE,
        &host("* hard core unlimited\nroot hard core 0\n"),
        &format!("drift: hard core unlimited for *, wanted at most 0 @ {MAIN}:1"),
    );
    assert_eq!(after.content(OURS).as_deref(), Some("* hard core 0\n"));
    // A line for one person counts more than that for all, wherever it stands.
    let after = check(
        CORE,
        &host("bob hard core -1\n").file(OURS, ours),
        &format!("drift: hard core -1 for bob, wanted at most 0 @ {MAIN}:1"),
    );
    assert_eq!(after.content(MAIN).as_deref(), Some("bob hard core 0\n"));
    refused(
        "resource_limit: {item: cores, at_most: 0}",
        "`cores` is not an item of limits.conf(5)",
    );
}

/// pam_limits(8) takes these words in any letter case, and a line without an item takes every
/// limit from somebody.
#[test]
fn a_limit_that_does_not_reach_a_session() {
    let base = Host::new()
        .file(OURS, "* HARD CORE 0\nroot Hard core 0\n")
        .file(
            "/etc/pam.d/su",
            "session required pam_limits.so\n@include common-session\n",
        )
        .file(
            "/etc/pam.d/common-session",
            "session required pam_unix.so\n",
        )
        .file("/etc/pam.d/passwd", "@include common-password\n");
    let said = words(&judge(CORE, &base));
    assert!(said.starts_with("ok"), "{said}");
    let late = "/etc/security/limits.d/90-x.conf";
    let after = check(
        CORE,
        &base.clone().file(late, "# why\nli -\n* -\n"),
        &format!("drift: no limits for li, wanted hard core at most 0 @ {late}:2"),
    );
    assert_eq!(after.content(late).as_deref(), Some("# why\n* -\n"));
    let after = check(
        CORE,
        &base
            .clone()
            .file("/etc/pam.d/su", "@include common-session\n"),
        "drift: su calls no pam_limits.so, wanted hard core at most 0 @ /etc/pam.d/su",
    );
    assert_eq!(
        after.content("/etc/pam.d/su").as_deref(),
        Some("@include common-session\nsession    required   pam_limits.so\n")
    );
    check(
        CORE,
        &base.file(
            "/etc/pam.d/su",
            "session required pam_limits.so conf=/etc/other.conf\n",
        ),
        "drift: pam_limits.so reads /etc/other.conf, wanted hard core at most 0 @ /etc/pam.d/su:1 \
         (by hand: take `conf=` away there)",
    );
}
