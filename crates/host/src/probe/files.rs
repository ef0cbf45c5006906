//! Files, directories and metadata.

use std::sync::Arc;

use model::value::{DirEntry, FileSeen, Meta, Reason};
use model::{Blob, Digest, HostPath, Value};
use sha2::{Digest as _, Sha256};

use crate::local::Inner;
use crate::tree::{Node, Trouble};

/// Programs and their data are digested whole; something larger than this is an image or a
/// sparse file, and reading it would hold up the audit.
const DIGEST_LIMIT_BYTES: u64 = 256 << 20;

pub fn file(host: &Arc<Inner>, path: &HostPath, limit_bytes: u64) -> Result<Value, Trouble> {
    let wanted = path.clone();
    let (opened, content) = host.look(path, move |host| host.tree.read(&wanted, limit_bytes))?;
    Ok(Value::File(FileSeen {
        meta: with_names(host, opened.node),
        content: Blob::from(content),
        resolved: opened.resolved,
    }))
}

pub fn digest(host: &Arc<Inner>, path: &HostPath) -> Result<Value, Trouble> {
    let wanted = path.clone();
    let (node, content) = host.look(path, move |host| {
        let opened = host.tree.open_file(&wanted)?;
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
        Ok((opened.node, Digest::from_bytes(hash.finalize().into())))
    })?;
    Ok(Value::FileDigest {
        meta: with_names(host, node),
        content,
    })
}

pub fn meta(host: &Arc<Inner>, path: &HostPath) -> Result<Value, Trouble> {
    let wanted = path.clone();
    let node = host.look(path, move |host| host.tree.meta(&wanted))?;
    Ok(Value::Meta(with_names(host, node)))
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
    }
}
