//! The database of apk (Alpine Linux, Wolfi): `lib/apk/db/installed`, in which each package is some
//! lines of a letter, a colon and a value, ended by an empty line (apk-v2(5), "INDEX").

/// One package of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApkRecord {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// What it was built from; the package's own name when the file says nothing.
    pub origin: String,
}

/// What a database says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// In their order.
    pub packages: Vec<ApkRecord>,
    /// Entries without a name or a version.
    pub malformed: usize,
}

/// The packages of a database.
pub fn parse_installed(bytes: &[u8]) -> Installed {
    let mut packages = Vec::new();
    let malformed = each_installed(bytes, |record| packages.push(record));
    Installed {
        packages,
        malformed,
    }
}

/// The same, one after the other: a file that anybody may have written can have a million. Returned
/// is the number of entries without a name or a version.
pub fn each_installed(bytes: &[u8], mut each: impl FnMut(ApkRecord)) -> usize {
    let mut malformed = 0;
    let mut fields: [Option<&str>; 4] = [None; 4];
    let mut is_open = false;
    // The last one may lack its empty line.
    for line in bytes.split(|byte| *byte == b'\n').chain([&b""[..]]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            is_open = true;
            let place = match line.get(..2) {
                Some(b"P:") => 0,
                Some(b"V:") => 1,
                Some(b"A:") => 2,
                Some(b"o:") => 3,
                _ => continue,
            };
            let value = str::from_utf8(&line[2..]).ok().map(str::trim);
            fields[place] = fields[place].or(value.filter(|value| !value.is_empty()));
            continue;
        }
        if !is_open {
            continue;
        }
        is_open = false;
        match std::mem::take(&mut fields) {
            [Some(name), Some(version), architecture, origin] => {
                each(ApkRecord {
                    name: name.to_owned(),
                    version: version.to_owned(),
                    architecture: architecture.unwrap_or_default().to_owned(),
                    origin: origin.unwrap_or(name).to_owned(),
                });
            }
            _ => malformed += 1,
        }
    }
    malformed
}

/// Calls `each` with every file that a package has, from the root: `F:` names a directory, and the
/// `R:` behind it the files in it. An entry has files when it has said which package it is, and of
/// what version, as apk says it first: one that is listed as no package hides nothing.
pub fn files(bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
    let mut path = b"/".to_vec();
    let mut directory = path.len();
    let (mut has_name, mut has_version) = (false, false);
    let is_said = |value: &[u8]| str::from_utf8(value).is_ok_and(|text| !text.trim().is_empty());
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.get(..2) {
            None if line.is_empty() => {
                (has_name, has_version) = (false, false);
                path.truncate(1);
                directory = 1;
            }
            Some(b"P:") => has_name |= is_said(&line[2..]),
            Some(b"V:") => has_version |= is_said(&line[2..]),
            Some(b"F:") => {
                path.truncate(1);
                path.extend_from_slice(&line[2..]);
                if path.last() != Some(&b'/') {
                    path.push(b'/');
                }
                directory = path.len();
            }
            Some(b"R:") if has_name && has_version => {
                path.truncate(directory);
                path.extend_from_slice(&line[2..]);
                each(&path);
            }
            _ => {}
        }
    }
}
