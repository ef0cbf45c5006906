//! What a plan says before anything is touched: what can't be done or not be taken back, by name,
//! and what comes with what it makes.

use crate::booted::Host;

/// Cases A12, A14 and F14 of 2026-11-30.
#[test]
fn what_can_not_be_taken_back_is_known_when_it_is_planned() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(
        "echo x > /etc/bound.conf; mount --bind /etc/bound.conf /etc/bound.conf; \
         mkdir /srv/ro; mount -t tmpfs -o ro none /srv/ro; \
         install -m 4755 /bin/true /usr/local/bin/held",
    );
    let wants = [
        ("/etc/bound.conf", "mounted on it"),
        ("/srv/ro/x", "read-only"),
        ("/etc/machine-id", "no undo would work"),
        ("/var/lib/steadfast/x", "own state"),
    ];
    let mut role = String::from("  - file: {path: /srv/a/b/c.conf, content: \"x\\n\"}\n");
    for (path, _) in wants {
        role += &format!("  - file: {{path: {path}, content: \"new\\n\"}}\n");
    }
    role += "  - file: {path: /usr/local/bin/held, content: \"new\\n\"}\n";
    host.role("ways", &role);
    let before = host.snapshot();
    let mut plan = host.steadfast(&["plan", "--role", "ways"]);
    plan = plan.expect(
        1,
        &["can't be done", "/srv/a/b", "loses its set-user-ID bit"],
    );
    for (path, why) in wants {
        plan = plan.expect(1, &[path, why]);
    }
    host.expect_same(&before);
    // What can be done is done, and that not all could be is told by the exit code.
    host.steadfast(&["apply", "--role", "ways", "--yes"])
        .expect(
            1,
            &["is in effect", "left out for role ways", "/etc/machine-id"],
        );
    assert_eq!(
        host.shell("stat -c '%a %U' /srv/a /srv/a/b"),
        "755 root\n755 root\n"
    );
    assert_eq!(host.shell("cat /etc/bound.conf; ls /srv/ro"), "x\n");
    host.steadfast(&["plan", "--role", "ways"])
        .expect(1, &["nothing can be done"]);
    host.steadfast(&["apply", "--role", "ways", "--yes"])
        .expect(1, &["nothing can be done", "/etc/machine-id"]);
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["as it was before"]);
    host.expect_same(&before);
}

/// Case F7 of 2026-11-30: the value of a secret was in `ps`, in the plan's diff, in the `next` line,
/// in the journal's JSON and in the saved plan.
#[test]
fn the_value_of_a_secret_is_seen_nowhere() {
    const SECRET: &str = "S3cretPassw0rd";
    let Some(host) = Host::installed() else {
        return;
    };
    host.write(
        "/etc/steadfast/policy/roles/shop.yaml",
        "role: shop\nparams:\n  db_password: {type: string, secret: true}\nwant:\n\
         - template: {path: /etc/shop.env, source: env}\n\
         - key_value: {path: /etc/shop.conf, syntax: equals, key: db, value: \"{{ db_password }}\"}\n\
         - file: {path: /etc/shop.key, content: \"S3cretPassw0rd\\n\", mode: \"0640\"}\n",
    );
    host.write(
        "/etc/steadfast/policy/roles/shop/env",
        "PGPASS={{ db_password }}\n",
    );
    host.write("/root/pw", format!("{SECRET}\n"));
    host.write("/root/params.yaml", format!("db_password: {SECRET}\n"));
    host.shell(
        "echo 'db = OldS3cretPassw0rd' > /etc/shop.conf; chmod 600 /root/pw /root/params.yaml",
    );

    let open = format!("db_password={SECRET}");
    host.steadfast(&["plan", "--role", "shop", "--param", &open])
        .expect(2, &["stands on the command line", "--param-from"]);
    host.shell("mkfifo /root/pipe");
    host.steadfast(&[
        "plan",
        "--role",
        "shop",
        "--param-from",
        "db_password=file:/root/pipe",
    ])
    .expect(2, &["not a regular file"]);

    let from = ["--param-from", "db_password=file:/root/pw"];
    let shop = |words: &[&str]| {
        let words: Vec<&str> = words.iter().chain(&["--role", "shop"]).copied().collect();
        words
            .into_iter()
            .chain(from)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let silent = |words: &[String], code: i32, said: &[&str]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = host.steadfast(&words).expect(code, said);
        let shown = said.to_string();
        assert!(!shown.contains(SECRET), "{words:?}: {shown}");
    };
    silent(
        &shop(&["plan"]),
        1,
        &[
            "/etc/shop.env",
            "not shown",
            "--param-from db_password=file:/root/pw",
        ],
    );
    silent(&shop(&["plan", "--format", "json"]), 1, &["(not shown)"]);
    silent(&shop(&["audit"]), 1, &["shop"]);
    silent(&shop(&["audit", "--format", "json"]), 1, &[]);
    host.shell("touch /root/plan.json; chmod 644 /root/plan.json");
    silent(&shop(&["plan", "--output", "/root/plan.json"]), 1, &[]);
    assert_eq!(host.shell("stat -c %a /root/plan.json").trim(), "600");
    silent(
        &["apply", "/root/plan.json", "--yes"].map(str::to_owned),
        0,
        &["in effect"],
    );
    assert_eq!(
        host.shell("cat /etc/shop.env /etc/shop.key").trim(),
        format!("PGPASS={SECRET}\n{SECRET}")
    );
    assert_eq!(
        host.shell("cat /etc/shop.conf").trim(),
        format!("db = {SECRET}")
    );
    for words in [
        &["show", "last"][..],
        &["show", "last", "--format", "json"],
        &["history"],
    ] {
        silent(
            &words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
            0,
            &[],
        );
    }
    let open = host.shell("find /var/lib/steadfast -perm /077 -type f ! -path '*/bin/*'");
    assert_eq!(open, "", "others may read it");

    // Nothing is left to do, whichever way the value comes.
    host.steadfast(&[
        "plan",
        "--role",
        "shop",
        "--param-file",
        "/root/params.yaml",
    ])
    .expect(0, &["nothing to do"]);
    host.shell("sed -i 's/$/x/' /etc/shop.env");
    silent(&shop(&["plan"]), 1, &["/etc/shop.env"]);
    let undo = ["undo", "last", "--yes"].map(str::to_owned);
    silent(&undo, 5, &["/etc/shop.env"]);
}

/// Cases F9 and A14 of 2026-11-30: checks of a database could not run at all, and root's sockets
/// were in the sight of each.
#[test]
fn a_check_runs_as_another_account_and_reaches_no_socket_unasked() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("useradd -m -s /bin/sh shop; install -d -o shop /srv/shop");
    let who = "/bin/sh, -c, \"test $(id -un) = shop -a $HOME = /home/shop && cat /srv/shop/done\"";
    host.role(
        "shop",
        &format!(
            "  - command: {{name: made, user: shop, check: [{who}], \
             fix: [/bin/sh, -c, \"id -un > /srv/shop/done\"], undo: [/bin/rm, /srv/shop/done]}}\n"
        ),
    );
    host.steadfast(&["plan", "--role", "shop"])
        .expect(1, &["as shop"]);
    host.steadfast(&["audit", "--role", "shop", "--severity", "medium"])
        .expect(1, &["exit status 1", "No such file or directory"]);
    host.steadfast(&["apply", "--role", "shop", "--yes"])
        .expect(0, &[]);
    assert_eq!(
        host.shell("stat -c %U /srv/shop/done; cat /srv/shop/done"),
        "shop\nshop\n"
    );
    // What a command's way back did, nobody can look at.
    host.steadfast(&["undo", "last", "--yes"]).expect(
        3,
        &["can't be looked at", "`/bin/rm /srv/shop/done` was run"],
    );

    let check = "/usr/bin/systemd-run, --wait, /usr/bin/touch, /root/touched";
    host.role(
        "run",
        &format!("  - command: {{name: run, check: [{check}]}}\n"),
    );
    host.steadfast(&["audit", "--role", "run", "--severity", "medium"])
        .expect(1, &["exit status 1", "Permission denied"]);
    let touched = host.shell("ls /root/touched 2>&1 || true");
    assert!(touched.contains("No such file"), "{touched}");
    let units =
        "  - command: {name: units, sockets: true, check: [/usr/bin/systemctl, is-active, dbus]}\n";
    host.role("units", units);
    host.steadfast(&["audit", "--role", "units"]).expect(0, &[]);
}

/// What systemd stops, restarts and starts along with a unit is in the plan, as text and as JSON, and
/// is what happens.
#[test]
fn units_that_move_along_are_in_the_plan() {
    let Some(host) = Host::installed() else {
        return;
    };
    let unit = |name: &str, more: &str| {
        host.write(
            &format!("/etc/systemd/system/{name}.service"),
            format!("[Unit]\n{more}\n[Service]\nExecStart=/bin/sleep infinity\n"),
        );
    };
    unit("db", "");
    unit("web", "Requires=db.service\nAfter=db.service");
    unit("bound", "BindsTo=web.service\nAfter=web.service");
    unit("part", "PartOf=db.service");
    unit("helper", "");
    unit("new", "Requires=helper.service\nConflicts=old.service");
    unit("old", "");
    unit("other", "");
    host.shell("systemctl daemon-reload; systemctl start db web bound part old other");
    let role = "  - service: {name: db, running: false}\n  - service: {name: new, running: true}\n";
    host.role("moves", role);
    host.steadfast(&["plan", "--role", "moves"]).expect(
        1,
        &[
            "with db.service, systemd stops bound.service, part.service, web.service",
            "with new.service, systemd stops old.service, and starts helper.service",
        ],
    );
    let said = host.steadfast(&["plan", "--role", "moves", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let along = |name: &str| {
        let actions = plan["actions"].as_array().expect("a list");
        let mut of = actions
            .iter()
            .filter(|action| action["effect"]["unit"]["name"] == name);
        of.next().expect("it is told")["along"].clone()
    };
    assert_eq!(
        along("db.service")["stops"],
        serde_json::json!(["bound.service", "part.service", "web.service"])
    );
    assert_eq!(
        along("new.service"),
        serde_json::json!({"starts": ["helper.service"], "stops": ["old.service"]})
    );
    host.steadfast(&["apply", "--role", "moves", "--yes"])
        .expect(0, &["is in effect"]);
    let up = "systemctl is-active db web bound part helper new old other | tr '\\n' ' '; true";
    assert_eq!(
        host.shell(up),
        "inactive inactive inactive inactive active active inactive active "
    );
    host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);
    assert_eq!(
        host.shell(up),
        "active active active active inactive inactive active active "
    );
    // A role that wants nothing of them says nothing of them.
    host.role("quiet", "  - service: {name: other, running: false}\n");
    let said = host.steadfast(&["plan", "--role", "quiet"]).expect(1, &[]);
    assert!(!said.out.contains("systemd stops"), "{said}");
}

/// Case C3 of the sysadmin's look: a parameter that nobody can set in a container failed a role after
/// seventeen steps.
#[test]
fn a_parameter_that_cannot_be_set_here_is_known_when_it_is_planned() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "values",
        "  - sysctl: {key: vm.swappiness, value: \"7\"}\n  - file: {path: /etc/motd, content: \"hi\\n\"}\n",
    );
    host.steadfast(&["plan", "--role", "values"]).expect(
        1,
        &[
            "can't be done: vm.swappiness",
            "mounted read-only",
            "/etc/motd",
        ],
    );
    host.steadfast(&["apply", "--role", "values", "--yes"])
        .expect(1, &["is in effect", "vm.swappiness"]);
    assert_eq!(host.shell("cat /etc/motd"), "hi\n");
}
