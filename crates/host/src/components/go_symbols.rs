//! Which packages a Go program has code of: the table by which it names its functions in a traceback
//! (`.gopclntab`), which is there after `strip` too. What was inlined is named in it as well.

use std::collections::{BTreeMap, BTreeSet};

use model::value::Reason;

use super::elf::{Elf, number};
use super::found::Found;
use super::go::package_of;

/// Where it is; in a program that may be loaded anywhere, among what is relocated.
const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// "The 8-byte header plus … pointers" (go/src/debug/gosym/pclntab.go).
const HEADER_BYTES: u64 = 8 + 8 * 8;
/// Kubernetes' kubectl has 7 MB of names.
const NAMES_LIMIT_BYTES: u64 = 64 << 20;
/// It has 1,500 packages.
const MOST_PACKAGES: usize = 20_000;

/// How the module of Go's own library is called.
const LIBRARY: &str = "stdlib";

/// The packages that have code in the program; none where it does not tell.
pub fn packages(elf: &Elf<'_>) -> Result<Option<BTreeSet<String>>, Reason> {
    for name in SECTIONS {
        let Some(header) = elf.part_of_section(name, 0, HEADER_BYTES)? else {
            continue;
        };
        let Some((from, to)) = names_at(&header, elf.is_big_endian) else {
            continue;
        };
        let size = to.saturating_sub(from);
        if size > NAMES_LIMIT_BYTES {
            return Err(Reason::TooLarge {
                size_bytes: size,
                limit_bytes: NAMES_LIMIT_BYTES,
            });
        }
        if let Some(names) = elf.part_of_section(name, from, size)? {
            return Ok(packages_of(&names));
        }
    }
    Ok(None)
}

/// Where the names of functions begin and end, in what the linker of Go 1.16 and newer writes.
fn names_at(header: &[u8], is_big_endian: bool) -> Option<(u64, u64)> {
    let first = match number(header, 0, 4, is_big_endian) {
        // go116magic: nfunc, nfiles, funcnameOffset, cuOffset.
        0xffff_fffa => 2,
        // go118magic and go120magic have textStart before it.
        0xffff_fff0 | 0xffff_fff1 => 3,
        _ => return None,
    };
    let width = usize::from(*header.get(7)?);
    if !matches!(width, 4 | 8) {
        return None;
    }
    let word = |at: usize| number(header, 8 + at * width, width, is_big_endian);
    let (from, to) = (word(first), word(first + 1));
    (from >= 8 && from < to).then_some((from, to))
}

/// The packages of functions, each ended by a zero. None where there are more than programs have.
fn packages_of(names: &[u8]) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    let mut last: &[u8] = b"";
    for name in names.split(|byte| *byte == 0) {
        let Some(path) = path_of(name) else { continue };
        // They are in the order in which they were linked: package by package.
        if path == last {
            continue;
        }
        last = path;
        all.extend(unescaped(path));
        if all.len() > MOST_PACKAGES {
            return None;
        }
    }
    Some(all)
}

/// `golang.org/x/net/html` of `golang.org/x/net/html.(*Tokenizer).Next`: up to the first dot after the
/// last slash, where type parameters have both too.
fn path_of(name: &[u8]) -> Option<&[u8]> {
    let end = name.iter().position(|byte| matches!(byte, b'[' | b'('));
    let name = &name[..end.unwrap_or(name.len())];
    let slash = name.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let dot = name[slash..].iter().position(|byte| *byte == b'.')?;
    let path = &name[..slash + dot];
    // What the compiler makes for itself: `type:.eq.…`, `go:…`.
    (!path.is_empty() && !path.contains(&b':')).then_some(path)
}

/// A dot in the last part is written as `%2e`, since one ends the path (cmd/internal/objabi,
/// `PathToPrefix`).
fn unescaped(path: &[u8]) -> Option<String> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let digits = match (first, tail) {
            (b'%', [high, low, ..]) => str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        plain.push(digits.unwrap_or(*first));
        rest = if digits.is_some() { &tail[2..] } else { tail };
    }
    let path = String::from_utf8(plain).ok()?;
    (!path.contains(char::is_control)).then_some(path)
}

/// Gives each module the packages of it that have code. One of which none is found is left as it was:
/// names may have been made unreadable, or its code goes under another name. So is `main`, whose own
/// package is called so wherever it lies.
pub fn assign(modules: &mut [Found], main: Option<&str>, packages: &BTreeSet<String>) {
    let mut of_module: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let is_of = |module: &&Found| {
            let rest = package.strip_prefix(known_as(module));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let longest = modules.iter().filter(is_of);
        let (module, package) = match longest.max_by_key(|module| known_as(module).len()) {
            Some(module) => (module.name.as_str(), package_of(module, package)),
            // "vendor/…" is what the library itself has copied.
            None if is_of_library(package) => (LIBRARY, package.clone()),
            None => continue,
        };
        of_module
            .entry(module.to_owned())
            .or_default()
            .push(package);
    }
    for module in modules {
        if Some(module.name.as_str()) != main
            && let Some(packages) = of_module.remove(&module.name)
        {
            module.packages = packages;
        }
    }
}

/// The path by which a module is imported.
fn known_as(module: &Found) -> &str {
    module.instead_of.as_deref().unwrap_or(&module.name)
}

/// "The first path element of a module has a dot", and the library's have none
/// (go.dev/ref/mod#module-path).
fn is_of_library(package: &str) -> bool {
    let first = package.split('/').next().unwrap_or_default();
    !first.contains('.') && first != "main"
}

#[cfg(test)]
mod tests {
    use model::component::{Ecosystem, EvidenceKind};

    use super::*;

    #[test]
    fn the_package_of_a_function() {
        let cases = [
            ("main.main", "main"),
            ("net/http.(*Client).Do.func1", "net/http"),
            ("golang.org/x/crypto/ssh.Dial", "golang.org/x/crypto/ssh"),
            ("gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml.v3"),
            (
                "slices.SortFunc[go.shape.[]golang.org/x/net/html.Node]",
                "slices",
            ),
            (
                "sync/atomic.(*Pointer[go.shape.struct { a/b.C }]).Load",
                "sync/atomic",
            ),
            ("a.org/x%zz.F", "a.org/x%zz"),
        ];
        for (name, wanted) in cases {
            let path = path_of(name.as_bytes()).and_then(unescaped);
            assert_eq!(path.as_deref(), Some(wanted), "{name}");
        }
        for name in [
            "",
            "type:.eq.golang.org/x/net/html.Node",
            "go:buildid",
            "_rt0_amd64",
            ".x",
        ] {
            assert_eq!(path_of(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn packages_go_to_the_longest_module() {
        let found = |name: &str| {
            Found::new(Ecosystem::Go, name, "v1.0.0", EvidenceKind::Embedded).expect("a module")
        };
        let mut fork = found("fork.org/c");
        fork.instead_of = Some("c.org/c".to_owned());
        let modules = [
            "stdlib",
            "a.org/x",
            "a.org/x/sub",
            "a.org/xy",
            "own.org/tool",
        ];
        let mut modules: Vec<Found> = modules.map(found).into_iter().chain([fork]).collect();
        let packages = [
            "a.org/x",
            "a.org/x/in",
            "a.org/x/sub/y",
            "main",
            "net/http",
            "own.org/tool/z",
            "vendor/golang.org/x/net/http2/hpack",
            "b.org/none",
            "c.org/c/parse",
            "c.org/cc",
        ];
        let packages = packages.map(str::to_owned).into();
        assign(&mut modules, Some("own.org/tool"), &packages);
        let told: Vec<String> = modules
            .iter()
            .map(|module| module.packages.join(" "))
            .collect();
        assert_eq!(
            told,
            [
                "net/http vendor/golang.org/x/net/http2/hpack",
                "a.org/x a.org/x/in",
                "a.org/x/sub/y",
                "",
                "",
                // As advisories about the fork name it.
                "fork.org/c/parse",
            ]
        );
    }
}
