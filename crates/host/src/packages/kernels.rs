//! Which kernel runs.

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

/// Reads `#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)`.
pub fn build_of(version: &str) -> Option<String> {
    let (_, after) = version.split_once(" Debian ")?;
    after.split(' ').next().map(str::to_owned)
}
