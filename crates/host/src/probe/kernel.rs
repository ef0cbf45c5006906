//! The running kernel: its parameters and its modules.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::value::{FileType, ModprobeLine, ModulesSeen, Reason};
use model::{HostPath, Value};

use crate::local::Inner;
use crate::parse::modprobe::{
    blacklisted_at_boot, parse_loaded, parse_modprobe, parse_module_paths,
};
use crate::tree::Trouble;

/// The largest parameter, `fs.nfs.*` statistics aside, is one page.
const SYSCTL_LIMIT_BYTES: u64 = 64 << 10;

/// `modules.dep` of a distribution's kernel is under 1 MB.
const MODULES_LIMIT_BYTES: u64 = 8 << 20;

/// The directories of modprobe.d(5), from the one that wins for a file name.
const MODPROBE_DIRECTORIES: [&str; 5] = [
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];

pub fn sysctl(host: &Arc<Inner>, key: &str) -> Result<Value, Trouble> {
    host.refuse_offline()?;
    let paths = sysctl_paths(key).ok_or_else(|| {
        Trouble::Unknown(Reason::Malformed {
            why: format!(
                "`{}` is not the name of a kernel parameter",
                model::printable(key.as_bytes())
            ),
        })
    })?;
    for path in paths {
        match host.read_path(&path, SYSCTL_LIMIT_BYTES) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                return Ok(Value::Sysctl(text.trim_end_matches('\n').to_owned()));
            }
            Err(Trouble::Absent) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Err(Trouble::Absent)
}

/// Where a parameter may be. "If the first separator is a slash, remaining slashes and dots
/// are left intact. If the first separator is a dot, dots and slashes are interchanged"
/// (sysctl.d(5)). Interface names may have dots, and people write them as they are, so for
/// `conf` and `neigh` what stands between is tried as one name too.
pub fn sysctl_paths(key: &str) -> Option<Vec<HostPath>> {
    let first = key.find(['.', '/'])?;
    let relative = if key[first..].starts_with('/') {
        key.to_owned()
    } else {
        key.chars()
            .map(|character| match character {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect()
    };
    let below =
        |relative: &str| HostPath::from_bytes(format!("/proc/sys/{relative}").as_bytes()).ok();
    let mut paths = vec![below(&relative)?];
    let parts: Vec<&str> = relative.split('/').collect();
    if let [
        "net",
        "ipv4" | "ipv6" | "mpls",
        "conf" | "neigh",
        name @ ..,
        last,
    ] = &parts[..]
        && name.len() > 1
    {
        let family = parts[..3].join("/");
        paths.extend(below(&format!("{family}/{}/{last}", name.join("."))));
    }
    Some(paths)
}

pub fn modules(host: &Arc<Inner>) -> Result<Value, Trouble> {
    if host.refuse_offline().is_err() {
        return modules_of_tree(host);
    }
    let kernel = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let loaded = match host.read("/proc/modules", MODULES_LIMIT_BYTES) {
        Ok(bytes) => parse_loaded(&bytes),
        // A kernel without support for modules has none.
        Err(Trouble::Absent) => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    Ok(Value::Modules(ModulesSeen {
        loaded,
        built_in: module_list(host, &kernel, "modules.builtin")?.unwrap_or_default(),
        available: module_list(host, &kernel, "modules.dep")?,
        directives: directives(host)?,
        kernel,
        of_tree: false,
    }))
}

/// The modules of every kernel that a tree has: any of them may boot.
fn modules_of_tree(host: &Arc<Inner>) -> Result<Value, Trouble> {
    let kernels = match host.tree.list(&HostPath::literal("/lib/modules")) {
        Ok(names) => names,
        Err(Trouble::Absent) => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    let kernels: Vec<String> = kernels
        .into_iter()
        .filter_map(|(name, _)| String::from_utf8(name).ok())
        .collect();
    let mut built_in = Vec::new();
    let mut available: Option<Vec<String>> = None;
    for kernel in &kernels {
        built_in.extend(module_list(host, kernel, "modules.builtin")?.unwrap_or_default());
        if let Some(some) = module_list(host, kernel, "modules.dep")? {
            available.get_or_insert_default().extend(some);
        }
    }
    for list in [Some(&mut built_in), available.as_mut()]
        .into_iter()
        .flatten()
    {
        list.sort_unstable();
        list.dedup();
    }
    Ok(Value::Modules(ModulesSeen {
        kernel: match kernels.is_empty() {
            true => "of this tree".to_owned(),
            false => kernels.join(", "),
        },
        loaded: Vec::new(),
        built_in,
        available,
        directives: directives(host)?,
        of_tree: true,
    }))
}

/// The modules that a kernel's list names; none where there is no such list.
fn module_list(
    host: &Arc<Inner>,
    kernel: &str,
    file: &str,
) -> Result<Option<Vec<String>>, Trouble> {
    let path = HostPath::literal("/lib/modules")
        .join(kernel)
        .and_then(|directory| directory.join(file))
        .map_err(|_| Trouble::Absent)?;
    match host.read_path(&path, MODULES_LIMIT_BYTES) {
        Ok(bytes) => Ok(Some(parse_module_paths(&bytes))),
        Err(Trouble::Absent) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// The directives in the order in which they are read: files sort by name over all
/// directories, and the first directory wins for one name.
fn directives(host: &Arc<Inner>) -> Result<Vec<ModprobeLine>, Trouble> {
    let mut files: BTreeMap<Vec<u8>, HostPath> = BTreeMap::new();
    for directory in MODPROBE_DIRECTORIES {
        let directory = HostPath::literal(directory);
        let names = match host.tree.list(&directory) {
            Ok(names) => names,
            Err(Trouble::Absent) => continue,
            Err(trouble) => return Err(trouble),
        };
        for (name, file_type) in names {
            let read =
                name.ends_with(b".conf") && matches!(file_type, FileType::Regular | FileType::Link);
            if let (true, Ok(path)) = (read, directory.join(&name)) {
                files.entry(name).or_insert(path);
            }
        }
    }
    let mut lines = Vec::new();
    for path in files.into_values() {
        // A link to /dev/null masks a file of the same name.
        let content = match host.read_path(&path, 1 << 20) {
            Ok(content) => content,
            Err(Trouble::Absent | Trouble::Unknown(Reason::Malformed { .. })) => continue,
            Err(trouble) => return Err(trouble),
        };
        lines.extend(
            parse_modprobe(&content)
                .into_iter()
                .map(|directive| ModprobeLine {
                    path: path.clone(),
                    line: directive.line,
                    command: directive.command,
                    module: directive.module,
                    rest: directive.rest,
                }),
        );
    }
    if let Ok(command_line) = host.read("/proc/cmdline", 64 << 10) {
        lines.extend(
            blacklisted_at_boot(&command_line)
                .into_iter()
                .map(|module| ModprobeLine {
                    path: HostPath::literal("/proc/cmdline"),
                    line: 1,
                    command: "blacklist".to_owned(),
                    module,
                    rest: String::new(),
                }),
        );
    }
    Ok(lines)
}
