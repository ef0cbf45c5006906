//! Values of parameters that do not stand on the command line, where everybody can read them (ps):
//! out of the environment, out of a file, or out of a credential of systemd.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;

/// A value is a line or a key; one that is longer stands in a template.
const LARGEST_VALUE_BYTES: u64 = 64 << 10;
const LARGEST_FILE_BYTES: u64 = 1 << 20;

/// Where a value comes from.
enum Source<'a> {
    /// `env:NAME`
    Environment(&'a str),
    /// `file:PATH`
    File(PathBuf),
}

/// `name=env:VARIABLE`, `name=file:PATH` or `name=credential:NAME`, in its two parts.
pub fn parse_from(text: &str) -> Result<(String, String), String> {
    let (name, source) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` is not of the form name=env:VARIABLE or name=file:PATH")
    })?;
    let known = ["env:", "file:", "credential:"];
    match known
        .iter()
        .any(|kind| source.len() > kind.len() && source.starts_with(kind))
    {
        true => Ok((name.to_owned(), source.to_owned())),
        // What stands there may be the value itself: it is not repeated.
        false => Err(format!(
            "what follows `{name}=` does not begin with env:, file: or credential:"
        )),
    }
}

/// All values, by name, and the names of those that stood on the command line.
///
/// # Errors
/// When a value can't be had, or a name has two.
pub fn gather(
    open: &[(String, String)],
    from: &[(String, String)],
    files: &[PathBuf],
) -> Result<(BTreeMap<String, String>, BTreeSet<String>), Failure> {
    let mut values = BTreeMap::new();
    for path in files {
        values.extend(of_file(path)?);
    }
    let mut named = BTreeSet::new();
    for (name, source) in from {
        values.insert(name.clone(), of_source(name, source)?);
        named.insert(name);
    }
    let mut shown = BTreeSet::new();
    for (name, value) in open {
        if named.contains(name) {
            return Err(Failure::new(
                Exit::BadInput,
                format_args!("parameter `{name}` has two values"),
                "give it with --param or with --param-from",
            ));
        }
        values.insert(name.clone(), value.clone());
        shown.insert(name.clone());
    }
    Ok((values, shown))
}

fn of_file(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let bytes = input::read(path, LARGEST_FILE_BYTES).map_err(|error| {
        Failure::new(
            Exit::BadInput,
            format_args!("can't read the parameters `{}`: {error}", path.display()),
            "a file of parameters is YAML: name: value",
        )
    })?;
    Ok(content::read_param_file(&path.to_string_lossy(), &bytes)?)
}

fn of_source(name: &str, source: &str) -> Result<String, Failure> {
    let refused = |why: String| {
        Failure::new(
            Exit::BadInput,
            format_args!("can't read the value of parameter `{name}` from {source}: {why}"),
            "it is env:VARIABLE, file:PATH, or credential:NAME of the systemd unit",
        )
    };
    let bytes = match located(source).map_err(refused)? {
        Source::Environment(variable) => {
            return std::env::var(variable).map_err(|error| refused(error.to_string()));
        }
        Source::File(path) => {
            input::read(&path, LARGEST_VALUE_BYTES).map_err(|error| refused(error.to_string()))?
        }
    };
    let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8 text".to_owned()))?;
    // Files of one line end in a newline that is no part of the value.
    Ok(text.strip_suffix('\n').map_or(text.clone(), str::to_owned))
}

fn located(source: &str) -> Result<Source<'_>, String> {
    if let Some(variable) = source.strip_prefix("env:") {
        return Ok(Source::Environment(variable));
    }
    if let Some(path) = source.strip_prefix("file:") {
        return Ok(Source::File(PathBuf::from(path)));
    }
    let name = source.strip_prefix("credential:").unwrap_or_default();
    // systemd.exec(5): the credentials of a unit lie in this directory, by their names.
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY")
        .ok_or("there is no CREDENTIALS_DIRECTORY: no systemd unit handed credentials over")?;
    match name.is_empty() || name.contains('/') || name == ".." {
        true => Err("that is no credential's name".to_owned()),
        false => Ok(Source::File(Path::new(&directory).join(name))),
    }
}
