//! Which kernel runs, and whether packages ask for a restart of the machine.

use std::io::Read;
use std::path::Path;

use advisory::kernel::Kernel;
use model::Fact;

use crate::LocalHost;

/// The kernel that runs, which in a container is another host's.
pub fn kernel(host: &LocalHost) -> Kernel {
    match host.container() {
        Fact::Known(None) => {
            let uname = rustix::system::uname();
            Kernel::Booted {
                release: uname.release().to_string_lossy().into_owned(),
                build: build_of(&uname.version().to_string_lossy()),
            }
        }
        Fact::Known(Some(_)) => Kernel::Anothers,
        Fact::Unknown(_) => Kernel::Unknown,
    }
}

/// The newest in `/boot`, by its name: of kernels that are none of the distribution's packages
/// nothing better is known.
pub fn newest_file() -> Option<String> {
    let versions = std::fs::read_dir("/boot")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some(name.strip_prefix("vmlinuz-")?.to_owned())
        });
    versions.max_by(|a, b| {
        let parse = |text: &String| text.parse::<debversion::Version>().ok();
        parse(a).cmp(&parse(b)).then_with(|| a.cmp(b))
    })
}

/// Where the scripts of packages (libc6, dbus, kernels) say that what they brought is in use only
/// after a restart of the machine, and which of them did. Both are gone after that.
const ASKED_FOR: [&str; 2] = ["/run/reboot-required", "/run/reboot-required.pkgs"];
/// A line for each package and each time: so much is read.
const ASKED_FOR_LIMIT_BYTES: u64 = 64 << 10;

/// The packages that ask for a restart of the machine, as far as they gave their names; none where
/// nobody asks.
pub fn restart_asked_for() -> Option<Vec<String>> {
    let [asked, packages] = ASKED_FOR;
    if !Path::new(asked).exists() {
        return None;
    }
    let mut text = Vec::new();
    let file = std::fs::File::open(packages);
    // Without names it is asked for all the same.
    let _ = file.and_then(|file| file.take(ASKED_FOR_LIMIT_BYTES).read_to_end(&mut text));
    Some(names_of(&String::from_utf8_lossy(&text)))
}

/// Each once, in their order.
pub fn names_of(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let name = model::printable(line.as_bytes());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Reads `#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)`.
pub fn build_of(version: &str) -> Option<String> {
    let (_, after) = version.split_once(" Debian ")?;
    after.split(' ').next().map(str::to_owned)
}
