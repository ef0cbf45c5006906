//! Entries of a shared database, and how what a change did to some of them is taken back while
//! others have changed the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Form, alternatives};

/// One database as it was before a change, as the change left it, and as it is now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Three<'a> {
    pub before: &'a [u8],
    pub left: &'a [u8],
    pub now: &'a [u8],
}

impl<'a> Three<'a> {
    /// In that order.
    pub fn of([before, left, now]: &'a [Vec<u8>; 3]) -> Self {
        Self { before, left, now }
    }
}

/// An entry was changed by the change and by others too, in the same place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` in it was changed by the change, and by someone else since")]
pub struct Clash {
    pub entry: String,
}

/// The database without what the change did to it, and with all that others did.
///
/// Entries for which `stays` holds are left as they are now. An entry that the change made goes,
/// also where others changed it since, unless lists of names in it have others' names.
///
/// # Errors
/// Where the two can't be told apart.
pub fn without(
    form: Form,
    three: Three<'_>,
    stays: &dyn Fn(&str) -> bool,
) -> Result<Vec<u8>, Clash> {
    if form == Form::Alternatives {
        return alternatives::without(three, stays);
    }
    let before = Entries::of(form, three.before);
    let left = Entries::of(form, three.left);
    let now = Entries::of(form, three.now);
    let mut out: Vec<(&Key, Vec<u8>)> = Vec::with_capacity(now.list.len());
    for (key, raw) in &now.list {
        let name = key.name();
        let becomes = match (before.get(key), left.get(key)) {
            _ if stays(&name) => Some(raw.to_vec()),
            (old, ours) if old == ours => Some(raw.to_vec()),
            (old, Some(ours)) if ours == *raw => old.map(<[u8]>::to_vec),
            (Some(old), _) if old == *raw => Some(raw.to_vec()),
            // Taken out by the change, and put in again by others.
            (_, None) => Some(raw.to_vec()),
            (old, Some(ours)) => fields(form, old, ours, raw).ok_or(Clash { entry: name })?,
        };
        out.extend(becomes.map(|raw| (key, raw)));
    }
    // What the change took out comes back, behind what it stood behind.
    let mut behind: Option<&Key> = None;
    for (key, raw) in &before.list {
        if left.get(key).is_none() && now.get(key).is_none() && !stays(&key.name()) {
            let at = behind.and_then(|behind| out.iter().position(|(key, _)| *key == behind));
            let at = at.map_or(out.len(), |at| at + 1);
            out.insert(at, (key, raw.to_vec()));
        }
        behind = Some(key);
    }
    Ok(join(form, out.into_iter().map(|(_, raw)| raw)))
}

/// The same, where an entry that can't be told apart stays as others have it now, if `may_stay`
/// holds for it. These are named.
///
/// # Errors
/// Where one may not.
pub fn without_but(
    form: Form,
    three: Three<'_>,
    stays: &dyn Fn(&str) -> bool,
    may_stay: &dyn Fn(&str) -> bool,
) -> Result<(Vec<u8>, BTreeSet<String>), Clash> {
    let mut theirs = BTreeSet::new();
    loop {
        let merged = without(form, three, &|entry| theirs.contains(entry) || stays(entry));
        match merged {
            Ok(merged) => return Ok((merged, theirs)),
            // Each turn leaves one more, so this ends.
            Err(clash) if may_stay(&clash.entry) && theirs.insert(clash.entry.clone()) => {}
            Err(clash) => return Err(clash),
        }
    }
}

/// The names of the entries of `one` that `other` does not have.
pub fn only_in(form: Form, one: &[u8], other: &[u8]) -> BTreeSet<String> {
    let other = Entries::of(form, other);
    let one = Entries::of(form, one);
    one.list
        .iter()
        .filter(|(key, _)| other.get(key).is_none())
        .map(|(key, _)| key.name())
        .collect()
}

/// What names an entry, and the how manieth of that name it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key(Vec<u8>, usize);

impl Key {
    fn name(&self) -> String {
        model::printable(&self.0)
    }
}

struct Entries<'a> {
    list: Vec<(Key, &'a [u8])>,
    at: HashMap<Key, usize>,
}

impl<'a> Entries<'a> {
    fn of(form: Form, bytes: &'a [u8]) -> Self {
        let mut times: HashMap<Vec<u8>, usize> = HashMap::new();
        let list: Vec<(Key, &[u8])> = split(form, bytes)
            .into_iter()
            .map(|raw| {
                let name = name_of(form, raw);
                let seen = times.entry(name.clone()).or_default();
                *seen += 1;
                (Key(name, *seen - 1), raw)
            })
            .collect();
        let keys = list.iter().enumerate();
        let at = keys.map(|(at, (key, _))| (key.clone(), at)).collect();
        Self { list, at }
    }

    fn get(&self, key: &Key) -> Option<&'a [u8]> {
        self.at.get(key).map(|at| self.list[*at].1)
    }
}

/// The entries' own bytes, without what stands between two.
fn split(form: Form, bytes: &[u8]) -> Vec<&[u8]> {
    let lines = || bytes.split_inclusive(|byte| *byte == b'\n');
    match form {
        Form::Stanzas { .. } => {
            let mut found = Vec::new();
            let (mut start, mut at) = (0, 0);
            for line in lines() {
                if line.trim_ascii().is_empty() {
                    found.push(&bytes[start..at]);
                    start = at + line.len();
                }
                at += line.len();
            }
            found.push(&bytes[start..]);
            found.retain(|raw| !raw.is_empty());
            found
        }
        Form::Threes => {
            let ends: Vec<usize> = lines()
                .scan(0, |at, line| {
                    *at += line.len();
                    Some(*at)
                })
                .collect();
            let mut start = 0;
            let thirds = ends.chunks(3).filter_map(|three| three.last());
            thirds
                .map(|end| {
                    let raw = &bytes[start..*end];
                    start = *end;
                    raw
                })
                .collect()
        }
        Form::Lines | Form::Colons { .. } | Form::Alternatives => lines().collect(),
    }
}

fn name_of(form: Form, raw: &[u8]) -> Vec<u8> {
    match form {
        Form::Stanzas { named_by } => {
            let fields = stanza(raw);
            let values = named_by.iter().filter_map(|name| {
                let (_, raw) = fields.iter().find(|(field, _)| field == name)?;
                Some(value(raw).trim_ascii())
            });
            values.collect::<Vec<_>>().join(&b':')
        }
        Form::Colons { .. } => match raw.split(|byte| *byte == b':').next() {
            Some(name) if raw.contains(&b':') => name.to_vec(),
            _ => raw.trim_ascii().to_vec(),
        },
        Form::Threes => raw
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or(raw)
            .to_vec(),
        Form::Lines | Form::Alternatives => raw.trim_ascii_end().to_vec(),
    }
}

fn join(form: Form, entries: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    for raw in entries {
        out.extend_from_slice(&raw);
        if !raw.ends_with(b"\n") {
            out.push(b'\n');
        }
        if matches!(form, Form::Stanzas { .. }) {
            out.push(b'\n');
        }
    }
    out
}

/// The entry where both changed it, field by field: `Some(None)` where it goes, `None` where the two
/// changed the same field.
#[expect(
    clippy::option_option,
    reason = "no entry, and no answer, are two things"
)]
fn fields(form: Form, before: Option<&[u8]>, left: &[u8], now: &[u8]) -> Option<Option<Vec<u8>>> {
    match form {
        Form::Stanzas { .. } => stanzas(before, left, now),
        Form::Colons { members } => colons(members, before, left, now),
        Form::Lines | Form::Threes | Form::Alternatives => None,
    }
}

#[expect(clippy::option_option, reason = "as above")]
fn stanzas(before: Option<&[u8]>, left: &[u8], now: &[u8]) -> Option<Option<Vec<u8>>> {
    let (ours, theirs) = (stanza(left), stanza(now));
    let field = |of: &[(&str, &[u8])], name: &str| -> Option<Vec<u8>> {
        let found = of.iter().find(|(field, _)| *field == name);
        found.map(|(_, raw)| raw.to_vec())
    };
    let Some(before) = before else {
        // Made by the change. A question of debconf that others ask too is theirs.
        let owners = |of: &[(&str, &[u8])]| words(&field(of, "Owners").unwrap_or_default());
        let others: Vec<Vec<u8>> = without_words(&[], &owners(&ours), &owners(&theirs));
        if others.is_empty() {
            return Some(None);
        }
        let mut out = Vec::new();
        for (name, raw) in &theirs {
            match *name {
                "Owners" => out.extend([b"Owners: ", &others.join(&b", "[..])[..], b"\n"].concat()),
                _ => out.extend_from_slice(raw),
            }
        }
        return Some(Some(out));
    };
    let olds = stanza(before);
    let mut out = Vec::new();
    let names = theirs.iter().map(|(name, _)| *name);
    let gone = olds.iter().map(|(name, _)| *name);
    let gone = gone.filter(|name| !theirs.iter().any(|(field, _)| field == name));
    for name in names.chain(gone) {
        let (old, our, their) = (field(&olds, name), field(&ours, name), field(&theirs, name));
        let becomes = match () {
            () if old == our => their,
            () if their == our => old,
            () if their == old => their,
            // `Status: hold ok installed`: what is wanted, and what is there, are two things.
            () if matches!(name, "Owners" | "Status") => {
                let list = |of: &Option<Vec<u8>>| words(of.as_deref().unwrap_or_default());
                let (old, our, their) = (list(&old), list(&our), list(&their));
                match name {
                    "Owners" => {
                        let all = without_words(&old, &our, &their);
                        Some([b"Owners: ", &all.join(&b", "[..])[..], b"\n"].concat())
                    }
                    _ => {
                        let mut all = Vec::new();
                        for at in 0..their.len().max(old.len()) {
                            let word = one_of(old.get(at), our.get(at), their.get(at))?;
                            all.extend(word.cloned());
                        }
                        Some([b"Status: ", &all.join(&b' ')[..], b"\n"].concat())
                    }
                }
            }
            () => return None,
        };
        out.extend(becomes.into_iter().flatten());
    }
    Some(Some(out))
}

#[expect(clippy::option_option, reason = "as above")]
fn colons(
    members: usize,
    before: Option<&[u8]>,
    left: &[u8],
    now: &[u8],
) -> Option<Option<Vec<u8>>> {
    let split = |line: &[u8]| -> Vec<Vec<u8>> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.split(|byte| *byte == b':')
            .map(<[u8]>::to_vec)
            .collect()
    };
    let names = |field: Option<&Vec<u8>>| -> Vec<Vec<u8>> {
        let all = field.map(Vec::as_slice).unwrap_or_default();
        let all = all.split(|byte| *byte == b',');
        all.filter(|name| !name.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    let (ours, theirs) = (split(left), split(now));
    let Some(before) = before else {
        // Who others put into it would lose it.
        let has_others = (members..theirs.len())
            .any(|at| !without_words(&[], &names(ours.get(at)), &names(theirs.get(at))).is_empty());
        return (!has_others).then_some(None);
    };
    let old = split(before);
    let mut fields = Vec::new();
    for at in 0..theirs.len().max(old.len()) {
        let (old, our, their) = (old.get(at), ours.get(at), theirs.get(at));
        let becomes = match at >= members {
            true => {
                let all = without_words(&names(old), &names(our), &names(their));
                all.join(&b',')
            }
            false => one_of(old, our, their)?.cloned().unwrap_or_default(),
        };
        fields.push(becomes);
    }
    let mut line = fields.join(&b':');
    line.push(b'\n');
    Some(Some(line))
}

/// What becomes of a value of which the change made `left` from `before`; `None` where others made
/// something else of it.
#[expect(
    clippy::option_option,
    reason = "no value, and no answer, are two things"
)]
fn one_of<'a, T: PartialEq>(
    before: Option<&'a T>,
    left: Option<&'a T>,
    now: Option<&'a T>,
) -> Option<Option<&'a T>> {
    match () {
        () if before == left || now == before => Some(now),
        () if now == left => Some(before),
        () => None,
    }
}

/// The words that are there now, without those that the change put in, and with those that it took
/// out.
fn without_words(before: &[Vec<u8>], left: &[Vec<u8>], now: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let put_in = |word: &&Vec<u8>| left.contains(word) && !before.contains(word);
    let taken_out = |word: &&Vec<u8>| !left.contains(word) && !now.contains(word);
    let kept = now.iter().filter(|word| !put_in(word));
    kept.chain(before.iter().filter(taken_out))
        .cloned()
        .collect()
}

fn words(field: &[u8]) -> Vec<Vec<u8>> {
    let value = value(field);
    let all = value.split(|byte| byte.is_ascii_whitespace() || *byte == b',');
    all.filter(|word| !word.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// What stands behind the colon.
pub(super) fn value(field: &[u8]) -> &[u8] {
    let colon = memchr::memchr(b':', field);
    colon.map_or(&b""[..], |colon| &field[colon + 1..])
}

/// The fields of a stanza, each with all its lines.
pub(super) fn stanza(raw: &[u8]) -> Vec<(&str, &[u8])> {
    let mut found: Vec<(&str, usize, usize)> = Vec::new();
    let mut at = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let end = at + line.len();
        let continues = matches!(line.first(), Some(b' ' | b'\t'));
        let name = memchr::memchr(b':', line).and_then(|colon| str::from_utf8(&line[..colon]).ok());
        match (name, found.last_mut()) {
            (Some(name), _) if !continues => found.push((name, at, end)),
            (_, Some(last)) => last.2 = end,
            _ => {}
        }
        at = end;
    }
    found
        .into_iter()
        .map(|(name, start, end)| (name, &raw[start..end]))
        .collect()
}

/// The stanzas of a file by what names them.
pub(crate) fn by_name<'a>(
    named_by: &'static [&'static str],
    bytes: &'a [u8],
) -> BTreeMap<String, Vec<(&'a str, &'a [u8])>> {
    let form = Form::Stanzas { named_by };
    split(form, bytes)
        .into_iter()
        .map(|raw| (model::printable(&name_of(form, raw)), stanza(raw)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Form, Three, without_but};

    const PASSWD: Form = Form::Colons {
        members: usize::MAX,
    };

    /// Ana's and bo's shells were changed, and somebody changed ana's again.
    const THREE: Three<'_> = Three {
        before: b"ana:/bin/bash\nbo:/bin/bash\n",
        left: b"ana:/bin/sh\nbo:/bin/sh\n",
        now: b"ana:/bin/dash\nbo:/bin/sh\n",
    };

    #[test]
    fn an_entry_that_others_changed_in_the_same_place_stays_alone() {
        let nothing = |_: &str| false;
        let clash = without_but(PASSWD, THREE, &nothing, &nothing);
        assert_eq!(clash.map_err(|clash| clash.entry), Err("ana".to_owned()));
        let (merged, theirs) =
            without_but(PASSWD, THREE, &nothing, &|_| true).expect("ana's entry may stay");
        assert_eq!(
            String::from_utf8_lossy(&merged),
            "ana:/bin/dash\nbo:/bin/bash\n"
        );
        assert_eq!(theirs.into_iter().collect::<Vec<_>>(), ["ana"]);
        // Another entry's leave helps nothing.
        let clash = without_but(PASSWD, THREE, &nothing, &|entry| entry == "bo");
        assert_eq!(clash.map_err(|clash| clash.entry), Err("ana".to_owned()));
    }
}
