//! Files, directories and metadata.

use std::sync::Arc;

use model::value::{AclEntry, AclWho, DirEntry, FileSeen, FileType, Meta, Reason};
use model::{Blob, Digest, HostPath, Value};
use sha2::{Digest as _, Sha256};

use crate::local::Inner;
use crate::parse::acl::{GROUP, OWNING_GROUP, RawEntry, USER, within_mask};
use crate::tree::{Node, Opened, Trouble};

/// Programs and their data are digested whole; something larger than this is an image or a
/// sparse file, and reading it would hold up the audit.
const DIGEST_LIMIT_BYTES: u64 = 256 << 20;

pub fn file(host: &Arc<Inner>, path: &HostPath, limit_bytes: u64) -> Result<Value, Trouble> {
    let wanted = path.clone();
    let (opened, content, acl) = host.look(path, move |host| {
        let (opened, content) = host.tree.read(&wanted, limit_bytes)?;
        let acl = acl_of_opened(host, &opened, &wanted)?;
        Ok((opened, content, acl))
    })?;
    Ok(Value::File(FileSeen {
        meta: with_acl(host, opened.node, acl),
        content: Blob::from(content),
        resolved: opened.resolved,
    }))
}

pub fn digest(host: &Arc<Inner>, path: &HostPath) -> Result<Value, Trouble> {
    let wanted = path.clone();
    let (node, content, acl) = host.look(path, move |host| {
        let opened = host.tree.open_file(&wanted)?;
        let acl = acl_of_opened(host, &opened, &wanted)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 128 << 10];
        let mut total = 0u64;
        loop {
            let size_bytes = opened.node.size_bytes.max(total);
            if size_bytes > DIGEST_LIMIT_BYTES {
                return Err(Reason::TooLarge {
                    size_bytes,
                    limit_bytes: DIGEST_LIMIT_BYTES,
                }
                .into());
            }
            match rustix::io::read(&opened.file, &mut buffer[..]) {
                Ok(0) => break,
                Ok(read) => {
                    hash.update(&buffer[..read]);
                    total += read as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(host.tree.trouble(errno)),
            }
        }
        let content = Digest::from_bytes(hash.finalize().into());
        Ok((opened.node, content, acl))
    })?;
    Ok(Value::FileDigest {
        meta: with_acl(host, node, acl),
        content,
    })
}

pub fn meta(host: &Arc<Inner>, path: &HostPath) -> Result<Value, Trouble> {
    let wanted = path.clone();
    let (node, acl, default_acl) = host.look(path, move |host| {
        let node = host.tree.meta(&wanted)?;
        let acl = match has_acls(&node) {
            true => host.tree.acl(&wanted)?,
            false => None,
        };
        let default_acl = match node.file_type {
            FileType::Directory => host.tree.default_acl(&wanted)?,
            _ => None,
        };
        Ok((node, acl, default_acl))
    })?;
    let default_acl = default_acl.map(|acl| named(host, &within_mask(acl)));
    Ok(Value::Meta(Meta {
        default_acl,
        ..with_acl(host, node, acl)
    }))
}

/// A file as a walk finds it.
pub fn found(host: &Arc<Inner>, path: &HostPath) -> Result<Value, Trouble> {
    Ok(match meta(host, path)? {
        Value::Meta(meta) => Value::Meta(meta.rights_only()),
        other => other,
    })
}

pub fn dir(host: &Arc<Inner>, path: &HostPath) -> Result<Value, Trouble> {
    let wanted = path.clone();
    let names = host.look(path, move |host| host.tree.list(&wanted))?;
    Ok(Value::Dir(
        names
            .into_iter()
            .map(|(name, file_type)| DirEntry {
                name: Blob::from(name),
                file_type,
            })
            .collect(),
    ))
}

/// Adds the names of owner and group.
pub fn with_names(host: &Arc<Inner>, node: Node) -> Meta {
    let names = host.names();
    Meta {
        owner: names.user(host, node.uid),
        group: names.group(host, node.gid),
        file_type: node.file_type,
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        size_bytes: node.size_bytes,
        hard_links: node.hard_links,
        target: node.target,
        acl: None,
        default_acl: None,
    }
}

/// A link has none. One that its mask hides grants as much as a mode that is set later shows.
fn has_acls(node: &Node) -> bool {
    node.file_type != FileType::Link
}

/// May an ACL grant anything now? Nothing beyond its mask, which the group's bits of the mode show
/// (acl(5)).
pub fn may_have_acl(node: &Node) -> bool {
    node.file_type != FileType::Link && node.mode.bits() & 0o070 != 0
}

fn acl_of_opened(
    host: &Inner,
    opened: &Opened,
    path: &HostPath,
) -> Result<Option<Vec<RawEntry>>, Trouble> {
    match has_acls(&opened.node) {
        true => host.tree.acl_of(opened, path),
        false => Ok(None),
    }
}

fn with_acl(host: &Arc<Inner>, node: Node, acl: Option<Vec<RawEntry>>) -> Meta {
    Meta {
        acl: acl.map(|acl| named(host, &acl)),
        ..with_names(host, node)
    }
}

/// The entries that name people, with their names.
pub fn named(host: &Arc<Inner>, acl: &[RawEntry]) -> Vec<AclEntry> {
    let names = host.names();
    let entry = |entry: &RawEntry| {
        let id = entry.id;
        let who = match entry.tag {
            USER => AclWho::User {
                id,
                name: names.user(host, id),
            },
            GROUP => AclWho::Group {
                id,
                name: names.group(host, id),
            },
            OWNING_GROUP => AclWho::OwningGroup,
            // What the mode says already.
            _ => return None,
        };
        Some(AclEntry {
            who,
            bits: u32::from(entry.bits),
        })
    };
    acl.iter().filter_map(entry).collect()
}
