//! `apt_setting`, `apt_source`, `apt_sources`, and the readers of apt's files.

use model::value::Reason;
use model::{HostPath, Probe};
use resource::apt::conf::{Statement, parse};
use resource::apt::sources::{line_with, line_without, parse_list, parse_stanzas, stanza_with};
use resource::kind::apt_sources::other_keys;

use crate::support::{Host, check, fix, judge, observe, path, refused, resource, words};

fn settings(text: &str) -> Vec<String> {
    let statements = match parse(text) {
        Ok(statements) => statements,
        Err(e) => return vec![e.to_string()],
    };
    statements
        .into_iter()
        .map(|statement| match statement {
            Statement::Set(set) => format!("{}={}:{}", set.key, set.value, set.line),
            Statement::Add { key, value } => format!("{key}+={value}"),
            Statement::Clear { key } => format!("clear {key}"),
            Statement::Include { path, .. } => format!("include {path}"),
        })
        .collect()
}

#[test]
fn reads_settings_as_apt_does() {
    for (text, expected) in [
        ("A::B \"c\";", &["A::B=c:1"][..]),
        (
            "A\n{\n  B \"c\"; # said\n  // not\n  D e;\n};",
            &["A::B=c:3", "A::D=e:5"],
        ),
        ("A { \"x\"; \"y // z\"; };", &["A+=x", "A+=y // z"]),
        ("A:: \"x\"; /* A \"n\";\n */ B \"1\";", &["A+=x", "B=1:2"]),
        (
            "A { B { C \"1\"; }; D \"2\"; };",
            &["A::B::C=1:1", "A::D=2:1"],
        ),
        (
            "#clear A::B;\n#include \"/etc/x\";\n",
            &["clear A::B", "include /etc/x"],
        ),
        ("A \"x\" { B \"y\"; };", &["A=x:1", "A::B=y:1"]),
        ("A \"x\"", &["line 1: a statement without `;`"]),
        ("A { B \"x\";\n", &["line 1: a block without `}`"]),
        ("A \"x\";\n}", &["line 2: `}` without a block"]),
        ("A \"x;\n", &["line 1: a quote without its end"]),
        ("/* x", &["line 1: a comment without its end"]),
        ("{", &["line 1: a block without a name"]),
    ] {
        assert_eq!(settings(text), expected, "{text}");
    }
}

const UNSIGNED: &str = "apt_setting: {key: 'APT::Get::AllowUnauthenticated', value: 'false'}";
const NIGHTLY: &str = "apt_setting: {key: 'APT::Periodic::Unattended-Upgrade', \
                       value: {at_least: 1, set: 1}}";

fn apt() -> Host {
    Host::new().dir("/etc/apt/apt.conf.d")
}

#[test]
fn what_nothing_sets_has_apts_own_default() {
    check(UNSIGNED, &apt(), "ok: false");
    check(NIGHTLY, &apt(), "drift: 0, wanted at least 1");
    check(UNSIGNED, &Host::new(), "n/a: apt is not here");
}

/// apt.systemd.daily takes more than numbers of days.
#[test]
fn an_interval_is_read_as_apts_own_script_reads_it() {
    let with = |value: &str| {
        let text = format!("APT::Periodic::Unattended-Upgrade \"{value}\";\n");
        apt().file("/etc/apt/apt.conf.d/10a", &text)
    };
    for often in ["1", "7", "1d", "12h", "30m", "always"] {
        let said = format!("ok: {often} @ /etc/apt/apt.conf.d/10a:1");
        check(NIGHTLY, &with(often), &said);
    }
    for never in ["0", "0d", "0h", "daily", "d", "1dd"] {
        let said = format!("drift: {never}, wanted at least 1 @ /etc/apt/apt.conf.d/10a:1");
        check(NIGHTLY, &with(never), &said);
    }
}

#[test]
fn the_last_file_wins_and_words_for_no_are_the_same() {
    let host = apt()
        .file(
            "/etc/apt/apt.conf.d/10a",
            "APT::Get::AllowUnauthenticated \"yes\";\n",
        )
        .file(
            "/etc/apt/apt.conf.d/20b.conf",
            "apt { get { allowunauthenticated \"Off\"; }; };\n",
        )
        .file(
            "/etc/apt/apt.conf.d/30c.bak",
            "APT::Get::AllowUnauthenticated \"yes\";\n",
        );
    check(UNSIGNED, &host, "ok: Off @ /etc/apt/apt.conf.d/20b.conf:1");
}

#[test]
fn an_earlier_file_is_overruled_and_a_later_one_is_edited() {
    let early = apt().file(
        "/etc/apt/apt.conf.d/10a",
        "APT::Get::AllowUnauthenticated \"yes\";\n",
    );
    let after = check(
        UNSIGNED,
        &early,
        "drift: yes, wanted false @ /etc/apt/apt.conf.d/10a:1",
    );
    assert_eq!(
        after.content("/etc/apt/apt.conf.d/99steadfast").as_deref(),
        Some("APT::Get::AllowUnauthenticated \"false\";\n")
    );

    for late in [
        "/etc/apt/apt.conf",
        "/etc/apt/apt.conf.d/99zz",
        "/etc/apt/apt.conf.d/99steadfast",
    ] {
        let host = apt().file(
            late,
            "APT {\n  Get { AllowUnauthenticated yes; }; // for the lab\n};\n",
        );
        let after = check(
            UNSIGNED,
            &host,
            &format!("drift: yes, wanted false @ {late}:2"),
        );
        assert_eq!(
            after.content(late).as_deref(),
            Some("APT {\n  Get { AllowUnauthenticated \"false\"; }; // for the lab\n};\n")
        );
    }
}

#[test]
fn clearing_and_including() {
    let cleared = apt().file(
        "/etc/apt/apt.conf.d/10a",
        "APT::Get::AllowUnauthenticated yes;\n#clear APT::Get;\n",
    );
    check(UNSIGNED, &cleared, "ok: false");
    let included = apt()
        .file("/etc/apt/apt.conf.d/10a", "#include \"/etc/apt/more\";\n")
        .file("/etc/apt/more", "\nAPT::Get::AllowUnauthenticated \"1\";\n");
    check(
        UNSIGNED,
        &included,
        "drift: 1, wanted false @ /etc/apt/more:2",
    );
    let endless = apt().file(
        "/etc/apt/apt.conf.d/10a",
        "#include \"/etc/apt/apt.conf.d/10a\";\n",
    );
    check(
        UNSIGNED,
        &endless,
        "error: /etc/apt/apt.conf.d/10a: includes go too deep",
    );
    let broken = apt().file("/etc/apt/apt.conf.d/10a", "APT {\n");
    check(
        UNSIGNED,
        &broken,
        "error: /etc/apt/apt.conf.d/10a: line 1: a block without `}`",
    );
}

#[test]
fn settings_that_could_not_be_are_refused() {
    refused(
        "apt_setting: {key: 'APT::', value: x}",
        "`APT::` is not the name of a setting",
    );
    refused(
        "apt_setting: {key: 'A::B', value: 'x\"y'}",
        "a value can't hold a quote or a newline",
    );
}

#[test]
fn reads_lines() {
    let text = "# deb x\n\ndeb [ signed-by=/k arch=amd64 ] http://h/d bookworm main contrib # c\n\
                deb cdrom:[Debian 12 _Bookworm_]/ bookworm main\ndeb-src file:/srv ./\n";
    let sources = parse_list(text).expect("three sources");
    assert_eq!(sources.len(), 3);
    assert_eq!(sources[0].line, 3);
    assert_eq!(sources[0].uris, ["http://h/d"]);
    assert_eq!(sources[0].components, ["main", "contrib"]);
    assert_eq!(sources[0].option("signed-by").expect("named").value, "/k");
    assert_eq!(sources[1].uris, ["cdrom:[Debian 12 _Bookworm_]/"]);
    assert_eq!(sources[2].suites, ["./"]);
    for (text, why) in [
        (
            "debs http://h x main",
            "line 1: neither `deb` nor `deb-src`",
        ),
        ("deb http://h", "line 1: no URI, or no suite"),
        (
            "deb http://h x",
            "line 1: no component, or a component after an exact path",
        ),
        (
            "\ndeb [arch=amd64 http://h x main",
            "line 2: `[` without `]`",
        ),
        (
            "deb [arch] http://h x main",
            "line 1: an option without `=`",
        ),
    ] {
        assert_eq!(parse_list(text).expect_err(text).to_string(), why);
    }
}

#[test]
fn reads_stanzas() {
    let text = "# c\nTypes: deb deb-src\nURIs: http://h/d\n  http://i/d\nSuites: a b\n# between\n\
                Components: main\nSigned-By:\n -----BEGIN\n .\n key\n\n\nTypes: deb\nURIs: http://j\n\
                Suites: ./\nEnabled: no\n";
    let sources = parse_stanzas(text).expect("two sources");
    assert_eq!(sources.len(), 2);
    assert_eq!(sources[0].uris, ["http://h/d", "http://i/d"]);
    assert_eq!(sources[0].lines, (2, 11));
    assert_eq!(
        sources[0].option("signed-by").expect("there").lines,
        (8, 11)
    );
    assert!(!sources[1].enabled);
    for (text, why) in [
        (" x", "line 1: a continuation without a field"),
        ("Types deb", "line 1: neither a field nor a comment"),
        (
            "Types: deb\n",
            "line 1: a stanza needs Types, URIs and Suites",
        ),
    ] {
        assert_eq!(parse_stanzas(text).expect_err(text).to_string(), why);
    }
}

/// What apt 2.6 reads from each of these was asked with `apt-get update --print-uris`.
#[test]
fn a_comment_or_white_space_does_not_end_a_field() {
    let suites = |text: &str| parse_stanzas(text).map(|read| read[0].suites.join(","));
    let of = |text: &str| suites(&format!("Types: deb\nURIs: u\nSuites: a\n{text}"));
    for (text, expected) in [
        ("# c\n b\nComponents: m\n", "a,b"),
        ("#Signed-By: x\n b\n", "a,b"),
        ("# c\n#\n b", "a,b"),
        (" \n b\n", "a,b"),
        (" # b\n", "a,#,b"),
        ("#\n\n", "a"),
    ] {
        assert_eq!(of(text).as_deref(), Ok(expected), "{text:?}");
    }
    // White space ends no stanza, so the next field stands twice in this one.
    let twice = of("\t\nTypes: deb\nURIs: v\nSuites: b\n").expect_err("two of each");
    assert_eq!(
        twice.to_string(),
        "line 5: a field stands twice in a stanza"
    );
    assert_eq!(
        suites("Types: deb\r\nURIs: u\r\nSuites: a\r\n\r\n"),
        Ok("a".to_owned())
    );
}

#[test]
fn sets_the_fields_of_a_stanza() {
    let fields = [("Suites", "x".to_owned()), ("Signed-By", "/k".to_owned())];
    for (text, expected) in [
        (
            "Types: deb\nURIs: u\nSuites: a\n# c\n b\n#Enabled: no\n c\nComponents: m\n",
            "Types: deb\nURIs: u\nSuites: x\n# c\n#Enabled: no\nComponents: m\nSigned-By: /k\n",
        ),
        (
            "#Suites: z\nTypes: deb\nURIs: u\nsuites : a\n# c\n b\n# d\n\n# e\n",
            "#Suites: z\nTypes: deb\nURIs: u\nSuites: x\n# c\nSigned-By: /k\n# d\n\n# e\n",
        ),
        (
            "Types: deb\r\nURIs: u\r\nSuites: a\r\n\r\n# e",
            "Types: deb\r\nURIs: u\r\nSuites: x\r\nSigned-By: /k\r\n\r\n# e",
        ),
        (
            "Types: deb\nSigned-By:\n -----BEGIN\n .\n x\nURIs: u\nSuites: a",
            "Types: deb\nSigned-By: /k\nURIs: u\nSuites: x",
        ),
    ] {
        let read = parse_stanzas(text).expect(text);
        assert_eq!(stanza_with(text, &read[0], &fields), expected, "{text}");
    }
}

#[test]
fn changes_the_options_of_a_line() {
    for (line, without, with) in [
        (
            "deb [trusted=yes] http://h x main",
            "deb http://h x main",
            "deb [trusted=yes a=b] http://h x main",
        ),
        (
            "deb [ arch=amd64 Trusted=yes ] cdrom:[D]/ x main",
            "deb [arch=amd64] cdrom:[D]/ x main",
            "deb [arch=amd64 Trusted=yes a=b] cdrom:[D]/ x main",
        ),
        (
            "deb cdrom:[D]/ x main",
            "deb cdrom:[D]/ x main",
            "deb [a=b] cdrom:[D]/ x main",
        ),
    ] {
        assert_eq!(line_without(line, &["trusted"]), without);
        assert_eq!(line_with(line, "a=b"), with);
    }
}

const LINES: &str = "/etc/apt/sources.list";
const STANZAS: &str = "/etc/apt/sources.list.d/debian.sources";
const SIGNED: &str = "apt_sources: {require: signed}";

#[test]
fn exemptions_from_signatures_are_taken_out() {
    check(SIGNED, &apt(), "n/a: apt has no sources");
    let host = apt().file(LINES, "deb http://deb.debian.org/debian bookworm main\n");
    check(SIGNED, &host, "ok: all 1 sources @ /etc/apt/sources.list:1");
    let host = apt().file(
        LINES,
        "# ours\ndeb [trusted=yes arch=amd64] http://repo.example/d stable main # keep\n",
    );
    let after = check(
        SIGNED,
        &host,
        "drift: http://repo.example/d has trusted=yes, wanted signatures are checked \
         @ /etc/apt/sources.list:2",
    );
    assert_eq!(
        after.content(LINES).as_deref(),
        Some("# ours\ndeb [arch=amd64] http://repo.example/d stable main # keep\n")
    );
    let host = apt().file(
        STANZAS,
        "Types: deb\nURIs: http://repo.example/d\nSuites: stable\nAllow-Insecure:\n yes\n\
         Components: main\nTrusted: no\n",
    );
    let after = check(
        SIGNED,
        &host,
        "drift: http://repo.example/d has allow-insecure=\\nyes, wanted signatures are checked \
         @ /etc/apt/sources.list.d/debian.sources:4",
    );
    assert_eq!(
        after.content(STANZAS).as_deref(),
        Some(
            "Types: deb\nURIs: http://repo.example/d\nSuites: stable\nComponents: main\nTrusted: no\n"
        )
    );
    check(
        SIGNED,
        &apt().file(LINES, "deb oops\n"),
        "error: /etc/apt/sources.list: line 1: no URI, or no suite",
    );
}

#[test]
fn debians_own_servers_answer_over_https() {
    let text = "deb http://deb.debian.org/debian bookworm main\n\
                deb https://deb.debian.org/debian bookworm-updates main\n";
    let yaml = "apt_sources: {require: https}";
    let host = apt().file(LINES, text).package("ca-certificates", "1");
    let after = check(
        yaml,
        &host,
        "drift: http://deb.debian.org/debian, wanted https @ /etc/apt/sources.list:1",
    );
    assert_eq!(
        after.content(LINES).as_deref(),
        Some(text.replace("http:", "https:").as_str())
    );
    let by_hand =
        "(by hand: find out whether the server answers over https, and change the address)";
    check(
        yaml,
        &apt().file(LINES, text),
        &format!("drift: http://deb.debian.org/debian, wanted https @ {LINES}:1 {by_hand}"),
    );
    let other = "deb mirror+http://m.example/x bookworm main\n";
    check(
        yaml,
        &apt().file(LINES, other).package("ca-certificates", "1"),
        &format!("drift: mirror+http://m.example/x, wanted https @ {LINES}:1 {by_hand}"),
    );
    check(
        yaml,
        &apt().file(LINES, "deb tor+http://h.onion/x bookworm main\n"),
        "ok: all 1 sources @ /etc/apt/sources.list:1",
    );
}

#[test]
fn each_source_names_its_keys() {
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let yaml = "apt_sources: {require: signed_by}";
    let said =
        "drift: http://deb.debian.org/debian trusts every key that apt knows, wanted signed-by";
    let host = apt()
        .file(keys, "")
        .file(LINES, "deb http://deb.debian.org/debian bookworm main\n");
    let after = check(yaml, &host, &format!("{said} @ {LINES}:1"));
    assert_eq!(
        after.content(LINES),
        Some(format!(
            "deb [signed-by={keys}] http://deb.debian.org/debian bookworm main\n"
        ))
    );
    let stanza =
        "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie\nComponents: main\n";
    let host = apt().file(keys, "").file(STANZAS, stanza);
    let after = check(yaml, &host, &format!("{said} @ {STANZAS}:1"));
    assert!(
        after
            .content(STANZAS)
            .is_some_and(|text| text == format!("{stanza}Signed-By: {keys}\n"))
    );
    // Many stanzas whose lines read the same, the last of which is continued.
    let many = (stanza.to_owned() + " contrib\n\n").repeat(7);
    let after = apt().file(keys, "").file(STANZAS, &many);
    let Some(text) = fix(yaml, &after).1.content(STANZAS) else {
        panic!("the file is gone");
    };
    let read = parse_stanzas(&text).expect(&text);
    assert!(
        read.iter()
            .all(|source| source.components == ["main", "contrib"])
    );
    assert!(
        read.iter()
            .all(|source| source.option("signed-by").is_some())
    );
}

const OURS: &str = "apt_source: {name: tools, uri: 'https://repo.example/d', suites: [stable], \
                    components: [main], signed_by: /etc/apt/keyrings/tools.gpg}";
const FILE: &str = "/etc/apt/sources.list.d/tools.sources";

#[test]
fn declares_a_source() {
    let after = check(
        OURS,
        &apt().dir("/etc/apt/sources.list.d"),
        "drift: not declared, wanted https://repo.example/d",
    );
    assert_eq!(
        after.content(FILE).as_deref(),
        Some(
            "Types: deb\nURIs: https://repo.example/d\nSuites: stable\nComponents: main\n\
             Signed-By: /etc/apt/keyrings/tools.gpg\n"
        )
    );
    check(OURS, &after, &format!("ok: declared @ {FILE}:1"));
}

#[test]
fn corrects_a_source_and_keeps_the_rest() {
    let host = apt().file(
        FILE,
        "# by ana\nTypes: deb\nURIs: https://repo.example/d\nSuites: old\n  older\nTrusted: yes\n\
         # only this\nArchitectures: amd64\n\nTypes: deb\nURIs: https://other.example\nSuites: ./\n",
    );
    let after = check(
        OURS,
        &host,
        &format!("drift: declared otherwise, wanted https://repo.example/d @ {FILE}:2"),
    );
    assert_eq!(
        after.content(FILE).as_deref(),
        Some(
            "# by ana\nTypes: deb\nURIs: https://repo.example/d\nSuites: stable\ntrusted: no\n\
             # only this\nArchitectures: amd64\nComponents: main\n\
             Signed-By: /etc/apt/keyrings/tools.gpg\n\nTypes: deb\nURIs: https://other.example\n\
             Suites: ./\n"
        )
    );
}

#[test]
fn removes_a_source() {
    let yaml = "apt_source: {name: tools, absent: true}";
    check(yaml, &apt(), "ok: not declared");
    let list = "/etc/apt/sources.list.d/tools.list";
    let after = check(
        yaml,
        &apt().file(list, "deb http://h x main\n").file(FILE, ""),
        &format!("drift: declared, wanted not declared @ {FILE} @ {list}"),
    );
    assert_eq!(after.content(list), None);
}

/// apt warns of a source that is there twice, and stops at one with two keys.
#[test]
fn both_forms_of_one_source_are_one() {
    let list = "/etc/apt/sources.list.d/tools.list";
    let line = "deb [arch=amd64 signed-by=/old.gpg] https://repo.example/d/ stable main\n";
    let after = check(
        OURS,
        &apt().file(list, line),
        &format!("drift: declared otherwise, wanted https://repo.example/d @ {list}:1"),
    );
    assert_eq!(after.content(list), None);
    assert!(after.content(FILE).is_some());
    // What else the file says stays.
    let other = "deb https://other.example/d stable main\n";
    let after = check(
        OURS,
        &apt().file(list, &format!("{other}{line}")),
        &format!("drift: declared otherwise, wanted https://repo.example/d @ {list}:2"),
    );
    assert_eq!(after.content(list).as_deref(), Some(other));
    // Twice, although the newer file is right.
    let twice = apt()
        .file(list, line)
        .file(FILE, &after.content(FILE).unwrap_or_default());
    let mended = check(
        OURS,
        &twice,
        &format!("drift: declared twice, wanted declared once @ {FILE}:1 @ {list}:1"),
    );
    assert_eq!(mended.content(list), None);
    // The older form alone, as wanted, will do.
    let right = "deb [signed-by=/etc/apt/keyrings/tools.gpg] https://repo.example/d stable main\n";
    check(
        OURS,
        &apt().file(list, right),
        &format!("ok: declared @ {list}:1"),
    );
}

/// In a file of another name: apt refuses both, so whoever plans it has to know.
#[test]
fn another_key_for_the_same_source_is_known() {
    let other = "/etc/apt/sources.list.d/other.list";
    let ours = "Types: deb\nURIs: https://repo.example/d\nSuites: stable\nComponents: main\n\
                Signed-By: /etc/apt/keyrings/tools.gpg\n";
    for (line, is_found) in [
        (
            "deb [signed-by=/old.gpg] https://repo.example/d/ stable main",
            true,
        ),
        (
            "deb-src [signed-by=/old.gpg] https://repo.example/d stable main",
            true,
        ),
        (
            "# deb [signed-by=/old.gpg] https://repo.example/d stable main",
            false,
        ),
        (
            "deb [signed-by=/old.gpg] https://repo.example/d testing main",
            false,
        ),
        (
            "deb [signed-by=/old.gpg] https://repo.example/e stable main",
            false,
        ),
        (
            "deb [signed-by=/etc/apt/keyrings/tools.gpg] https://repo.example/d stable main",
            false,
        ),
        ("deb https://repo.example/d stable main", false),
    ] {
        let host = apt()
            .dir("/etc/apt/sources.list.d")
            .file(other, &format!("{line}\n"));
        let seen = observe(&resource(OURS), &host);
        let found = other_keys(&HostPath::literal(FILE), ours, &seen);
        assert_eq!(found.len(), usize::from(is_found), "{line}: {found:?}");
        // Only a file of apt's is one.
        let elsewhere = other_keys(&HostPath::literal("/srv/x.sources"), ours, &seen);
        assert!(elsewhere.is_empty(), "{line}");
    }
}

#[test]
fn sources_that_apt_would_not_take_are_refused() {
    refused(
        "apt_source: {name: 'a b', absent: true}",
        "apt skips a file named `a b`: use letters, digits, `-`, `_` and `.`",
    );
    refused(
        "apt_source: {name: a, uri: 'https://h', suites: [x], components: [main]}",
        "a source needs `uri` and `signed_by`, or `absent: true`",
    );
    refused(
        "apt_source: {name: a, uri: 'https://h', suites: [x], signed_by: /k}",
        "a source has suites and components, or one exact path that ends with `/`",
    );
    refused(
        "apt_source: {name: a, uri: 'https://h', suites: [x], components: [main], signed_by: k}",
        "`signed_by` is the path of a keyring or a fingerprint of at least 40 digits, not `k`",
    );
}

const UPGRADES: &str = "unattended_upgrades: {origins: security}";
const USUAL_ORIGINS: &str = "Unattended-Upgrade::Origins-Pattern {\n\
    \"origin=Debian,codename=${distro_codename},label=Debian\";\n\
    \"origin=Debian,codename=${distro_codename}-security,label=Debian-Security\";\n};\n\
    Unattended-Upgrade::Package-Blacklist {\n};\n";

/// A host with these settings after those of the package.
fn upgrades(name: &str, settings: &str) -> Host {
    Host::new()
        .file(
            "/usr/lib/os-release",
            "ID=debian\nVERSION_CODENAME=bookworm\n",
        )
        .file("/etc/apt/apt.conf.d/50unattended-upgrades", USUAL_ORIGINS)
        .file(&format!("/etc/apt/apt.conf.d/{name}"), settings)
}

#[test]
fn what_unattended_upgrades_would_do_counts() {
    for good in [
        "",
        "#clear Unattended-Upgrade::Origins-Pattern;\n\
         Unattended-Upgrade::Origins-Pattern:: \"site=*,label=Debian-Security\";\n",
        "#clear Unattended-Upgrade::Origins-Pattern;\n\
         Unattended-Upgrade::Origins-Pattern:: \"origin=Debian,suite=*\";\n",
        "Unattended-Upgrade::Package-Blacklist { \"linux-\"; \"postgresql\"; };\n",
        "Unattended-Upgrade::Package-Whitelist { \".*\"; };\n",
        "Unattended-Upgrade::Update-Days {\"Nonday\"; \"Sun\"; };\n",
        "Unattended-Upgrade::Update-Days {\"0\"; };\n",
    ] {
        let said = words(&judge(UPGRADES, &upgrades("60x", good)));
        assert!(said.starts_with("ok"), "{good}: {said}");
    }
    let cleared = "#clear Unattended-Upgrade::Origins-Pattern;\n";
    let after = check(
        UPGRADES,
        &upgrades("60x", cleared),
        "drift: no origin is allowed, so nothing is installed, wanted security updates of this \
         release @ /etc/apt/apt.conf.d/60x",
    );
    assert_eq!(
        after.content("/etc/apt/apt.conf.d/99steadfast").as_deref(),
        Some(
            "Unattended-Upgrade::Origins-Pattern:: \
             \"origin=Debian,codename=${distro_codename}-security,label=Debian-Security\";\n"
        )
    );
    // Read after ours, it would empty that too.
    let said = words(&judge(UPGRADES, &upgrades("99zz", cleared)));
    assert!(said.contains("by hand: take `#clear`"), "{said}");
    for (bad, observed) in [
        (
            "Unattended-Upgrade::Package-Blacklist { \".*\"; };\n",
            "`.*` keeps every package away",
        ),
        (
            "Unattended-Upgrade::Package-Blacklist { \"\"; };\n",
            "`` keeps every package away",
        ),
        (
            "Unattended-Upgrade::Package-Whitelist { \"nginx\"; };\n",
            "only packages of a list are upgraded",
        ),
        // On a host it says each day: "Skipping update check".
        (
            "Unattended-Upgrade::Update-Days {\"Nonday\";};\n",
            "the days of updates name no day of the week, such as `Nonday`",
        ),
        (
            "Unattended-Upgrade::Update-Days {\"7\"; \"\";};\n",
            "the days of updates name no day of the week, such as `7`",
        ),
        (
            "#clear Unattended-Upgrade::Origins-Pattern;\n\
             Unattended-Upgrade::Origins-Pattern:: \"origin=Debian,codename=trixie-security\";\n",
            "the security archive is not among the allowed origins",
        ),
    ] {
        let said = words(&judge(UPGRADES, &upgrades("60x", bad)));
        assert!(said.contains(observed), "{bad}: {said}");
    }
    let strange = "Unattended-Upgrade::Package-Blacklist { \"(?!linux)\"; };\n";
    let said = words(&judge(UPGRADES, &upgrades("60x", strange)));
    assert!(said.starts_with("unknown"), "{said}");
}

/// apt_preferences(5): with a priority below that of what is installed, no version of the security
/// archive is taken.
#[test]
fn a_pin_that_keeps_security_updates_away() {
    let list = "Origin: Debian\nLabel: Debian-Security\nSuite: oldstable-security\n\
                Codename: bookworm-security\n";
    let directory = "/var/lib/apt/lists";
    let name = "security.debian.org_debian-security_dists_bookworm-security_InRelease";
    let with = |file: &str, pins: &str| {
        let host = upgrades("60x", "")
            .package("dpkg", "1.21.22")
            .dir(directory)
            .file(&format!("{directory}/{name}"), list)
            .file(&format!("/etc/apt/{file}"), pins);
        words(&judge(UPGRADES, &host))
    };
    let pin = |of: &str, priority: &str| {
        format!("# ours\n\nPackage: *\nPin: {of}\nPin-Priority: {priority}\n")
    };
    for of in [
        "release l=Debian-Security",
        "release o=Debian,n=bookworm-security",
        "release o=Debian",
        "origin security.debian.org",
        "origin \"security.debian.org\"",
    ] {
        for priority in ["-1", "50"] {
            let said = with("preferences.d/x", &pin(of, priority));
            let observed = format!("drift: `Pin: {of}` has priority {priority}");
            assert!(said.starts_with(&observed), "{of}: {said}");
            assert!(
                said.contains("@ /etc/apt/preferences.d/x:5"),
                "{of}: {said}"
            );
        }
        // What is installed is of the other archive, unless that is lowered with it.
        let said = with("preferences", &pin(of, "200"));
        let expected = if of == "release o=Debian" {
            "ok"
        } else {
            "drift"
        };
        assert!(said.starts_with(expected), "{of}: {said}");
        let said = with("preferences", &pin(of, "990"));
        assert!(said.starts_with("ok"), "{of}: {said}");
    }
    let others = pin("release a=testing", "-10")
        + "\n"
        + &pin("origin mirror.example", "1")
        + "\nPackage: nginx\nPin: release l=Debian-Security\nPin-Priority: -1\n";
    let said = with("preferences.d/x.pref", &others);
    assert!(said.starts_with("ok"), "{said}");
    // Whichever way it is said that it is for every package.
    for all in [
        "/.*/",
        "/./",
        "?*",
        "*:amd64",
        "*:any",
        "nginx *",
        "src:*",
        "[a-z]*",
        "[!0-9]*",
        "/^[a-z]/",
        "a* b* c* d* e* f* g* h* l* o* x*",
        "/^[a-z0-9]/",
        "/^[A-Z0-9]/",
        "/^[a-m]/ /^[n-z0-9]/",
        "/^[a-m]/\nPin: release l=Debian-Security\nPin-Priority: -1\n\nPackage: /^[n-z0-9]/",
    ] {
        let pins = pin("release l=Debian-Security", "-1")
            .replace("Package: *", &format!("Package: {all}"));
        let said = with("preferences.d/x", &pins);
        assert!(said.starts_with("drift"), "{all}: {said}");
    }
    for some in [
        "/^lib/",
        "lib*",
        "nginx:amd64",
        "/(/",
        "*:arm64",
        "openssl* lib*",
    ] {
        let pins = pin("release l=Debian-Security", "-1")
            .replace("Package: *", &format!("Package: {some}"));
        let said = with("preferences.d/x", &pins);
        assert!(said.starts_with("ok"), "{some}: {said}");
    }
    // The first that is for every package counts.
    let two = pin("release o=Debian", "500") + "\n" + &pin("release l=Debian-Security", "-1");
    let said = with("preferences.d/x", &two);
    assert!(said.starts_with("ok"), "{said}");
    // apt does not read a file of this name.
    let said = with("preferences.d/x.old", &pin("release o=Debian", "-1"));
    assert!(said.starts_with("ok"), "{said}");
    let said = with("preferences.d/x", &pin("release v=12", "-1"));
    assert!(said.starts_with("unknown"), "{said}");
}

/// With each of these, `apt-cache policy sudo` named on Debian 13 what was installed as the candidate.
#[test]
fn what_counts_more_than_the_security_archive() {
    let directory = "/var/lib/apt/lists";
    let site = "deb.debian.org_debian";
    let list = |label: &str, suite: &str| {
        let dash = if label == "Debian" { "" } else { "-security" };
        (
            format!("{directory}/{site}{dash}_dists_bookworm{dash}_InRelease"),
            format!(
                "Origin: Debian\nLabel: {label}\nSuite: {suite}{dash}\nCodename: bookworm{dash}\n"
            ),
        )
    };
    let base = |settings: &str| {
        let mut host = upgrades("60x", settings)
            .package("dpkg", "1.21.22")
            .dir(directory);
        for (path, text) in [
            list("Debian", "oldstable"),
            list("Debian-Security", "oldstable"),
        ] {
            host = host.file(&path, &text);
        }
        host
    };
    let pins = |of: &str, priority: &str| {
        let text = format!("Package: *\nPin: {of}\nPin-Priority: {priority}\n");
        words(&judge(
            UPGRADES,
            &base("").file("/etc/apt/preferences.d/x", &text),
        ))
    };
    let setting = |text: &str| words(&judge(UPGRADES, &base(text)));
    for (of, priority) in [
        ("release n=bookworm", "1001"),
        ("release l=Debian", "991"),
        ("release n=/bookworm$/", "1001"),
        ("release a=now", "600"),
        ("release a=oldstable", "900"),
        ("release l=/Secur/", "-1"),
        ("release l=*Secur*", "-1"),
    ] {
        let said = pins(of, priority);
        let observed = format!("drift: `Pin: {of}` has priority {priority}");
        assert!(said.starts_with(&observed), "{of}: {said}");
    }
    for (of, priority) in [
        ("release n=bookworm*", "990"),
        ("release o=Debian", "1001"),
        ("release n=trixie", "990"),
        ("release a=testing", "-1"),
        ("release n=bookworm-backports", "100"),
        ("release a=now", "100"),
        ("release l=Debian-Security", "990"),
        ("origin deb.debian.org", "900"),
        ("release v=12", "990"),
    ] {
        let said = pins(of, priority);
        assert!(said.starts_with("ok"), "{of}: {said}");
    }
    for release in ["bookworm", "oldstable", "n=bookworm"] {
        let said = setting(&format!("APT::Default-Release \"{release}\";\n"));
        let observed = format!(
            "drift: `APT::Default-Release \"{release}\"` has priority 990, above the 500 of the \
             security archive"
        );
        assert!(said.starts_with(&observed), "{said}");
        // It comes before all records for every package.
        let pin = "Package: *\nPin: release n=bookworm-security\nPin-Priority: 990\n";
        let host = base(&format!("APT::Default-Release \"{release}\";\n"));
        let said = words(&judge(UPGRADES, &host.file("/etc/apt/preferences", pin)));
        assert!(said.starts_with("ok"), "{said}");
    }
    for settings in [
        "APT::Default-Release \"/^bookworm(|-security|-updates)$/\";\n",
        "APT::Default-Release \"\";\n",
        "APT::Default-Release \"bookworm\";\nAPT::Default-Release \"trixie\";\n",
        "APT::Default-Release \"bookworm\";\n#clear APT::Default-Release;\n",
        "Unattended-Upgrade::InstallOnShutdown \"false\";\n",
        "DPkg::Options { \"--force-confold\"; };\n",
    ] {
        let said = setting(settings);
        assert!(said.starts_with("ok"), "{settings}: {said}");
    }
    for (settings, observed) in [
        (
            "Unattended-Upgrade::InstallOnShutdown \"true\";\n",
            "drift: updates are installed only when the host is shut down",
        ),
        (
            "DPkg::Options {\"--no-act\";};\n",
            "drift: dpkg is told to do nothing by `--no-act`",
        ),
    ] {
        let said = setting(settings);
        assert!(said.starts_with(observed), "{said}");
    }
    // Without lists, "stable" may be any release.
    let unfetched = upgrades("60x", "APT::Default-Release \"bookworm\";\n");
    assert!(words(&judge(UPGRADES, &unfetched)).starts_with("drift: `APT::Default-Release"));
}

#[test]
fn everything_is_on_hold() {
    let with = |held: &[&str]| {
        let mut host = upgrades("60x", "");
        for name in ["libc6", "base-files", "bash", "dpkg"] {
            host = host.package(name, "1");
            if let (true, Some(package)) = (held.contains(&name), host.packages.get_mut(name)) {
                package.status = "hold ok installed".to_owned();
            }
        }
        words(&judge(UPGRADES, &host))
    };
    assert!(with(&["bash", "dpkg"]).starts_with("ok"));
    let said = with(&["libc6", "base-files", "bash", "dpkg"]);
    assert!(
        said.starts_with("drift: libc6 and others are on hold"),
        "{said}"
    );
}

/// A host whose sources are none of security updates gets none, whatever the settings allow.
#[test]
fn without_a_source_of_security_updates_it_is_unknown() {
    let with = |sources: &str| {
        let host = upgrades("60x", "").file("/etc/apt/sources.list", sources);
        words(&judge(UPGRADES, &host))
    };
    let main = "deb http://deb.debian.org/debian bookworm main\n";
    for without in [
        main,
        "deb [trusted=yes] file:/srv/mirror ./\n",
        "deb-src http://deb.debian.org/debian-security bookworm-security main\n",
    ] {
        let said = with(without);
        assert!(said.starts_with("unknown"), "{without}: {said}");
    }
    for suite in ["bookworm-security", "buster/updates"] {
        let said = with(&format!("{main}deb http://mirror.example {suite} main\n"));
        assert!(said.starts_with("ok"), "{suite}: {said}");
    }
}

/// What apt has fetched tells the suite and the server: `match_whitelist_string` of
/// unattended-upgrades said the same of each of these on a host.
#[test]
fn an_origin_is_that_of_the_fetched_lists() {
    let list = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\n\
                Label: Debian-Security\nSuite: oldstable-security\nCodename: bookworm-security\n";
    let name = "deb.debian.org_debian-security_dists_bookworm-security_InRelease";
    let only = |origin: &str| {
        upgrades(
            "60x",
            &format!(
                "#clear Unattended-Upgrade::Origins-Pattern;\nUnattended-Upgrade::{origin};\n"
            ),
        )
    };
    for (origin, here, without) in [
        (
            "Allowed-Origins:: \"${distro_id}:oldstable-security\"",
            "ok",
            "unknown",
        ),
        (
            "Allowed-Origins:: \"${distro_id}:${distro_codename}-security\"",
            "drift",
            "drift",
        ),
        (
            "Allowed-Origins:: \"Debian:bookworm-security\"",
            "drift",
            "drift",
        ),
        (
            "Origins-Pattern:: \"o=Debian,a=stable-security\"",
            "drift",
            "unknown",
        ),
        (
            "Origins-Pattern:: \"site=security.debian.org\"",
            "drift",
            "unknown",
        ),
        (
            "Origins-Pattern:: \"site=deb.debian.org,n=bookworm-security\"",
            "ok",
            "unknown",
        ),
        (
            "Origins-Pattern:: \"o=Debian,n=${distro_codename}-security\"",
            "ok",
            "ok",
        ),
    ] {
        let host = only(origin);
        let said = words(&judge(UPGRADES, &host));
        assert!(said.starts_with(without), "{origin}: {said}");
        let host = host.file(&format!("/var/lib/apt/lists/{name}"), list);
        let said = words(&judge(UPGRADES, &host));
        assert!(said.starts_with(here), "{origin}: {said}");
    }
}

#[test]
fn how_often_is_a_number_of_days_or_one_with_its_unit() {
    let yaml =
        "apt_setting: {key: 'APT::Periodic::Unattended-Upgrade', value: {from: 1, to: 7, set: 1}}";
    for (said, holds) in [
        ("1", true),
        ("always", true),
        ("12h", true),
        ("7d", true),
        ("90m", true),
        ("0", false),
        ("0d", false),
        ("3650", false),
        ("240h", false),
        ("often", false),
    ] {
        let host = Host::new().file(
            "/etc/apt/apt.conf.d/20x",
            &format!("APT::Periodic::Unattended-Upgrade \"{said}\";\n"),
        );
        let judged = words(&judge(yaml, &host));
        assert_eq!(judged.starts_with("ok"), holds, "{said}: {judged}");
    }
}

#[test]
fn a_setting_for_one_server_counts() {
    let yaml = "apt_setting: {key: 'Acquire::https::Verify-Peer', value: 'true'}";
    let host = |text: &str| Host::new().file("/etc/apt/apt.conf.d/20x", text);
    check(
        yaml,
        &host("Acquire::https::x.example::Verify-Peer \"false\";\n"),
        "drift: Acquire::https::x.example::Verify-Peer false, wanted true \
         @ /etc/apt/apt.conf.d/20x:1 (by hand: take `Acquire::https::x.example::Verify-Peer` out \
         of /etc/apt/apt.conf.d/20x)",
    );
    for fine in [
        "Acquire::https::x.example::Verify-Peer \"true\";\n",
        "Acquire::https::x.example::Verify-Host \"false\";\n",
        "Acquire::https::x::Verify-Peer \"false\";\n#clear Acquire::https;\n",
        "Acquire::https::x::Verify-Peer \"false\";\nAcquire::https::X::Verify-Peer \"1\";\n",
    ] {
        let said = words(&judge(yaml, &host(fine)));
        assert!(said.starts_with("ok"), "{fine}: {said}");
    }
}

#[test]
fn a_source_whose_lists_may_be_old() {
    let yaml = "apt_sources: {require: fresh}";
    let list = "/etc/apt/sources.list";
    let after = check(
        yaml,
        &Host::new().file(
            list,
            "deb [check-valid-until=no arch=amd64] https://x.example/d stable main\n",
        ),
        "drift: https://x.example/d has check-valid-until=no, \
         wanted the date of its lists is checked @ /etc/apt/sources.list:1",
    );
    assert_eq!(
        after.content(list).as_deref(),
        Some("deb [arch=amd64] https://x.example/d stable main\n")
    );
    // Elsewhere apt may have others.
    let host = Host::new()
        .file(list, "deb https://x.example/d stable main\n")
        .file(
            "/etc/apt/apt.conf.d/20x",
            "Dir::Etc::SourceParts \"/etc/alt\";\n",
        );
    check(
        "apt_sources: {require: signed}",
        &host,
        "unknown: apt reads its sources elsewhere: Dir::Etc::SourceParts is /etc/alt \
         (/etc/apt/apt.conf.d/20x:1)",
    );
    // So it may where nobody can read what it is told.
    let unread = host.clone().cannot_tell(
        Probe::file(path("/etc/apt/apt.conf.d/20x")),
        Reason::NeedsRoot,
    );
    let said = words(&judge("apt_sources: {require: signed}", &unread));
    assert!(said.starts_with("unknown"), "{said}");
    let usual = host.file(
        "/etc/apt/apt.conf.d/20x",
        "Dir::Etc::SourceParts \"/etc/apt/sources.list.d/\";\n",
    );
    let said = words(&judge("apt_sources: {require: signed}", &usual));
    assert!(said.starts_with("ok"), "{said}");
}
