//! On what file system a path lies: what was taken from one is never put back to another, such as the
//! empty directory on which it was mounted.

use std::collections::BTreeSet;

use model::HostPath;

use crate::act::{ActError, Root};
use crate::journal::Imaged;
use crate::local::mount_lines;
use crate::parse::mount::MountLine;

/// Where something is mounted now.
pub(crate) struct Mounted(BTreeSet<HostPath>);

impl Mounted {
    /// None for a tree that is not the running host.
    ///
    /// # Errors
    /// When the kernel's table can't be read: then nobody knows what lies where.
    pub(crate) fn now(root: &Root) -> Result<Option<Self>, ActError> {
        match root.is_live() {
            true => Self::of_lines(mount_lines()).map(Some),
            false => Ok(None),
        }
    }

    fn of_lines(lines: std::io::Result<Vec<MountLine>>) -> Result<Self, ActError> {
        let fail = |error| ActError::program("tell what is mounted where", error);
        let paths: BTreeSet<HostPath> = lines
            .map_err(fail)?
            .into_iter()
            .map(|line| line.mount.path)
            .collect();
        // There is always one at least, at the root.
        match paths.is_empty() {
            false => Ok(Self(paths)),
            true => Err(fail(std::io::Error::other("the kernel's table is empty"))),
        }
    }

    /// The mount point of the file system on which the path lies.
    pub(crate) fn of(&self, path: &HostPath) -> Option<HostPath> {
        path.ancestors().find(|above| self.0.contains(above))
    }

    /// A mount point at or below this directory.
    pub(crate) fn below(&self, directory: &HostPath) -> Option<&HostPath> {
        self.0.iter().find(|point| point.is_within(directory))
    }

    /// Why nothing of the image can be put back now: it was taken from another file system than the
    /// one that is there.
    pub(crate) fn elsewhere(&self, image: &Imaged) -> Option<String> {
        let then = image.mount.as_ref()?;
        let now = self.of(&image.path)?;
        if *then == now {
            return None;
        }
        Some(match now.is_within(then) {
            true => format!("it lies below `{now}` now, where something else is mounted"),
            false => format!("it lies on what was mounted at `{then}`, and is not now"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Node;
    use crate::journal::Role;
    use crate::parse::mount::parse_mountinfo;

    #[test]
    fn without_a_table_nobody_knows_what_lies_where() {
        assert!(Mounted::of_lines(Err(std::io::Error::other("no /proc"))).is_err());
        assert!(Mounted::of_lines(Ok(Vec::new())).is_err());
        let lines = parse_mountinfo(b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
        let mounted = Mounted::of_lines(Ok(lines)).expect("a table");
        let path = HostPath::literal("/etc/hosts");
        assert_eq!(mounted.of(&path), Some(HostPath::literal("/")));
    }

    #[test]
    fn a_path_lies_on_the_nearest_mount_above_it() {
        let path = HostPath::literal;
        let mounted = |paths: &[&'static str]| Mounted(paths.iter().map(|one| path(one)).collect());
        let mut image = Imaged::new(path("/mnt/t/a"), Role::Touched, Node::Absent);
        // An older version did not record it.
        assert_eq!(mounted(&["/"]).elsewhere(&image), None);
        image.mount = mounted(&["/", "/mnt/t"]).of(&image.path);
        assert_eq!(image.mount, Some(path("/mnt/t")));
        assert_eq!(mounted(&["/", "/mnt/t", "/mnt"]).elsewhere(&image), None);
        let gone = mounted(&["/", "/mnt/tt"]).elsewhere(&image);
        assert!(gone.is_some_and(|why| why.contains("is not now")));
        image.mount = Some(path("/"));
        let over = mounted(&["/", "/mnt"]).elsewhere(&image);
        assert!(over.is_some_and(|why| why.contains("something else is mounted")));
    }
}
