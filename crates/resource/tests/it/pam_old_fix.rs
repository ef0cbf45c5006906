//! `pam` and `password_accepted`: lines of an older version, as long as pam-auth-update(8) has not met
//! them.

use model::Probe;
use model::value::Reason;

use crate::pam::{AUTH, with_auth};
use crate::support::{fix, judge, path, words};

/// What an older version wrote, as its own test had it: the right password enters, until
/// pam-auth-update writes `success=1` again.
const OLD_FIX: &str = "\
# managed by pam-auth-update
auth\trequired\t\t\tpam_faillock.so preauth
# here are the per-package modules (the \"Primary\" block)
auth\t[success=2 default=ignore]\tpam_unix.so nullok
# here's the fallback if no module succeeds
auth\t[default=die]\t\t\tpam_faillock.so authfail
auth\trequisite\t\t\tpam_deny.so
auth\trequired\t\t\tpam_permit.so
# end of pam-auth-update config
";

#[test]
fn a_stack_that_pam_auth_update_will_break_is_found_and_mended() {
    let record = "/var/lib/pam/auth";
    let unix = "Module: unix\n[success=end default=ignore]\tpam_unix.so nullok try_first_pass\n";
    let sss = "Module: sss\n[success=end default=ignore]\tpam_sss.so use_first_pass\n";
    let two = OLD_FIX.replace(
        "auth\t[success=2 default=ignore]\tpam_unix.so nullok\n",
        "auth\t[success=3 default=ignore]\tpam_unix.so nullok\nauth\t[success=2 default=ignore]\tpam_sss.so use_first_pass\n",
    );
    let inside = OLD_FIX.replace(
        "auth\trequired\t\t\tpam_faillock.so preauth\n# here are the per-package modules (the \"Primary\" block)\n",
        "# here are the per-package modules (the \"Primary\" block)\nauth\trequired\t\t\tpam_faillock.so preauth\n",
    );
    let (lockout, accepted) = (
        "pam: {module: faillock}",
        "password_accepted: {service: common-auth}",
    );
    for (auth, saved, jumps) in [
        (OLD_FIX, None, vec!["success=1 default=ignore]\tpam_unix"]),
        (
            OLD_FIX,
            Some(unix.to_owned()),
            vec!["success=1 default=ignore]\tpam_unix"],
        ),
        (
            &inside,
            Some(unix.to_owned()),
            vec!["success=1 default=ignore]\tpam_unix"],
        ),
        (
            &two,
            Some(format!("{unix}{sss}")),
            vec![
                "success=2 default=ignore]\tpam_unix",
                "success=1 default=ignore]\tpam_sss",
            ],
        ),
    ] {
        let mut host = with_auth(auth);
        let probe = Probe::file(path(record));
        let unread = host.clone().cannot_tell(probe, Reason::NeedsRoot);
        for want in [lockout, accepted] {
            let said = words(&judge(want, &unread));
            assert!(said.starts_with("unknown"), "{want}: {said}");
        }
        if let Some(saved) = &saved {
            host = host.file(record, saved);
        }
        for want in [lockout, accepted] {
            let said = words(&judge(want, &host));
            assert!(
                said.starts_with(
                    "drift: a right password is refused as soon as pam-auth-update runs"
                ),
                "{want}: {said}"
            );
            let (_, mended) = fix(want, &host);
            let text = mended.content("/etc/pam.d/common-auth").unwrap_or_default();
            // As pam-auth-update writes it, so that it leaves it alone.
            for jump in &jumps {
                assert!(text.contains(jump), "{text}");
            }
            let led_on = "authfail\nauth\t[success=1 default=ignore]\tpam_permit.so\nauth\trequisite\t\t\tpam_deny.so";
            assert!(text.contains(led_on), "{text}");
            for want in [lockout, accepted] {
                assert!(words(&judge(want, &mended)).starts_with("ok"), "{text}");
            }
        }
    }
    // A profile of its own: pam-auth-update counts its lines, and jumps over them.
    let profile = format!(
        "Module: faillock_notify\nrequired\tpam_faillock.so preauth\n{unix}Module: faillock\n[default=die]\tpam_faillock.so authfail\n"
    );
    let host = with_auth(&inside).file(record, &profile);
    assert!(words(&judge(accepted, &host)).starts_with("ok"));
    // It does not write where its own words are not.
    let by_hand = OLD_FIX.replace("# here", "# There");
    assert!(words(&judge(accepted, &with_auth(&by_hand))).starts_with("ok"));
    // Without faillock, and with lines that jump where pam-auth-update jumps.
    for good in [
        AUTH,
        &two.replace("auth\t[default=die]\t\t\tpam_faillock.so authfail\n", "")
            .replace("success=2", "success=1")
            .replace("success=3", "success=2"),
    ] {
        assert!(
            words(&judge(accepted, &with_auth(good))).starts_with("ok"),
            "{good}"
        );
    }
}
