//! `admin_login`: how many factors sshd asks of the people who may administer the host.

use std::collections::BTreeSet;

use model::plan::Risk;
use model::value::{AccountSeen, AccountsSeen, Reason};
use model::{Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::accounts_where::is_login_shell;
use super::administrators::{Administrator, administrators, is_everything};
use super::pam_stack::{self, Stack};
use super::sshd::config::{self, Config};
use super::sshd::effective::{self, Effective};
use super::sshd::words;
use super::sudoers::{self, Sudoers};
use super::user::{is_member, known};
use crate::{Answers, Drift, Judgement, Kind, Phase};

/// Every account that can administer this host needs so many factors over SSH.
///
/// An account can administer when its id is 0, or when sudoers(5) lets it, or a group that it
/// is in, run anything as root. For each such account that sshd lets in at all, sshd is asked
/// what it demands (`sshd -T -C user=…`), from an address that no `Match` names and from one of
/// each `Match` that names addresses, hosts or ports.
///
/// Factors are kinds of proof: a key; a password; a one-time code or a device, where a PAM
/// module for them must succeed; a PIN or a finger, where only security keys are accepted
/// (`sk-…` in `PubkeyAcceptedAlgorithms`) and `PubkeyAuthOptions` has `verify-required`. A
/// password that is asked for twice, or two keys, is one factor.
///
/// There is no automatic fix: people have to enrol a second factor first.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminLogin {
    /// How many factors are needed: 1 or 2.
    pub factors: u8,
}

/// From RFC 5737, for documentation: no `Match` of a real host names it.
const ELSEWHERE: (&str, &str) = ("host.invalid", "203.0.113.1");
/// Each account is asked about for each of so many kinds of connection at most.
const MOST_CONNECTIONS: usize = 12;
/// More administrators than this make the answer unknown instead of slow.
const MOST_ADMINISTRATORS: usize = 64;

/// PAM modules that ask for something one has.
const DEVICE_MODULES: [&str; 7] = [
    "pam_duo.so",
    "pam_google_authenticator.so",
    "pam_oath.so",
    "pam_otpw.so",
    "pam_privacyidea.so",
    "pam_u2f.so",
    "pam_yubico.so",
];

/// A kind of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Factor {
    Key,
    Pin,
    Password,
    Device,
    Ticket,
}

impl Kind for AdminLogin {
    const NAME: &'static str = "admin_login";
    const PHASE: Phase = Phase::AsListed;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: "administrators".to_owned(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let (sudoers, mut probes) = sudoers::read(seen);
        let (config, of_sshd) = config::read(seen);
        probes.extend(of_sshd);
        probes.extend(pam_stack::read(seen, "sshd").1);
        probes.push(Probe::Accounts);
        probes.push(Probe::Sysctl {
            key: sudoers::HOSTNAME.to_owned(),
        });
        probes.push(effective::probe(Vec::new()));
        if let Ok(accounts) = known(seen) {
            let connections = connections(&config);
            for administrator in administrators(&sudoers, accounts, sudoers::hostname(seen))
                .iter()
                .take(MOST_ADMINISTRATORS)
            {
                for connection in &connections {
                    probes.push(effective::probe(connection.of(&administrator.account.name)));
                }
            }
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let accounts = match known(seen) {
            Ok(accounts) => accounts,
            Err(reason) => return reason.into(),
        };
        if let Err(refusal) = effective::ask(seen, &[]) {
            return refusal.into();
        }
        let (sudoers, _) = sudoers::read(seen);
        let (config, _) = config::read(seen);
        let (pam, _) = pam_stack::read(seen, "sshd");
        let connections = connections(&config);
        let administrators = administrators(&sudoers, accounts, sudoers::hostname(seen));
        let mut drifts = Vec::new();
        let mut able = 0;
        for administrator in administrators.iter().take(MOST_ADMINISTRATORS) {
            let mut weakest: Option<Way> = None;
            for connection in &connections {
                let args = connection.of(&administrator.account.name);
                let effective = match effective::ask(seen, &args) {
                    Ok(effective) => effective,
                    Err(refusal) => return refusal.into(),
                };
                let way = weakest_way(
                    &effective,
                    administrator.account,
                    accounts,
                    &pam,
                    connection,
                );
                weakest = match (weakest, way) {
                    (Some(a), Some(b)) if b.factors.len() < a.factors.len() => Some(b),
                    (None, way) => way,
                    (weakest, _) => weakest,
                };
            }
            let Some(way) = weakest else { continue };
            able += 1;
            if way.factors.len() < usize::from(self.factors) {
                drifts.push(self.drift(administrator, &way, &config));
            }
        }
        if !drifts.is_empty() {
            return Judgement::Drift(drifts);
        }
        if let Some(reason) = self.doubt(&sudoers, &config, accounts, administrators.len()) {
            return reason.into();
        }
        Judgement::compliant(match able {
            0 => "no administrator can sign in over SSH".to_owned(),
            able => format!("{able} administrators, {} factors each", self.factors),
        })
    }

    fn risk(&self) -> Risk {
        Risk::Connectivity
    }

    fn check(&self) -> Result<(), String> {
        match self.factors {
            1 | 2 => Ok(()),
            _ => Err("`factors` is 1 or 2".to_owned()),
        }
    }
}

impl AdminLogin {
    fn drift(&self, administrator: &Administrator<'_>, way: &Way, config: &Config) -> Drift {
        let name = printable(administrator.account.name.as_bytes());
        let decides = way
            .condition
            .as_ref()
            .and_then(|condition| {
                config.lines().find(|line| {
                    line.condition.as_ref() == Some(condition)
                        && RELEVANT.contains(&line.option.as_str())
                })
            })
            .or_else(|| config.winner("authenticationmethods"));
        let mut at: Vec<SourceLine> = decides.iter().map(|line| line.at.clone()).collect();
        at.push(administrator.by.clone());
        let from = way
            .condition
            .as_ref()
            .map(|condition| {
                format!(
                    ", for connections that match `{}`",
                    printable(condition.as_bytes())
                )
            })
            .unwrap_or_default();
        Drift {
            observed: format!("`{name}` signs in with {} alone", printable(way.methods.as_bytes())),
            wanted: match self.factors {
                1 => "a factor".to_owned(),
                _ => "two factors".to_owned(),
            },
            at,
            note: Some(format!("may administer by {}{from}", administrator.by)),
            by_hand: Some(
                "enrol a second factor for each administrator, then set `AuthenticationMethods \
                 publickey,keyboard-interactive` with a one-time-code module in /etc/pam.d/sshd, or \
                 accept security keys alone with `PubkeyAuthOptions verify-required`; keep a session \
                 open while you try"
                    .to_owned(),
            ),
            ..Drift::default()
        }
    }

    /// Why a pass could be wrong.
    fn doubt(
        &self,
        sudoers: &Sudoers,
        config: &Config,
        accounts: &AccountsSeen,
        administrators: usize,
    ) -> Option<Reason> {
        if administrators > MOST_ADMINISTRATORS {
            let what = format!("{administrators} accounts can administer: too many to ask about");
            return Some(Reason::Unavailable { what });
        }
        if let Some(reason) = sudoers.hidden().or_else(|| config.hidden()) {
            return Some(reason.clone());
        }
        let members = sudoers
            .grants()
            .filter(|grant| is_everything(sudoers, grant))
            .flat_map(|grant| sudoers.users(grant))
            .filter(|member| !member.negated);
        for member in members {
            let name = member.name.as_str();
            let local = accounts.accounts.iter().any(|account| account.name == name);
            let is_odd = name.starts_with('+') || name.starts_with("%:");
            let may_be_elsewhere = !accounts.other_sources.is_empty()
                && (name.starts_with('%') || name == "ALL" || !local);
            if is_odd || may_be_elsewhere {
                let from = match accounts.other_sources.join(", ") {
                    sources if sources.is_empty() => "another source".to_owned(),
                    sources => sources,
                };
                let what = format!(
                    "sudoers gives rights to `{}`, which {from} may add accounts to",
                    printable(name.as_bytes())
                );
                return Some(Reason::Unavailable { what });
            }
        }
        None
    }
}

/// Options that decide how someone signs in, and whether.
const RELEVANT: [&str; 11] = [
    "authenticationmethods",
    "allowgroups",
    "allowusers",
    "gssapiauthentication",
    "hostbasedauthentication",
    "kbdinteractiveauthentication",
    "passwordauthentication",
    "permitrootlogin",
    "pubkeyacceptedalgorithms",
    "pubkeyauthentication",
    "pubkeyauthoptions",
];

/// A kind of connection to ask sshd about.
struct Connection {
    /// `host=…,addr=…`
    from: String,
    /// The `Match` that it stands for.
    condition: Option<String>,
}

impl Connection {
    fn of(&self, user: &str) -> Vec<String> {
        vec!["-C".to_owned(), format!("user={user},{}", self.from)]
    }
}

/// One connection from elsewhere, and one for each `Match` that names places.
fn connections(config: &Config) -> Vec<Connection> {
    let mut conditions: Vec<&str> = config
        .lines()
        .filter(|line| RELEVANT.contains(&line.option.as_str()))
        .filter_map(|line| line.condition.as_deref())
        .collect();
    conditions.dedup();
    let usual = Connection {
        from: format!("host={},addr={}", ELSEWHERE.0, ELSEWHERE.1),
        condition: None,
    };
    let mut connections = vec![usual];
    for condition in conditions {
        if let Some(from) = sample(condition)
            && connections.iter().all(|known| known.from != from)
        {
            connections.push(Connection {
                from,
                condition: Some(condition.to_owned()),
            });
        }
    }
    connections.truncate(MOST_CONNECTIONS);
    connections
}

/// A place that a `Match` means; none when it names users and groups only.
fn sample(condition: &str) -> Option<String> {
    let (mut host, mut address) = (ELSEWHERE.0.to_owned(), ELSEWHERE.1.to_owned());
    let mut local = String::new();
    let mut names_places = false;
    let words: Vec<&str> = condition
        .split([' ', '\t', '='])
        .filter(|word| !word.is_empty())
        .collect();
    for pair in words.chunks(2) {
        let [criterion, patterns] = pair else {
            continue;
        };
        let Some(pattern) = patterns
            .split(',')
            .find(|pattern| !pattern.starts_with('!'))
        else {
            continue;
        };
        // A comma or an equals sign would end the argument of `-C`.
        let literal = pattern.replace(['*', '?'], "1");
        match criterion.to_ascii_lowercase().as_str() {
            "host" => host = literal,
            "address" => address = sample_address(pattern),
            "localaddress" => local.push_str(&format!(",laddr={}", sample_address(pattern))),
            "localport" => local.push_str(&format!(",lport={literal}")),
            "rdomain" => local.push_str(&format!(",rdomain={literal}")),
            _ => continue,
        }
        names_places = true;
    }
    names_places.then(|| format!("host={host},addr={address}{local}"))
}

/// An address that the pattern means: of a network its first, of a wildcard one that fits.
fn sample_address(pattern: &str) -> String {
    let base = pattern.split('/').next().unwrap_or(pattern);
    if !base.contains(['*', '?']) {
        return base.to_owned();
    }
    let mut octets: Vec<String> = base
        .split('.')
        .map(|octet| octet.replace(['*', '?'], "1"))
        .collect();
    while octets.len() < 4 {
        octets.push("1".to_owned());
    }
    octets.join(".")
}

/// One way to sign in.
struct Way {
    methods: String,
    factors: BTreeSet<Factor>,
    condition: Option<String>,
}

/// The way with the fewest factors; none when sshd does not let the account in.
fn weakest_way(
    effective: &Effective,
    account: &AccountSeen,
    accounts: &AccountsSeen,
    pam: &Stack,
    connection: &Connection,
) -> Option<Way> {
    if !is_let_in(effective, account, accounts) {
        return None;
    }
    let enabled = enabled_methods(effective, account.uid == 0);
    let lists = effective.words("authenticationmethods");
    let lists: Vec<String> = match lists.first().map(String::as_str) {
        None | Some("any") => enabled.iter().map(|&method| method.to_owned()).collect(),
        Some(_) => lists,
    };
    lists
        .into_iter()
        .filter_map(|list| {
            let mut factors = BTreeSet::new();
            for step in list.split(',') {
                // `keyboard-interactive:pam` restricts a method to a device.
                let method = step.split(':').next().unwrap_or(step);
                if !enabled.contains(&method) {
                    return None;
                }
                factors.extend(proofs(method, effective, pam));
            }
            Some(Way {
                methods: list.replace(',', " and "),
                factors,
                condition: connection.condition.clone(),
            })
        })
        .min_by_key(|way| way.factors.len())
}

fn is_let_in(effective: &Effective, account: &AccountSeen, accounts: &AccountsSeen) -> bool {
    if !is_login_shell(&account.shell) {
        return false;
    }
    if account.uid == 0 && effective.value("permitrootlogin") == Some("no") {
        return false;
    }
    // `user@host` lets in from there, and shuts out from there only.
    let names = |pattern: &str, with_host: bool| match pattern.rsplit_once('@') {
        Some((user, _)) => with_host && words::matches(user.as_bytes(), account.name.as_bytes()),
        None => words::matches(pattern.as_bytes(), account.name.as_bytes()),
    };
    let groups: Vec<&str> = accounts
        .groups
        .iter()
        .map(|group| group.name.as_str())
        .filter(|group| is_member(accounts, account, group))
        .collect();
    let in_group = |pattern: &String| {
        groups
            .iter()
            .any(|group| words::matches(pattern.as_bytes(), group.as_bytes()))
    };
    let allow_users = effective.words("allowusers");
    let allow_groups = effective.words("allowgroups");
    let denied = effective
        .words("denyusers")
        .iter()
        .any(|pattern| names(pattern, false))
        || effective.words("denygroups").iter().any(in_group);
    !denied
        && (allow_users.is_empty() || allow_users.iter().any(|pattern| names(pattern, true)))
        && (allow_groups.is_empty() || allow_groups.iter().any(in_group))
}

/// The methods that can succeed. With `prohibit-password`, root is refused after a password
/// of any kind (auth_root_allowed in OpenSSH's auth.c).
fn enabled_methods(effective: &Effective, is_root: bool) -> Vec<&'static str> {
    let keys_only = is_root && effective.value("permitrootlogin") != Some("yes");
    [
        ("pubkeyauthentication", "publickey", false),
        ("passwordauthentication", "password", true),
        ("kbdinteractiveauthentication", "keyboard-interactive", true),
        ("gssapiauthentication", "gssapi-with-mic", false),
        ("hostbasedauthentication", "hostbased", false),
    ]
    .into_iter()
    .filter(|(option, _, _)| effective.value(option) == Some("yes"))
    .filter(|(_, _, is_password)| !(keys_only && *is_password))
    .map(|(_, method, _)| method)
    .collect()
}

/// What a method proves.
fn proofs(method: &str, effective: &Effective, pam: &Stack) -> Vec<Factor> {
    match method {
        "publickey" => {
            let accepted = effective
                .value("pubkeyacceptedalgorithms")
                .unwrap_or_default();
            let security_keys_only =
                !accepted.is_empty() && accepted.split(',').all(|name| name.starts_with("sk-"));
            let verified = effective.value("pubkeyauthoptions").is_some_and(|options| {
                options.split(',').any(|option| option == "verify-required")
            });
            if security_keys_only && verified {
                vec![Factor::Key, Factor::Pin]
            } else {
                vec![Factor::Key]
            }
        }
        "keyboard-interactive" if effective.value("usepam") == Some("yes") => {
            let mut factors = Vec::new();
            let auth = || {
                pam.entries
                    .iter()
                    .filter(|entry| entry.call.facility == "auth")
            };
            let device = auth().any(|entry| {
                DEVICE_MODULES.contains(&entry.call.module.as_str())
                    && entry.call.is_mandatory()
                    // With `nullok` an account that enrolled nothing needs nothing.
                    && entry.call.argument("nullok").is_none()
            });
            if device {
                factors.push(Factor::Device);
            }
            let password = [
                "pam_unix.so",
                "pam_sss.so",
                "pam_ldap.so",
                "pam_krb5.so",
                "pam_winbind.so",
            ];
            if !device || auth().any(|entry| password.contains(&entry.call.module.as_str())) {
                factors.push(Factor::Password);
            }
            factors
        }
        "password" | "keyboard-interactive" => vec![Factor::Password],
        "gssapi-with-mic" => vec![Factor::Ticket],
        // `hostbased` proves the other machine, not the person.
        _ => Vec::new(),
    }
}
