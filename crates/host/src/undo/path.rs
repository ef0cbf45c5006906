//! What becomes of one path of a change that is undone: files of one owner are told apart by line,
//! and what packages wrote goes back as a whole, or not at all.

use model::HostPath;

use super::{Obstacle, since};
use crate::act::ActError;
use crate::image::{Attributes, FileTime, Images, Node};
use crate::journal::Imaged;
use crate::merge::merge;

/// Larger files than this are not merged: they are not configuration.
const MERGE_LIMIT_BYTES: u64 = 1 << 20;

/// What an upgrade wrote goes back as it was, or not at all: a program or a database that is half
/// of one version is none. A cache that was made anew since is as good as another.
pub(super) fn decide_upgraded(
    images: &Images,
    image: &Imaged,
    after: &Node,
    current: &Node,
) -> Result<Verdict, Obstacle> {
    if current.same_as(after) || current.same_as(&image.before) {
        return Ok(Verdict::Exact);
    }
    if image.path.is_within(&HostPath::literal("/var/cache")) {
        return Ok(Verdict::Leave);
    }
    Err(Obstacle {
        what: image.path.to_string(),
        why: format!(
            "it was changed since the upgrade, and is not written over: {}",
            since::told(after, current)
        ),
        difference: difference(images, image, after, current),
    })
}

/// What becomes of a path.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// Back to the before-image.
    Exact,
    /// It stays as it is now, and is nobody's concern: as before already, or a copy that others keep.
    Leave,
    /// Our part is inverted, the rest stays.
    Become(Node),
    /// It stays as it is for the sake of a package that stays.
    Stay,
    /// Somebody has changed it since.
    Blocked(Obstacle),
}

/// Why a path has no decision.
pub(super) enum Stop {
    Obstacle(Obstacle),
    Failed(ActError),
}

impl From<Obstacle> for Stop {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

pub(super) fn decide_path(
    images: &Images,
    image: &Imaged,
    after: &Node,
    current: &Node,
) -> Result<Verdict, Stop> {
    // A directory is the same when its entries' times differ; that is judged below.
    if current == &image.before {
        return Ok(Verdict::Leave);
    }
    if current.same_as(after) {
        return match (&image.before, current) {
            // Entries came or went since: the time is not ours to put back.
            (
                Node::Directory { attributes },
                Node::Directory {
                    attributes: current,
                },
            ) if directory_time(after) != Some(current.modified) => {
                let mut attributes = attributes.clone();
                attributes.modified = current.modified;
                Ok(Verdict::Become(Node::Directory { attributes }))
            }
            _ => Ok(Verdict::Exact),
        };
    }
    if current.same_as(&image.before) {
        return Ok(Verdict::Leave);
    }
    let obstacle = |why: &str| Obstacle {
        what: image.path.to_string(),
        why: why.to_owned(),
        difference: difference(images, image, after, current),
    };
    let (before, left, now) = match (&image.before, after, current) {
        (
            Node::File { .. } | Node::Absent,
            Node::File {
                attributes: left, ..
            },
            Node::File {
                attributes: now, ..
            },
        ) => (image.before.attributes(), left, now),
        _ => {
            return Err(obstacle(&format!(
                "it is {} now, and was {} when we left it",
                current.kind(),
                after.kind()
            ))
            .into());
        }
    };
    let Some(before) = before else {
        return Err(obstacle("we made it, and someone has changed it since").into());
    };
    let attributes = invert_attributes(before, left, now).ok_or_else(|| {
        obstacle("its owner, mode or attributes were changed by someone else since")
    })?;
    let read = |node: &Node| {
        node.content().ok_or("it is not a file").and_then(|digest| {
            images
                .read(&digest, MERGE_LIMIT_BYTES)
                .map_err(|_| "it is too large to tell the changes apart")
        })
    };
    let (base, ours, theirs) = read(after)
        .and_then(|base| Ok((base, read(&image.before)?, read(current)?)))
        .map_err(obstacle)?;
    let content =
        merge(&base, &ours, &theirs).map_err(|conflict| obstacle(&conflict.to_string()))?;
    becomes(images, &image.path, current, &content, attributes).map_err(Stop::Failed)
}

/// A file that the change made, to which others have added lines, without those of the change: where
/// each line gives somebody a right, none that it gave stays because of another. None where it is no
/// such file, or they can't be told apart.
pub(super) fn without_our_lines(
    images: &Images,
    image: &Imaged,
    after: &Node,
    current: &Node,
) -> Option<Result<Verdict, Stop>> {
    if image.before != Node::Absent || !gives_rights_by_line(&image.path) {
        return None;
    }
    let (Node::File { .. }, Node::File { attributes, .. }) = (after, current) else {
        return None;
    };
    let read = |node: &Node| images.read(&node.content()?, MERGE_LIMIT_BYTES).ok();
    let (base, theirs) = (read(after)?, read(current)?);
    let content = merge(&base, b"", &theirs).ok()?;
    let becomes = becomes(images, &image.path, current, &content, attributes.clone());
    Some(becomes.map_err(Stop::Failed))
}

/// Rules of sudo, keys that sign in, tables of cron.
fn gives_rights_by_line(path: &HostPath) -> bool {
    let tops = [
        "/etc/sudoers",
        "/etc/sudoers.d",
        "/etc/cron.d",
        "/etc/crontab",
        "/var/spool/cron",
    ];
    let is_of_keys = || {
        let above = path.parent();
        let is_in_ssh = above.is_some_and(|above| above.file_name() == b".ssh");
        is_in_ssh && path.file_name().starts_with(b"authorized_keys")
    };
    tops.iter()
        .any(|top| path.is_within(&HostPath::literal(top)))
        || is_of_keys()
}

/// What becomes of a file whose content is part ours and part others'. New content has a new time: a
/// program that keeps what it read once (apt, of dpkg's status) looks at time and size, and the size
/// may be what it was.
pub(super) fn becomes(
    images: &Images,
    path: &HostPath,
    current: &Node,
    content: &[u8],
    mut attributes: Attributes,
) -> Result<Verdict, ActError> {
    let digest = images
        .store_bytes(content)
        .map_err(|error| ActError::path("store what becomes of", path, error))?;
    if current.content() != Some(digest) {
        attributes.modified = FileTime::now();
    }
    Ok(Verdict::Become(Node::File {
        content: digest,
        size_bytes: content.len() as u64,
        attributes,
    }))
}

/// Puts back what we changed of owner, mode and attributes, and keeps what others changed.
/// None when both changed the same thing.
pub(super) fn invert_attributes(
    before: &Attributes,
    left: &Attributes,
    now: &Attributes,
) -> Option<Attributes> {
    fn invert<T: PartialEq + Clone>(before: &T, left: &T, now: &T) -> Option<T> {
        if before == left {
            return Some(now.clone());
        }
        (now == left || now == before).then(|| before.clone())
    }
    Some(Attributes {
        mode: invert(&before.mode, &left.mode, &now.mode)?,
        uid: invert(&before.uid, &left.uid, &now.uid)?,
        gid: invert(&before.gid, &left.gid, &now.gid)?,
        modified: now.modified,
        extended: invert(&before.extended, &left.extended, &now.extended)?,
        flags: invert(&before.flags, &left.flags, &now.flags)?,
    })
}

/// May anybody read it on the host? What only some may read is shown to nobody else: a terminal's
/// output ends in logs and in tickets.
fn is_public(node: &Node) -> bool {
    node.attributes()
        .is_none_or(|attributes| attributes.mode.bits() & 0o004 != 0)
}

/// The text that was left and the one that is there now, where they are no secrets.
pub(super) fn difference(
    images: &Images,
    image: &Imaged,
    after: &Node,
    current: &Node,
) -> Option<(String, String)> {
    let is_public = [&image.before, after, current].into_iter().all(is_public);
    if image.sensitive || !is_public || after.content() == current.content() {
        return None;
    }
    let text = |node: &Node| {
        let bytes = images.read(&node.content()?, MERGE_LIMIT_BYTES).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        (!text.contains('\0')).then_some(text)
    };
    Some((text(after)?, text(current)?))
}

pub(super) fn directory_time(node: &Node) -> Option<FileTime> {
    match node {
        Node::Directory { attributes } => Some(attributes.modified),
        _ => None,
    }
}
