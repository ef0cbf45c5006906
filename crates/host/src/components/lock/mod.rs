//! Lockfiles and manifests of source folders: which packages they name, in which versions, from
//! where, and which needs which. Readers of bytes; each has a bound, and none runs anything.

mod cargo;
mod go;
mod javascript;
mod lines;
mod python;
mod ruby;

use std::collections::BTreeMap;

use model::component::{Ecosystem, EvidenceKind};
use model::dependency::{LockFormat, Locked, LockedFrom};
use model::value::Reason;

use super::found::Found;
use super::source::malformed;

pub use cargo::{Outside as CargoOutside, outside as cargo_outside, workspace as cargo_workspace};
pub(crate) use cargo::{get, string, table};
pub use javascript::{
    Project as NodeProject, lock_outside as npm_lock_outside, project as node_project,
};
pub use python::{Include, Pin, includes, pins, requirements_with};

/// A monorepo with five thousand packages has 3 MB.
pub const LIMIT_BYTES: u64 = 32 << 20;
/// Larger lockfiles are not anybody's; so with what their packages need.
const MOST_PACKAGES: usize = 100_000;
const MOST_NEEDS: usize = 2_000_000;

/// How a file is read, by its name as its tool knows it, and by the name of the folder that it is
/// in.
pub fn format(folder: &str, name: &str) -> Option<LockFormat> {
    // `requirements/base.txt`
    let is_among_requirements = folder == "requirements" && name.ends_with(".txt");
    Some(match name {
        "Cargo.lock" => LockFormat::Cargo,
        "package-lock.json" | "npm-shrinkwrap.json" => LockFormat::Npm,
        "yarn.lock" => LockFormat::Yarn,
        "pnpm-lock.yaml" => LockFormat::Pnpm,
        "poetry.lock" => LockFormat::Poetry,
        "uv.lock" => LockFormat::Uv,
        "Pipfile.lock" => LockFormat::Pipenv,
        "Gemfile.lock" => LockFormat::Bundler,
        "go.mod" => LockFormat::Go,
        // `dev-requirements.txt` as well.
        _ if name.starts_with("requirements") && name.ends_with(".txt")
            || name.ends_with("requirements.txt")
            || is_among_requirements =>
        {
            LockFormat::Requirements
        }
        _ => return None,
    })
}

/// The file beside a lockfile that tells more: what the project itself asks for, or of Go what
/// was selected.
pub const fn beside(format: LockFormat) -> Option<&'static str> {
    match format {
        LockFormat::Yarn => Some("package.json"),
        LockFormat::Poetry => Some("pyproject.toml"),
        LockFormat::Pipenv => Some("Pipfile"),
        LockFormat::Go => Some("go.sum"),
        _ => None,
    }
}

/// The packages of a lockfile. `beside` is the content of the file that [`beside`] names, where
/// it is there.
///
/// # Errors
/// When it is not what its tool writes, or larger than the limits.
pub fn read(
    format: LockFormat,
    bytes: &[u8],
    beside: Option<&[u8]>,
) -> Result<Vec<Locked>, Reason> {
    let text = text(bytes)?;
    let beside = beside.map(self::text).transpose()?;
    match format {
        LockFormat::Cargo => cargo::read(text),
        LockFormat::Npm => javascript::npm(text),
        LockFormat::Yarn => javascript::yarn(text, beside),
        LockFormat::Pnpm => javascript::pnpm(text),
        LockFormat::Poetry => python::poetry(text, beside),
        LockFormat::Uv => python::uv(text),
        LockFormat::Pipenv => python::pipenv(text, beside),
        LockFormat::Requirements => python::requirements(text),
        LockFormat::Bundler => ruby::read(text),
        LockFormat::Go => go::read(text, beside),
    }
}

fn text(bytes: &[u8]) -> Result<&str, Reason> {
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(Reason::TooLarge {
            size_bytes: bytes.len() as u64,
            limit_bytes: LIMIT_BYTES,
        });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    str::from_utf8(bytes).map_err(|_| malformed("not UTF-8"))
}

/// The packages of one file, as they come.
#[derive(Default)]
struct Packages {
    all: Vec<Locked>,
    needs: usize,
}

impl Packages {
    /// Its place; none when this can be no package's name or version.
    fn add(
        &mut self,
        from: LockedFrom,
        name: &str,
        version: &str,
        line: Option<u32>,
    ) -> Result<Option<usize>, Reason> {
        // The ecosystem does not matter here: only whether both can be shown and looked up.
        let Some(found) = Found::new(Ecosystem::Npm, name, version, EvidenceKind::Lockfile) else {
            return Ok(None);
        };
        if self.all.len() == MOST_PACKAGES {
            return Err(malformed(format!("more than {MOST_PACKAGES} packages")));
        }
        self.all.push(Locked {
            from,
            name: found.name,
            version: found.version,
            line,
            development: false,
            needs: Vec::new(),
        });
        Ok(Some(self.all.len() - 1))
    }

    /// The project, where the lockfile does not list it among its packages.
    fn project(&mut self) -> Result<usize, Reason> {
        let at = self.add(LockedFrom::Project, "the project", "0", None)?;
        Ok(at.expect("a name that may be shown"))
    }

    fn need(&mut self, who: usize, what: usize) -> Result<(), Reason> {
        self.needs += 1;
        if self.needs > MOST_NEEDS {
            return Err(malformed(format!("more than {MOST_NEEDS} dependencies")));
        }
        self.all[who].needs.push(what);
        Ok(())
    }

    fn done(mut self) -> Vec<Locked> {
        for package in &mut self.all {
            package.needs.sort_unstable();
            package.needs.dedup();
        }
        self.all
    }
}

/// Places by a name under which they are needed.
type Places<'a> = BTreeMap<&'a str, Vec<usize>>;
