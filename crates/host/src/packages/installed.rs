//! What dpkg's database says of each package: its version, whether the administrator holds it, and
//! whether it is whole.

use model::PackageUpgrade;

use crate::act::ActError;
use crate::act::program::Program;

/// A package that dpkg knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// With its architecture where there can be several: `libc6:amd64`.
    pub name: String,
    /// dpkg's word: `installed`, `half-configured`.
    pub status: String,
    /// Must it be installed again (`reinstreq`)?
    pub flag: String,
    pub version: String,
    pub architecture: String,
    /// apt-mark(8), `hold`.
    pub is_held: bool,
}

impl Installed {
    /// Is it there, whether or not it is configured?
    pub fn is_installed(&self) -> bool {
        !matches!(
            self.status.as_str(),
            "not-installed" | "config-files" | "half-installed"
        )
    }

    /// As apt may name it: without the architecture where it is the host's own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let bare = self.name.split_once(':').map(|(bare, _)| bare);
        [Some(self.name.as_str()), bare].into_iter().flatten()
    }
}

/// Those that are there as a change brought them: new ones in whatever version, which all go with it,
/// and others in the version that it brought. What an earlier undo took is not among them.
pub fn still_there<'a>(
    packages: impl IntoIterator<Item = &'a PackageUpgrade>,
    installed: &[Installed],
) -> Vec<&'a PackageUpgrade> {
    let is_there = |package: &&PackageUpgrade| {
        installed.iter().any(|one| {
            one.is_installed()
                && one.architecture == package.architecture
                && one.names().any(|name| name == package.bare_name())
                && (package.from.is_none() || one.version == package.to)
        })
    };
    packages.into_iter().filter(is_there).collect()
}

/// Asks dpkg.
///
/// # Errors
/// When it can't be asked.
pub fn installed() -> Result<Vec<Installed>, ActError> {
    let ended = Program::find(&["/usr/bin/dpkg-query"])?
        .args([
            "--show",
            "--showformat=${binary:Package}\\t${db:Status-Status}\\t${db:Status-Eflag}\\t${Version}\\t\
             ${Architecture}\\t${db:Status-Want}\\n",
        ])
        .answer()?;
    Ok(parse_installed(&ended.stdout))
}

/// Reads `NAME\tSTATUS\tFLAG\tVERSION\tARCHITECTURE\tWANT` of dpkg-query(1).
pub fn parse_installed(text: &str) -> Vec<Installed> {
    let read = |line: &str| {
        let mut words = line.split('\t').map(str::to_owned);
        Some(Installed {
            name: words.next()?,
            status: words.next()?,
            flag: words.next()?,
            version: words.next()?,
            architecture: words.next()?,
            is_held: words.next()? == "hold",
        })
    };
    text.lines().filter_map(read).collect()
}
