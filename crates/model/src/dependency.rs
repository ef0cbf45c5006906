//! What a source folder would install: the packages that its lockfiles and manifests name, and
//! which of them brings which. It says what is meant to be there, never what is.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::component::Ecosystem;

/// Who wrote a lockfile or a manifest, and so how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockFormat {
    Cargo,
    Npm,
    Yarn,
    Pnpm,
    Poetry,
    Uv,
    Pipenv,
    /// pip's requirements.
    Requirements,
    Bundler,
    Go,
}

impl LockFormat {
    pub const ALL: [Self; 10] = [
        Self::Cargo,
        Self::Npm,
        Self::Yarn,
        Self::Pnpm,
        Self::Poetry,
        Self::Uv,
        Self::Pipenv,
        Self::Requirements,
        Self::Bundler,
        Self::Go,
    ];

    /// Whose names and versions it speaks of.
    pub const fn ecosystem(self) -> Ecosystem {
        match self {
            Self::Cargo => Ecosystem::CratesIo,
            Self::Npm | Self::Yarn | Self::Pnpm => Ecosystem::Npm,
            Self::Poetry | Self::Uv | Self::Pipenv | Self::Requirements => Ecosystem::PyPi,
            Self::Bundler => Ecosystem::RubyGems,
            Self::Go => Ecosystem::Go,
        }
    }
}

/// Where a package of a lockfile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockedFrom {
    /// The ecosystem's registry, or a copy of it: advisories are about these.
    Registry,
    /// The project itself, or a member of its workspace.
    Project,
    /// A repository, a folder, an address, another registry.
    Elsewhere,
    /// The registry, in a version that the file does not say: `Django>=3.2,<4`.
    Unpinned,
}

impl LockedFrom {
    /// Why it can't be looked up, where it can't.
    pub const fn unknown(self) -> Option<&'static str> {
        match self {
            Self::Registry | Self::Project => None,
            Self::Elsewhere => Some("not from the registry, so no feed speaks of them"),
            Self::Unpinned => Some("not pinned, so nobody knows which version would be installed"),
        }
    }
}

/// One package that a lockfile names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    pub from: LockedFrom,
    pub name: String,
    pub version: String,
    /// Where the file says so, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Only development needs it.
    pub development: bool,
    /// What it needs: places in the list of packages.
    pub needs: Vec<usize>,
}

/// A lockfile or manifest that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockfile {
    /// Below the folder that was looked through: `web/package-lock.json`.
    pub path: String,
    pub format: LockFormat,
    pub packages: Vec<Locked>,
}

/// How a package comes to be in a lockfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Brought {
    /// The lockfile doesn't say what the project itself asks for.
    Unknown,
    /// The project asks for it, and these of its direct dependencies need it as well.
    Direct { also: Vec<usize> },
    /// These direct dependencies bring it.
    By(Vec<usize>),
}

impl Lockfile {
    /// Does it say what the project itself asks for?
    pub fn tells_direct(&self) -> bool {
        self.packages
            .iter()
            .any(|package| package.from == LockedFrom::Project)
    }

    /// What the project itself asks for, or a member of its workspace.
    pub fn direct(&self) -> BTreeSet<usize> {
        let of_project = self.packages.iter().filter(|package| is_project(package));
        of_project
            .flat_map(|package| &package.needs)
            .copied()
            .filter(|at| self.packages.get(*at).is_some_and(|it| !is_project(it)))
            .collect()
    }

    /// Which direct dependencies bring the package at this place. `direct` is [`Self::direct`].
    pub fn brought(&self, at: usize, direct: &BTreeSet<usize>) -> Brought {
        if !self.tells_direct() {
            return Brought::Unknown;
        }
        let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); self.packages.len()];
        for (who, package) in self.packages.iter().enumerate() {
            for what in &package.needs {
                if let Some(needing) = needed_by.get_mut(*what) {
                    needing.push(who);
                }
            }
        }
        let mut seen = BTreeSet::from([at]);
        let mut next = VecDeque::from([at]);
        while let Some(place) = next.pop_front() {
            for who in needed_by.get(place).into_iter().flatten() {
                if seen.insert(*who) {
                    next.push_back(*who);
                }
            }
        }
        let others: Vec<usize> = direct
            .iter()
            .copied()
            .filter(|one| *one != at && seen.contains(one))
            .collect();
        match (direct.contains(&at), others.is_empty()) {
            (true, _) => Brought::Direct { also: others },
            (false, false) => Brought::By(others),
            // It is in the file, and nothing that the file tells leads to it.
            (false, true) => Brought::Unknown,
        }
    }
}

fn is_project(package: &Locked) -> bool {
    package.from == LockedFrom::Project
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(from: LockedFrom, name: &str, needs: &[usize]) -> Locked {
        Locked {
            from,
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            line: None,
            development: false,
            needs: needs.to_vec(),
        }
    }

    #[test]
    fn what_brings_a_package_is_what_the_project_asks_for() {
        use LockedFrom::{Project, Registry};
        let file = |packages| Lockfile {
            path: "Cargo.lock".to_owned(),
            format: LockFormat::Cargo,
            packages,
        };
        // ours → a → c → a (a circle), ours → b, member → b → d; e is asked for by nobody.
        let known = file(vec![
            package(Project, "ours", &[2, 3, 1]),
            package(Project, "member", &[3]),
            package(Registry, "a", &[4]),
            package(Registry, "b", &[5, 4]),
            package(Registry, "c", &[2]),
            package(Registry, "d", &[99]),
            package(Registry, "e", &[]),
        ]);
        let direct = known.direct();
        assert_eq!(direct, BTreeSet::from([2, 3]));
        let brought = |at| known.brought(at, &direct);
        assert_eq!(brought(2), Brought::Direct { also: vec![3] });
        assert_eq!(brought(3), Brought::Direct { also: vec![] });
        assert_eq!(brought(4), Brought::By(vec![2, 3]));
        assert_eq!(brought(5), Brought::By(vec![3]));
        assert_eq!(brought(6), Brought::Unknown);
        let silent = file(vec![package(Registry, "a", &[])]);
        assert_eq!(silent.brought(0, &silent.direct()), Brought::Unknown);
    }
}
