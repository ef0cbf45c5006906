//! On what file system a path lies: what was taken from one is never put back to another, such as the
//! empty directory on which it was mounted.

use std::collections::BTreeSet;

use model::HostPath;

use crate::act::Root;
use crate::journal::Imaged;
use crate::local::mount_lines;

/// Where something is mounted now.
pub(crate) struct Mounted(BTreeSet<HostPath>);

impl Mounted {
    /// None for a tree that is not the running host.
    pub(crate) fn now(root: &Root) -> Option<Self> {
        let paths = || mount_lines().into_iter().map(|line| line.mount.path);
        root.is_live().then(|| Self(paths().collect()))
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
