//! Shared databases by entry, on the bytes that hosts have.

use host::records::alternatives::Group;
use host::records::entries::{Three, without};
use host::records::packages::{Stays, outlook};
use host::records::{Form, Shared, shared};
use model::HostPath;

const STATUS: Form = Form::Stanzas {
    named_by: &["Package", "Architecture"],
};
const GROUP: Form = Form::Colons { members: 3 };
const PASSWD: Form = Form::Colons {
    members: usize::MAX,
};

#[track_caller]
fn check(form: Form, before: &str, left: &str, now: &str, becomes: Result<&str, &str>) {
    let three = Three {
        before: before.as_bytes(),
        left: left.as_bytes(),
        now: now.as_bytes(),
    };
    let merged = without(form, three, &|_| false);
    let merged = merged
        .map(|bytes| String::from_utf8(bytes).expect("text"))
        .map_err(|clash| clash.entry);
    assert_eq!(
        merged.as_deref().map_err(String::as_str),
        becomes,
        "{before:?} -> {left:?} -> {now:?}"
    );
}

#[test]
fn accounts_that_others_made_stay_and_those_of_the_change_go() {
    let root = "root:x:0:0:root:/root:/bin/bash\n";
    let app = "app:x:998:998::/var/lib/app:/usr/sbin/nologin\n";
    let ana = "ana:x:1000:1000::/home/ana:/bin/bash\n";
    let all = |lines: &[&str]| lines.concat();
    let before = root;
    let left = all(&[root, app]);
    check(
        PASSWD,
        before,
        &left,
        &all(&[root, app, ana]),
        Ok(&all(&[root, ana])),
    );
    check(
        PASSWD,
        before,
        &left,
        &all(&[ana, root, app]),
        Ok(&all(&[ana, root])),
    );
    // Somebody has given it another shell: it is the change's all the same.
    let shell = app.replace("/usr/sbin/nologin", "/bin/sh");
    check(PASSWD, before, &left, &all(&[root, &shell]), Ok(root));
    // What the change took out comes back in its place.
    check(
        PASSWD,
        &all(&[root, app, ana]),
        &all(&[root, ana]),
        &all(&[root, ana]),
        Ok(&all(&[root, app, ana])),
    );
    // The change made one field another, and others another one.
    let old = "bob:x:1001:1001:Bob:/home/bob:/bin/sh\n";
    let left = old.replace("/bin/sh", "/bin/bash");
    check(
        PASSWD,
        old,
        &left,
        &left.replace("Bob", "Robert"),
        Ok(&old.replace("Bob", "Robert")),
    );
    check(
        PASSWD,
        old,
        &left,
        &old.replace("/bin/sh", "/bin/zsh"),
        Err("bob"),
    );
}

#[test]
fn members_of_a_group_are_entries_of_their_own() {
    check(
        GROUP,
        "ssl:x:110:\n",
        "ssl:x:110:postgres\n",
        "ssl:x:110:postgres,ana\n",
        Ok("ssl:x:110:ana\n"),
    );
    check(
        GROUP,
        "ssl:x:110:bob,li\n",
        "ssl:x:110:li\n",
        "ssl:x:110:li,ana\n",
        Ok("ssl:x:110:li,ana,bob\n"),
    );
    check(GROUP, "", "app:x:998:app\n", "app:x:998:app\n", Ok(""));
    // Somebody was put into a group that the change made.
    check(GROUP, "", "app:x:998:\n", "app:x:998:ana\n", Err("app"));
}

fn package(name: &str, version: &str, more: &str) -> String {
    format!(
        "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n{more}Description: {name}\n a text\n"
    )
}

fn status(packages: &[String]) -> String {
    packages.iter().map(|one| format!("{one}\n")).collect()
}

#[test]
fn dpkgs_database_is_taken_back_by_package() {
    let (libc, app) = (package("libc6", "2.36-9", ""), package("app", "1.0", ""));
    let other = package("other", "3", "Depends: libc6 (>= 2.30)\n");
    let before = status(std::slice::from_ref(&libc));
    let left = status(&[app.clone(), libc.clone()]);
    let now = status(&[app.clone(), libc.clone(), other.clone()]);
    check(
        STATUS,
        &before,
        &left,
        &now,
        Ok(&status(&[libc.clone(), other.clone()])),
    );
    // Held since: the wish is the person's, the version goes back.
    let (old, new) = (
        package("app", "1.0", ""),
        package("app", "1.1", "Section: x\n"),
    );
    let held = new.replace("install ok", "hold ok");
    check(
        STATUS,
        &status(std::slice::from_ref(&old)),
        &status(&[new]),
        &status(&[held, other.clone()]),
        Ok(&status(&[old.replace("install ok", "hold ok"), other])),
    );
}

#[test]
fn questions_of_debconf_that_others_ask_too_are_theirs() {
    const DEBCONF: Form = Form::Stanzas {
        named_by: &["Name"],
    };
    let question =
        |owners: &str| format!("Name: a/b\nTemplate: a/b\nValue: x\nOwners: {owners}\n\n");
    check(
        DEBCONF,
        "",
        &question("a"),
        &question("a, c"),
        Ok(&question("c")),
    );
    check(
        DEBCONF,
        "",
        &question("a"),
        &question("a").replace("Value: x", "Value: y"),
        Ok(""),
    );
    check(
        DEBCONF,
        &question("c"),
        &question("c, a"),
        &question("c, a, d"),
        Ok(&question("c, d")),
    );
}

#[test]
fn diversions_and_lines() {
    let one = "/usr/bin/a\n/usr/bin/a.real\napp\n";
    let two = "/usr/bin/b\n/usr/bin/b.real\nother\n";
    check(Form::Threes, "", one, &format!("{one}{two}"), Ok(two));
    check(
        Form::Lines,
        "/bin/sh\n",
        "/bin/sh\n/usr/bin/tmux\n",
        "/bin/sh\n/usr/bin/tmux\n/usr/bin/fish\n",
        Ok("/bin/sh\n/usr/bin/fish\n"),
    );
    // The same line twice is two entries.
    check(Form::Lines, "a\n", "a\na\n", "a\na\nb\n", Ok("a\nb\n"));
}

/// As update-alternatives writes `/var/lib/dpkg/alternatives/editor`.
const EDITOR: &str = "auto\n/usr/bin/editor\neditor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n\
    /bin/nano\n40\n/usr/share/man/man1/nano.1.gz\n\n";
const WITH_VIM: &str = "auto\n/usr/bin/editor\neditor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n\
    /bin/nano\n40\n/usr/share/man/man1/nano.1.gz\n/usr/bin/vim.basic\n50\n\n\n";
const WITH_BOTH: &str = "auto\n/usr/bin/editor\neditor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n\
    /bin/nano\n40\n/usr/share/man/man1/nano.1.gz\n/usr/bin/emacs\n20\n\n/usr/bin/vim.basic\n50\n\n\n";
const WITH_EMACS: &str = "auto\n/usr/bin/editor\neditor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n\
    /bin/nano\n40\n/usr/share/man/man1/nano.1.gz\n/usr/bin/emacs\n20\n\n\n";

#[test]
fn alternatives_by_choice() {
    for text in [EDITOR, WITH_VIM, WITH_BOTH] {
        let group = Group::parse(text.as_bytes()).expect("a group");
        assert_eq!(String::from_utf8_lossy(&group.write()), text);
    }
    let form = Form::Alternatives;
    check(form, EDITOR, WITH_VIM, WITH_BOTH, Ok(WITH_EMACS));
    check(form, EDITOR, WITH_VIM, WITH_VIM, Ok(EDITOR));
    check(
        form,
        "",
        EDITOR,
        WITH_VIM,
        Ok("auto\n/usr/bin/editor\n\n/usr/bin/vim.basic\n50\n\n"),
    );
    check(form, "", EDITOR, EDITOR, Ok(""));
    check(form, EDITOR, WITH_VIM, "auto\nhalf", Err("the whole group"));
    let both = Group::parse(WITH_BOTH.as_bytes()).expect("a group");
    assert_eq!(both.best(), Some(&b"/usr/bin/vim.basic"[..]));
    let emacs = Group::parse(WITH_EMACS.replacen("auto", "manual", 1).as_bytes()).expect("a group");
    assert_eq!(
        emacs.leads_to(b"/usr/bin/emacs"),
        Some(&b"/usr/bin/emacs"[..])
    );
    assert_eq!(
        emacs.leads_to(b"/usr/bin/vim.basic"),
        Some(&b"/bin/nano"[..])
    );
}

#[test]
fn what_others_need_stays_and_what_that_needs() {
    let base = package("base", "1", "");
    let data = package("data", "1", "");
    let lib = package("lib", "1", "Depends: data\nProvides: virtual (= 1)\n");
    let app = package("app", "1", "Depends: lib (>= 1), base\n");
    let before = status(std::slice::from_ref(&base));
    let left = status(&[base.clone(), data.clone(), lib.clone(), app.clone()]);
    let ours = [base.clone(), data, lib, app];
    let with = |more: &[String]| status(&[&ours[..], more].concat());
    let stays = |now: &str| {
        let found = outlook(before.as_bytes(), left.as_bytes(), now.as_bytes());
        let stays: Vec<(String, String)> = found
            .stays
            .iter()
            .map(|(key, why)| (key.clone(), why.words()))
            .collect();
        (
            found.goes.into_keys().collect::<Vec<_>>(),
            stays,
            found.clashes,
        )
    };
    let pair = |name: &str, why: &str| (format!("{name}:amd64"), why.to_owned());
    let (goes, kept, _) = stays(&with(&[]));
    assert_eq!((goes.len(), kept), (3, vec![]));
    let (goes, kept, _) = stays(&with(&[package(
        "other",
        "1",
        "Depends: virtual (>= 1) | nothing\n",
    )]));
    assert_eq!(goes, ["app:amd64"]);
    assert_eq!(
        kept,
        [pair("data", "lib needs it"), pair("lib", "other needs it")]
    );
    // One that can live with something else does not hold it.
    let (goes, ..) = stays(&with(&[package("other", "1", "Depends: lib | base\n")]));
    assert_eq!(goes.len(), 3);
    // A wish that is not met now either holds nothing.
    let (goes, ..) = stays(&with(&[package("other", "1", "Depends: lib (>= 9)\n")]));
    assert_eq!(goes.len(), 3);
}

#[test]
fn versions_that_others_have_put_there_stay_and_old_ones_that_would_break_them_too() {
    let (old, new) = (package("lib", "1", ""), package("lib", "2", ""));
    let of = |now: &[String]| {
        outlook(
            status(std::slice::from_ref(&old)).as_bytes(),
            status(std::slice::from_ref(&new)).as_bytes(),
            status(now).as_bytes(),
        )
    };
    assert_eq!(of(std::slice::from_ref(&new)).returns.len(), 1);
    let newer = of(&[package("lib", "3", "")]);
    assert_eq!(
        newer.stays.values().collect::<Vec<_>>(),
        [&Stays::ChangedSince("3".to_owned())]
    );
    let needed = of(&[
        new.clone(),
        package("other", "1", "Pre-Depends: lib (>= 2)\n"),
    ]);
    assert_eq!(
        needed.stays.values().collect::<Vec<_>>(),
        [&Stays::NeededBy("other".to_owned())]
    );
    let broken = of(&[new.clone(), package("other", "1", "Breaks: lib (<< 2)\n")]);
    assert_eq!(broken.clashes, ["other and lib"]);
    assert_eq!(
        of(&[]).stays.values().collect::<Vec<_>>(),
        [&Stays::RemovedSince]
    );
}

#[test]
fn which_files_are_shared() {
    let of = |path: &str| shared(&HostPath::from_bytes(path.as_bytes()).expect("a path"));
    assert_eq!(of("/var/lib/dpkg/status"), Some(Shared::Entries(STATUS)));
    for backup in [
        "/etc/passwd-",
        "/var/lib/dpkg/status-old",
        "/var/cache/debconf/config.dat-old",
        "/var/lib/ucf/hashfile.0",
    ] {
        assert_eq!(of(backup), Some(Shared::Backup), "{backup}");
    }
    for none in [
        "/etc/passwd.mine",
        "/var/lib/dpkg/info/x-old.list",
        "/var/lib/dpkg/alternatives/a/b",
        "/var/lib/dpkg/triggers/Lock",
    ] {
        assert_eq!(of(none), None, "{none}");
    }
}

#[test]
fn a_package_does_not_come_back_without_what_it_needs() {
    let (lib, app) = (
        package("lib", "1", ""),
        package("app", "1", "Depends: lib\n"),
    );
    let before = status(&[lib.clone(), app]);
    // The change removed `app`, and others have removed `lib` since.
    let found = outlook(before.as_bytes(), status(&[lib]).as_bytes(), b"");
    assert_eq!(found.clashes, ["app without lib"]);
}

#[test]
fn an_account_that_was_made_anew_is_somebody_elses() {
    use host::records::accounts::{made, renumbered};
    let left: &[u8] = b"git:x:105:105::/srv/git:/bin/sh\n";
    let anew: &[u8] = b"git:x:1001:1001:Git:/home/git:/bin/sh\n";
    let three = |now| Three {
        before: b"",
        left,
        now,
    };
    assert_eq!(renumbered(three(anew)), ["git"]);
    assert!(made(three(anew)).is_empty());
    assert!(renumbered(three(left)).is_empty());
}

/// Nobody keeps a main group that an unconfirmed change gave, whoever made the entry theirs.
#[test]
fn a_main_group_is_a_membership() {
    use host::records::accounts::without_main_groups;
    let before: &[u8] = b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
    let left: &[u8] = b"root:x:0:0::/root:/bin/sh\nann:x:1000:27::/home/ann:/bin/sh\n\
        ida:x:1001:27::/home/ida:/bin/sh\nbea:x:1002:1002::/home/bea:/bin/sh\n";
    // Ann has another shell by now, and Eve was made by somebody else.
    let now: &[u8] = b"root:x:0:0::/root:/bin/sh\nann:x:1000:27::/home/ann:/bin/zsh\n\
        ida:x:1001:27::/home/ida:/bin/sh\nbea:x:1002:1002::/home/bea:/bin/sh\n\
        eve:x:1003:27::/home/eve:/bin/sh\n";
    let wanted: &[u8] = b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/zsh\n\
        ida:x:1001:65534::/home/ida:/bin/sh\nbea:x:1002:1002::/home/bea:/bin/sh\n\
        eve:x:1003:27::/home/eve:/bin/sh\n";
    let three = Three { before, left, now };
    let (merged, taken) = without_main_groups(three, &[0, 27, 1000].into(), now);
    assert_eq!(
        String::from_utf8_lossy(&merged),
        String::from_utf8_lossy(wanted)
    );
    let taken: Vec<&str> = taken.iter().map(String::as_str).collect();
    assert_eq!(taken, ["ann", "ida"]);
}
