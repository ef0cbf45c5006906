//! `sysctl`: a kernel parameter, both its running value and the file that sets it at
//! boot (sysctl.d(5)).

use std::collections::BTreeSet;

use model::value::{FileSeen, FileType, Reason};
use model::{Effect, Expectation, HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::assigned::check_value;
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen, Syntax};

/// The file that we write. It is read after most of the distribution's own files, and before
/// `/etc/sysctl.conf`, which systemd reads as `99-sysctl.conf`.
const OURS: &str = "/etc/sysctl.d/98-steadfast.conf";
/// The one that we write when a file that is not ours to edit is read after that.
const LAST: &str = "/etc/sysctl.d/zz-steadfast.conf";

/// What sets the parameters at boot, where systemd is. It reads `/etc/sysctl.conf` only where
/// a link in `/etc/sysctl.d` leads there; procps without systemd reads it after all others.
const SYSTEMD_SYSCTL: &str = "/usr/lib/systemd/systemd-sysctl";

/// A kernel parameter.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// The dotted name: `net.ipv4.ip_forward`. One component may be `*`, and then every
    /// parameter of that shape must hold: `net.ipv4.conf.*.send_redirects` is about each
    /// network interface, and about those to come (`default`). Where the kernel takes the value
    /// of `all` into account as well, the one that results counts.
    pub key: String,
    /// What the value must be, now and at boot. A parameter that no file sets stays
    /// as it is while its running value holds.
    pub value: Expectation,
}

/// The directories of sysctl.d(5), from the one that wins for a file name.
const DIRECTORIES: [&str; 5] = [
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
];

impl Kind for Sysctl {
    const NAME: &'static str = "sysctl";
    const PHASE: Phase = Phase::Kernel;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.key.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes: Vec<Probe> = self
            .keys(seen)
            .into_iter()
            .map(|key| Probe::Sysctl { key })
            .collect();
        probes.extend(self.entries().map(|path| Probe::Dir { path }));
        if self.combined() == Combined::Redirects {
            let interfaces = self.keys(seen).into_iter();
            probes.extend(interfaces.map(|key| Probe::Sysctl {
                key: forwarding_of(&key),
            }));
        }
        // A tree has no entries, and this says that it is one.
        probes.extend(self.in_tree().into_iter().map(|key| Probe::Sysctl { key }));
        probes.push(Probe::file(HostPath::literal("/etc/sysctl.conf")));
        probes.push(Probe::Meta {
            path: HostPath::literal(SYSTEMD_SYSCTL),
        });
        for directory in DIRECTORIES {
            let directory = HostPath::literal(directory);
            for (path, file_type) in files(&directory, seen) {
                if file_type == FileType::Link {
                    probes.push(Probe::Meta { path: path.clone() });
                }
                // Where a link leads is what would be edited.
                if let Seen::Known(FileSeen {
                    resolved: Some(resolved),
                    ..
                }) = seen.file(&path)
                {
                    probes.push(Probe::file(resolved.clone()));
                }
                probes.push(Probe::file(path));
            }
            probes.push(Probe::Dir { path: directory });
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        if let Some(entries) = self.entries()
            && let Seen::Unknown(reason) = seen.dir(&entries)
        {
            return reason.into();
        }
        let lines = match boot_lines(seen) {
            Ok(lines) => lines,
            Err(reason) => return reason.into(),
        };
        let is_tree = |key: &String| matches!(seen.sysctl(key), Seen::Unknown(Reason::Offline));
        if self.in_tree().iter().all(is_tree) {
            return self.judge_tree(&lines, seen);
        }
        let mut parameters = Vec::new();
        for key in self.keys(seen) {
            let running = match seen.sysctl(&key) {
                Seen::Known(value) => normalised(value),
                Seen::Absent => continue,
                Seen::Unknown(reason) => return reason.into(),
                Seen::NotAsked => return Judgement::not_asked(),
            };
            parameters.push(Parameter {
                boot: boot_value(&key, &lines),
                key,
                running: Some(running),
            });
        }
        if parameters.is_empty() {
            return Judgement::NotApplicable(format!("this kernel has no `{}`", self.key));
        }
        parameters.extend(self.to_come(&lines, &parameters));
        self.compare(&parameters, seen)
    }

    fn check(&self) -> Result<(), String> {
        let components = self.key.split('.');
        if self.key.is_empty() || components.clone().any(str::is_empty) {
            return Err(format!("`{}` is not the name of a parameter", self.key));
        }
        let stars = components.clone().filter(|part| part.contains('*')).count();
        let whole = components.filter(|part| *part == "*").count();
        if stars != whole || whole > 1 || self.key.starts_with('*') || self.key.ends_with('*') {
            return Err(format!(
                "in `{}`, one whole component in the middle may be `*`",
                self.key
            ));
        }
        check_value(&self.value)?;
        Syntax::EQUALS.check("", &self.key, &self.value.set())
    }
}

/// One parameter, of this kernel or of an interface to come.
struct Parameter<'a> {
    key: String,
    running: Option<String>,
    boot: Option<&'a BootLine>,
}

impl Parameter<'_> {
    fn at_boot(&self) -> Option<&str> {
        let line = self.boot.and_then(|line| line.value.as_deref());
        line.or(self.running.as_deref())
    }

    /// The component in the middle: the interface.
    fn name(&self) -> &str {
        name_in(&self.key)
    }
}

/// How the kernel comes to the value for an interface from its own and that of `all`
/// (ip-sysctl.rst; `IN_DEV_…` in `include/linux/inetdevice.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Combined {
    /// Each counts for itself; whoever writes to `all` may write to every interface.
    Own,
    /// `all` counts for nothing.
    OfInterface,
    /// On where both are.
    And,
    /// On where one is.
    Or,
    /// The larger one, and the smaller one.
    Max,
    Min,
    /// `And` where the interface forwards, and `Or` where it does not.
    Redirects,
}

impl Combined {
    /// None where what is known does not decide it.
    fn of(self, all: Option<&str>, own: Option<&str>, forwards: Option<bool>) -> Option<String> {
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
        let flag = |is_on: bool| i64::from(is_on);
        let value = match (self, number(all), number(own)) {
            (Self::Own | Self::OfInterface, ..) => return own.map(str::to_owned),
            (Self::Redirects, ..) => {
                let both = Self::And.of(all, own, None);
                let either = Self::Or.of(all, own, None);
                return match forwards {
                    Some(true) => both,
                    Some(false) => either,
                    None => both.filter(|value| Some(value) == either.as_ref()),
                };
            }
            (Self::And, Some(all), Some(own)) => flag(all != 0 && own != 0),
            (Self::Or, Some(all), Some(own)) => flag(all != 0 || own != 0),
            (Self::Max, Some(all), Some(own)) => all.max(own),
            (Self::Min, Some(all), Some(own)) => all.min(own),
            (Self::And, Some(0), None) | (Self::And, None, Some(0)) => 0,
            (Self::Or, Some(1..), None) | (Self::Or, None, Some(1..)) => 1,
            // None of these has a larger one.
            (Self::Max, Some(2), None) | (Self::Max, None, Some(2)) => 2,
            _ => return None,
        };
        Some(value.to_string())
    }
}

fn name_in(key: &str) -> &str {
    key.rsplit('.').nth(1).unwrap_or(key)
}

/// The forwarding of the same interface.
fn forwarding_of(key: &str) -> String {
    let prefix = key.rsplit_once('.').map_or(key, |(prefix, _)| prefix);
    format!("{prefix}.forwarding")
}

/// An interface, and the values that hold there.
struct InEffect<'a> {
    key: &'a str,
    now: Option<String>,
    at_boot: Option<String>,
}

impl Sysctl {
    /// The directory whose entries `*` stands for.
    fn entries(&self) -> Option<HostPath> {
        let (prefix, _) = self.key.split_once(".*.")?;
        HostPath::from_bytes(format!("/proc/sys/{}", prefix.replace('.', "/")).as_bytes()).ok()
    }

    /// The parameters that this is about, as far as they are known. In a name, `/` stands for
    /// a dot of its own, as in `eth0/100` (sysctl.d(5)).
    fn keys(&self, seen: &Answers) -> Vec<String> {
        let Some((prefix, suffix)) = self.key.split_once(".*.") else {
            return vec![self.key.clone()];
        };
        let Some(Seen::Known(entries)) = self.entries().map(|path| seen.dir(&path)) else {
            return Vec::new();
        };
        entries
            .iter()
            .filter_map(|entry| entry.name.as_text())
            .map(|name| format!("{prefix}.{}.{suffix}", name.replace('.', "/")))
            .collect()
    }

    /// How the values of an interface and of `all` make one.
    fn combined(&self) -> Combined {
        match self.key.split_once(".*.") {
            Some(("net.ipv4.conf", parameter)) => match parameter {
                "accept_source_route" | "mc_forwarding" | "bootp_relay" => Combined::And,
                "log_martians" | "send_redirects" | "secure_redirects" | "shared_media"
                | "proxy_arp" | "accept_local" | "arp_filter" | "route_localnet"
                | "src_valid_mark" => Combined::Or,
                "rp_filter" | "arp_announce" | "arp_ignore" | "arp_notify" | "arp_accept" => {
                    Combined::Max
                }
                "accept_redirects" => Combined::Redirects,
                _ => Combined::Own,
            },
            // net/ipv6/exthdrs.c, net/ipv6/route.c
            Some(("net.ipv6.conf", "accept_source_route")) => Combined::Min,
            Some(("net.ipv6.conf", "accept_redirects")) => Combined::OfInterface,
            _ => Combined::Own,
        }
    }

    /// Parameters of interfaces that are not there yet, and that files name: udev has systemd set
    /// them when the interface comes (`99-systemd.rules`).
    fn to_come<'l>(&self, lines: &'l [BootLine], there: &[Parameter<'_>]) -> Vec<Parameter<'l>> {
        let mut keys: BTreeSet<&str> = BTreeSet::new();
        if self.entries().is_some() {
            let named = lines.iter().map(|line| line.key.as_str());
            keys.extend(named.filter(|key| !is_pattern(key) && matches(&self.key, key)));
        }
        keys.into_iter()
            .filter(|key| there.iter().all(|other| other.key != **key))
            .map(|key| Parameter {
                key: key.to_owned(),
                running: None,
                boot: boot_value(key, lines),
            })
            .collect()
    }

    /// What holds on each interface; where each parameter counts for itself, for `all` too.
    fn in_effect<'p>(&self, parameters: &'p [Parameter<'_>], seen: &Answers) -> Vec<InEffect<'p>> {
        let combined = self.combined();
        let is_all = |parameter: &&Parameter<'_>| parameter.name() == "all";
        let all = parameters.iter().find(is_all);
        parameters
            .iter()
            .filter(|parameter| combined == Combined::Own || parameter.name() != "all")
            .map(|parameter| {
                let forwards = match seen.sysctl(&forwarding_of(&parameter.key)) {
                    Seen::Known(value) => Some(normalised(value) != "0"),
                    _ => None,
                };
                let now = all.and_then(|all| all.running.as_deref());
                let at_boot = all.and_then(Parameter::at_boot);
                let is_there = parameter.running.is_some();
                InEffect {
                    key: &parameter.key,
                    now: is_there
                        .then(|| combined.of(now, parameter.running.as_deref(), forwards))
                        .flatten(),
                    at_boot: combined.of(at_boot, parameter.at_boot(), forwards),
                }
            })
            .collect()
    }

    /// The parameters that files of a tree are asked for: those of each interface take their value
    /// from these two (ip-sysctl.rst).
    fn in_tree(&self) -> Vec<String> {
        match self.key.split_once(".*.") {
            None => vec![self.key.clone()],
            Some((prefix, suffix)) => ["all", "default"]
                .map(|name| format!("{prefix}.{name}.{suffix}"))
                .to_vec(),
        }
    }

    /// By what will be set at boot: what a kernel's own default is, no file says.
    fn judge_tree(&self, lines: &[BootLine], seen: &Answers) -> Judgement {
        let mut parameters: Vec<Parameter<'_>> = self
            .in_tree()
            .into_iter()
            .map(|key| Parameter {
                boot: boot_value(&key, lines),
                running: None,
                key,
            })
            .collect();
        parameters.extend(self.to_come(lines, &parameters));
        let in_effect = self.in_effect(&parameters, seen);
        let is_bad = |one: &&InEffect<'_>| {
            let value = one.at_boot.as_deref();
            value.is_some_and(|value| !self.value.holds(value))
        };
        let bad: Vec<&InEffect<'_>> = in_effect.iter().filter(is_bad).collect();
        let wrong = self.contributing(&parameters, &bad, Parameter::at_boot);
        let at: BTreeSet<SourceLine> = parameters
            .iter()
            .filter_map(|parameter| parameter.boot.map(|line| line.at.clone()))
            .collect();
        let at = at.into_iter().collect();
        let said = |of: &mut dyn Iterator<Item = &InEffect<'_>>| {
            let pairs: Vec<(String, String)> = of
                .filter_map(|one| Some((one.key.to_owned(), one.at_boot.clone()?)))
                .collect();
            let pairs = pairs.iter().map(|(key, value)| (&**key, &**value));
            format!("{} at boot", observed(is_pattern(&self.key), pairs))
        };
        if !bad.is_empty() {
            return Judgement::drift(Drift {
                observed: said(&mut bad.iter().copied()),
                wanted: self.value.to_string(),
                at,
                edits: self.boot_edits(&self.value.set(), &wrong, seen),
                ..Drift::default()
            });
        }
        match in_effect.iter().all(|one| one.at_boot.is_some()) {
            true => Judgement::Compliant {
                observed: said(&mut in_effect.iter()),
                at,
            },
            false => Judgement::Unknown(Reason::Unavailable {
                what: format!(
                    "no file of this tree sets `{}`, and what its kernel does by itself is not known",
                    self.key
                ),
            }),
        }
    }

    /// Of what decides the value on these interfaces, the parameters that are not as wanted:
    /// where each is, so is what results.
    fn contributing<'p, 'l>(
        &self,
        parameters: &'p [Parameter<'l>],
        bad: &[&InEffect<'_>],
        value: fn(&'p Parameter<'l>) -> Option<&'p str>,
    ) -> Vec<&'p Parameter<'l>> {
        let combined = self.combined();
        let counts = |parameter: &Parameter<'_>| {
            let is_for_all = !bad.is_empty()
                && parameter.name() == "all"
                && !matches!(combined, Combined::Own | Combined::OfInterface);
            is_for_all || bad.iter().any(|one| one.key == parameter.key)
        };
        parameters
            .iter()
            .filter(|parameter| counts(parameter))
            .filter(|parameter| value(parameter).is_some_and(|value| !self.value.holds(value)))
            .collect()
    }

    fn compare(&self, parameters: &[Parameter<'_>], seen: &Answers) -> Judgement {
        let is_pattern = is_pattern(&self.key);
        let in_effect = self.in_effect(parameters, seen);
        let is_wrong = |value: &Option<String>| {
            let value = value.as_deref();
            value.is_some_and(|value| !self.value.holds(value))
        };
        let bad_now: Vec<&InEffect<'_>> =
            in_effect.iter().filter(|one| is_wrong(&one.now)).collect();
        // A kernel whose own default is good enough needs no file, but a file that sets
        // a bad value at the next boot is a drift although the running value is fine.
        let mut bad_at_boot: Vec<&InEffect<'_>> = in_effect
            .iter()
            .filter(|one| is_wrong(&one.at_boot))
            .collect();
        // Whoever sets the forwarding of all sets that of each.
        if self.key.ends_with(".*.forwarding")
            && parameters
                .iter()
                .any(|parameter| parameter.name() == "all" && parameter.boot.is_some())
        {
            bad_at_boot.retain(|one| {
                let mut lines = parameters.iter().filter(|other| other.key == one.key);
                lines.any(|parameter| parameter.boot.is_some())
            });
        }
        let wrong_now = self.contributing(parameters, &bad_now, |parameter| {
            parameter.running.as_deref()
        });
        let wrong_at_boot = self.contributing(parameters, &bad_at_boot, Parameter::at_boot);
        let lines_of = |parameters: &mut dyn Iterator<Item = &Parameter<'_>>| {
            let lines: BTreeSet<SourceLine> = parameters
                .filter_map(|parameter| parameter.boot.map(|line| line.at.clone()))
                .collect();
            lines.into_iter().collect::<Vec<_>>()
        };
        if bad_now.is_empty() && bad_at_boot.is_empty() {
            let values = in_effect.iter().filter_map(|one| {
                let value = one.now.as_deref().or(one.at_boot.as_deref())?;
                Some((one.key, value))
            });
            return Judgement::Compliant {
                observed: observed(is_pattern, values),
                at: lines_of(&mut parameters.iter()),
            };
        }
        let set = self.value.set();
        let mut edits = self.boot_edits(&set, &wrong_at_boot, seen);
        edits.extend(wrong_now.iter().map(|parameter| {
            Edit::act(Effect::Sysctl {
                key: parameter.key.clone(),
                value: set.clone(),
            })
        }));
        let observed = if bad_now.is_empty() {
            let at_boot = bad_at_boot
                .iter()
                .filter_map(|one| Some((one.key, one.at_boot.as_deref()?)));
            format!("{} at boot", observed(is_pattern, at_boot))
        } else {
            let now = bad_now
                .iter()
                .filter_map(|one| Some((one.key, one.now.as_deref()?)));
            observed(is_pattern, now)
        };
        Judgement::drift(Drift {
            observed,
            wanted: self.value.to_string(),
            at: lines_of(&mut wrong_at_boot.iter().copied()),
            note: wrong_at_boot.is_empty().then(|| {
                "what is set at boot is as wanted, and the running value is another".to_owned()
            }),
            edits,
            ..Drift::default()
        })
    }

    /// Where the winning line is in a file that people write and is about nothing else, that
    /// line is edited, since ours would lose or contradict it. Otherwise our own drop-in gets
    /// a line.
    fn boot_edits(&self, set: &str, wrong: &[&Parameter<'_>], seen: &Answers) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut edited = BTreeSet::new();
        // Our own lines, by file and key.
        let mut own = BTreeSet::new();
        for parameter in wrong {
            let Some(line) = parameter.boot else {
                own.insert((OURS, &self.key));
                continue;
            };
            let names_it = names(&parameter.key).contains(&&*line.key);
            if is_sysctls_own(&line.at.path) && (names_it || line.key == self.key) {
                if edited.insert(&line.at) {
                    edits.push(Edit::Content {
                        path: line.at.path.clone(),
                        change: ContentEdit::ReplaceLine {
                            line: line.at.line.unwrap_or(1),
                            old: line.text.clone(),
                            new: vec![with_value(&line.text, set)],
                        },
                        new_file: None,
                        as_user: None,
                    });
                }
                continue;
            }
            let ours = HostPath::literal(OURS);
            let file = if line.read_as.as_slice() > ours.file_name() {
                LAST
            } else {
                OURS
            };
            // A line that names a parameter counts for more than any pattern, and of two names
            // of one variable the one that is there is set again.
            let key = if names_it { &line.key } else { &self.key };
            own.insert((file, key));
        }
        let directory = HostPath::literal("/etc/sysctl.d");
        if !own.is_empty() && matches!(seen.dir(&directory), Seen::Absent) {
            edits.push(Edit::act(Effect::MakeDir {
                path: directory,
                mode: model::Mode::new(0o755),
                owner: None,
                group: None,
                as_user: None,
            }));
        }
        edits.extend(own.into_iter().map(|(file, key)| Edit::Content {
            path: HostPath::literal(file),
            change: ContentEdit::Append(format!("{key} = {set}")),
            new_file: Some(NewFile::default()),
            as_user: None,
        }));
        edits
    }
}

/// Is it a file that nothing but sysctl reads? A link in its directory may lead to another
/// program's file.
fn is_sysctls_own(path: &HostPath) -> bool {
    path.as_bytes() == b"/etc/sysctl.conf"
        || path
            .parent()
            .is_some_and(|parent| parent.as_bytes() == b"/etc/sysctl.d")
}

/// The line with another value; its spelling and spacing stay.
fn with_value(line: &str, set: &str) -> String {
    let value_at = line.find('=').map_or(line.len(), |equals| {
        let value = line[equals + 1..].trim_start();
        line.len() - value.len()
    });
    format!("{}{set}", &line[..value_at])
}

/// What the kernel makes of a text that is written to a parameter: numbers, also as hexadecimal
/// (`0x1`) and octal ones (`010`), up to the first word that is none. systemd-sysctl(8) and sysctl(8)
/// know no comments behind a value, and write all of it (`proc_get_long` in kernel/sysctl.c). A text
/// that does not begin with a number is one.
fn as_the_kernel_reads(text: &str) -> String {
    let number = |word: &str| {
        let (sign, digits) = match word.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", word),
        };
        let lower = digits.to_ascii_lowercase();
        let (digits, radix) = match lower.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None if lower.len() > 1 && lower.starts_with('0') => (&*lower, 8),
            None => (&*lower, 10),
        };
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let number = u64::from_str_radix(digits, radix)
            .ok()
            .filter(|_| is_plain)?;
        Some(format!("{sign}{number}"))
    };
    let numbers: Vec<String> = text.split_whitespace().map_while(number).collect();
    match numbers.is_empty() {
        true => normalised(text),
        false => numbers.join(" "),
    }
}

/// Several numbers in one value are separated by any white space.
fn normalised(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The files of one directory that are read, with their types.
fn files(directory: &HostPath, seen: &Answers) -> Vec<(HostPath, FileType)> {
    let Seen::Known(entries) = seen.dir(directory) else {
        return Vec::new();
    };
    entries
        .iter()
        .filter(|entry| entry.name.as_bytes().ends_with(b".conf"))
        .filter_map(|entry| Some((directory.join(entry.name.as_bytes()).ok()?, entry.file_type)))
        .collect()
}

/// `1`, or, for a pattern, `1 for all, lo`.
fn observed<'a>(is_pattern: bool, values: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let values: Vec<_> = values.collect();
    if let ([(_, value)], false) = (&values[..], is_pattern) {
        return printable(value.as_bytes());
    }
    let distinct: BTreeSet<&str> = values.iter().map(|(_, value)| *value).collect();
    let parts: Vec<String> = distinct
        .into_iter()
        .map(|value| {
            let names: Vec<&str> = values
                .iter()
                .filter(|(_, other)| *other == value)
                .map(|(key, _)| name_in(key))
                .collect();
            format!("{value} for {}", names.join(", "))
        })
        .collect();
    printable(parts.join("; ").as_bytes())
}

/// A line that sets a parameter at boot, or with no value, keeps patterns from setting it.
#[derive(Debug)]
struct BootLine {
    /// The dotted form of the name as written; it may be a pattern.
    key: String,
    value: Option<String>,
    /// The value as it is written: what the kernel makes of it is another matter.
    written: Option<String>,
    text: String,
    /// The file itself, where the name that was read is a link.
    at: SourceLine,
    /// The file name by which it is sorted.
    read_as: Vec<u8>,
}

/// Every assignment, in the order in which they are read: files sort by name over all
/// directories, and the first directory wins for one name (sysctl.d(5)).
fn boot_lines(seen: &Answers) -> Result<Vec<BootLine>, Reason> {
    let mut paths: Vec<HostPath> = Vec::new();
    for directory in DIRECTORIES {
        let directory = HostPath::literal(directory);
        seen.dir(&directory).known_or_absent()?;
        for (path, _) in files(&directory, seen) {
            let is_taken = |taken: &HostPath| taken.file_name() == path.file_name();
            if !paths.iter().any(is_taken) {
                paths.push(path);
            }
        }
    }
    paths.sort_by(|a, b| a.file_name().cmp(b.file_name()));
    let systemd = HostPath::literal(SYSTEMD_SYSCTL);
    if seen.meta(&systemd).known_or_absent()?.is_none() {
        paths.push(HostPath::literal("/etc/sysctl.conf"));
    }
    let mut lines = Vec::new();
    for path in paths {
        // A link to /dev/null switches off the files of its name (sysctl.d(5)).
        if let Seen::Known(meta) = seen.meta(&path)
            && meta
                .target
                .as_ref()
                .is_some_and(|to| to.as_bytes() == b"/dev/null")
        {
            continue;
        }
        let Some(file) = seen.file(&path).known_or_absent()? else {
            continue;
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        for (at, line) in (1..).zip(text.lines()) {
            if let Some((name, value)) = parse_line(line) {
                lines.push(BootLine {
                    key: dotted(name),
                    value: value.map(as_the_kernel_reads),
                    written: value.map(normalised),
                    text: line.to_owned(),
                    at: SourceLine::new(file.resolved.as_ref().unwrap_or(&path).clone(), at),
                    read_as: path.file_name().to_vec(),
                });
            }
        }
    }
    Ok(lines)
}

/// Names of one and the same variable of the kernel: `ip_forward` is the forwarding of all
/// interfaces (ip-sysctl.rst; `net/ipv4/devinet.c`).
const SAME: [[&str; 2]; 1] = [["net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"]];

/// The names under which a parameter can be set, its own among them.
fn names(key: &str) -> Vec<&str> {
    let same = SAME.iter().find(|names| names.contains(&key));
    same.map_or_else(|| vec![key], |names| names.to_vec())
}

/// The line that decides `key` at boot: the last that is carried out of those that name the
/// variable, and of the patterns that match one of its names. No pattern sets what a line names,
/// with a value or without one (sysctl.d(5)).
fn boot_value<'a>(key: &str, lines: &'a [BootLine]) -> Option<&'a BootLine> {
    let lines = in_order(lines);
    let names = names(key);
    let is_named = |name: &str| lines.iter().any(|line| line.key == name);
    let sets = |line: &BootLine| match is_pattern(&line.key) {
        false => names.contains(&&*line.key),
        true => names
            .iter()
            .any(|name| matches(&line.key, name) && !is_named(name)),
    };
    lines
        .iter()
        .rev()
        .find(|line| line.value.is_some() && sets(line))
        .copied()
}

/// The lines in the order in which systemd-sysctl carries them out: of those with one name the
/// last one counts. It moves to its own place, unless it says what is there already
/// (`parse_file` in sysctl.c).
fn in_order(lines: &[BootLine]) -> Vec<&BootLine> {
    let mut ordered: Vec<&BootLine> = Vec::new();
    for line in lines {
        match ordered.iter().position(|other| other.key == line.key) {
            Some(at) if ordered[at].written == line.written => ordered[at] = line,
            Some(at) => {
                ordered.remove(at);
                ordered.push(line);
            }
            None => ordered.push(line),
        }
    }
    ordered
}

/// One line of sysctl.d(5): `key = value`, with `#` and `;` comments, and a leading `-` for
/// "ignore errors"; `-key` alone, here without a value, takes the key out of patterns.
pub fn parse_line(line: &str) -> Option<(&str, Option<&str>)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    match line.split_once('=') {
        Some((key, value)) => {
            let key = key.trim();
            let key = key.strip_prefix('-').unwrap_or(key).trim();
            Some((key, Some(value.trim())))
        }
        None => Some((line.strip_prefix('-')?.trim(), None)),
    }
}

/// `net/ipv4/ip_forward` and `net.ipv4.ip_forward` are the same parameter: when the first
/// separator is a slash, slashes and dots change places (sysctl.d(5)).
fn dotted(written: &str) -> String {
    match written.find(['/', '.']) {
        Some(at) if written.as_bytes()[at] == b'/' => written
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                c => c,
            })
            .collect(),
        _ => written.to_owned(),
    }
}

fn is_pattern(key: &str) -> bool {
    key.contains(['*', '?', '['])
}

/// Does a pattern of glob(7), component by component, match? Sets (`[…]`) are taken to match
/// anything: better to look at a line too many than to miss the one that decides.
fn matches(pattern: &str, key: &str) -> bool {
    let (pattern, key) = (pattern.split('.'), key.split('.'));
    pattern.clone().count() == key.clone().count()
        && pattern
            .zip(key)
            .all(|(pattern, name)| pattern.contains('[') || model::waiver::matches(pattern, name))
}
