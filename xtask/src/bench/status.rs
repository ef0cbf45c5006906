//! `patch status` on a host with some 400 packages and 60 pending ones, beside what an administrator asks
//! instead: apt-get what is pending, and needrestart what runs old files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lab::{Container, Exec, Image, Options, Pending, Release};

use super::{Ground, Row, Taken, median, time};
use crate::process::{command, output};
use crate::{Failure, Result};

const TURNS: usize = 9;
/// Some hundred packages are installed; a busy machine is slower.
const LIMIT: Duration = Duration::from_secs(900);
const PROGRAM: &str = "/usr/local/bin/steadfast";

/// What a server of everything has, and the peer.
const EXTRAS: [&str; 10] = [
    "needrestart",
    "apache2",
    "bind9",
    "postgresql",
    "redis-server",
    "php-fpm",
    "ruby",
    "git",
    "build-essential",
    "imagemagick",
];

/// What is in the archive is installed; then the lists have all that Debian has.
const INSTALL: &str = r#"
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

/// The services begin to run old files as they would after an upgrade by hand.
const ALL: &str = r#"
set -eu
echo 'deb [trusted=yes] file:/srv/all ./' > /etc/apt/sources.list
apt-get -qq update
apt-get -q -s upgrade > /root/pending
"#;

pub(super) fn status(ground: &Ground) -> Result<Vec<Row>> {
    let say = &mut |what: &str| eprintln!("{what}");
    let image = Image::build(Release::Bookworm, Path::new(lab::DEFAULT_CACHE), say)
        .map_err(Failure::of("build the image"))?;
    let pending = Pending::fetch(&image, &EXTRAS, say).map_err(Failure::of("fetch packages"))?;
    if pending.updates().is_empty() {
        eprintln!("skipped: nothing is pending in this machine's archives");
        return Ok(Vec::new());
    }
    let options = Options {
        disk_bytes: 6 << 30,
        ..Options::default()
    };
    let host = Container::start_with(&image, options).map_err(Failure::of("boot a host"))?;
    let shell = |line: &str| -> Result<String> {
        let said = host.exec(&Exec::shell(line).limit(LIMIT));
        let said = said.map_err(Failure::of(format!("run `{line}`")))?;
        match said.code() {
            Some(0) => Ok(said.text()),
            code => Err(Failure(format!("`{line}`: {code:?}: {}", said.errors()))),
        }
    };
    host.copy_in(&ground.program, Path::new(PROGRAM))
        .map_err(Failure::of("copy the program in"))?;
    shell("mkdir -p /srv/archive /srv/all")?;
    for path in pending.before().map_err(Failure::of("list packages"))? {
        let name = path.file_name().unwrap_or_default();
        host.copy_in(&path, Path::new("/srv/archive").join(name))
            .map_err(Failure::of("copy a package in"))?;
    }
    shell(INSTALL)?;
    shell(&format!(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install {} \
         >/dev/null 2>&1",
        EXTRAS.join(" ")
    ))?;
    // As many packages as an archive has: to read these is most of what apt does.
    let all = ground.folder.join("dumpavail");
    fs::write(&all, output(command("apt-cache").arg("dumpavail"))?)
        .map_err(Failure::of("write the lists"))?;
    host.copy_in(&all, Path::new("/srv/all/Packages"))
        .map_err(Failure::of("copy the lists in"))?;
    shell(ALL)?;
    let count = |line: &str| -> Result<u64> { Ok(shell(line)?.trim().parse().unwrap_or(0)) };
    let packages = count("dpkg-query -W -f '${db:Status-Status}\\n' | grep -c '^installed'")?;
    let upgrades = count("grep -c '^Inst' /root/pending")?;
    let leader = host.leader().map_err(Failure::of("find the host"))?;
    let leader = leader.as_raw_nonzero().to_string();
    let inside = |words: &[&str]| -> Result<Taken> {
        let enter = ["/usr/bin/nsenter", "-t", &leader, "-a", "--"];
        time(&[&enter[..], words].concat())
    };
    let ours = || inside(&[PROGRAM, "patch", "status"]);
    let apt = || inside(&["/usr/bin/apt-get", "--simulate", "upgrade"]);
    let needrestart = || inside(&["/usr/sbin/needrestart", "-b"]);
    // Nothing was changed by Steadfast on this host, and so its folder is not there: a first run.
    let first = ours()?;
    shell(&format!(
        "{PROGRAM} recover --install >/dev/null 2>&1 || true"
    ))?;
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let taken = [ours()?, apt()?, needrestart()?];
        // The first of each does not count.
        if turn > 0 {
            a.push(taken[0]);
            b.push(taken[1]);
            c.push(taken[2]);
        }
    }
    let (a, b, c) = (median(a), median(b), median(c));
    let ratio = a.cpu_s / (b.cpu_s + c.cpu_s).max(0.01);
    eprintln!("{packages} packages, {upgrades} pending; the first run took {first}");
    Ok(vec![Row {
        work: "`patch status` of a host with some 400 packages",
        ours: format!("{a}, {packages} packages, {upgrades} pending"),
        peer: format!("`apt-get --simulate upgrade`: {b}; `needrestart -b`: {c}"),
        ratio: format!("{ratio:.2}"),
        bound: "CPU at most that of both",
        holds: ratio <= 1.0,
    }])
}
