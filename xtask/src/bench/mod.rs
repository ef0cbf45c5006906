//! `cargo xtask bench`: Steadfast beside the tools that do the same work, in one run. What
//! counts is the ratio: the machine is shared and noisy, so each pair takes turns and the
//! medians are compared. The table is kept in `docs/benchmarks.md`.

mod back;
mod growth;
mod patches;
mod status;
mod yardstick;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use lab::{Container, Image, Release};
use wait4::Wait4;

use crate::process::{command, output, root, run as must, target};
use crate::{Failure, Result, dist, unknown_argument};

pub const USAGE: &str = "bench [ROW]...                  measure beside other tools, as root";

/// Turns that each side of a pair takes. Odd, so that the median is a measurement.
const TURNS: usize = 9;
/// Lynis takes half a minute each time: fewer turns of that pair.
const TURNS_OF_LYNIS: usize = 3;
const FILES: usize = 1000;
const TREE_FILES: usize = 500_000;

/// One line of the table.
struct Row {
    work: &'static str,
    ours: String,
    peer: String,
    ratio: String,
    bound: &'static str,
    holds: bool,
}

struct Bench {
    name: &'static str,
    run: fn(&Ground) -> Result<Vec<Row>>,
}

const ROWS: &[Bench] = &[
    Bench {
        name: "files",
        run: files,
    },
    Bench {
        name: "growth",
        run: growth::growth,
    },
    Bench {
        name: "audit",
        run: audit,
    },
    Bench {
        name: "walk",
        run: walk,
    },
    Bench {
        name: "vulns",
        run: patches::vulns,
    },
    Bench {
        name: "inventory",
        run: patches::inventory,
    },
    Bench {
        name: "status",
        run: status::status,
    },
    Bench {
        name: "undo",
        run: patches::undo,
    },
    Bench {
        name: "back",
        run: back::back,
    },
    Bench {
        name: "start",
        run: start,
    },
    Bench {
        name: "build",
        run: build,
    },
];

/// Where it all happens.
struct Ground {
    /// The static binary.
    program: PathBuf,
    size_bytes: usize,
    folder: PathBuf,
}

pub fn run(args: &[String]) -> Result<ExitCode> {
    if let Some(other) = args
        .iter()
        .find(|arg| ROWS.iter().all(|row| row.name != **arg))
    {
        return Err(unknown_argument(USAGE, other));
    }
    install()?;
    // What hosts get, as the peers are what Debian gives to hosts.
    let (program, size_bytes) = dist::build()?;
    let folder = target().join("bench");
    fs::create_dir_all(&folder).map_err(Failure::of("make the bench folder"))?;
    let ground = Ground {
        program,
        size_bytes,
        folder,
    };
    let mut table =
        String::from("| work | Steadfast | peer | ratio | aim | |\n|---|---|---|---|---|---|\n");
    let mut all_hold = true;
    for bench in ROWS {
        if !args.is_empty() && args.iter().all(|arg| arg != bench.name) {
            continue;
        }
        eprintln!("== {}", bench.name);
        for row in (bench.run)(&ground)? {
            all_hold &= row.holds;
            let _ = writeln!(
                table,
                "| {} | {} | {} | {} | {} | {} |",
                row.work,
                row.ours,
                row.peer,
                row.ratio,
                row.bound,
                if row.holds { "met" } else { "**missed**" }
            );
        }
    }
    println!("{table}");
    // A part would take the other rows away.
    if args.is_empty() {
        keep(&table)?;
    }
    Ok(if all_hold {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Where the table stands in `docs/benchmarks.md`.
const MARKERS: (&str, &str) = ("<!-- bench -->\n", "<!-- /bench -->\n");

/// Puts the table, and what it was measured on, between the markers of the page.
fn keep(table: &str) -> Result {
    let path = root().join("docs/benchmarks.md");
    let page = fs::read_to_string(&path).map_err(Failure::of("read docs/benchmarks.md"))?;
    let (before, rest) = page
        .split_once(MARKERS.0)
        .ok_or_else(|| Failure("docs/benchmarks.md has no `<!-- bench -->`".to_owned()))?;
    let (_, after) = rest
        .split_once(MARKERS.1)
        .ok_or_else(|| Failure("docs/benchmarks.md has no `<!-- /bench -->`".to_owned()))?;
    let date = output(command("date").args(["--utc", "+%F"]))?;
    let kernel = output(command("uname").args(["--kernel-release", "--machine"]))?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let page = format!(
        "{before}{}Measured on {}, kernel {}, {cores} cores.\n\n{table}{}{after}",
        MARKERS.0,
        date.trim(),
        kernel.trim(),
        MARKERS.1
    );
    write(&path, &page)
}

fn install() -> Result {
    let peers = [
        "cfengine3",
        "lynis",
        "time",
        "findutils",
        "python3-venv",
        "zstd",
    ];
    must(
        command("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(peers),
    )?;
    // A machine may have Node from elsewhere, which Debian's package would not go with.
    match Command::new("npm").arg("--version").output() {
        Ok(said) if said.status.success() => Ok(()),
        _ => must(command("apt-get").args(["install", "-y", "-qq", "npm"])),
    }
}

/// What one run of a program took.
#[derive(Clone, Copy)]
struct Taken {
    wall_s: f64,
    cpu_s: f64,
    peak_mb: f64,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.3} s ({:.3} s CPU), {:.0} MB",
            self.wall_s, self.cpu_s, self.peak_mb
        )
    }
}

/// Runs a whole process, whatever its exit code: an audit with findings ends with 1. time(1), which
/// is small, tells its peak; ours would count as that of a smaller one (getrusage(2), `ru_maxrss`
/// is kept over an execve(2)).
fn time(argv: &[&str]) -> Result<Taken> {
    let figures = tempfile::NamedTempFile::new().map_err(Failure::of("make a file"))?;
    let started = Instant::now();
    let ended = Command::new("/usr/bin/time")
        .args(["-q", "-f", "%M", "-o"])
        .arg(figures.path())
        .args(argv)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .and_then(Wait4::wait4)
        .map_err(Failure::of("start time(1)"))?;
    let wall_s = started.elapsed().as_secs_f64();
    // As env(1): what could not be started took no time.
    if matches!(ended.status.code(), Some(126 | 127) | None) {
        return Err(Failure(format!("`{}`: {}", argv.join(" "), ended.status)));
    }
    let text = fs::read_to_string(figures.path()).map_err(Failure::of("read the figures"))?;
    let peak_kb: f64 = text
        .trim()
        .parse()
        .map_err(|_| Failure(format!("`{}`: {}: {text}", argv.join(" "), ended.status)))?;
    Ok(Taken {
        wall_s,
        cpu_s: (ended.rusage.utime + ended.rusage.stime).as_secs_f64(),
        peak_mb: peak_kb / 1024.0,
    })
}

/// One by itself, after a run that does not count.
fn alone(argv: &[&str], turns: usize) -> Result<Taken> {
    time(argv)?;
    let taken: Result<Vec<Taken>> = (0..turns).map(|_| time(argv)).collect();
    Ok(median(taken?))
}

/// The two in turn, after one run of each that does not count; the medians.
fn pair(ours: &[&str], peer: &[&str], turns: usize) -> Result<(Taken, Taken)> {
    time(ours)?;
    time(peer)?;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        a.push(time(ours)?);
        b.push(time(peer)?);
    }
    Ok((median(a), median(b)))
}

/// By processor time: what a busy machine leaves of the clock does not count.
fn median(mut taken: Vec<Taken>) -> Taken {
    taken.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
    taken[taken.len() / 2]
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Failure(format!("{} is not UTF-8", path.display())))
}

fn write(path: &Path, content: &str) -> Result {
    fs::write(path, content).map_err(Failure::of(format!("write {}", path.display())))
}

fn fresh(ground: &Ground, name: &str) -> Result<PathBuf> {
    let folder = ground.folder.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::of("clear the bench folder"))?;
    }
    fs::create_dir_all(&folder).map_err(Failure::of("make a bench folder"))?;
    Ok(folder)
}

/// 1,000 files with content and mode, already as wanted: planned, and applied.
fn files(ground: &Ground) -> Result<Vec<Row>> {
    let folder = fresh(ground, "files")?;
    let (data, policy) = (folder.join("data"), folder.join("policy"));
    fs::create_dir_all(&data).map_err(Failure::of("make a folder"))?;
    fs::create_dir_all(policy.join("roles")).map_err(Failure::of("make a folder"))?;
    let mut role = String::from("role: files\nwant:\n");
    let mut promises = String::from("body common control { bundlesequence => { \"files\" }; }\n");
    promises
        .push_str("body perms m(mode) { mode => \"$(mode)\"; rxdirs => \"false\"; }\nbundle agent files {\nfiles:\n");
    for number in 0..FILES {
        let path = data.join(format!("file-{number:04}.conf"));
        write(&path, &format!("key = value {number}"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640))
            .map_err(Failure::of("set a mode"))?;
        let path = text(&path)?;
        let _ = writeln!(
            role,
            "  - file: {{path: {path}, content: \"key = value {number}\", mode: \"0640\"}}"
        );
        let _ = writeln!(
            promises,
            "\"{path}\" create => \"true\", content => \"key = value {number}\", perms => m(\"640\");"
        );
    }
    promises.push_str("}\n");
    write(&policy.join("roles/files.yaml"), &role)?;
    let promises_file = folder.join("promises.cf");
    write(&promises_file, &promises)?;
    // CFEngine reads no policy that others could write.
    fs::set_permissions(&promises_file, fs::Permissions::from_mode(0o600))
        .map_err(Failure::of("set a mode"))?;
    let state = text(&folder.join("state"))?.to_owned();
    let of_role = [
        "--policy",
        text(&policy)?,
        "--role",
        "files",
        "--state",
        &state,
    ];
    let peer = ["/usr/bin/cf-agent", "-K", "-f", text(&promises_file)?];
    let mut rows = Vec::new();
    for (work, command) in [
        (
            "1,000 files, content and mode, already as wanted",
            &["plan"][..],
        ),
        ("the same, applied", &["apply", "--yes"]),
    ] {
        let ours = [&[text(&ground.program)?], command, &of_role].concat();
        if Command::new(ours[0])
            .args(&ours[1..])
            .output()
            .is_ok_and(|out| out.status.code() != Some(0))
        {
            return Err(Failure("the files are not as wanted".to_owned()));
        }
        let (a, b) = pair(&ours, &peer, TURNS)?;
        let ratio = a.cpu_s / b.cpu_s;
        rows.push(Row {
            work,
            ours: a.to_string(),
            peer: format!("CFEngine: {b}"),
            ratio: format!("{ratio:.3}"),
            bound: "CPU at most 0.1, and 30 MB",
            holds: ratio <= 0.1 && a.peak_mb <= 30.0,
        });
    }
    Ok(rows)
}

/// The whole audit of a freshly installed Debian 12 host, and of what it costs without the walk.
fn audit(ground: &Ground) -> Result<Vec<Row>> {
    let say = &mut |what: &str| eprintln!("{what}");
    let image = Image::build(Release::Bookworm, Path::new(lab::DEFAULT_CACHE), say)
        .map_err(Failure::of("build the image"))?;
    let host = Container::start(&image).map_err(Failure::of("boot a host"))?;
    host.copy_in(&ground.program, Path::new("/usr/local/bin/steadfast"))
        .map_err(Failure::of("copy the program in"))?;
    let folder = fresh(ground, "lynis")?;
    must(
        Command::new("apt-get")
            .args(["download", "-qq", "lynis"])
            .current_dir(&folder),
    )?;
    let package = fs::read_dir(&folder)
        .map_err(Failure::of("look for the package"))?
        .filter_map(std::result::Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .ok_or_else(|| Failure("no package of lynis".to_owned()))?;
    host.copy_in(&package, Path::new("/root/lynis.deb"))
        .map_err(Failure::of("copy lynis in"))?;
    host.shell("dpkg --install --force-depends /root/lynis.deb")
        .map_err(Failure::of("install lynis"))?;
    let leader = host.leader().map_err(Failure::of("find the host"))?;
    let leader = leader.as_raw_nonzero().to_string();
    let enter = ["/usr/bin/nsenter", "-t", &leader, "-a", "--"];
    let ours = [&enter[..], &["/usr/local/bin/steadfast", "audit"]].concat();
    let lynis = [
        "/usr/sbin/lynis",
        "audit",
        "system",
        "--quick",
        "--no-colors",
        "--quiet",
    ];
    let (a, b) = pair(&ours, &[&enter[..], &lynis].concat(), TURNS_OF_LYNIS)?;
    let ratio = a.cpu_s / b.cpu_s;
    Ok(vec![
        Row {
            work: "the whole audit of a Debian 12 host",
            ours: a.to_string(),
            peer: format!("Lynis: {b}"),
            ratio: format!("{ratio:.4}"),
            bound: "CPU at most 0.02, and 40 MB",
            holds: ratio <= 0.02 && a.peak_mb <= 40.0,
        },
        Row {
            work: "the same, from start to report",
            ours: format!("{:.3} s ({:.3} s CPU)", a.wall_s, a.cpu_s),
            peer: "none".to_owned(),
            ratio: "–".to_owned(),
            bound: "under 2 s, under 1 s CPU",
            holds: a.wall_s < 2.0 && a.cpu_s < 1.0,
        },
    ])
}

/// The rules that share the walk.
const WALK_RULES: &str = "files_where";

/// One walk over 500,000 files.
fn walk(ground: &Ground) -> Result<Vec<Row>> {
    let tree = ground.folder.join("tree");
    if !tree.join("complete").exists() {
        let tree = fresh(ground, "tree")?;
        for directory in 0..TREE_FILES / 500 {
            let directory = tree.join(format!("d{directory:04}"));
            fs::create_dir(&directory).map_err(Failure::of("make a folder"))?;
            for file in 0..500 {
                fs::File::create(directory.join(format!("f{file:03}")))
                    .map_err(Failure::of("make a file"))?;
            }
        }
        write(&tree.join("complete"), "")?;
    }
    let list = output(Command::new(&ground.program).args(["rule", "list", "--format", "json"]))?;
    let list: serde_json::Value =
        serde_json::from_str(&list).map_err(Failure::of("read the list of rules"))?;
    let rules: Vec<&str> = list["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|rule| {
            rule["kinds"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind == WALK_RULES))
        })
        .filter_map(|rule| rule["id"].as_str())
        .collect();
    if rules.is_empty() {
        return Err(Failure("no rule walks".to_owned()));
    }
    let tree = text(&tree)?;
    let mut ours = vec![text(&ground.program)?, "audit", "--root", tree];
    for rule in rules {
        ours.extend(["--rule", rule]);
    }
    let find = [
        "/usr/bin/find",
        tree,
        "-xdev",
        "(",
        "-perm",
        "-0002",
        "-o",
        "-perm",
        "/6000",
        "-o",
        "-nouser",
        "-o",
        "-nogroup",
        ")",
        "-print",
    ];
    let (a, b) = pair(&ours, &find, TURNS)?;
    let ratio = a.cpu_s / b.cpu_s;
    Ok(vec![Row {
        work: "the walk over 500,000 files",
        ours: a.to_string(),
        peer: format!("find: {b}"),
        ratio: format!("{ratio:.2}"),
        bound: "CPU at most 1",
        holds: ratio <= 1.0,
    }])
}

/// `steadfast --version`, and the size of the static binary.
fn start(ground: &Ground) -> Result<Vec<Row>> {
    // A hundred starts in one go, since starting time(1) itself takes about as long as one.
    let many = format!(
        "i=0; while [ $i -lt 100 ]; do {} --version; i=$((i+1)); done",
        text(&ground.program)?
    );
    let taken = time(&["/bin/sh", "-c", &many])?;
    let start_ms = taken.wall_s * 10.0;
    Ok(vec![Row {
        work: "`steadfast --version`",
        ours: format!("{start_ms:.1} ms, {:.0} MB", taken.peak_mb),
        peer: "none".to_owned(),
        ratio: "–".to_owned(),
        bound: "under 10 ms",
        holds: start_ms < 10.0,
    }])
}

/// A cold `cargo run --release -- audit`'s build, and the static binary.
fn build(ground: &Ground) -> Result<Vec<Row>> {
    let folder = fresh(ground, "cold")?;
    let cargo_program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = root().join("Cargo.toml");
    let cold = time(&[
        &cargo_program,
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        text(&manifest)?,
        "--target-dir",
        text(&folder)?,
    ])?;
    fs::remove_dir_all(&folder).map_err(Failure::of("clear the cold build"))?;
    Ok(vec![
        Row {
            work: "a cold `cargo build --release`, two cores",
            ours: format!("{:.0} s", cold.wall_s),
            peer: "none".to_owned(),
            ratio: "–".to_owned(),
            bound: "under 180 s",
            holds: cold.wall_s < 180.0,
        },
        Row {
            work: "the static binary (`cargo xtask dist`)",
            ours: format!("{:.1} MB", dist::megabytes(ground.size_bytes)),
            peer: "none".to_owned(),
            ratio: "–".to_owned(),
            bound: "under 25 MB",
            holds: ground.size_bytes < dist::LIMIT_BYTES,
        },
    ])
}
