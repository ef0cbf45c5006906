//! Whether a stack of `auth` holds guesses off: it is gone through with a locked account and a right
//! password, and with an account that is not locked and a wrong one. Who is let in with a wrong one has
//! to have proved in another way who they are: by a key, a finger, a code.

use std::collections::BTreeSet;

use super::pam_stack::{Call, Entry};
use super::pam_walk::{Answer, Calls, IGNORE, SUCCESS};

/// What pam_faillock(8) makes of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// No module of it asks for a password.
    NoPassword,
    Holds,
    /// It does not, and how.
    Fails(&'static str),
    /// It lets somebody in who has proved nothing, and how.
    LetsIn(&'static str),
    /// It depends on what can't be told: on which module.
    Untold(String),
}

const FAILLOCK: &str = "pam_faillock.so";

/// Modules that check a password.
const PASSWORD: [&str; 12] = [
    "pam_krb5.so",
    "pam_ldap.so",
    "pam_mysql.so",
    "pam_oath.so",
    "pam_pwdfile.so",
    "pam_radius.so",
    "pam_radius_auth.so",
    "pam_sss.so",
    "pam_systemd_home.so",
    "pam_unix.so",
    "pam_userdb.so",
    "pam_winbind.so",
];

/// Modules that say yes to whom they let go on at all.
pub(super) const PASSING: [&str; 16] = [
    "pam_cap.so",
    "pam_ecryptfs.so",
    "pam_env.so",
    "pam_faildelay.so",
    "pam_gnome_keyring.so",
    "pam_group.so",
    "pam_keyinit.so",
    "pam_kwallet5.so",
    "pam_mount.so",
    "pam_nologin.so",
    "pam_permit.so",
    "pam_securetty.so",
    "pam_shells.so",
    "pam_time.so",
    "pam_umask.so",
    "pam_warn.so",
];

/// Modules that say no here: `pam_rootok.so` is about who is root already.
const FAILING: [&str; 2] = ["pam_deny.so", "pam_rootok.so"];

/// Modules by which people prove who they are without a password of the host: a key, a finger, a card,
/// a code, a face, another server's word.
const PROVING: [&str; 46] = [
    "pam_aad.so",
    "pam_authd.so",
    "pam_biometric.so",
    "pam_blue.so",
    "pam_ccreds.so",
    "pam_cockpit_cert.so",
    "pam_duo.so",
    "pam_extrausers.so",
    "pam_fprint.so",
    "pam_fprintd.so",
    "pam_freerdp2.so",
    "pam_google_authenticator.so",
    "pam_gssapi.so",
    "pam_heimdal.so",
    "pam_himmelblau.so",
    "pam_hotp.so",
    "pam_howdy.so",
    "pam_imap.so",
    "pam_kanidm.so",
    "pam_oauth2.so",
    "pam_oidc.so",
    "pam_okta.so",
    "pam_opie.so",
    "pam_oslogin_login.so",
    "pam_otpw.so",
    "pam_p11.so",
    "pam_passkey.so",
    "pam_pgsql.so",
    "pam_pkcs11.so",
    "pam_pkcs11_ssh.so",
    "pam_poldi.so",
    "pam_privacyidea.so",
    "pam_rssh.so",
    "pam_skey.so",
    "pam_ssh.so",
    "pam_ssh_agent_auth.so",
    "pam_sss_gss.so",
    "pam_tacplus.so",
    "pam_thinkfinger.so",
    "pam_timestamp.so",
    "pam_tpm2.so",
    "pam_u2f.so",
    "pam_ukey.so",
    "pam_url.so",
    "pam_usb.so",
    "pam_yubico.so",
];

/// Modules that ask for no proof: what they look at is who it is, from where, and when.
const LOOKING: [&str; 32] = [
    "pam_abl.so",
    "pam_access.so",
    "pam_debug.so",
    "pam_echo.so",
    "pam_exec.so",
    "pam_filter.so",
    "pam_ftp.so",
    "pam_geoip.so",
    "pam_issue.so",
    "pam_lastlog.so",
    "pam_lastlog2.so",
    "pam_limits.so",
    "pam_listfile.so",
    "pam_localuser.so",
    "pam_loginuid.so",
    "pam_mail.so",
    "pam_motd.so",
    "pam_namespace.so",
    "pam_rhosts.so",
    "pam_rhosts_auth.so",
    "pam_selinux.so",
    "pam_shield.so",
    "pam_succeed_if.so",
    "pam_systemd.so",
    "pam_tally.so",
    "pam_tally2.so",
    "pam_tmpdir.so",
    "pam_tty_audit.so",
    "pam_userpass.so",
    "pam_usertype.so",
    "pam_wheel.so",
    "pam_xauth.so",
];

/// Services by which people become who they say that they are. Others, such as those of a screen that
/// starts a session by itself, may ask for nothing.
const SIGN_INS: [&str; 19] = [
    "cockpit",
    "gdm-password",
    "kde",
    "kscreensaver",
    "lightdm",
    "login",
    "other",
    "polkit-1",
    "remote",
    "sddm",
    "sshd",
    "su",
    "su-l",
    "sudo",
    "sudo-i",
    "vlock",
    "xdm",
    "xrdp-sesman",
    "xscreensaver",
];

/// What a module's yes says of who signs in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Yes {
    Proof,
    NoProof,
    /// It can't be told.
    Untold,
}

fn yes_of(call: &Call) -> Yes {
    let has = |word: &str| call.args.iter().any(|arg| arg == word);
    match call.module.as_str() {
        // The program is given the password, and decides.
        "pam_exec.so" if has("expose_authtok") => Yes::Proof,
        // It may ask somewhere else: on a telephone.
        "pam_exec.so" if !runs_true(call) => Yes::Untold,
        // It looks at who asks, not at whom they want to become.
        "pam_succeed_if.so" if has("use_uid") => Yes::Untold,
        name if PROVING.contains(&name) => Yes::Proof,
        name if LOOKING.contains(&name) => Yes::NoProof,
        _ => Yes::Untold,
    }
}

/// Is the program of pam_exec(8) one that says yes to everybody?
fn runs_true(call: &Call) -> bool {
    let program = call.args.iter().find(|arg| arg.starts_with('/'));
    program.is_some_and(|program| program.ends_with("/true"))
}

/// A call that lets nobody go on by itself, as it is written here.
fn says_no(call: &Call) -> bool {
    let has = |word: &str| call.args.iter().any(|arg| arg == word);
    let is = |words: &[&str]| call.args.windows(words.len()).any(|args| args == words);
    match call.module.as_str() {
        // As `pam_rootok.so`; and the group that display managers let in without a password.
        "pam_succeed_if.so" => {
            has("use_uid") && (is(&["uid", "=", "0"]) || is(&["uid", "eq", "0"]))
                || is(&["user", "ingroup", "nopasswdlogin"])
        }
        name => FAILING.contains(&name),
    }
}

/// pam_wheel(8): "if the user is in the wheel group", it says nothing unless it is told to trust.
fn says_nothing(call: &Call) -> bool {
    call.module == "pam_wheel.so" && call.argument("trust").is_none()
}

/// Of modules that may say either, this many are tried in all ways.
pub(super) const MOST_OPEN: usize = 6;
pub(super) const TOO_MANY: &str = "there are too many modules";
/// Longer stacks are not gone through.
pub(super) const MOST_CALLS: usize = 128;

/// Looks at the calls of `auth`.
pub fn guard(entries: &[&Entry]) -> Guard {
    if !entries.iter().any(|entry| is_password(&entry.call)) {
        return Guard::NoPassword;
    }
    let open = open(entries);
    let Some(verdicts) = in_all_ways(entries, &open, verdict) else {
        return Guard::Untold(TOO_MANY.to_owned());
    };
    let lets_in = |verdict: &&Guard| matches!(verdict, Guard::LetsIn(_));
    if let Some(lets_in) = verdicts.iter().find(lets_in) {
        return lets_in.clone();
    }
    let first = verdicts[0].clone();
    if verdicts.iter().all(|verdict| *verdict == first) {
        return first;
    }
    if verdicts.iter().all(|verdict| *verdict != Guard::Holds) {
        return first;
    }
    let names: Vec<&str> = open.iter().map(|at| &*entries[*at].call.module).collect();
    Guard::Untold(format!("it depends on what {} says", names.join(", ")))
}

/// Does a service by which people sign in let in whoever comes, where none of its modules asks for a
/// proof?
pub fn asks_nobody(service: &str, entries: &[&Entry]) -> bool {
    let name = service.rsplit('/').next().unwrap_or_default();
    let asks = |entry: &&Entry| {
        is_password(&entry.call) || is_open(&entry.call) && yes_of(&entry.call) != Yes::NoProof
    };
    if !SIGN_INS.contains(&name) || entries.iter().any(asks) {
        return false;
    }
    let is_let_in = |entries: &[&Entry], calls: &Calls, says_yes: &dyn Fn(usize) -> bool| {
        Run::new(entries, None, false, says_yes).is_accepted(calls) == Ok(true)
    };
    in_all_ways(entries, &open(entries), is_let_in).is_some_and(|ways| ways.contains(&true))
}

/// The calls that may say either.
fn open(entries: &[&Entry]) -> Vec<usize> {
    (0..entries.len())
        .filter(|at| is_open(&entries[*at].call))
        .collect()
}

/// Whatever those that are open say. None where there are too many.
fn in_all_ways<T>(
    entries: &[&Entry],
    open: &[usize],
    judge: impl Fn(&[&Entry], &Calls, &dyn Fn(usize) -> bool) -> T,
) -> Option<Vec<T>> {
    if open.len() > MOST_OPEN || entries.len() > MOST_CALLS {
        return None;
    }
    let calls = Calls::new(entries);
    let ways = (0..1_usize << open.len()).map(|ways| {
        let says_yes = |at: usize| {
            let place = open.iter().position(|open| *open == at);
            place.is_some_and(|place| ways >> place & 1 == 1)
        };
        judge(entries, &calls, &says_yes)
    });
    Some(ways.collect())
}

fn verdict(entries: &[&Entry], calls: &Calls, says_yes: &dyn Fn(usize) -> bool) -> Guard {
    let modules = entries.iter().map(|entry| &entry.call);
    let passwords: BTreeSet<&str> = modules
        .filter(|call| is_password(call))
        .map(|call| &*call.module)
        .collect();
    let mut wrong = Run::new(entries, None, false, says_yes);
    let is_accepted = match wrong.is_accepted(calls) {
        Ok(is_accepted) => is_accepted,
        Err(why) => return Guard::Untold(why),
    };
    if is_accepted && !wrong.has_proved {
        return match (wrong.untold, wrong.has_looked) {
            (Some(module), _) => Guard::Untold(format!("it depends on what {module} says")),
            (None, true) => Guard::LetsIn("a wrong password is accepted"),
            (None, false) => Guard::LetsIn("somebody is let in without a password"),
        };
    }
    // Where no password was looked at, nobody guesses one: a key, a finger, an account that is
    // turned away before.
    // Of a wrong one beside a key that is right, nothing is to be counted.
    if wrong.has_looked && !is_accepted && !wrong.has_counted {
        return Guard::Fails("wrong passwords are not counted");
    }
    for right in passwords {
        let mut locked = Run::new(entries, Some(right), true, says_yes);
        match locked.is_accepted(calls) {
            Ok(true) if locked.was_right => {
                return Guard::Fails("a right password opens a locked account");
            }
            Ok(_) => {}
            Err(why) => return Guard::Untold(why),
        }
    }
    Guard::Holds
}

/// Is whom this module knows let in, where no account is locked and nothing else is against it?
pub fn accepts(entries: &[&Entry], module: &str) -> bool {
    let says_yes = |_| true;
    let mut run = Run::new(entries, Some(module), false, &says_yes);
    run.is_accepted(&Calls::new(entries)) == Ok(true)
}

fn is_password(call: &Call) -> bool {
    PASSWORD.contains(&&*call.module)
}

fn is_open(call: &Call) -> bool {
    let known = [FAILLOCK];
    !is_password(call)
        && !known.contains(&&*call.module)
        && !PASSING.contains(&&*call.module)
        && !says_no(call)
        && !says_nothing(call)
}

/// Goes through the calls once, and notes what was asked on the way.
struct Run<'a> {
    entries: &'a [&'a Entry],
    /// To which module the password is right.
    right: Option<&'a str>,
    locked: bool,
    says_yes: &'a dyn Fn(usize) -> bool,
    has_counted: bool,
    has_looked: bool,
    /// Has a module other than of passwords said who it is?
    has_proved: bool,
    /// A module of which it can't be told has said yes.
    untold: Option<&'a str>,
    was_right: bool,
}

impl<'a> Run<'a> {
    fn new(
        entries: &'a [&'a Entry],
        right: Option<&'a str>,
        locked: bool,
        says_yes: &'a dyn Fn(usize) -> bool,
    ) -> Self {
        Self {
            entries,
            right,
            locked,
            says_yes,
            has_counted: false,
            has_looked: false,
            has_proved: false,
            untold: None,
            was_right: false,
        }
    }

    fn is_accepted(&mut self, calls: &Calls) -> Result<bool, String> {
        calls.go(&mut |at| self.answer(at))
    }

    fn answer(&mut self, at: usize) -> Answer {
        let entries = self.entries;
        let call = &entries[at].call;
        if says_nothing(call) {
            return IGNORE;
        }
        let is_yes = match call.module.as_str() {
            FAILLOCK if call.argument("authfail").is_some() => {
                self.has_counted = true;
                false
            }
            // `preauth` and `authsucc` both look whether the account is locked.
            FAILLOCK => !self.locked,
            name if PASSWORD.contains(&name) => {
                self.has_looked = true;
                let is_right = self.right == Some(name);
                self.was_right |= is_right;
                is_right
            }
            name if PASSING.contains(&name) => true,
            _ if says_no(call) => false,
            name => {
                let is_yes = (self.says_yes)(at);
                match yes_of(call) {
                    Yes::Proof => self.has_proved |= is_yes,
                    Yes::Untold if is_yes => self.untold = Some(name),
                    Yes::Untold | Yes::NoProof => {}
                }
                is_yes
            }
        };
        match is_yes {
            true => SUCCESS,
            false => "auth_err",
        }
    }
}
