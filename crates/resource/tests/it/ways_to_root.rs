//! What decides who becomes root, by what sudoers and the stacks of PAM include on a host.

use model::Probe;
use resource::Answers;
use resource::kind::ways_to_root::{Way, WaysToRoot, is_root_alone, rests_on_password};

use crate::accounts;
use crate::support::{Host, path};

fn seen(host: &Host) -> (Answers, WaysToRoot) {
    let mut answers = Answers::default();
    answers.insert(Probe::Accounts, host.answer(&Probe::Accounts));
    loop {
        let (ways, probes) = WaysToRoot::read(&answers);
        let open: Vec<Probe> = probes
            .into_iter()
            .filter(|probe| !answers.contains(probe))
            .collect();
        if open.is_empty() {
            return (answers, ways);
        }
        for probe in open {
            let observed = host.answer(&probe);
            answers.insert(probe, observed);
        }
    }
}

fn host(sudoers: &str) -> Host {
    accounts::host(
        &[
            "root:set:0:0:/root:/bin/bash",
            "ana:set:1000:1000:/home/ana:/bin/bash",
            "bot:set:1001:1001:/home/bot:/bin/bash",
            "li:set:1002:1002:/home/li:/bin/bash",
        ],
        &[
            "root:0:",
            "sudo:27:ana",
            "ana:1000:",
            "bot:1001:",
            "li:1002:",
        ],
    )
    .file("/etc/sudoers", sudoers)
    .dir("/etc/sudoers.d")
}

const SUDOERS: &str = "\
%sudo ALL=(ALL:ALL) ALL
bot ALL=(ALL) NOPASSWD: ALL
@includedir /etc/sudoers.d
#includedir /usr/local/etc/sudoers.d
@include /srv/rules
";

#[test]
fn what_is_included_is_part_of_it() {
    let host = host(SUDOERS)
        .dir("/usr/local/etc/sudoers.d")
        .file("/srv/rules", "@include more\n")
        .file("/srv/more", "")
        .file(
            "/etc/pam.d/sudo",
            "@include site-auth\nauth substack deep\n",
        )
        .file("/etc/pam.d/site-auth", "auth include /srv/pam/last\n")
        .file("/etc/pam.d/deep", "auth required pam_unix.so\n")
        .file("/srv/pam/last", "auth required pam_unix.so\n")
        .file("/etc/pam.d/sshd", "@include of-sshd\n")
        .file("/etc/pam.d/of-sshd", "");
    let (_, ways) = seen(&host);
    for (at, expected) in [
        ("/etc/sudoers", Some(Way::Rules)),
        ("/etc/sudoers.d/ana", Some(Way::Rules)),
        ("/etc/sudoers.old", None),
        ("/usr/local/etc/sudoers.d", Some(Way::Rules)),
        ("/usr/local/etc/sudoers.d/zz", Some(Way::Rules)),
        ("/usr/local/etc/other", None),
        ("/srv/rules", Some(Way::Rules)),
        ("/srv/more", Some(Way::Rules)),
        ("/etc/pam.d/sudo", Some(Way::Pam)),
        ("/etc/pam.d/su", Some(Way::Pam)),
        ("/etc/pam.d/common-auth", Some(Way::Pam)),
        ("/etc/pam.d/site-auth", Some(Way::Pam)),
        ("/etc/pam.d/deep", Some(Way::Pam)),
        ("/srv/pam/last", Some(Way::Pam)),
        ("/etc/pam.d/sshd", None),
        ("/etc/pam.d/of-sshd", None),
        ("/usr/bin/sudo", Some(Way::Program)),
        ("/usr/libexec/sudo/sudoers.so", Some(Way::Program)),
        ("/etc/nsswitch.conf", Some(Way::Program)),
        ("/etc/ssh/sshd_config", None),
    ] {
        assert_eq!(ways.of(&path(at)), expected, "{at}");
    }
}

#[test]
fn whose_way_to_root_goes_with_a_password() {
    for (sudoers, name, expected) in [
        (SUDOERS, "ana", true),
        (SUDOERS, "bot", false),
        (SUDOERS, "li", false),
        (SUDOERS, "root", false),
        ("Defaults rootpw\n%sudo ALL=(ALL) ALL\n", "root", true),
        ("li ALL=(root) /usr/bin/id\n", "li", false),
        ("%sudo ALL=(ALL) NOPASSWD: ALL\n", "ana", false),
        (
            "ana ALL=(ALL) NOPASSWD: /usr/bin/id, PASSWD: ALL\n",
            "ana",
            true,
        ),
        ("ana ALL=(ALL) ALL\n", "nobody-of-that-name", false),
    ] {
        let (answers, _) = seen(&host(sudoers));
        assert_eq!(
            rests_on_password(name, &answers),
            expected,
            "{name}: {sudoers}"
        );
    }
    assert!(rests_on_password("ana", &Answers::default()), "unknown");
}

#[test]
fn whether_root_administers_alone() {
    for (sudoers, expected) in [
        (SUDOERS, false),
        ("root ALL=(ALL:ALL) ALL\n", true),
        ("li ALL=(root) /usr/bin/id\n", true),
        ("%sudo ALL=(ALL) ALL\n%sudo ALL=(ALL) !ALL\n", true),
        ("li ALL=(ALL) ALL\n", false),
        // What can't be read may be the rule.
        ("li ALL=(ALL\n", false),
    ] {
        let (answers, _) = seen(&host(sudoers));
        assert_eq!(is_root_alone(&answers), expected, "{sudoers}");
    }
    assert!(!is_root_alone(&Answers::default()), "unknown");
}
