//! What became of a path since a change left it, in words.

use jiff::Timestamp;

use crate::image::{Attributes, FileTime, Node};
use model::count::size;

/// What differs between what was left and what is there now, times left out where anything else
/// does not differ, since then they are not looked at.
pub(super) fn told(left: &Node, now: &Node) -> String {
    let mut said = Vec::new();
    match (left, now) {
        (
            Node::File {
                content: left,
                size_bytes: left_bytes,
                ..
            },
            Node::File {
                content: now,
                size_bytes: now_bytes,
                ..
            },
        ) if left != now => said.push(format!(
            "its content is another ({} were left, SHA-256 {}; {} are there, {})",
            size(*left_bytes),
            short(&left.to_string()),
            size(*now_bytes),
            short(&now.to_string())
        )),
        (Node::Link { target: left, .. }, Node::Link { target: now, .. }) if left != now => said
            .push(format!(
                "it leads to {}, and was left to lead to {}",
                model::printable(now.as_bytes()),
                model::printable(left.as_bytes())
            )),
        _ if left.kind() != now.kind() => {
            said.push(format!("it is {} now, and was {}", now.kind(), left.kind()));
        }
        _ => {}
    }
    if let (Some(left), Some(now)) = (left.attributes(), now.attributes()) {
        said.extend(attributes(left, now));
    }
    if let (Node::Link { uid, gid, .. }, Node::Link { uid: u, gid: g, .. }) = (left, now)
        && (uid, gid) != (u, g)
    {
        said.push(format!("it is of {u}:{g}, and was of {uid}:{gid}"));
    }
    if let Some(at) = time(now) {
        said.push(format!("it was last written at {at:.0}"));
    }
    said.join("; ")
}

fn attributes(left: &Attributes, now: &Attributes) -> Vec<String> {
    let mut said = Vec::new();
    if left.mode != now.mode {
        said.push(format!("its mode is {}, and was {}", now.mode, left.mode));
    }
    if (left.uid, left.gid) != (now.uid, now.gid) {
        said.push(format!(
            "it is of {}:{}, and was of {}:{}",
            now.uid, now.gid, left.uid, left.gid
        ));
    }
    if left.extended != now.extended {
        said.push("its ACL, capabilities or other attributes are others".to_owned());
    }
    said
}

/// Enough of a digest to tell two apart.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn time(node: &Node) -> Option<Timestamp> {
    let FileTime {
        seconds,
        nanoseconds,
    } = match node {
        Node::Absent => return None,
        Node::Link { modified, .. } => *modified,
        _ => node.attributes()?.modified,
    };
    Timestamp::new(seconds, i32::try_from(nanoseconds).ok()?).ok()
}
