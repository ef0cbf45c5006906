//! modprobe.d(5), `/proc/modules`, `modules.dep` and `modules.builtin`. Module names are
//! given with `_`: "Dashes and underscores in module names are equivalent".

/// One directive, with the number of the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    pub line: u32,
    pub command: String,
    pub module: String,
    pub rest: String,
}

/// "Blank lines and lines starting with # are ignored"; a line ending in `\` goes on.
pub fn parse_modprobe(bytes: &[u8]) -> Vec<Directive> {
    let text = String::from_utf8_lossy(bytes);
    let mut directives = Vec::new();
    let mut lines = (1u32..).zip(text.lines());
    while let Some((line, first)) = lines.next() {
        let mut whole = first.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            match lines.next() {
                Some((_, more)) => whole.push_str(more),
                None => break,
            }
        }
        let whole = whole.trim();
        if whole.starts_with('#') {
            continue;
        }
        let (command, rest) = word(whole);
        let (module, rest) = word(rest);
        if module.is_empty() {
            continue;
        }
        directives.push(Directive {
            line,
            command: command.to_owned(),
            module: module_name(module),
            rest: rest.to_owned(),
        });
    }
    directives
}

/// The first column of `/proc/modules`.
pub fn parse_loaded(bytes: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = String::from_utf8_lossy(bytes)
        .lines()
        .map(|line| module_name(word(line).0))
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names
}

/// The file names of `modules.builtin` (one path a line) or `modules.dep` (`path: needs`),
/// as module names.
pub fn parse_module_paths(bytes: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = String::from_utf8_lossy(bytes)
        .lines()
        .filter_map(|line| {
            let path = line.split(':').next()?.trim();
            let file = path.rsplit('/').next()?;
            // `.ko`, or `.ko.xz`, `.ko.zst`, `.ko.gz`
            let name = file.split(".ko").next().filter(|name| !name.is_empty())?;
            Some(module_name(name))
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Modules that the kernel's command line forbids (`modprobe.blacklist=a,b`, modprobe(8)).
pub fn blacklisted_at_boot(command_line: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(command_line)
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("modprobe.blacklist="))
        .flat_map(|list| list.split(','))
        .filter(|name| !name.is_empty())
        .map(module_name)
        .collect()
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace)
        .map_or((text, ""), |(first, rest)| (first, rest.trim()))
}

fn module_name(name: &str) -> String {
    name.replace('-', "_")
}
