//! `steadfast demo`: the whole path on a throwaway host, with hashes to believe.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{Container, Exec, Image, Release, Requirements, Snapshot};
use model::Digest;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// Boot a throwaway host, break ten things, fix them, and take the fixes back
///
/// Needs root, debootstrap and systemd-nspawn. The first run builds a Debian tree, which
/// takes about a minute. This machine itself is not changed, apart from that tree.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo steadfast demo")]
pub struct Args {
    /// The release to boot
    #[arg(long, value_name = "CODENAME", default_value = "bookworm")]
    release: Release,
    /// Where the tree that hosts start from is kept
    #[arg(long, value_name = "DIR", default_value = lab::DEFAULT_CACHE)]
    cache: PathBuf,
    /// Install the Debian packages that this needs, when they are missing
    #[arg(long)]
    install: bool,
}

/// Ten things that go wrong on real hosts, and how to make each.
const BREAKAGES: [(&str, &str); 10] = [
    (
        "root may sign in over SSH with a password",
        "printf 'PermitRootLogin yes\\n' > /etc/ssh/sshd_config.d/10-legacy.conf",
    ),
    (
        "accounts without a password may sign in over SSH",
        "printf 'PermitEmptyPasswords yes\\n' >> /etc/ssh/sshd_config.d/10-legacy.conf",
    ),
    (
        "a person may run anything as root without a password",
        "useradd -m deploy && printf 'deploy ALL=(ALL) NOPASSWD: ALL\\n' > /etc/sudoers.d/deploy \
         && chmod 0440 /etc/sudoers.d/deploy",
    ),
    ("anyone may write /etc/passwd", "chmod 0666 /etc/passwd"),
    (
        "anyone may read the password hashes",
        "chmod 0644 /etc/shadow",
    ),
    (
        "the host takes routes from strangers",
        "printf 'net.ipv4.conf.all.accept_redirects = 1\\n' > /etc/sysctl.d/60-legacy.conf \
         && echo 1 > /proc/sys/net/ipv4/conf/all/accept_redirects",
    ),
    (
        "anyone may change what cron runs",
        "chmod 0666 /etc/crontab",
    ),
    (
        "anyone may write a file that root owns",
        "touch /etc/legacy.conf && chmod 0666 /etc/legacy.conf",
    ),
    (
        "a shell with the rights of root lies about",
        "cp /usr/bin/dash /usr/local/bin/rescue && chmod 4755 /usr/local/bin/rescue",
    ),
    (
        "new passwords may last forever",
        "sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS\\t99999/' /etc/login.defs",
    ),
];

/// Not below `/run` or `/tmp`, which a booted host mounts anew over what was copied in.
const PROGRAM: &str = "/opt/steadfast-demo";
const STATE: &str = "/var/lib/steadfast";

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let progress = Progress::on_stderr();
    if args.install {
        lab::install_requirements(Requirements::Containers, &mut |what| progress.say(what))
            .map_err(cannot)?;
    }
    Requirements::Containers.check().map_err(|missing| {
        Failure::new(
            Exit::BadInput,
            format_args!("can't boot a throwaway host here: {missing}"),
            "run as root on Debian; `steadfast demo --install` installs the packages",
        )
    })?;
    let image =
        Image::build(args.release, &args.cache, &mut |what| progress.say(what)).map_err(cannot)?;
    progress.say("booting");
    let host = Container::start(&image).map_err(cannot)?;
    let this = std::env::current_exe()?;
    host.copy_in(&this, Path::new(PROGRAM)).map_err(cannot)?;
    progress.clear();
    tell(&host, args.release)
}

/// The story, in five parts.
fn tell(host: &Container, release: Release) -> Result<Exit, Failure> {
    let mut out = output::stdout();
    writeln!(
        out,
        "A {release} host has booted, and ten things are broken on it:"
    )?;
    for (number, (what, how)) in (1..).zip(BREAKAGES) {
        host.shell(how).map_err(cannot)?;
        writeln!(out, "  {number:>2}. {what}")?;
    }
    // The first change of a host would put these in place; they are a change of their own.
    steadfast(host, &["recover", "--install"])?;
    let before = look(host)?;
    let files = before.files;
    writeln!(
        out,
        "\nBefore     {files} files, SHA-256 over all of them {}",
        before.digest
    )?;

    writeln!(out, "\n$ steadfast audit")?;
    out.flush()?;
    show(host, &mut out, &["audit"])?;

    writeln!(
        out,
        "\n$ steadfast apply --baseline debian --baseline openssh --yes"
    )?;
    let fix = [
        "apply",
        "--baseline",
        "debian",
        "--baseline",
        "openssh",
        "--yes",
        "--detach",
    ];
    let applied = steadfast(host, &fix)?;
    out.write_all(applied.as_bytes())?;
    out.write_all(steadfast(host, &["confirm", "last"])?.as_bytes())?;

    writeln!(out, "\n$ steadfast audit")?;
    show(host, &mut out, &["audit"])?;
    let fixed = look(host)?;
    writeln!(out, "\nFixed      SHA-256 {}", fixed.digest)?;

    writeln!(out, "\n$ steadfast undo last --yes")?;
    let undo = ["undo", "last", "--yes", "--detach"];
    out.write_all(steadfast(host, &undo)?.as_bytes())?;
    out.write_all(steadfast(host, &["confirm", "last"])?.as_bytes())?;
    let after = look(host)?;
    writeln!(out, "\nUndone     SHA-256 {}", after.digest)?;

    let differences = lab::diff(&before.snapshot, &after.snapshot, &ignored());
    if differences.is_empty() && fixed.digest != before.digest {
        writeln!(
            out,
            "The host is as it was: content, modes, owners, attributes and times of {files} files."
        )?;
        return Ok(Exit::AsWanted);
    }
    for difference in &differences {
        writeln!(out, "  {difference}")?;
    }
    Err(Failure::new(
        Exit::NeedsPerson,
        format_args!("{} files are not as they were", differences.len()),
        "this is a fault of steadfast: please report it with the lines above",
    ))
}

struct Look {
    snapshot: Snapshot,
    digest: Digest,
    files: usize,
}

fn ignored() -> Vec<&'static str> {
    lab::NOISE.iter().copied().chain([STATE]).collect()
}

fn look(host: &Container) -> Result<Look, Failure> {
    let mut snapshot = host.snapshot().map_err(cannot)?;
    let ignored = ignored();
    snapshot
        .entries
        .retain(|path, _| !ignored.iter().any(|top| path.starts_with(top)));
    Ok(Look {
        digest: Digest::of_json(&snapshot.entries),
        files: snapshot.entries.len(),
        snapshot,
    })
}

/// The program's standard output, whatever its exit code: an audit with findings ends with 1.
fn show(host: &Container, out: &mut dyn Write, words: &[&str]) -> Result<(), Failure> {
    let output = host.exec(&command(words)).map_err(cannot)?;
    out.write_all(&output.stdout)?;
    Ok(())
}

/// What the program tells people; an error when it does not end with 0.
fn steadfast(host: &Container, words: &[&str]) -> Result<String, Failure> {
    let output = host.exec(&command(words)).map_err(cannot)?;
    if output.success() {
        return Ok(output.errors());
    }
    Err(Failure::new(
        Exit::NeedsPerson,
        format_args!(
            "`steadfast {}` ended with {}",
            words.join(" "),
            output
                .code()
                .map_or_else(|| "a signal".to_owned(), |code| code.to_string())
        ),
        output.errors(),
    ))
}

fn command(words: &[&str]) -> Exec {
    Exec::new(std::iter::once(PROGRAM).chain(words.iter().copied()))
        .env("LANG", "C.UTF-8")
        // A whole baseline with a walk and restarts, on a busy machine.
        .limit(Duration::from_secs(300))
}

fn cannot(error: lab::Error) -> Failure {
    Failure::because(Exit::Unchecked, error)
}
