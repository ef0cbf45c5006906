//! Accounts and groups: the four files edited as one under the account lock (lckpwdf(3)),
//! and a new account's home made from `/etc/skel`.

use std::time::{SystemTime, UNIX_EPOCH};

use model::{AccountOp, Effect, HostPath, Mode};

use super::account_files::{AccountFiles, Defaults};
use super::file;
use super::held::{ACCOUNTS, AccountLock};
use super::place::{LastLink, Root};
use super::{ActError, Context, Names};
use crate::image::Node;

const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";
const GROUP: &str = "/etc/group";
const GSHADOW: &str = "/etc/gshadow";
const SKEL: &str = "/etc/skel";

/// Hosts with a hundred thousand local accounts fit.
const LIMIT_BYTES: u64 = 16 << 20;
/// A skeleton is a handful of dot files.
const MOST_SKEL_ENTRIES: usize = 200;

/// The files that an operation changes.
pub fn touched(root: &Root, op: &AccountOp) -> Result<Vec<(HostPath, LastLink)>, ActError> {
    let mut paths: Vec<(HostPath, LastLink)> = [PASSWD, SHADOW, GROUP, GSHADOW, ACCOUNTS]
        .into_iter()
        .map(|path| (HostPath::literal(path), LastLink::Follow))
        .collect();
    if let AccountOp::CreateUser {
        home,
        create_home: true,
        ..
    } = op
    {
        paths.push((home.clone(), LastLink::Itself));
        for (name, _) in skeleton(root)? {
            paths.push((below(home, &name)?, LastLink::Itself));
        }
    }
    Ok(paths)
}

pub fn act(context: &Context<'_>, op: &AccountOp) -> Result<(), ActError> {
    let root = context.root;
    let _lock = AccountLock::take(root, true)?;
    let read = |path| root.read(&HostPath::literal(path), LIMIT_BYTES);
    let missing = |path| ActError::refused(&HostPath::literal(path), "it is missing");
    let before = AccountFiles {
        passwd: read(PASSWD)?.ok_or_else(|| missing(PASSWD))?,
        shadow: read(SHADOW)?,
        group: read(GROUP)?.ok_or_else(|| missing(GROUP))?,
        gshadow: read(GSHADOW)?,
    };
    let defaults = read("/etc/login.defs")?.unwrap_or_default();
    let defaults = Defaults::parse(&String::from_utf8_lossy(&defaults));
    let mut after = before.clone();
    after
        .apply(op, &defaults, today())
        .map_err(|error| ActError::program("change the accounts", error))?;
    // Groups first and the account itself last, so that nobody can sign in as an account
    // that is half there; the other way round when one goes.
    let mut files = [
        (GROUP, Some(before.group), Some(after.group)),
        (GSHADOW, before.gshadow, after.gshadow),
        (SHADOW, before.shadow, after.shadow),
        (PASSWD, Some(before.passwd), Some(after.passwd)),
    ];
    if matches!(
        op,
        AccountOp::RemoveUser { .. } | AccountOp::RemoveGroup { .. }
    ) {
        files.reverse();
    }
    for (path, before, after) in files {
        if before != after
            && let Some(content) = after
        {
            let effect = Effect::PutFile {
                path: HostPath::literal(path),
                content: content.into(),
                mode: None,
                owner: None,
                group: None,
                as_user: None,
                drop_acl: false,
            };
            file::act(context, &effect)?;
            context.crash.here("account file replaced");
        }
    }
    match op {
        AccountOp::CreateUser {
            name,
            home,
            create_home: true,
            ..
        } => make_home(context, name, home, defaults.home_mode),
        _ => Ok(()),
    }
}

/// The day since 1970-01-01, as shadow(5) counts.
fn today() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs() / 86400).unwrap_or(0)
}

fn make_home(
    context: &Context<'_>,
    name: &str,
    home: &HostPath,
    mode: u32,
) -> Result<(), ActError> {
    let (_, there) = Node::capture(context.root, home, LastLink::Itself, None)?;
    let names = Names::read(context.root)?;
    let uid = names.uid(name)?;
    match &there {
        Node::Absent => {}
        // useradd(8) takes it as it is, too.
        Node::Directory { attributes } if [0, uid].contains(&attributes.uid) => return Ok(()),
        _ => {
            return Err(ActError::refused(
                home,
                "it is there already, and is neither root's directory nor the account's",
            ));
        }
    }
    let gid = names.groups_of(uid).map_or(uid, |(gid, _)| gid);
    let (owner, group) = (Some(uid.to_string()), Some(gid.to_string()));
    let skeleton = skeleton(context.root)?;
    // Made as root's, filled, and given away last: nothing is written where the account could.
    file::act(
        context,
        &Effect::MakeDir {
            path: home.clone(),
            mode: Mode::new(0o700),
            owner: None,
            group: None,
            as_user: None,
        },
    )?;
    for (relative, node) in &skeleton {
        let path = below(home, relative)?;
        let source = below(&HostPath::literal(SKEL), relative)?;
        let effect = match node {
            Node::File { attributes, .. } => Effect::PutFile {
                path,
                content: context
                    .root
                    .read(&source, LIMIT_BYTES)?
                    .unwrap_or_default()
                    .into(),
                // A skeleton's file gives nobody else a right to write.
                mode: Some(Mode::new(attributes.mode.bits() & 0o755)),
                owner: None,
                group: None,
                as_user: None,
                drop_acl: false,
            },
            Node::Directory { attributes } => Effect::MakeDir {
                path,
                mode: Mode::new(attributes.mode.bits() & 0o755),
                owner: None,
                group: None,
                as_user: None,
            },
            Node::Link { target, .. } => Effect::Link {
                path,
                target: target.clone(),
            },
            Node::Absent | Node::Unread { .. } | Node::Other { .. } => continue,
        };
        file::act(context, &effect)?;
    }
    let mut owned: Vec<(HostPath, Mode)> = Vec::new();
    for (relative, node) in skeleton.iter().rev() {
        if let Node::File { attributes, .. } | Node::Directory { attributes } = node {
            owned.push((
                below(home, relative)?,
                Mode::new(attributes.mode.bits() & 0o755),
            ));
        }
    }
    owned.push((home.clone(), Mode::new(mode)));
    for (path, mode) in owned {
        file::act(
            context,
            &Effect::SetMeta {
                path,
                mode: Some(mode),
                owner: owner.clone(),
                group: group.clone(),
                drop_capabilities: false,
                drop_acl: false,
            },
        )?;
    }
    Ok(())
}

fn below(base: &HostPath, relative: &[u8]) -> Result<HostPath, ActError> {
    base.join(relative)
        .map_err(|error| ActError::refused(base, error.to_string()))
}

/// What is below `/etc/skel`, directories before what is in them.
fn skeleton(root: &Root) -> Result<Vec<(Vec<u8>, Node)>, ActError> {
    let base = HostPath::literal(SKEL);
    let mut found = Vec::new();
    let mut todo = vec![Vec::new()];
    while let Some(directory) = todo.pop() {
        let inside = below(&base, &[&directory[..], b"/x"].concat())?;
        let place = match root.find(&inside, LastLink::Itself) {
            Ok(place) => place,
            Err(error) if error.is_missing() => continue,
            Err(error) => return Err(error),
        };
        for entry in rustix::fs::Dir::read_from(&place.dir).map_err(place.fail("list"))? {
            let entry = entry.map_err(place.fail("list"))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let relative = match directory.is_empty() {
                true => name.to_vec(),
                false => [&directory[..], b"/", name].concat(),
            };
            let path = below(&base, &relative)?;
            let (_, node) = Node::capture(root, &path, LastLink::Itself, None)?;
            if matches!(node, Node::Directory { .. }) {
                todo.push(relative.clone());
            }
            found.push((relative, node));
            if found.len() > MOST_SKEL_ENTRIES {
                return Err(ActError::refused(&base, "it holds too many entries"));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Is this one of the files that the account lock is for?
pub(crate) fn is_of_accounts(path: &HostPath) -> bool {
    const SUBORDINATE: [&str; 2] = ["/etc/subuid", "/etc/subgid"];
    let files = [PASSWD, SHADOW, GROUP, GSHADOW].into_iter();
    let mut files = files.chain(SUBORDINATE);
    files.any(|file| path.as_bytes() == file.as_bytes())
}
