//! What is lost by going back: the same upgrades taken back by Steadfast and by what apt offers, and
//! each host compared with what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{Container, Exec, Image, Options, Pending, Release, Snapshot};

use super::{Ground, Row};
use crate::{Failure, Result};

const PROGRAM: &str = "/usr/local/bin/steadfast";
/// What a comparison leaves out beyond [`lab::NOISE`] (logs among it).
const LEFT_OUT: [&str; 4] = [
    PROGRAM,
    "/var/lib/steadfast",
    "/var/cache/apt",
    // rsyslog's socket for haproxy, which each start of it makes anew.
    "/var/lib/haproxy/dev",
];
/// Upgrades and their way back take seconds; a busy machine is slower.
const LIMIT: Duration = Duration::from_secs(600);

/// Makes what lies in `/srv/archive` all that there is to install from.
const INDEX: &str = r#"
set -eu
cd /srv/archive
for deb in *.deb; do
  dpkg-deb -f $deb; echo "Filename: ./$deb"; echo "Size: $(stat -c %s $deb)"
  echo "SHA256: $(sha256sum $deb | cut -d' ' -f1)"; echo
done > Packages
rm -f /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/archive ./' > /etc/apt/sources.list
apt-get -qq update
"#;

/// The marks that an installer leaves on what others need, an authority of the host's own, one of the
/// distribution's that is not trusted here, and a setting.
const ADMINISTRATOR: &str = r"
set -eu
apt-mark -qq auto $(dpkg-query -W -f '${Package}\n' 'lib*' 'python3*' 'perl*') openssl demo
openssl req -x509 -newkey rsa:2048 -nodes -keyout /root/ca.key -days 3650 -subj '/CN=Of this host' \
  -out /usr/local/share/ca-certificates/own.crt 2>/dev/null
sed -i '0,/^mozilla/s//!mozilla/' /etc/ca-certificates.conf
update-ca-certificates >/dev/null 2>&1
echo '# mine' >> /etc/rsyslog.conf
";

/// A package that does what real ones do between two versions, beside what is really pending: a
/// configuration file that nobody changed, an authority that is no longer trusted, a file that only
/// the newer version's script makes. `$1` is the version.
const DEMO: &str = r#"
set -eu
test -e /root/demo.crt || openssl req -x509 -newkey rsa:2048 -nodes -keyout /root/demo.key -days 3650   -subj '/CN=Of the package' -out /root/demo.crt 2>/dev/null
d=/root/build; rm -rf $d; mkdir -p $d/DEBIAN $d/etc $d/usr/share/demo
echo "setting = $1" > $d/etc/demo.conf; echo /etc/demo.conf > $d/DEBIAN/conffiles
echo $1 > $d/usr/share/demo/version
printf 'Package: demo
Version: %s
Architecture: all
Maintainer: A Test <test@example.org>
Description: for a test
'   $1 > $d/DEBIAN/control
case $1 in
1.0)
  mkdir -p $d/usr/share/ca-certificates/demo; cp /root/demo.crt $d/usr/share/ca-certificates/demo/
  printf '#!/bin/sh
set -e
if [ -z "$2" ]; then echo demo/demo.crt >> /etc/ca-certificates.conf; fi
update-ca-certificates >/dev/null
'     > $d/DEBIAN/postinst ;;
*)
  printf '#!/bin/sh
set -e
sed -i /^demo/d /etc/ca-certificates.conf
update-ca-certificates >/dev/null
echo %s > /var/lib/demo-state
'     $1 > $d/DEBIAN/postinst ;;
esac
chmod 755 $d/DEBIAN/postinst
dpkg-deb --root-owner-group -b $d /srv/archive/demo_$1_all.deb >/dev/null
rm -rf $d
"#;

const INSTALL: &str =
    "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install";
const UPGRADE: &str =
    "DEBIAN_FRONTEND=noninteractive apt-get -qq -y -oDpkg::Options::=--force-confold upgrade";
/// Each package that was upgraded, in the version that it had.
const DOWNGRADE: &str = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
    -oDpkg::Options::=--force-confold --allow-downgrades install";
const HISTORY: &str = "DEBIAN_FRONTEND=noninteractive apt -y -oDpkg::Options::=--force-confold";

/// How a host goes forth and back.
enum Way {
    Steadfast,
    Downgrade,
    Rollback,
}

/// What a person would miss.
#[derive(Default)]
struct Lost {
    /// How many were upgraded.
    packages: usize,
    /// How the way back ended.
    code: Option<i32>,
    /// That differ in content or metadata, are gone, or new.
    files: usize,
    /// The same but for those of which only the time of modification differs.
    content: usize,
    /// Authorities in the bundle that are no longer there.
    trusted: usize,
    /// Automatic marks that are gone.
    marks: usize,
    versions: usize,
}

impl Lost {
    fn is_nothing(&self) -> bool {
        self.code == Some(0) && [self.files, self.trusted, self.marks, self.versions] == [0; 4]
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} files ({} of them in more than time), {} CAs, {} marks, {} versions; exit code {}",
            self.files,
            self.content,
            self.trusted,
            self.marks,
            self.versions,
            self.code.map_or("none".to_owned(), |code| code.to_string()),
        )
    }
}

/// What is compared of a host.
struct State {
    files: Snapshot,
    trusted: BTreeSet<String>,
    automatic: BTreeSet<String>,
    versions: BTreeMap<String, String>,
}

pub(super) fn back(ground: &Ground) -> Result<Vec<Row>> {
    // Debian 13's own apt has no history to go back in.
    let with_history: &[&str] = &["apt/sid", "nginx", "haproxy", "krb5-user"];
    let mut rows = Vec::new();
    for (release, extras, work, ways) in [
        (
            Release::Bookworm,
            &[][..],
            "not as it was after an upgrade of Debian 12 and the way back",
            &[(Way::Downgrade, "apt, a downgrade")][..],
        ),
        (
            Release::Trixie,
            with_history,
            "the same of Debian 13 with apt 3.3",
            &[
                (Way::Downgrade, "apt, a downgrade"),
                (Way::Rollback, "apt history-rollback"),
            ],
        ),
    ] {
        let host = match Host::of(ground, release, extras) {
            Ok(Some(host)) => host,
            Ok(None) => {
                eprintln!("skipped: nothing is pending in this machine's archives");
                continue;
            }
            // The newer apt comes from a suite that an archive need not have.
            Err(Failure(why)) if !extras.is_empty() => {
                eprintln!("skipped: {why}");
                continue;
            }
            Err(error) => return Err(error),
        };
        let ours = host.lost(&Way::Steadfast)?;
        for (way, peer) in ways {
            let theirs = host.lost(way)?;
            rows.push(Row {
                work,
                ours: format!("{} packages: {ours}", ours.packages),
                peer: format!("{peer}: {theirs}"),
                ratio: "–".to_owned(),
                bound: "nothing, exit code 0",
                holds: ours.is_nothing(),
            });
        }
    }
    Ok(rows)
}

/// What each of the compared hosts starts from.
struct Host<'a> {
    program: &'a Path,
    image: Image,
    extras: &'a [&'a str],
    pending: Pending,
}

impl<'a> Host<'a> {
    /// None when nothing is pending.
    fn of(ground: &'a Ground, release: Release, extras: &'a [&'a str]) -> Result<Option<Self>> {
        let say = &mut |what: &str| eprintln!("{what}");
        let image = Image::build(release, Path::new(lab::DEFAULT_CACHE), say)
            .map_err(Failure::of("build the image"))?;
        let pending =
            Pending::fetch(&image, extras, say).map_err(Failure::of("fetch what is pending"))?;
        Ok((!pending.updates().is_empty()).then_some(Self {
            program: &ground.program,
            image,
            extras,
            pending,
        }))
    }

    /// Boots one, upgrades it and goes back, and says what is not as it was.
    fn lost(&self, way: &Way) -> Result<Lost> {
        let options = Options {
            disk_bytes: 4 << 30,
            ..Options::default()
        };
        let host =
            Container::start_with(&self.image, options).map_err(Failure::of("boot a host"))?;
        host.copy_in(self.program, Path::new(PROGRAM))
            .map_err(Failure::of("copy the program in"))?;
        must(&host, &format!("{PROGRAM} recover --install"))?;
        self.show(&host, self.pending.before(), "1.0")?;
        // The name of a suite means nothing in an archive of one's own.
        let names = self.extras.iter().map(|extra| match extra.split_once('/') {
            Some((name, _)) => name,
            None => extra,
        });
        let names: Vec<&str> = names.chain(["demo"]).collect();
        must(&host, &format!("{INSTALL} {} >/dev/null", names.join(" ")))?;
        must(&host, ADMINISTRATOR)?;
        self.show(&host, self.pending.after(), "2.0")?;
        let before = State::of(&host)?;
        match way {
            Way::Steadfast => must(&host, &confirmed("patch apply"))?,
            Way::Downgrade | Way::Rollback => must(&host, UPGRADE)?,
        };
        let upgraded = State::of(&host)?;
        let updates = self.pending.updates();
        let mut behind = updates
            .iter()
            .filter(|update| upgraded.versions.get(&update.package) != Some(&update.to));
        if let Some(update) = behind.next() {
            return Err(Failure(format!("{} was not upgraded", update.package)));
        }
        let line = match way {
            Way::Steadfast => confirmed("undo last"),
            Way::Downgrade => {
                let old = self.pending.updates().iter().filter_map(|update| {
                    Some(format!("{}={}", update.package, update.from.as_ref()?))
                });
                let old: Vec<String> = old.chain(["demo=1.0".to_owned()]).collect();
                format!("{DOWNGRADE} {}", old.join(" "))
            }
            Way::Rollback => format!("{HISTORY} history-rollback {}", entry(&host)?),
        };
        let said = host
            .exec(&Exec::shell(&line).limit(LIMIT))
            .map_err(Failure::of("go back"))?;
        eprintln!("{line}\n{}{}", tail(&said.text()), tail(&said.errors()));
        Ok(Lost {
            // With that of the bench's own.
            packages: self.pending.updates().len() + 1,
            code: said.code(),
            ..before.lost(&State::of(&host)?)
        })
    }

    /// Lets the host see these packages, beside those that it sees already.
    fn show(&self, host: &Container, files: lab::Result<Vec<PathBuf>>, demo: &str) -> Result {
        for path in files.map_err(Failure::of("list what was fetched"))? {
            let name = path.file_name().unwrap_or_default();
            host.copy_in(&path, Path::new("/srv/archive").join(name))
                .map_err(Failure::of("copy a package in"))?;
        }
        must(host, &format!("set -- {demo}\n{DEMO}"))?;
        must(host, INDEX).map(drop)
    }
}

/// What may touch how people sign in waits to be confirmed, and is.
fn confirmed(command: &str) -> String {
    format!("{PROGRAM} {command} --yes --detach && {PROGRAM} confirm last")
}

/// The entry of apt's history before the newest, which is the upgrade.
fn entry(host: &Container) -> Result<u32> {
    let list = must(host, "apt history-list 2>/dev/null")?;
    let mut entries: Vec<u32> = list
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    entries.sort_unstable();
    match entries[..] {
        [.., entry, _] => Ok(entry),
        _ => Err(Failure(format!("apt has no history: {list}"))),
    }
}

impl State {
    fn of(host: &Container) -> Result<Self> {
        let bundle = must(host, "cat /etc/ssl/certs/ca-certificates.crt")?;
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let versions = must(host, "dpkg-query -W -f '${Package} ${Version}\\n'")?;
        Ok(Self {
            trusted: bundle
                .split_inclusive("-----END CERTIFICATE-----\n")
                .map(str::to_owned)
                .collect(),
            automatic: words(&must(host, "apt-mark showauto")?),
            versions: versions
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(name, version)| (name.to_owned(), version.to_owned()))
                .collect(),
            files: host.snapshot().map_err(Failure::of("look at a host"))?,
        })
    }

    fn lost(&self, after: &Self) -> Lost {
        let left_out: Vec<&str> = lab::NOISE.iter().copied().chain(LEFT_OUT).collect();
        let differences = lab::diff(&self.files, &after.files, &left_out);
        let in_more_than_time = differences.iter().filter(|found| !found.is_only_mtime());
        // What is behind the figures.
        for found in in_more_than_time.clone() {
            eprintln!("  {}", found.path.display());
        }
        let now = |name: &String| after.versions.get(name);
        Lost {
            files: differences.len(),
            content: in_more_than_time.count(),
            trusted: self.trusted.difference(&after.trusted).count(),
            marks: self.automatic.difference(&after.automatic).count(),
            versions: self
                .versions
                .iter()
                .filter(|(name, version)| now(name) != Some(version))
                .count(),
            ..Lost::default()
        }
    }
}

/// The last lines of what a program said.
fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let last = lines.len().saturating_sub(8);
    lines[last..]
        .iter()
        .map(|line| format!("  | {line}\n"))
        .collect()
}

/// Runs a line that must end with 0.
fn must(host: &Container, line: &str) -> Result<String> {
    let said = host.exec(&Exec::shell(line).limit(LIMIT));
    said.and_then(lab::Output::ok)
        .map_err(Failure::of(format!("run `{line}`")))
}
