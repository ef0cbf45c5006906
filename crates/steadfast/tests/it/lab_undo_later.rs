//! An install that is undone weeks later: other packages came meanwhile, the package itself was
//! upgraded, accounts were made, files edited, data written. What is the change's goes, what others
//! made or need stays and is named.

use crate::booted::Host;
use crate::lab_patch::{MAKE, expect_same};

/// An application with a library, an account, data, a unit, an alternative and a diversion.
const APP: &str = r#"
app() {
d=/root/build/lib-of-app; mkdir -p $d/usr/share/lib-of-app; echo 1 > $d/usr/share/lib-of-app/it
make lib-of-app 1.0 'echo made > /usr/share/lib-of-app/made'
d=/root/build/app; mkdir -p $d/usr/lib/systemd/system $d/etc/app/conf.d $d/DEBIAN $d/usr/bin $d/usr/share/app $d/var/log/app
printf '#!/bin/sh\necho app\n' > $d/usr/bin/app; chmod 755 $d/usr/bin/app
printf '# theirs\nsetting = 1\n' > $d/etc/app/app.conf
echo '/etc/app/app.conf' > $d/DEBIAN/conffiles
echo $1 > $d/usr/share/app/version
test $1 = 1.0 || echo new > $d/usr/share/app/new
printf '[Unit]\nDescription=An application\n[Service]\nUser=app\nExecStart=/bin/sleep infinity\nExecStopPost=/bin/sh -c "date > /var/log/app/stopped"\n[Install]\nWantedBy=multi-user.target\n' \
  > $d/usr/lib/systemd/system/appd.service
make app $1 'getent passwd app >/dev/null || useradd --system --home /var/lib/app app
mkdir -p /var/lib/app; test -e /var/lib/app/seed || echo seed > /var/lib/app/seed; chown -R app:app /var/lib/app /var/log/app
update-alternatives --install /usr/bin/play play /usr/bin/app 50 --slave /usr/bin/plays plays /usr/share/app/version
dpkg-divert --package app --divert /usr/bin/diverted.real --no-rename --add /usr/bin/diverted
if test -d /run/systemd/system; then systemctl daemon-reload; systemctl start appd; fi' 'Depends: lib-of-app
'
}
d=/root/build/other; mkdir -p $d/usr/share/other $d/usr/bin; echo other > $d/usr/share/other/it
printf '#!/bin/sh\necho other\n' > $d/usr/bin/other; chmod 755 $d/usr/bin/other
make other 1.0 'update-alternatives --install /usr/bin/play play /usr/bin/other 40
getent group others >/dev/null || groupadd --system others' 'Depends: lib-of-app
'
app 1.0
index
"#;

const ROLE: &str = "  - package: {name: app}\n";

fn host() -> Option<Host> {
    let host = Host::installed()?;
    host.shell(&format!("{MAKE}{APP}"));
    host.role("app", ROLE);
    Some(host)
}

#[test]
fn an_install_is_undone_after_others_came_and_it_was_upgraded_itself() {
    let Some(host) = host() else { return };
    let before = host.snapshot();
    let apply = ["apply", "--role", "app", "--yes"];
    host.steadfast(&apply).expect(0, &["is in effect"]);
    host.shell("systemctl is-active appd && test \"$(play)\" = app && id app");

    // At once: exact, and its service was stopped.
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["the host is as it was before it"]);
    host.shell(
        "! systemctl is-active appd; ! pgrep -x sleep; ! id app; test -z \"$(dpkg --audit)\"",
    );
    expect_same(&host, &before);

    host.steadfast(&apply).expect(0, &["is in effect"]);
    // An install goes back as one, and not because one of its places was named.
    host.steadfast(&["undo", "last", "--yes", "--only", "/usr/bin/app"])
        .expect(
            2,
            &["goes back as one", "more places", "nothing was touched"],
        );
    host.shell("id app && test -e /usr/share/app/version");
    host.shell(&format!(
        "{MAKE}{APP}app 1.1\nindex\napt-get -qq -y install other app && useradd -m ana && usermod -aG others ana"
    ));
    assert_eq!(host.shell("cat /usr/share/app/new; play"), "new\napp\n");
    let undone = host.steadfast(&["undo", "last", "--yes"]);
    let undone = undone.expect(
        1,
        &[
            "undone",
            "package lib-of-app: other needs it",
            "/var/lib/dpkg/status",
        ],
    );
    assert!(!undone.err.contains("as it was before it"), "{undone}");
    host.shell(
        "! test -e /usr/share/app && ! test -e /usr/bin/app && ! test -e /etc/app \
         && ! test -e /var/lib/app && ! id app && ! systemctl is-active appd",
    );
    // What others made, and what they need, is whole.
    host.shell("id ana && getent group others | grep -q ana && dpkg --verify other lib-of-app");
    assert_eq!(
        host.shell(
            "apt-get check -qq; dpkg --audit; dpkg-query -W app lib-of-app other 2>/dev/null; \
             apt-mark showauto lib-of-app; cat /usr/share/lib-of-app/made; play; \
             readlink /etc/alternatives/play; ls -d /usr/bin/plays 2>/dev/null; \
             dpkg-divert --list | grep app; true"
        ),
        "lib-of-app\t1.0\nother\t1.0\nlib-of-app\nmade\nother\n/usr/bin/other\n"
    );
    // dpkg's own tools go on with what is there.
    host.shell("apt-get -qq -y purge other lib-of-app && userdel -r ana && groupdel others");
    host.shell(
        "test -z \"$(dpkg --audit)\" && ! dpkg -s app 2>/dev/null && ! test -e /usr/bin/play",
    );
}

#[test]
fn what_people_made_in_the_places_of_a_package_stays() {
    let Some(host) = host() else { return };
    host.steadfast(&["apply", "--role", "app", "--yes"])
        .expect(0, &["is in effect"]);
    host.shell(
        "echo mine > /etc/app/conf.d/mine.conf; echo 'mine = 1' >> /etc/app/app.conf; \
         echo rows > /var/lib/app/table; echo more >> /var/lib/app/seed; chown app /var/lib/app/table",
    );
    let before = host.snapshot();
    host.steadfast(&["undo", "last", "--yes"]).expect(
        5,
        &[
            "/etc/app/app.conf",
            "/etc/app/conf.d",
            "mine.conf",
            "/var/lib/app",
            "data lies there that was written since",
            "--accept-data-loss",
            "--keep-theirs",
        ],
    );
    host.expect_same(&before);
    host.shell("systemctl is-active appd");
    let undone = host.steadfast(&["undo", "last", "--yes", "--keep-theirs"]);
    undone.expect(
        1,
        &[
            "/etc/app/app.conf",
            "/etc/app/conf.d/mine.conf",
            "/var/lib/app",
            "account app: `/var/lib/app",
        ],
    );
    assert_eq!(
        host.shell(
            "cat /etc/app/conf.d/mine.conf /var/lib/app/table /var/lib/app/seed; tail -n1 /etc/app/app.conf; \
             ls /usr/bin/app 2>&1; dpkg -s app 2>/dev/null | head -1; stat -c %U /var/lib/app/table; dpkg --audit"
        ),
        "mine\nrows\nseed\nmore\nmine = 1\nls: cannot access '/usr/bin/app': No such file or directory\napp\n"
    );
}

#[test]
fn data_goes_with_a_package_when_that_is_accepted() {
    let Some(host) = host() else { return };
    let before = host.snapshot();
    host.steadfast(&["apply", "--role", "app", "--yes"])
        .expect(0, &["is in effect"]);
    host.shell("mkdir /var/lib/app/deep; echo rows > /var/lib/app/deep/table; echo more >> /var/lib/app/seed");
    // A disk in it is not emptied.
    host.shell("mkdir /var/lib/app/disk; mount -t tmpfs t /var/lib/app/disk; echo rows > /var/lib/app/disk/rows");
    host.steadfast(&["undo", "last", "--yes", "--accept-data-loss"])
        .expect(
            5,
            &[
                "something is mounted at `/var/lib/app/disk`",
                "nothing was touched",
            ],
        );
    host.shell("grep rows /var/lib/app/disk/rows && umount /var/lib/app/disk");
    host.steadfast(&["undo", "last", "--yes", "--accept-data-loss"])
        .expect(0, &["undone"]);
    host.shell("! test -e /var/lib/app && ! id app && ! systemctl is-active appd");
    expect_same(&host, &before);
}

/// What people have come to rest on is not taken from under them: a login shell, a module that
/// sign-ins pass through, a file that another package has by now.
#[test]
fn what_people_rest_on_by_now_stands_in_the_way() {
    const TOOLS: &str = r#"
d=/root/build/tools; mkdir -p $d/usr/bin $d/usr/lib/security $d/usr/share/tools
cp /bin/sh $d/usr/bin/toolsh; echo module > $d/usr/lib/security/pam_tools.so; echo data > $d/usr/share/tools/data
make tools 1.0 ''
d=/root/build/tools-data; mkdir -p $d/usr/share/tools; echo data > $d/usr/share/tools/data
make tools-data 1.1 '' 'Replaces: tools
'
index
"#;
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!("{MAKE}{TOOLS}useradd ana"));
    host.role("tools", "  - package: {name: tools}\n");
    host.steadfast(&["apply", "--role", "tools", "--yes"])
        .expect(0, &["is in effect"]);
    host.shell(
        "apt-get -qq -y install tools-data; usermod -s /usr/bin/toolsh ana; \
         echo 'auth optional pam_tools.so' > /etc/pam.d/mine",
    );
    host.steadfast(&["undo", "last", "--yes", "--keep-theirs"])
        .expect(
            5,
            &[
                "account ana its login shell is `/usr/bin/toolsh`, which goes",
                "/etc/pam.d/mine it names pam_tools.so, which goes",
                "nothing was touched",
            ],
        );
    host.shell("test -e /usr/bin/toolsh && chsh -s /bin/sh ana && rm /etc/pam.d/mine");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["undone"]);
    host.shell(
        "! test -e /usr/bin/toolsh && dpkg --verify tools-data && test -e /usr/share/tools/data \
         && test -z \"$(dpkg --audit)\"",
    );
}

/// While an undo decides and writes, others who change packages or accounts wait for it, as it does
/// for them; and a setting that a service writes while it stops is nobody's to write over.
#[test]
fn others_at_work_meanwhile_lose_nothing() {
    const SLOW: &str = r#"
d=/root/build/slow; mkdir -p $d/usr/share/slow; echo slow > $d/usr/share/slow/it
make slow 1.0 'sleep 3; useradd --system slow'
index
"#;
    let Some(host) = host() else { return };
    host.shell(&format!("{MAKE}{APP}{SLOW}"));
    let apply = ["apply", "--role", "app", "--yes"];
    let stops_with = |command: &str| {
        host.write(
            "/etc/systemd/system/appd.service.d/stop.conf",
            format!("[Service]\nExecStop=+/bin/sh -c '{command}'\n"),
        );
        host.shell("systemctl daemon-reload");
    };
    host.steadfast(&apply).expect(0, &["is in effect"]);
    // apt is at work when the undo begins.
    host.shell(
        "systemd-run -q --unit=apt -E DEBIAN_FRONTEND=noninteractive apt-get -qq -y install slow; \
         until test -e /usr/share/slow/it; do sleep 0.1; done",
    );
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["undone"]);
    host.shell("id slow && dpkg --verify slow && ! dpkg -s app && test -z \"$(dpkg --audit)\"");

    // An account is made while the service takes its time to stop.
    host.steadfast(&apply).expect(0, &["is in effect"]);
    stops_with("touch /run/stopping; sleep 3");
    host.shell(
        "systemd-run -q --unit=add /bin/sh -c 'until test -e /run/stopping; do sleep 0.1; done; \
         exec useradd bob'",
    );
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["undone"]);
    host.shell(
        "until id bob; do sleep 0.1; done; ! id app; getent shadow bob && getent group bob && \
         pwck -qr && grpck -r",
    );

    host.steadfast(&apply).expect(0, &["is in effect"]);
    stops_with("echo saved = 1 >> /etc/app/app.conf");
    host.steadfast(&["undo", "last", "--yes"]).expect(
        5,
        &["`/etc/app/app.conf` was changed by someone else meanwhile"],
    );
    // All of it is there as it was, and the next undo sees what was written.
    host.shell("grep -q saved /etc/app/app.conf && dpkg -s app && test -e /usr/bin/app && id app");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(5, &["/etc/app/app.conf", "nothing was touched"]);
    host.steadfast(&["undo", "last", "--yes", "--keep-theirs"])
        .expect(1, &["undone", "/etc/app/app.conf"]);
    host.shell("grep -q saved /etc/app/app.conf && ! test -e /usr/bin/app");
}

/// A way back of packages that does not work out claims nothing, is named by every command, and is
/// tried again by the next undo.
#[test]
fn packages_that_can_not_be_taken_back_are_tried_again() {
    let Some(host) = host() else { return };
    host.role(
        "stuck",
        "  - package: {name: app}
  - command: {name: stuck, check: [/usr/bin/test, -e, /nonexistent], \
         fix: [/usr/bin/chattr, +i, /usr/share/app/version], undo: [/bin/true]}
",
    );
    let before = host.snapshot();
    let apply = ["apply", "--role", "stuck", "--all-or-nothing", "--yes"];
    let said = host
        .steadfast(&apply)
        .expect(5, &["/usr/share/app/version"]);
    let claims = |said: &crate::booted::Said| said.err.contains("as it was before");
    assert!(!claims(&said), "{said}");
    let commands = [
        &["history"][..],
        &["show", "last"],
        &["recover"],
        &["plan", "--role", "app"],
        &["patch", "status"],
        &["audit"],
    ];
    for command in commands {
        let said = host.steadfast(command);
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains("needs a person"), "{command:?}: {said}");
        assert!(all.contains("c-2"), "{command:?}: {said}");
    }
    // What differs, and what ends it.
    host.steadfast(&["recover", "c-2"]).expect(
        5,
        &[
            "/usr/share/app/version",
            "steadfast undo c-2",
            "steadfast recover --keep-as-it-is c-2",
        ],
    );
    // Nothing is different by now, so nothing more is claimed.
    let said = host
        .steadfast(&["undo", "last", "--yes"])
        .expect(5, &["/usr/share/app/version"]);
    assert!(!claims(&said), "{said}");
    host.shell("chattr -i /usr/share/app/version");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(3, &["c-2 undone", "is not known to be as before"]);
    expect_same(&host, &before);
    host.shell("! dpkg -s app && ! dpkg -s lib-of-app && test -z \"$(dpkg --audit)\" && ! id app");
}
