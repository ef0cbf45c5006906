//! `only_root`: files elsewhere that a program's own configuration names.

use model::Probe;
use model::value::Reason;
use resource::Judgement;

use crate::support::{Host, fix, judge, path, words};

const MAIN: &str = "/etc/ssh/sshd_config";

/// Somebody else's file is found and given back; root's own is no finding.
fn check(want: &str, host: &Host, file: &str) {
    let with = |owner: &str| host.clone().file_as(file, "x", 0o644, owner, owner);
    let good = words(&judge(want, &with("root")));
    assert!(!good.starts_with("drift"), "{file}: {good}");
    let bad = words(&judge(want, &with("bob")));
    assert!(
        bad.contains("owner bob") && bad.contains(&format!("@ {file}")),
        "{file}: {bad}"
    );
    let (_, after) = fix(want, &with("bob"));
    assert_eq!(after.nodes[&path(file)].owner, "root", "{file}");
}

/// `chown bob /srv/ca.pub`, and bob signs in as root.
#[test]
fn files_that_sshd_names_count() {
    let want = "only_root: {read_by: sshd}";
    let with = |line: &str| {
        Host::without_accounts()
            .file(MAIN, "Include /etc/ssh/sshd_config.d/*.conf\n")
            .file("/etc/ssh/sshd_config.d/x.conf", &format!("{line}\n"))
    };
    for (line, file) in [
        ("TrustedUserCAKeys /srv/ca.pub", "/srv/ca.pub"),
        ("TrustedUserCAKeys srv/ca.pub", "/srv/ca.pub"),
        (
            "Match User ana\nTrustedUserCAKeys /srv/ca.pub",
            "/srv/ca.pub",
        ),
        ("Include /opt/more.conf", "/opt/more.conf"),
        ("RevokedKeys /srv/krl", "/srv/krl"),
        ("Banner /srv/banner", "/srv/banner"),
        (
            "AuthorizedPrincipalsFile /srv/principals",
            "/srv/principals",
        ),
        ("AuthorizedPrincipalsFile /srv/p/%u", "/srv/p/root"),
        ("AuthorizedPrincipalsFile .principals", "/root/.principals"),
        ("AuthorizedKeysFile /srv/k/%u-%U%%", "/srv/k/root-0%"),
        (
            "Match Address 10.0.0.0/8\nAuthorizedKeysFile %h/keys",
            "/root/keys",
        ),
        ("AuthorizedKeysCommand /opt/keys %u", "/opt/keys"),
        (
            "AuthorizedKeysCommand /usr/bin/python3 /opt/keys.py %u",
            "/opt/keys.py",
        ),
        ("AuthorizedPrincipalsCommand /opt/who", "/opt/who"),
        ("AuthorizedKeysCommand /usr/bin/cat /opt/keys", "/opt/keys"),
        (
            "AuthorizedKeysCommand /usr/bin/grep -h %u /opt/keys",
            "/opt/keys",
        ),
        (
            "AuthorizedKeysCommand \"/usr/bin/awk\" -f/opt/x --keys=/opt/keys",
            "/opt/keys",
        ),
        (
            "AuthorizedPrincipalsCommand /usr/bin/python3.13 /opt/who",
            "/opt/who",
        ),
        (
            "AuthorizedPrincipalsCommand /bin/sh -c 'cat /opt/who'",
            "/opt/who",
        ),
        ("SshdSessionPath /opt/x", "/opt/x"),
        ("SshdAuthPath /opt/x", "/opt/x"),
        ("XAuthLocation /opt/x", "/opt/x"),
        ("PidFile /opt/pid", "/opt/pid"),
        ("SetEnv A=b LD_PRELOAD=/opt/x.so", "/opt/x.so"),
        ("SetEnv BASH_ENV=/opt/x", "/opt/x"),
        ("SetEnv \"PATH=/usr/bin:/opt/bin\"", "/opt/bin"),
        ("SetEnv LD_LIBRARY_PATH=/opt/lib", "/opt/lib"),
        ("ForceCommand . /opt/menu", "/opt/menu"),
        ("ForceCommand /usr/bin/python3.13 /opt/menu", "/opt/menu"),
        ("ForceCommand /opt/menu", "/opt/menu"),
        ("ForceCommand sh -c \"cd /opt && ./menu\"", "/opt/menu"),
        ("Subsystem sftp /opt/sftp -l INFO", "/opt/sftp"),
        ("SecurityKeyProvider /opt/sk.so", "/opt/sk.so"),
        ("", "/root/.ssh/authorized_keys"),
        ("", "/etc/ssh/sshrc"),
        ("", "/etc/ssh/moduli"),
    ] {
        check(want, &with(line), file);
    }
    // What sshd does not read, and what is an ordinary account's own, does not count.
    for (line, file) in [
        (
            "TrustedUserCAKeys none\nTrustedUserCAKeys /srv/ca.pub",
            "/srv/ca.pub",
        ),
        (
            "Match User ana\nForceCommand /home/ana/menu",
            "/home/ana/menu",
        ),
        (
            "Match User ana\nAuthorizedKeysFile /home/ana/keys",
            "/home/ana/keys",
        ),
        ("AuthorizedKeysFile /srv/k/%u", "/srv/k/ana"),
        (
            "Match User ana\nSetEnv LD_PRELOAD=/home/ana/x.so",
            "/home/ana/x.so",
        ),
        ("SetEnv HOME=/home/ana", "/home/ana"),
        ("HostKeyAgent SSH_AUTH_SOCK", "/SSH_AUTH_SOCK"),
        ("AuthorizedKeysFile none", "/root/.ssh/authorized_keys"),
        ("#TrustedUserCAKeys /srv/ca.pub", "/srv/ca.pub"),
    ] {
        let host = with(line).file_as(file, "x", 0o644, "ana", "ana");
        let said = words(&judge(want, &host));
        assert!(said.starts_with("ok"), "{line}: {said}");
    }
    // Who may make what is not there yet decides what it says, and a link is followed.
    let host = with("TrustedUserCAKeys /srv/ca/ca.pub").dir_as("/srv/ca", 0o755, "bob", "bob");
    let said = words(&judge(want, &host));
    assert!(
        said.contains("owner bob") && said.contains("@ /srv/ca"),
        "{said}"
    );
    let host = with("TrustedUserCAKeys /srv/ca.pub")
        .link("/srv/ca.pub", "/home/bob/ca.pub")
        .file_as("/home/bob/ca.pub", "x", 0o644, "bob", "bob");
    let said = words(&judge(want, &host));
    assert!(said.contains("@ /home/bob/ca.pub"), "{said}");
    // Who answers at the socket of the keys signs as the host.
    let mut host = with("HostKeyAgent /run/agent").file_as("/run/agent", "", 0o666, "bob", "bob");
    let socket = host.nodes.get_mut(&path("/run/agent"));
    socket.expect("it is there").file_type = model::value::FileType::Other;
    let said = words(&judge(want, &host));
    assert!(
        said.contains("a socket of bob") && said.contains("@ /run/agent"),
        "{said}"
    );
    // The command line counts as well.
    let host = with("").file(
        "/etc/default/ssh",
        "SSHD_OPTS=\"-o TrustedUserCAKeys=/srv/ca.pub\"\n",
    );
    check(want, &host, "/srv/ca.pub");
}

#[test]
fn certificates_of_the_host_count() {
    let host = Host::new().file(MAIN, "HostCertificate /srv/host-cert.pub\n");
    check(
        "only_root: {read_by: sshd_public_keys}",
        &host,
        "/srv/host-cert.pub",
    );
}

/// Who owns the key decides what apt trusts.
#[test]
fn keys_and_programs_that_apt_names_count() {
    let want = "only_root: {read_by: apt}";
    let list = "/etc/apt/sources.list.d/x.list";
    let stanzas = "/etc/apt/sources.list.d/x.sources";
    let conf = "/etc/apt/apt.conf.d/90x";
    for (at, text, file) in [
        (
            list,
            "deb [signed-by=/srv/k.gpg] http://x.example/ y main\n",
            "/srv/k.gpg",
        ),
        (
            list,
            "deb [signed-by=/srv/a.gpg,/srv/k.gpg] http://x.example/ y main\n",
            "/srv/k.gpg",
        ),
        (
            "/etc/apt/sources.list",
            "deb [signed-by=/srv/k.asc] http://x.example/ y main\n",
            "/srv/k.asc",
        ),
        (
            stanzas,
            "Types: deb\nURIs: http://x.example/\nSuites: y\nComponents: main\nSigned-By: /srv/k.gpg\n",
            "/srv/k.gpg",
        ),
        (
            conf,
            "Dir::Etc::trusted \"/srv/trusted.gpg\";\n",
            "/srv/trusted.gpg",
        ),
        (
            conf,
            "Dir { Etc { trustedparts \"/srv/keys\"; } }\n",
            "/srv/keys/k.gpg",
        ),
        (
            conf,
            "Dir::Etc::sourceparts \"/srv/lists\";\n",
            "/srv/lists/x.list",
        ),
        (
            conf,
            "DPkg::Post-Invoke { \"/opt/after || true\"; };\n",
            "/opt/after",
        ),
        (
            "/etc/dpkg/dpkg.cfg.d/x",
            "post-invoke=\"/opt/after || true\"\n",
            "/opt/after",
        ),
        (
            conf,
            "APT::Update::Post-Invoke-Success:: \"if /opt/after; then true; fi\";\n",
            "/opt/after",
        ),
        (
            "/etc/dpkg/dpkg.cfg",
            "pre-invoke = . /opt/before\n",
            "/opt/before",
        ),
        ("/etc/dpkg/dpkg.cfg", "admindir=/opt/b\n", "/opt/b"),
        ("/etc/dpkg/dpkg.cfg", "log /opt/b\n", "/opt/b"),
        (conf, "Dir::Bin::dpkg \"/opt/x\";\n", "/opt/x"),
        (conf, "Dir { Bin { dpkg \"/opt/x\"; }; };\n", "/opt/x"),
        (conf, "Dir::Bin::apt-key \"/opt/x\";\n", "/opt/x"),
        (conf, "Dir::Bin::methods \"/opt/m\";\n", "/opt/m/http"),
        (conf, "Dir::Bin::Planners:: \"/opt/m\";\n", "/opt/m/x"),
        (conf, "AptCli::Hooks::Install {\"/opt/x\";};\n", "/opt/x"),
        (
            conf,
            "Binary::apt::AptCli::Hooks::Upgrade:: \"/opt/x\";\n",
            "/opt/x",
        ),
        (
            conf,
            "DPkg::Options {\"--pre-invoke=/opt/x\";};\n",
            "/opt/x",
        ),
        (conf, "DPkg::Options:: \"--admindir=/opt/b\";\n", "/opt/b"),
        (conf, "DPkg::Path \"/opt/b:/usr/sbin\";\n", "/opt/b"),
        (conf, "DPkg::Pre-Invoke {\". /opt/x\";};\n", "/opt/x"),
        (conf, "#include \"/opt/conf\";\n", "/opt/conf"),
        (conf, "APT::Key::gpgvcommand \"/opt/x\";\n", "/opt/x"),
        (
            conf,
            "APT::Compressor::gzip::Binary \"/opt/x\";\n",
            "/opt/x",
        ),
        (
            conf,
            "Acquire::http::ProxyAutoDetect \"/opt/x\";\n",
            "/opt/x",
        ),
        (
            conf,
            "Acquire::https::Proxy-Auto-Detect::x.example \"/opt/x\";\n",
            "/opt/x",
        ),
        (conf, "Dir \"/opt/b\";\n", "/opt/b"),
        (conf, "Dir::Etc \"/opt/b\";\n", "/opt/b"),
        (conf, "Dir::Etc::main \"/opt/b\";\n", "/opt/b"),
        (conf, "Dir::State \"/opt/b\";\n", "/opt/b"),
        (conf, "Dir::State::lists \"/opt/b/\";\n", "/opt/b"),
        (conf, "Dir::State::status \"/opt/b\";\n", "/opt/b"),
        (conf, "Dir::Cache::archives \"/opt/b\";\n", "/opt/b"),
    ] {
        let host = Host::new().file(at, text);
        check_if_read(want, &host, file);
    }
    // What stands for none, and what apt only shows or passes over.
    for text in [
        "Dir::Cache::pkgcache \"\";\nDir::Ignore-Files-Silently:: \"/opt/x\";\n",
        "DPkg::Tools::Options::/opt/x::Version \"2\";\n",
        "Dir::Media::MountPath \"/opt/x\";\nAcquire::cdrom::mount \"/opt/x\";\n",
    ] {
        let host = Host::new()
            .file(conf, text)
            .file_as("/opt/x", "x", 0o644, "bob", "bob");
        let said = words(&judge(want, &host));
        assert!(said.starts_with("n/a"), "{text}: {said}");
    }
    // Read with its sources, wherever that is.
    let host = Host::new()
        .file(conf, "Dir::Etc::sourceparts \"/srv/lists\";\n")
        .file(
            "/srv/lists/x.list",
            "deb [signed-by=/srv/k.gpg] http://x.example/ y main\n",
        );
    check(want, &host, "/srv/k.gpg");
    // A source that is off, and a key that stands in the file itself.
    for (at, text) in [
        (
            list,
            "# deb [signed-by=/srv/k.gpg] http://x.example/ y main\n",
        ),
        (
            stanzas,
            "Enabled: no\nTypes: deb\nURIs: http://x.example/\nSuites: y\nComponents: main\nSigned-By: /srv/k.gpg\n",
        ),
        (
            stanzas,
            "Types: deb\nURIs: http://x.example/\nSuites: y\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n /srv/k.gpg\n -----END PGP PUBLIC KEY BLOCK-----\n",
        ),
    ] {
        let host = Host::new()
            .file(at, text)
            .file_as("/srv/k.gpg", "x", 0o644, "bob", "bob");
        let said = words(&judge(want, &host));
        assert!(said.starts_with("n/a"), "{text}: {said}");
    }
    // A list that apt would not read hides what it names.
    let host = Host::new().file(list, "deb [signed-by\n");
    assert!(matches!(judge(want, &host), Judgement::Unknown(_)));
}

/// The same, of a file whose text may be read itself.
fn check_if_read(want: &str, host: &Host, file: &str) {
    let text = if file.ends_with(".list") || file.ends_with("/conf") {
        "# nothing yet\n"
    } else {
        "x"
    };
    let host = host.clone().file_as(file, text, 0o644, "bob", "bob");
    let said = words(&judge(want, &host));
    assert!(
        said.contains("owner bob") && said.contains(&format!("@ {file}")),
        "{file}: {said}"
    );
    let (_, after) = fix(want, &host);
    assert_eq!(after.nodes[&path(file)].owner, "root", "{file}");
}

/// `auth.* /var/log/bobs.log`
#[test]
fn logs_that_rsyslog_names_count() {
    let want = "only_root: {read_by: rsyslog_logs, writers: [syslog], readers: [adm, syslog]}";
    for (line, log) in [
        ("auth.* /var/log/bobs.log", "/var/log/bobs.log"),
        ("auth.* /var/log/bobs.log", "/var/log/bobs.log.1"),
        ("auth.* /var/log/bobs.log", "/var/log/bobs.log.2.gz"),
        ("auth.* /var/log/bobs.log", "/var/log/bobs.log-20260101"),
        (
            "auth.* -/srv/log/bobs.log;RSYSLOG_FileFormat",
            "/srv/log/bobs.log",
        ),
        (
            "if $programname == 'x' then /srv/x.log\n& stop",
            "/srv/x.log",
        ),
        (
            "*.* action(type=\"omfile\" file=\"/srv/x.log\")",
            "/srv/x.log",
        ),
        (
            "action(type=\"omfile\"\n  file=\"/srv/x.log\")",
            "/srv/x.log",
        ),
        ("$outchannel x,/srv/x.log,1000,/bin/true", "/srv/x.log"),
    ] {
        let host = Host::new()
            .file(
                "/etc/rsyslog.conf",
                "$IncludeConfig /etc/rsyslog.d/*.conf\n",
            )
            .file("/etc/rsyslog.d/x.conf", &format!("{line}\n"));
        let with = |mode, owner, group| host.clone().file_as(log, "", mode, owner, group);
        for (bad, observed) in [
            (with(0o640, "bob", "adm"), "owner bob"),
            (
                with(0o666, "root", "adm"),
                "everyone may write, everyone may read",
            ),
        ] {
            let said = words(&judge(want, &bad));
            assert!(
                said.contains(observed) && said.contains(&format!("@ {log}")),
                "{line}: {said}"
            );
            let (_, after) = fix(want, &bad);
            let node = &after.nodes[&path(log)];
            assert_eq!(
                (node.mode, &*node.owner, &*node.group),
                (0o640, "root", "adm"),
                "{line}"
            );
        }
        let said = words(&judge(want, &with(0o640, "root", "adm")));
        assert!(said.starts_with("ok"), "{line}: {said}");
    }
    // Another file beside a log, a terminal, and a template's files.
    let host = Host::new()
        .file(
            "/etc/rsyslog.conf",
            "auth.* /srv/x.log\n*.emerg /dev/console\nauth.* ?Each\n",
        )
        .file_as("/srv/x.logger", "", 0o666, "bob", "bob");
    assert!(words(&judge(want, &host)).starts_with("n/a"));
}

#[test]
fn what_sessions_of_root_read_counts() {
    let want = "only_root: {read_by: root_sessions}";
    for file in [
        "/root/.bashrc",
        "/root/.profile",
        "/root/.bash_login",
        "/root/.bash_logout",
        "/root/.ssh/config",
        "/root/.ssh/rc",
        "/root/.ssh/authorized_keys",
        "/root/.vimrc",
        "/root/.config/systemd/user/x.service",
    ] {
        check(want, &Host::without_accounts().dir("/root"), file);
    }
    let host = Host::without_accounts().file_as("/root/notes", "x", 0o666, "bob", "bob");
    assert!(words(&judge(want, &host)).starts_with("ok"));
    let host = Host::without_accounts().dir_as("/root", 0o770, "root", "staff");
    let said = words(&judge(want, &host));
    assert!(said.contains("group staff may write"), "{said}");
}

/// Programs that other settings than rules and tables name.
#[test]
fn programs_that_settings_name_count() {
    let sudo = "only_root: {read_by: sudo_commands}";
    let rotated = "/var/log/x.log {\n\tweekly\n\tpostrotate\n\t\t[ -x /bin/true ] && /opt/x > /dev/null\n\tendscript\n}\n";
    for (want, at, text, file) in [
        (
            sudo,
            "/etc/sudo.conf",
            "Plugin sudoers_policy /opt/x.so\n",
            "/opt/x.so",
        ),
        (
            sudo,
            "/etc/sudo.conf",
            "Path noexec /opt/x.so # old\n",
            "/opt/x.so",
        ),
        (
            sudo,
            "/etc/sudo.conf",
            "Plugin sudoers_policy sudoers.so sudoers_uid=1000 sudoers_file=/opt/conf\n",
            "/opt/conf",
        ),
        (
            "only_root: {read_by: sudo}",
            "/etc/sudo.conf",
            "Plugin sudoers_policy sudoers.so sudoers_file=/opt/none:/opt/conf\n",
            "/opt/conf",
        ),
        (
            sudo,
            "/etc/sudo.conf",
            "Plugin sudoers_policy sudoers.so ldap_conf=/opt/conf\n",
            "/opt/conf",
        ),
        (
            sudo,
            "/etc/sudo.conf",
            "Debug sudo /opt/debug all@debug\n",
            "/opt/debug",
        ),
        (
            sudo,
            "/etc/sudoers",
            "Defaults group_plugin=\"group_file.so /opt/conf\"\n",
            "/opt/conf",
        ),
        (
            sudo,
            "/etc/sudoers",
            "Defaults lecture=always, lecture_file=/opt/x\n",
            "/opt/x",
        ),
        (
            sudo,
            "/etc/sudoers",
            "Defaults logfile=/opt/log\n",
            "/opt/log",
        ),
        (
            sudo,
            "/etc/sudo.conf",
            "Path plugin_dir /opt/x/\n",
            "/opt/x/sudoers.so",
        ),
        (
            sudo,
            "/etc/sudoers",
            "Defaults env_file=/srv/env\n",
            "/srv/env",
        ),
        (
            sudo,
            "/etc/sudoers",
            "Defaults:ana restricted_env_file=\"/srv/env\"\n",
            "/srv/env",
        ),
        (
            sudo,
            "/etc/sudoers",
            "Defaults mailerpath=/opt/mail\n",
            "/opt/mail",
        ),
        (
            "only_root: {read_by: cron_commands}",
            "/etc/anacrontab",
            "SHELL=/bin/sh\n1 5 site-daily nice /opt/job --all\n",
            "/opt/job",
        ),
        (
            "only_root: {read_by: logrotate_commands}",
            "/etc/logrotate.d/x",
            rotated,
            "/opt/x",
        ),
        (
            "only_root: {read_by: logrotate_commands}",
            "/etc/logrotate.d/x",
            "/var/log/x.log {\n\tpostrotate\n\t\t# it's here\n\t\tcd /opt\n\t\tflock -w 9 /run/x ./x\n\tendscript\n}\n",
            "/opt/x",
        ),
        (
            "only_root: {read_by: logrotate_commands}",
            "/etc/logrotate.conf",
            "compresscmd /opt/zip\ninclude /etc/logrotate.d\n",
            "/opt/zip",
        ),
        (
            "only_root: {read_by: logrotate_commands}",
            "/etc/logrotate.conf",
            "include /srv/rotate\n",
            "/srv/rotate/x",
        ),
    ] {
        let sudoers = Host::new().file("/etc/sudoers", "").dir("/etc/sudoers.d");
        let host = sudoers
            .file(at, text)
            .file_as(file, "x", 0o644, "bob", "bob");
        let said = words(&judge(want, &host));
        assert!(
            said.contains("owner bob") && said.contains(&format!("@ {file}")),
            "{text}: {said}"
        );
    }
    // Commands without a path are searched for there.
    let host = Host::new()
        .file(
            "/etc/sudoers",
            "Defaults secure_path=\"/usr/bin:/opt/bin\"\n",
        )
        .dir("/etc/sudoers.d")
        .dir_as("/opt/bin", 0o755, "bob", "bob");
    assert!(words(&judge(sudo, &host)).contains("@ /opt/bin"));
    // A file that a script removes, and the log itself, are run by nobody.
    let host = Host::new().file("/etc/logrotate.d/x", rotated).file_as(
        "/var/log/x.log",
        "",
        0o644,
        "bob",
        "bob",
    );
    let said = words(&judge("only_root: {read_by: logrotate_commands}", &host));
    assert!(!said.starts_with("drift"), "{said}");
}

/// A directory that can't be listed, or a file that can't be read, holds what nobody knows: that is
/// no pass.
#[test]
fn what_names_other_files_and_can_not_be_read_is_no_pass() {
    let dir = |at: &str| Probe::Dir { path: path(at) };
    let conf = "HostCertificate /srv/host-cert.pub\n";
    for (reader, host, hidden) in [
        (
            "audit_log",
            Host::without_accounts().file("/var/log/audit/audit.log", ""),
            dir("/var/log/audit"),
        ),
        (
            "rsyslog_logs",
            Host::without_accounts()
                .file("/etc/rsyslog.conf", "auth.* /srv/log/x.log\n")
                .file("/srv/log/x.log", ""),
            dir("/srv/log"),
        ),
        (
            "loader",
            Host::without_accounts().file("/etc/ld.so.conf", "/opt/lib\n"),
            Probe::file(path("/etc/ld.so.preload")),
        ),
        (
            "loader",
            Host::without_accounts().file("/etc/ld.so.conf", "/opt/lib\n"),
            dir("/usr/lib"),
        ),
        (
            "root_sessions",
            Host::without_accounts().file("/root/.bashrc", ""),
            Probe::Accounts,
        ),
        (
            "sshd",
            Host::without_accounts().file(MAIN, ""),
            Probe::Accounts,
        ),
        (
            "sshd_public_keys",
            Host::without_accounts()
                .file(MAIN, "Include /etc/ssh/sshd_config.d/x.conf\n")
                .file("/etc/ssh/sshd_config.d/x.conf", conf)
                .file("/etc/ssh/ssh_host_rsa_key.pub", ""),
            Probe::file(path("/etc/ssh/sshd_config.d/x.conf")),
        ),
    ] {
        let want = format!("only_root: {{read_by: {reader}}}");
        let said = words(&judge(&want, &host));
        assert!(said.starts_with("ok"), "{reader}: {said}");
        let said = words(&judge(&want, &host.cannot_tell(hidden, Reason::NeedsRoot)));
        assert!(said.starts_with("unknown"), "{reader}: {said}");
    }
}

/// What rsyslog runs and loads, and what root's units read and search.
#[test]
fn what_rsyslog_and_units_run_counts() {
    let rsyslog = "only_root: {read_by: rsyslog}";
    for (line, file) in [
        ("*.* ^/opt/x", "/opt/x"),
        ("*.* ^/opt/x;Template", "/opt/x"),
        (
            "module(load=\"omprog\")\n*.* action(type=\"omprog\" binary=\"/opt/x -a\")",
            "/opt/x",
        ),
        ("module(load=\"/opt/x.so\")", "/opt/x.so"),
        ("$ModLoad /opt/x.so", "/opt/x.so"),
        ("$ModDir /opt/b", "/opt/b"),
        ("$outchannel oc,/var/log/oc,100,/opt/x", "/opt/x"),
        ("if 1 then { include(file=\"/opt/conf\") }", "/opt/conf"),
    ] {
        let host = Host::new()
            .file("/etc/rsyslog.conf", &format!("{line}\n"))
            .file_as(file, "", 0o644, "bob", "bob");
        let said = words(&judge(rsyslog, &host));
        assert!(said.contains(&format!("@ {file}")), "{line}: {said}");
    }
    let units = "only_root: {read_by: unit_commands}";
    for (lines, file) in [
        ("ExecSearchPath=/opt/b\nExecStart=zz", "/opt/b/zz"),
        (
            "Environment=A=b \"LD_PRELOAD=/opt/x.so\"\nExecStart=/usr/bin/zz",
            "/opt/x.so",
        ),
        ("StandardInput=file:/opt/x\nExecStart=/bin/sh", "/opt/x"),
        ("RootDirectory=/opt/b\nExecStart=/usr/bin/zz", "/opt/b"),
        (
            "BindPaths=/opt/x:/usr/bin/zz\nExecStart=/usr/bin/zz",
            "/opt/x",
        ),
    ] {
        let with = |user: &str| {
            Host::new()
                .file(
                    "/etc/systemd/system/z.service",
                    &format!("[Service]\n{user}{lines}\n"),
                )
                .file_as(file, "", 0o755, "bob", "bob")
        };
        let said = words(&judge(units, &with("")));
        assert!(said.contains(&format!("@ {file}")), "{lines}: {said}");
        let said = words(&judge(units, &with("User=bob\n")));
        assert!(!said.starts_with("drift"), "{lines}: {said}");
    }
    for at in [
        "/etc/systemd/system.conf",
        "/etc/systemd/system.conf.d/x.conf",
    ] {
        let host = Host::new()
            .file(at, "[Manager]\nDefaultEnvironment=LD_PRELOAD=/opt/x.so\n")
            .file_as("/opt/x.so", "", 0o755, "bob", "bob");
        let said = words(&judge(units, &host));
        assert!(said.contains("@ /opt/x.so"), "{at}: {said}");
    }
}
