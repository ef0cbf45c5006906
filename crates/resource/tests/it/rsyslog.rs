//! `rsyslog_files`.

use crate::support::{Host, check, judge, refused, words};

const WANT: &str = "rsyslog_files: {mode: {at_most: '0640'}}";
const MAIN: &str = "/etc/rsyslog.conf";
const SITE: &str = "/etc/rsyslog.d/x.conf";
/// As Debian has it.
const USUAL: &str = "module(load=\"imuxsock\")\n$FileOwner root\n$FileCreateMode 0640\n\
                     $Umask 0022\n$IncludeConfig /etc/rsyslog.d/*.conf\n\
                     *.*;auth,authpriv.none -/var/log/syslog\nauth.* /var/log/auth.log\n\
                     *.emerg :omusrmsg:*\n";

#[test]
fn what_counts_where_a_file_is_declared() {
    let usual = Host::new().file(MAIN, USUAL).dir("/etc/rsyslog.d");
    assert_eq!(
        words(&judge(WANT, &usual)),
        "ok: its 2 files have such modes"
    );
    // A file that is included comes later, and counts for what the main file declares after it.
    let after = check(
        WANT,
        &usual.clone().file(SITE, "$FileCreateMode 0644\n"),
        &format!("drift: mode 0644, wanted mode at most 0640 @ {SITE}:1"),
    );
    assert_eq!(
        after.content(SITE).as_deref(),
        Some("$FileCreateMode 0640\n")
    );
    // The other way round: it alone says it.
    let silent = USUAL.replace("$FileCreateMode 0640\n", "");
    let host = Host::new()
        .file(MAIN, &silent)
        .file(SITE, "$FileCreateMode 0600\n");
    assert!(words(&judge(WANT, &host)).starts_with("ok"));
    // Nobody says it.
    let host = Host::new().file(MAIN, &silent).dir("/etc/rsyslog.d");
    let after = check(
        WANT,
        &host,
        "drift: mode 0644 by default, wanted mode at most 0640",
    );
    let text = after.content(MAIN).unwrap_or_default();
    assert!(text.starts_with("$FileCreateMode 0640\nmodule("), "{text}");
    // Said after all files, it counts for none.
    let host = Host::new().file(MAIN, "auth.* /var/log/auth.log\n$FileCreateMode 0640\n");
    assert!(words(&judge(WANT, &host)).contains("by default"));
    // And a line that only later files meet is no matter of the earlier ones.
    let host = host.file(
        MAIN,
        "$FileCreateMode 0640\nauth.* /var/log/auth.log\n$FileCreateMode 0644\n*.* @other\n",
    );
    assert!(words(&judge(WANT, &host)).starts_with("ok"));
}

#[test]
fn a_umask_takes_bits_off() {
    let umask = USUAL.replace("0640", "0666").replace("0022", "0027");
    assert!(words(&judge(WANT, &Host::new().file(MAIN, &umask))).starts_with("ok"));
    let global = format!(
        "global(umask=\"0027\")\n{}",
        USUAL.replace("0640", "0644").replace("$Umask 0022\n", "")
    );
    assert!(words(&judge(WANT, &Host::new().file(MAIN, &global))).starts_with("ok"));
}

#[test]
fn actions_have_modes_of_their_own() {
    let action = "action(type=\"omfile\"\n  file=\"/var/log/x.log\"\n  fileCreateMode=\"MODE\")\n";
    let host = |text: &str| Host::new().file(MAIN, &format!("$FileCreateMode 0640\n{text}"));
    assert!(words(&judge(WANT, &host(&action.replace("MODE", "0640")))).starts_with("ok"));
    let bad = host(&action.replace("MODE", "0644"));
    assert_eq!(
        words(&judge(WANT, &bad)),
        "drift: mode 0644, wanted mode at most 0640 @ /etc/rsyslog.conf:2 \
         (by hand: write fileCreateMode=\"0640\" there)"
    );
    // It does not take the old directive's, but the module's.
    let silent = "action(type=\"omfile\" file=\"/var/log/x.log\")\n";
    assert!(words(&judge(WANT, &host(silent))).contains("mode 0644"));
    let module = "module(load=\"builtin:omfile\" fileCreateMode=\"0640\")\n";
    assert!(words(&judge(WANT, &host(&format!("{module}{silent}")))).starts_with("ok"));
    let other = "if $programname == 'x' then action(type=\"omfwd\" target=\"h\")\n";
    assert_eq!(words(&judge(WANT, &host(other))), "ok: it writes no files");
}

#[test]
fn what_is_not_understood_is_unknown() {
    let host = Host::new().file(MAIN, "include(text=\"x\")\n$FileCreateMode 0640\n");
    assert!(words(&judge(WANT, &host)).starts_with("unknown"));
    assert!(words(&judge(WANT, &Host::new())).starts_with("n/a"));
    refused(
        "rsyslog_files: {mode: '0755'}",
        "log files are not run, and have no set-ID bits",
    );
}

#[test]
fn a_line_goes_on_after_a_backslash() {
    let host = Host::new().file(
        MAIN,
        "$FileCreateMode 0644\nauth,authpriv.* \\\n  /var/log/auth.log\n",
    );
    let said = words(&judge(WANT, &host));
    assert!(said.starts_with("drift: mode 0644"), "{said}");
    let comment = Host::new().file(
        MAIN,
        "$FileCreateMode 0640\n# not on \\\nauth.* /var/log/auth.log\n",
    );
    assert!(words(&judge(WANT, &comment)).starts_with("ok"));
}
