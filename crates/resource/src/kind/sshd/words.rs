//! The words of sshd_config(5): names of options with their older spellings, and the
//! one form of a value in which two spellings compare equal. That form is the one that
//! `sshd -T` prints, except where noted.

/// Options whose lines add up instead of the first one winning.
const ADDING_UP: [&str; 11] = [
    "acceptenv",
    "allowgroups",
    "allowusers",
    "denygroups",
    "denyusers",
    "hostcertificate",
    "hostkey",
    "listenaddress",
    "port",
    "setenv",
    "subsystem",
];

/// Options whose value is one list with commas, where `+`, `-` and `^` change the default.
const COMMA_LISTS: [&str; 9] = [
    "casignaturealgorithms",
    "ciphers",
    "gssapikexalgorithms",
    "hostbasedacceptedalgorithms",
    "hostkeyalgorithms",
    "kexalgorithms",
    "macs",
    "pubkeyacceptedalgorithms",
    "pubkeyauthoptions",
];

/// Options whose value is a time span (sshd_config(5), "Time formats").
const TIMES: [&str; 3] = [
    "clientaliveinterval",
    "logingracetime",
    "unusedconnectiontimeout",
];

/// Every option of OpenSSH 9.2 to 10.0 as Debian builds it, in the manual's spelling.
const OPTIONS: [&str; 105] = [
    "AcceptEnv",
    "AddressFamily",
    "AllowAgentForwarding",
    "AllowGroups",
    "AllowStreamLocalForwarding",
    "AllowTcpForwarding",
    "AllowUsers",
    "AuthenticationMethods",
    "AuthorizedKeysCommand",
    "AuthorizedKeysCommandUser",
    "AuthorizedKeysFile",
    "AuthorizedPrincipalsCommand",
    "AuthorizedPrincipalsCommandUser",
    "AuthorizedPrincipalsFile",
    "Banner",
    "CASignatureAlgorithms",
    "ChannelTimeout",
    "ChrootDirectory",
    "Ciphers",
    "ClientAliveCountMax",
    "ClientAliveInterval",
    "Compression",
    "DebianBanner",
    "DenyGroups",
    "DenyUsers",
    "DisableForwarding",
    "ExposeAuthInfo",
    "FingerprintHash",
    "ForceCommand",
    "GatewayPorts",
    "GSSAPIAuthentication",
    "GSSAPICleanupCredentials",
    "GSSAPIKexAlgorithms",
    "GSSAPIKeyExchange",
    "GSSAPIStoreCredentialsOnRekey",
    "GSSAPIStrictAcceptorCheck",
    "HostbasedAcceptedAlgorithms",
    "HostbasedAuthentication",
    "HostbasedUsesNameFromPacketOnly",
    "HostCertificate",
    "HostKey",
    "HostKeyAgent",
    "HostKeyAlgorithms",
    "IgnoreRhosts",
    "IgnoreUserKnownHosts",
    "IPQoS",
    "KbdInteractiveAuthentication",
    "KerberosAuthentication",
    "KerberosGetAFSToken",
    "KerberosOrLocalPasswd",
    "KerberosTicketCleanup",
    "KexAlgorithms",
    "ListenAddress",
    "LoginGraceTime",
    "LogLevel",
    "LogVerbose",
    "MACs",
    "MaxAuthTries",
    "MaxSessions",
    "MaxStartups",
    "ModuliFile",
    "PasswordAuthentication",
    "PermitEmptyPasswords",
    "PermitListen",
    "PermitOpen",
    "PermitRootLogin",
    "PAMServiceName",
    "PermitTTY",
    "PermitTunnel",
    "PermitUserEnvironment",
    "PermitUserRC",
    "PerSourceMaxStartups",
    "PerSourceNetBlockSize",
    "PerSourcePenalties",
    "PerSourcePenaltyExemptList",
    "PidFile",
    "Port",
    "PrintLastLog",
    "PrintMotd",
    "PubkeyAcceptedAlgorithms",
    "PubkeyAuthentication",
    "PubkeyAuthOptions",
    "RDomain",
    "RefuseConnection",
    "RekeyLimit",
    "RequiredRSASize",
    "RevokedKeys",
    "SecurityKeyProvider",
    "SetEnv",
    "SshdAuthPath",
    "SshdSessionPath",
    "StreamLocalBindMask",
    "StreamLocalBindUnlink",
    "StrictModes",
    "Subsystem",
    "SyslogFacility",
    "TCPKeepAlive",
    "TrustedUserCAKeys",
    "UnusedConnectionTimeout",
    "UseDNS",
    "UsePAM",
    "VersionAddendum",
    "X11DisplayOffset",
    "X11Forwarding",
    "X11UseLocalhost",
];

/// The option's name as `sshd -T` prints it. Letter case does not count, and older names
/// still work (OpenSSH's servconf.c).
pub fn option_name(written: &str) -> String {
    let lower = written.to_ascii_lowercase();
    match lower.as_str() {
        "challengeresponseauthentication" | "skeyauthentication" => "kbdinteractiveauthentication",
        "dsaauthentication" => "pubkeyauthentication",
        "gssapicleanupcreds" => "gssapicleanupcredentials",
        "hostbasedacceptedkeytypes" => "hostbasedacceptedalgorithms",
        "hostdsakey" => "hostkey",
        "keepalive" => "tcpkeepalive",
        "pubkeyacceptedkeytypes" => "pubkeyacceptedalgorithms",
        "reversemappingcheck" | "verifyreversemapping" => "usedns",
        _ => return lower,
    }
    .to_owned()
}

/// The manual's spelling; none for what is no option.
pub fn spelling(option: &str) -> Option<&'static str> {
    OPTIONS
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(option))
}

pub fn adds_up(option: &str) -> bool {
    ADDING_UP.contains(&option)
}

pub fn is_comma_list(option: &str) -> bool {
    COMMA_LISTS.contains(&option)
}

/// Does a later line win over an earlier one? OpenSSH 9.2 reads `MaxStartups` so, later
/// ones do not (tried: `10` and then `5:30:60` gives the second in 9.2).
pub fn last_may_win(option: &str) -> bool {
    option == "maxstartups"
}

/// The comparable form of a written value. None when it can't be told without the
/// program's defaults (`Ciphers +3des-cbc`).
pub fn canonical(option: &str, args: &[String]) -> Option<String> {
    let value = args.join(" ");
    if is_comma_list(option) {
        return (!value.starts_with(['+', '-', '^'])).then_some(value);
    }
    if TIMES.contains(&option)
        && let Some(seconds) = seconds(&value)
    {
        return Some(seconds.to_string());
    }
    let lower = value.to_ascii_lowercase();
    let fixed = match (option, lower.as_str()) {
        // `sshd -T` prints the older of the two words; the manual recommends the other.
        ("permitrootlogin", "without-password" | "prohibit-password") => "prohibit-password",
        ("compression", "delayed") => "yes",
        ("allowtcpforwarding" | "allowstreamlocalforwarding", "all") => "yes",
        ("loglevel" | "syslogfacility" | "fingerprinthash", _) => {
            return Some(value.to_ascii_uppercase());
        }
        (
            _,
            "yes"
            | "no"
            | "none"
            | "any"
            | "local"
            | "remote"
            | "forced-commands-only"
            | "point-to-point"
            | "ethernet"
            | "clientspecified"
            | "shosts-only",
        ) => lower.as_str(),
        _ => return Some(value),
    };
    Some(fixed.to_owned())
}

/// The number that a bound is compared with: of `MaxStartups` the last of its three, which
/// is the hard limit; otherwise the whole value.
pub fn number<'a>(option: &str, canonical: &'a str) -> &'a str {
    match option {
        "maxstartups" => canonical.rsplit(':').next().unwrap_or(canonical),
        _ => canonical,
    }
}

/// What a line says so that the option has this value. A lone number for `MaxStartups` is the
/// hard limit, with the usual random refusals from ten connections on.
pub fn to_write(option: &str, set: String) -> String {
    match set.parse::<u32>() {
        Ok(limit) if option == "maxstartups" => format!("{}:30:{limit}", limit.min(10)),
        _ => set,
    }
}

/// `1h30m` in seconds (convtime in OpenSSH's misc.c).
fn seconds(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let factor = match rest.chars().next().map(|unit| unit.to_ascii_lowercase()) {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            Some('w') => 604_800,
            Some(_) => return None,
        };
        rest = rest.get(1..).unwrap_or_default();
        total = total.checked_add(number.checked_mul(factor)?)?;
    }
    Some(total)
}

/// Do these criteria of a `Match` block name accounts, and not root? Of several patterns the
/// negated ones decide first (ssh_config(5), PATTERNS).
pub fn leaves_out_root(condition: &str) -> bool {
    let mut criteria = condition.split_whitespace();
    while let Some(name) = criteria.next() {
        if name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("canonical") {
            continue;
        }
        let Some(list) = criteria.next() else {
            return false;
        };
        if name.eq_ignore_ascii_case("user") {
            let is_root = |pattern: &str| matches(pattern.as_bytes(), b"root");
            let mut patterns = list.split(',');
            let negated = |pattern: &str| pattern.strip_prefix('!').is_some_and(is_root);
            if list.split(',').any(negated) || !patterns.any(is_root) {
                return true;
            }
        }
    }
    false
}

/// Is such a `Match` about every connection of root: by its name, or by its own group?
pub fn is_all_of_root(condition: &str) -> bool {
    let mut criteria = condition.split_whitespace();
    let mut names_root = false;
    while let Some(name) = criteria.next() {
        if name.eq_ignore_ascii_case("all") {
            continue;
        }
        let is_by_name = name.eq_ignore_ascii_case("user") || name.eq_ignore_ascii_case("group");
        let Some(list) = criteria.next().filter(|_| is_by_name) else {
            return false;
        };
        let is_root = |pattern: &str| matches(pattern.as_bytes(), b"root");
        let is_negated = |pattern: &str| pattern.starts_with('!');
        if list.split(',').any(is_negated) || !list.split(',').any(is_root) {
            return false;
        }
        names_root = true;
    }
    names_root
}

/// Is there a text that both patterns match?
pub fn overlap(a: &[u8], b: &[u8]) -> bool {
    // Whether what is left of `a` and of `b` has such a text, for each end of `b`.
    let mut after = vec![false; b.len() + 1];
    for at in (0..=a.len()).rev() {
        let mut here = vec![false; b.len() + 1];
        for other in (0..=b.len()).rev() {
            here[other] = match (a.get(at), b.get(other)) {
                (None, None) => true,
                (Some(b'*'), _) => after[other] || other < b.len() && here[other + 1],
                (_, Some(b'*')) => here[other + 1] || at < a.len() && after[other],
                (Some(one), Some(two)) => {
                    let is_same = one == two || *one == b'?' || *two == b'?';
                    is_same && after[other + 1]
                }
                _ => false,
            };
        }
        after = here;
    }
    after[0]
}

/// sshd's pattern of `*` and `?` (ssh_config(5), PATTERNS).
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // The last star and where it was tried: going back to it alone is enough.
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, tried)) => {
                    p = at + 1;
                    t = tried + 1;
                    star = Some((at, tried + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}
