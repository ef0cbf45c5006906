//! Who can change what is read at a path: the path, what lies below it, what links lead to, and
//! each directory above any of these, with owner, group, mode and ACL.
//!
//! Links are followed here one after the other, inside the root, so that each directory on the
//! way is seen. Nothing is opened for reading but directories, for their names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::value::{FileType, Part, Reason, WritersSeen};
use model::{HostPath, Value};

use super::files::{may_have_acl, named, with_names};
use crate::local::Inner;
use crate::parse::acl::RawEntry;
use crate::tree::{Node, Trouble};

/// Directories of configuration have some hundred entries. A link to all of `/usr` is not gone
/// through by an audit.
const MOST_OBJECTS: usize = 20_000;

/// The kernel's own limit on links in one path (path_resolution(7)).
const MOST_LINKS: u32 = 40;

pub fn writers(host: &Arc<Inner>, path: &HostPath, below: bool) -> Result<Value, Trouble> {
    let asked = path.clone();
    let found = host.look(path, move |host| {
        let mut look = Look {
            host,
            asked: &asked,
            found: BTreeMap::new(),
        };
        look.all(below)?;
        Ok(look.found)
    })?;
    let seen = found.into_iter().map(|(path, found)| WritersSeen {
        path,
        part: found.part,
        acl: found.acl.map(|acl| named(host, &acl)),
        via: found.via,
        meta: {
            let mut meta = with_names(host, found.node);
            (meta.size_bytes, meta.hard_links) = (0, 1);
            meta
        },
    });
    Ok(Value::Writers(seen.collect()))
}

struct Found {
    part: Part,
    node: Node,
    acl: Option<Vec<RawEntry>>,
    via: Option<HostPath>,
}

struct Look<'a> {
    host: &'a Inner,
    asked: &'a HostPath,
    found: BTreeMap<HostPath, Found>,
}

impl Look<'_> {
    fn all(&mut self, below: bool) -> Result<(), Trouble> {
        let Some(top) = self.follow(self.asked)? else {
            return Err(Trouble::Absent);
        };
        let mut listed = BTreeSet::new();
        let mut todo = vec![top];
        while let Some(directory) = todo.pop() {
            if !below || !self.is_directory(&directory) || !listed.insert(directory.clone()) {
                continue;
            }
            let names = match self.host.tree.list(&directory) {
                Ok(names) => names,
                // Removed meanwhile.
                Err(Trouble::Absent) => continue,
                Err(trouble) => return Err(trouble),
            };
            for (name, _) in names {
                let path = directory.join(&name).map_err(|error| Reason::Failed {
                    why: error.to_string(),
                })?;
                todo.extend(self.follow(&path)?);
            }
        }
        Ok(())
    }

    fn is_directory(&self, path: &HostPath) -> bool {
        let found = self.found.get(path);
        found.is_some_and(|found| found.node.file_type == FileType::Directory)
    }

    /// Follows a path to its end, which is what is returned; none when there is nothing.
    fn follow(&mut self, path: &HostPath) -> Result<Option<HostPath>, Trouble> {
        let mut todo: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut here = HostPath::literal("/");
        let mut via: Option<HostPath> = None;
        let mut links = 0;
        self.see(&here, Part::Above, None)?;
        while let Some(name) = todo.pop_front() {
            if name == b".." {
                here = here.parent().unwrap_or(here);
                continue;
            }
            let next = here.join(&name).map_err(|error| Reason::Failed {
                why: error.to_string(),
            })?;
            let part = match todo.is_empty() {
                true => Part::Read,
                false => Part::Above,
            };
            let target = match self.see(&next, part, via.as_ref()) {
                Ok(node) => match (node.file_type, &node.target) {
                    (FileType::Link, Some(target)) => target.as_bytes().to_vec(),
                    (FileType::Directory, _) => {
                        here = next;
                        continue;
                    }
                    _ if todo.is_empty() => return Ok(Some(next)),
                    _ => return Ok(None),
                },
                Err(Trouble::Absent) => {
                    // Whoever may add a name here decides what the link leads to.
                    if via.is_some() {
                        self.see(&here, Part::Read, via.as_ref())?;
                    }
                    return Ok(None);
                }
                Err(trouble) => return Err(trouble),
            };
            links += 1;
            if links > MOST_LINKS {
                let why = format!("the links at `{path}` form a loop");
                return Err(Reason::Failed { why }.into());
            }
            via.get_or_insert(next);
            if target.starts_with(b"/") {
                here = HostPath::literal("/");
            }
            for part in target.split(|byte| *byte == b'/').rev() {
                if !part.is_empty() && part != b"." {
                    todo.push_front(part.to_vec());
                }
            }
        }
        self.see(&here, Part::Read, via.as_ref())?;
        Ok(Some(here))
    }

    /// Looks at a path without links, once.
    fn see(
        &mut self,
        path: &HostPath,
        part: Part,
        via: Option<&HostPath>,
    ) -> Result<Node, Trouble> {
        if let Some(known) = self.found.get_mut(path) {
            known.part = known.part.max(part);
            if via.is_none() {
                known.via = None;
            }
            return Ok(known.node.clone());
        }
        if self.found.len() == MOST_OBJECTS {
            let why = format!("`{}` leads to more than {MOST_OBJECTS} files", self.asked);
            return Err(Reason::Failed { why }.into());
        }
        if self.host.is_remote(path) && !self.host.is_remote(self.asked) {
            let what = format!("`{path}` lies on a file system of another host");
            return Err(Reason::Unavailable { what }.into());
        }
        let node = self.host.tree.meta(path)?;
        let found = Found {
            part,
            acl: match may_have_acl(&node) {
                true => self.host.tree.acl(path)?,
                false => None,
            },
            node: node.clone(),
            via: via.cloned(),
        };
        self.found.insert(path.clone(), found);
        Ok(node)
    }
}
