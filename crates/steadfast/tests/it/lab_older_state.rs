//! A state folder that an older version wrote is read, and what it did is undone without loss.

use crate::booted::{Host, STATE};
use crate::lab_patch::MAKE;

/// What the commit c59aa7a wrote, which installed packages by apt alone and knew no write set: c-1
/// was its recovery at boot; c-2 installed `app`, which brought `app-data`; c-3 wrote a file, changed
/// another and made an account.
/// Made anew by `makes_the_folder`.
const FOLDER: &[u8] = include_bytes!("older_state/c59aa7a.tar.gz");

/// A change is of one machine (machine-id(5)).
const MACHINE: &str = "8c1f3c52b0f34e4f9a55c1a4d7b7a901\n";

const APP: &str = r#"
d=/root/build/app-data; mkdir -p $d/usr/share/app-data; echo 1 > $d/usr/share/app-data/it
make app-data 1.0 ''
d=/root/build/app; mkdir -p $d/etc/app/conf.d $d/DEBIAN $d/usr/bin
printf '#!/bin/sh\necho app\n' > $d/usr/bin/app; chmod 755 $d/usr/bin/app
printf '# theirs\nsetting = 1\n' > $d/etc/app/app.conf
echo '/etc/app/app.conf' > $d/DEBIAN/conffiles
printf '#!/bin/sh\ntest "$1" != purge || rm -rf /var/lib/app\n' > $d/DEBIAN/postrm; chmod 755 $d/DEBIAN/postrm
make app 1.0 'mkdir -p /var/lib/app; echo seed > /var/lib/app/seed' 'Depends: app-data
'
index
"#;

const INSTALL: &str = "  - package: {name: app}\n";
const REST: &str = "  - file: {path: /etc/app-ours.conf, content: \"ours\\n\", mode: \"0640\"}
  - file: {path: /etc/issue, content: \"Nobody but us\\n\"}
  - user: {name: worker, system: true}
";

fn prepared() -> Option<Host> {
    let host = Host::fresh()?;
    host.write("/etc/machine-id", MACHINE);
    host.shell(&format!("{MAKE}{APP}"));
    host.shell("echo 'Debian of old' > /etc/issue; chmod 644 /etc/issue");
    host.role("app", INSTALL);
    host.role("rest", REST);
    Some(host)
}

/// Not a test: `STEADFAST_OLDER` names the program of that commit, `STEADFAST_FOLDER` what is written.
#[test]
#[ignore = "makes the folder anew, with the program of that commit"]
fn makes_the_folder() {
    let older = std::env::var("STEADFAST_OLDER").expect("the program of that commit");
    let into = std::env::var("STEADFAST_FOLDER").expect("where the folder goes");
    let Some(host) = prepared() else { return };
    let program = "/opt/steadfast-older";
    host.container.copy_in(&older, program).expect("copied");
    host.shell(&format!("chmod 755 {program}"));
    for role in ["app", "rest"] {
        host.shell(&format!("{program} apply --role {role} --yes"));
    }
    host.shell(&format!(
        "{program} history; \
         tar -C /var/lib -czf /root/folder.tar.gz --exclude=steadfast/bin --exclude=steadfast/reserve steadfast"
    ));
    let folder = host.container.read_file("/root/folder.tar.gz");
    std::fs::write(into, folder.expect("the folder")).expect("written");
}

/// The host as that version left it.
fn left() -> Option<Host> {
    let host = prepared()?;
    host.shell(
        "apt-get -qq -y --no-install-recommends install app; groupadd --system -g 996 worker; \
         useradd --system -u 999 -g worker -s /usr/sbin/nologin worker; chage -d 2026-11-30 worker; \
         echo 'Nobody but us' > /etc/issue; echo ours > /etc/app-ours.conf; \
         chmod 640 /etc/app-ours.conf",
    );
    host.write("/root/folder.tar.gz", FOLDER);
    host.shell(&format!(
        "rm -rf {STATE}; tar -C /var/lib -xzf /root/folder.tar.gz; rm /root/folder.tar.gz"
    ));
    Some(host)
}

#[test]
fn what_an_older_version_did_is_undone_and_no_data_is_lost() {
    let Some(host) = left() else { return };
    host.steadfast(&["history"])
        .expect(0, &["c-2", "c-3", "in effect"]);
    host.steadfast(&["show", "c-2"]).expect(0, &["app"]);
    host.steadfast(&["undo", "c-3", "--yes"])
        .expect(0, &["c-3 undone"]);
    assert_eq!(
        host.shell(
            "cat /etc/issue; ls /etc/app-ours.conf 2>/dev/null; id worker 2>/dev/null; true"
        ),
        "Debian of old\n"
    );

    // What the package and people wrote since.
    host.shell(
        "echo rows > /var/lib/app/table; echo mine > /etc/app/conf.d/mine.conf; \
         echo 'mine = 1' >> /etc/app/app.conf",
    );
    let written = "cat /var/lib/app/seed /var/lib/app/table /etc/app/conf.d/mine.conf; \
                   tail -n1 /etc/app/app.conf";
    let before = host.shell(written);
    host.steadfast(&["undo", "c-2", "--yes"]).expect(
        5,
        &[
            "/etc/app/app.conf",
            "/etc/app/conf.d/mine.conf",
            "/var/lib/app/table",
            "nothing was touched; move these elsewhere",
        ],
    );
    assert_eq!(host.shell(written), before);
    host.shell("dpkg -s app app-data");
    // As the help says.
    host.shell(
        "mkdir /root/kept; mv /etc/app/conf.d/mine.conf /var/lib/app/seed /var/lib/app/table /root/kept; \
         printf '# theirs\nsetting = 1\n' > /etc/app/app.conf",
    );
    host.steadfast(&["undo", "c-2", "--yes"])
        .expect(0, &["c-2 undone"]);
    host.shell(
        "! dpkg -s app && ! dpkg -s app-data && ! test -e /usr/bin/app && ! test -e /etc/app && \
         test -z \"$(dpkg --audit)\" && test \"$(cat /root/kept/table)\" = rows",
    );
}
