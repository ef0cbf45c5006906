//! dpkg's database: `/var/lib/dpkg/status` and apt's `extended_states`, both in the form
//! of deb822(5). Reading it takes a millisecond where asking dpkg-query takes fifty.

use model::Mode;

/// One package of the status file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRecord {
    pub name: String,
    pub architecture: String,
    /// Empty for a package of which only configuration files are left.
    pub version: String,
    /// The source package; the package's own name when the file says nothing.
    pub source: String,
    /// The source package's version; the package's own when the file says nothing.
    pub source_version: String,
    /// As written: `install ok installed`.
    pub status: String,
}

impl PackageRecord {
    /// The third word of the status is the state: `installed` alone means that all of it
    /// is there and configured (dpkg-query(1)).
    pub fn is_installed(&self) -> bool {
        self.state() == "installed"
    }

    /// Are files of it on the host, whether or not it works?
    pub fn has_files(&self) -> bool {
        !matches!(self.state(), "" | "not-installed" | "config-files") && !self.version.is_empty()
    }

    fn state(&self) -> &str {
        self.status.split_whitespace().nth(2).unwrap_or_default()
    }
}

/// The packages of a status file, in its order. Stanzas without a name or a status are
/// left out, as dpkg does.
pub fn parse_status(bytes: &[u8]) -> Vec<PackageRecord> {
    let mut records = Vec::new();
    each_package(bytes, |record| records.push(record));
    records
}

/// The same, one after the other: a file that anybody may have written can have a million.
pub fn each_package(bytes: &[u8], mut each: impl FnMut(PackageRecord)) {
    stanzas(bytes, |fields| {
        let (Some(name), Some(status)) = (fields.get(b"Package"), fields.get(b"Status")) else {
            return;
        };
        let version = fields.get(b"Version").unwrap_or_default();
        // `Source: openssl (3.0.1)`, the version only when it differs (deb-control(5)).
        let source = fields.get(b"Source").unwrap_or(name);
        let (source, source_version) = match source.split_once(char::is_whitespace) {
            Some((source, rest)) => (source, rest.trim().trim_matches(['(', ')'])),
            None => (source, version),
        };
        each(PackageRecord {
            name: name.to_owned(),
            architecture: fields.get(b"Architecture").unwrap_or_default().to_owned(),
            version: version.to_owned(),
            source: source.to_owned(),
            source_version: source_version.to_owned(),
            status: status.to_owned(),
        });
    });
}

/// The files of distroless images (`status.d`) are control files, which know no state: they are there,
/// so the package is.
pub fn with_status(mut bytes: Vec<u8>) -> Vec<u8> {
    let has_status =
        bytes.starts_with(b"Status:") || memchr::memmem::find(&bytes, b"\nStatus:").is_some();
    if !has_status {
        bytes = [b"Status: install ok installed\n", bytes.trim_ascii_start()].concat();
    }
    bytes
}

/// Name and architecture of the packages that were installed because others needed them
/// (apt-mark(8)).
pub fn parse_automatic(bytes: &[u8]) -> Vec<(String, String)> {
    let mut automatic = Vec::new();
    stanzas(bytes, |fields| {
        if let Some(name) = fields.get(b"Package")
            && fields.get(b"Auto-Installed") == Some("1")
        {
            let architecture = fields.get(b"Architecture").unwrap_or_default();
            automatic.push((name.to_owned(), architecture.to_owned()));
        }
    });
    automatic
}

/// The fields of one stanza that somebody may ask for.
struct Fields<'a>(Vec<(&'a [u8], &'a str)>);

impl<'a> Fields<'a> {
    fn get(&self, name: &[u8]) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }
}

/// Calls `each` with the fields of every stanza. Only the first line of a field is kept,
/// which is all of it for the fields that are used here.
fn stanzas<'a>(bytes: &'a [u8], mut each: impl FnMut(&Fields<'a>)) {
    let mut fields = Fields(Vec::with_capacity(8));
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]) {
        let line = &bytes[start..end];
        start = end + 1;
        match line.first() {
            None => {
                if !fields.0.is_empty() {
                    each(&fields);
                    fields.0.clear();
                }
            }
            // A continuation line.
            Some(b' ' | b'\t') => {}
            // Only what is used is looked at: most of the file is dependencies.
            Some(b'P' | b'S' | b'V' | b'A' | b'p' | b's' | b'v' | b'a') => {
                let Some(colon) = memchr::memchr(b':', line) else {
                    continue;
                };
                let (key, value) = (&line[..colon], line[colon + 1..].trim_ascii());
                if let Ok(value) = str::from_utf8(value) {
                    fields.0.push((key, value));
                }
            }
            Some(_) => {}
        }
    }
    if !fields.0.is_empty() {
        each(&fields);
    }
}

/// A file that dpkg-divert(1) keeps away from its package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// What package lists say.
    pub from: Vec<u8>,
    /// Where the file of every package but `by` is.
    pub to: Vec<u8>,
    /// `:` for a local diversion, which diverts every package's file.
    pub by: Vec<u8>,
}

/// `/var/lib/dpkg/diversions`: three lines for each.
pub fn parse_diversions(bytes: &[u8]) -> Vec<Diversion> {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    lines
        .chunks_exact(3)
        .map(|three| Diversion {
            from: three[0].to_vec(),
            to: three[1].to_vec(),
            by: three[2].to_vec(),
        })
        .collect()
}

/// A file whose owner and mode dpkg-statoverride(1) keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatOverride {
    /// A name, or `#` and a number.
    pub owner: String,
    pub group: String,
    pub mode: Mode,
    pub path: Vec<u8>,
}

/// `/var/lib/dpkg/statoverride`: owner, group, mode and path, a blank between two. A line that
/// is none says nothing here; dpkg itself would refuse to run.
pub fn parse_overrides(bytes: &[u8]) -> Vec<StatOverride> {
    let text = |word: &[u8]| str::from_utf8(word).ok().map(str::to_owned);
    let read = |line: &[u8]| {
        let mut words = line.splitn(4, |byte| *byte == b' ');
        let mut word = || words.next().filter(|word| !word.is_empty());
        Some(StatOverride {
            owner: text(word()?)?,
            group: text(word()?)?,
            mode: u32::from_str_radix(str::from_utf8(word()?).ok()?, 8)
                .ok()
                .filter(|bits| *bits <= 0o7777)
                .map(Mode::new)?,
            path: word()?.to_vec(),
        })
    };
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(read)
        .collect()
}
