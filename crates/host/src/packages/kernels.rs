//! Which kernel runs, and which is installed.

/// Which kernel runs, and which a boot would start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernels {
    /// As uname(2) tells it.
    pub booted: String,
    /// The version of the package that it was built as, where it says so, as Debian's does: a
    /// new build may keep the name of the old.
    pub build: Option<String>,
    /// The newest in `/boot` of those that have modules here; none where there is none, as in a
    /// container.
    pub newest: Option<String>,
}

/// Looks at `/boot`.
pub fn kernels() -> Kernels {
    let uname = rustix::system::uname();
    let booted = uname.release().to_string_lossy().into_owned();
    let build = build_of(&uname.version().to_string_lossy());
    let versions = std::fs::read_dir("/boot")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some(name.strip_prefix("vmlinuz-")?.to_owned())
        });
    let newest = versions.max_by(|a, b| {
        let parse = |text: &String| text.parse::<debversion::Version>().ok();
        parse(a).cmp(&parse(b)).then_with(|| a.cmp(b))
    });
    Kernels {
        booted,
        build,
        newest,
    }
}

/// Reads `#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)`.
pub fn build_of(version: &str) -> Option<String> {
    let (_, after) = version.split_once(" Debian ")?;
    after.split(' ').next().map(str::to_owned)
}
