//! What is pending is not known from old lists, nor from none: nobody says then that there is nothing
//! to do.

use serde_json::Value;

use crate::lab_patch::host_with_pending;

#[test]
fn old_or_missing_lists_are_unknown() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    let apply = ["patch", "apply", "--yes"];
    let plan = ["patch", "plan"];
    let status = ["patch", "status"];
    host.steadfast(&apply).expect(0, &["it is as planned"]);
    host.steadfast(&plan)
        .expect(0, &["nothing to do", "apt's lists are less than a day old"]);
    host.steadfast(&status)
        .expect(3, &["apt's lists are less than a day old"]);
    host.shell("touch -d '365 days ago' /var/lib/apt/lists");
    let old = "what is pending: apt's lists are 365 days old (apt-get update)";
    for words in [
        &plan[..],
        &["patch", "plan", "--only", "security"],
        &apply[..],
        &status[..],
    ] {
        let said = host.steadfast(words).expect(3, &[old]);
        assert!(!said.out.contains("nothing to do"), "{said}");
        assert!(!said.err.contains("nothing to do"), "{said}");
    }
    let json = |words: &[&str]| -> Value {
        let said = host.steadfast(&[words, &["--format", "json"]].concat());
        assert_eq!(said.code, Some(3), "{said}");
        serde_json::from_str(&said.out).expect("JSON")
    };
    let planned = json(&plan);
    assert_eq!(planned["foretold"]["apt_lists"]["age_days"], 365);
    assert_eq!(planned["foretold"]["unknown"][0], old);
    assert_eq!(json(&status)["lists"]["age_days"], 365);
    // An update that fails makes them no newer.
    host.shell(
        "cp /etc/apt/sources.list /root/sources.list; \
         echo 'deb [trusted=yes] http://127.0.0.1:1/ ./' > /etc/apt/sources.list; \
         apt-get -oAcquire::Retries=0 -qq update >/dev/null 2>&1 || true; \
         cp /root/sources.list /etc/apt/sources.list",
    );
    host.steadfast(&plan).expect(3, &[old]);
    // Lists of what is no source any more say nothing.
    host.shell("touch /var/lib/apt/lists; echo > /etc/apt/sources.list");
    host.steadfast(&plan)
        .expect(3, &["apt has no lists of packages"]);
    host.shell("cp /root/sources.list /etc/apt/sources.list");
    host.steadfast(&plan).expect(0, &["nothing to do"]);
    // The list of a local archive is a link into it.
    host.shell("mv /srv/archive /srv/away");
    let none = "what is pending: apt has no lists of packages (apt-get update)";
    for words in [&plan[..], &apply[..], &status[..]] {
        host.steadfast(words).expect(3, &[none]);
    }
    // What is broken is not mended from lists.
    host.steadfast(&["patch", "plan", "--repair"])
        .expect(0, &["nothing to do"]);
}
