//! Hand-made reports: an ordinary host, and hosts that try everything.

use jiff::civil::date;
use model::finding::{AppliedWaiver, Drifted};
use model::plan::Risk;
use model::{Finding, HostPath, Outcome, RuleMeta, Severity, SourceLine, Waiver};
use plan::report::{BaselineSummary, HostSummary, REPORT_FORMAT};
use plan::{Counts, Report, Score};

pub fn finding(id: &str, severity: Severity, title: &str, outcome: Outcome) -> Finding {
    let area = match id.split('-').next() {
        Some("ssh") => "remote access",
        Some("kernel") => "kernel",
        Some("sudo" | "account") => "accounts",
        Some("file") => "permissions",
        _ => "system",
    };
    Finding {
        rule: RuleMeta {
            id: id.parse().expect("sample ids are valid"),
            baseline: if id.starts_with("ssh") {
                "openssh"
            } else {
                "debian"
            }
            .parse()
            .expect("sample names are valid"),
            title: title.to_owned(),
            severity,
            why: match id {
                "ssh-empty-password" => {
                    "Whoever guesses an account's name is in, and nothing in the log looks wrong."
                        .to_owned()
                }
                _ => format!("Because of what could happen without it ({id})."),
            },
            area: area.to_owned(),
            risk: Risk::None,
        },
        outcome,
        reason: None,
        drifts: Vec::new(),
        waiver: None,
        fixable: true,
    }
}

pub fn drifted(resource: &str, observed: &str, wanted: &str, at: &[(&str, u32)]) -> Drifted {
    Drifted {
        resource: resource.to_owned(),
        observed: observed.to_owned(),
        wanted: wanted.to_owned(),
        at: at
            .iter()
            .map(|(path, line)| SourceLine {
                path: HostPath::from_bytes(path.as_bytes()).expect("sample paths are absolute"),
                line: (*line > 0).then_some(*line),
            })
            .collect(),
        note: None,
        by_hand: None,
    }
}

pub fn failing(id: &str, severity: Severity, title: &str, drifts: Vec<Drifted>) -> Finding {
    Finding {
        drifts,
        ..finding(id, severity, title, Outcome::Fail)
    }
}

pub fn because(mut finding: Finding, reason: &str) -> Finding {
    finding.reason = Some(reason.to_owned());
    finding
}

pub fn waiver(rule: &str, reason: &str, expires: jiff::civil::Date) -> Waiver {
    Waiver {
        rule: rule.parse().expect("sample ids are valid"),
        hosts: vec!["web-*".to_owned()],
        reason: reason.to_owned(),
        owner: "ana".to_owned(),
        approver: "li".to_owned(),
        expires,
        declared_at: Some(SourceLine::new(
            HostPath::literal("/etc/steadfast/policy/waivers.yaml"),
            7,
        )),
    }
}

pub fn report(mut findings: Vec<Finding>) -> Report {
    findings.sort_by(|a, b| (b.rule.severity, &a.rule.id).cmp(&(a.rule.severity, &b.rule.id)));
    Report {
        format: REPORT_FORMAT,
        steadfast: "0.1.0".to_owned(),
        generated: "2026-11-23T14:42:10Z"
            .parse()
            .expect("a timestamp of RFC 3339"),
        took_ms: 412,
        host: HostSummary {
            hostname: "web-03".to_owned(),
            release: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            kernel: "6.1.0-28-amd64".to_owned(),
            as_root: true,
            root: None,
            found: ["openssh-server 9.2p1", "nginx 1.22.1", "postgresql 15.10"]
                .map(str::to_owned)
                .to_vec(),
        },
        baselines: vec![
            BaselineSummary {
                name: "debian".to_owned(),
                rules: 64,
                proven: true,
            },
            BaselineSummary {
                name: "openssh".to_owned(),
                rules: 22,
                proven: true,
            },
        ],
        roles: Vec::new(),
        score: Score::of(&findings),
        counts: Counts::of(&findings),
        findings,
        expired_waivers: Vec::new(),
        unended: Vec::new(),
        unended_unknown: None,
        other_roots: Vec::new(),
    }
}

/// An ordinary host: some of everything.
pub fn ordinary() -> Report {
    use Outcome::{Error, NotApplicable, Pass, Unknown, Waived};
    use Severity::{Critical, High, Low, Medium};
    let legacy = "/etc/ssh/sshd_config.d/10-legacy.conf";
    let mut root_login = drifted("sshd PermitRootLogin", "yes", "no", &[(legacy, 1)]);
    root_login.note = Some("sshd_config:34 says no; the drop-in is read first and wins".to_owned());
    let mut two_factors = drifted(
        "admin_login",
        "publickey alone, for `deploy` and `ana`",
        "two factors for everyone who can administer the host",
        &[("/etc/ssh/sshd_config", 57)],
    );
    two_factors.by_hand =
        Some("set AuthenticationMethods once every administrator has a second factor".to_owned());
    let world_writable = (1..=40)
        .map(|n| {
            drifted(
                &format!("files_where /srv/upload/{n}.tmp"),
                "mode 0666",
                "not writable by everyone",
                &[(&format!("/srv/upload/{n}.tmp"), 0)],
            )
        })
        .collect();
    let mut waived = because(
        finding(
            "kernel-kexec",
            Medium,
            "A running kernel cannot be replaced",
            Waived,
        ),
        "",
    );
    waived.reason = None;
    waived.drifts = vec![drifted("sysctl kernel.kexec_load_disabled", "0", "1", &[])];
    waived.waiver = Some(AppliedWaiver {
        waiver: waiver("kernel-kexec", "crash dumps", date(2027, 1, 31)),
        expired: false,
        approver_verified: false,
    });
    let mut findings = vec![
        failing(
            "ssh-empty-password",
            Critical,
            "No account without a password can sign in over SSH",
            vec![drifted(
                "sshd PermitEmptyPasswords",
                "yes",
                "no",
                &[(legacy, 2)],
            )],
        ),
        failing(
            "ssh-root-login",
            High,
            "Root cannot sign in over SSH",
            vec![root_login],
        ),
        failing(
            "ssh-two-factors",
            High,
            "Every administrator signs in with two factors",
            vec![two_factors],
        ),
        failing(
            "sudo-everything",
            High,
            "Nobody may run anything as root without proving who they are",
            vec![drifted(
                "sudo_limit deploy",
                "NOPASSWD: ALL for `deploy`",
                "a password",
                &[("/etc/sudoers.d/deploy", 1)],
            )],
        ),
        failing(
            "file-world-writable",
            High,
            "No file can be written by everyone",
            world_writable,
        ),
        failing(
            "kernel-redirects",
            Medium,
            "ICMP redirects are not accepted",
            vec![
                drifted(
                    "sysctl net.ipv4.conf.all.accept_redirects",
                    "1",
                    "0",
                    &[("/etc/sysctl.d/10-net.conf", 4)],
                ),
                drifted("sysctl net.ipv6.conf.all.accept_redirects", "1", "0", &[]),
            ],
        ),
        failing(
            "log-persistent",
            Medium,
            "The journal is kept over a restart",
            vec![drifted(
                "unit_option journald.conf Storage",
                "auto",
                "persistent",
                &[],
            )],
        ),
        failing(
            "account-umask",
            Low,
            "New files are private by default",
            vec![drifted(
                "login_setting UMASK",
                "022",
                "027",
                &[("/etc/login.defs", 151)],
            )],
        ),
        waived,
        because(
            finding(
                "boot-loader-password",
                Medium,
                "The boot loader asks for a password",
                Unknown,
            ),
            "the boot loader's files are not on this machine",
        ),
        because(
            finding(
                "log-auditd-rules",
                Medium,
                "Changes of accounts are recorded",
                Error,
            ),
            "/etc/audit/rules.d/10-base.rules:3: unknown option `-Z`",
        ),
        because(
            finding(
                "mail-local-only",
                Low,
                "The mail server listens to this machine only",
                NotApplicable,
            ),
            "no mail server is installed",
        ),
        because(
            finding(
                "kernel-module-dccp",
                Low,
                "The dccp module can't be loaded",
                NotApplicable,
            ),
            "this kernel has no dccp module",
        ),
    ];
    for (n, area) in (0..64).zip(["kernel", "account", "file", "log"].into_iter().cycle()) {
        let severity = Severity::ALL[n % 4];
        findings.push(finding(
            &format!("{area}-sample-{n}"),
            severity,
            "Something that should be true is true",
            Pass,
        ));
    }
    let mut report = report(findings);
    report.expired_waivers = vec![waiver(
        "account-umask",
        "shared build folder",
        date(2026, 10, 31),
    )];
    let umask = report
        .findings
        .iter_mut()
        .find(|finding| finding.rule.id.as_str() == "account-umask")
        .expect("it is in the list above");
    umask.waiver = Some(AppliedWaiver {
        waiver: report.expired_waivers[0].clone(),
        expired: true,
        approver_verified: false,
    });
    report
}

/// As an ordinary user, on a release that no rule is proven on.
pub fn as_user() -> Report {
    use Outcome::{Pass, Unknown};
    let mut findings = vec![finding(
        "log-persistent",
        Severity::Medium,
        "The journal is kept over a restart",
        Pass,
    )];
    for n in 0..18 {
        findings.push(because(
            finding(
                &format!("ssh-sample-{n}"),
                Severity::High,
                "Something about SSH",
                Unknown,
            ),
            &model::value::Reason::NeedsRoot.to_string(),
        ));
    }
    findings.push(because(
        finding(
            "kernel-sample",
            Severity::Low,
            "Something about the kernel",
            Unknown,
        ),
        "no answer within 5000 ms",
    ));
    let mut report = report(findings);
    report.host.as_root = false;
    report.host.hostname = "a-workstation-with-a-long-name.example.org".to_owned();
    report.host.release = "Ubuntu 24.04.1 LTS".to_owned();
    for baseline in &mut report.baselines {
        baseline.proven = false;
    }
    report
}

/// All that is judged passes.
pub fn clean() -> Report {
    report(vec![finding(
        "ssh-root-login",
        Severity::High,
        "Root cannot sign in over SSH",
        Outcome::Pass,
    )])
}

/// Nothing could be judged.
pub fn empty() -> Report {
    let mut report = report(Vec::new());
    report.baselines.clear();
    report.host.found.clear();
    report
}

/// What an attacker would put into names and values.
pub const HOSTILE: &str =
    "a\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m<script>alert(1)</script>\u{202e}\"'&\r\nb";

pub fn hostile() -> Report {
    use Outcome::{Fail, Unknown, Waived};
    let mut drift = drifted(HOSTILE, HOSTILE, HOSTILE, &[]);
    drift.at = vec![SourceLine::new(
        HostPath::from_bytes(b"/tmp/\x1b[31m\xff<img src=x onerror=alert(1)>\n.conf")
            .expect("absolute, without a nul"),
        3,
    )];
    drift.note = Some(HOSTILE.to_owned());
    drift.by_hand = Some(HOSTILE.to_owned());
    let mut failing = finding("ssh-hostile", Severity::Critical, HOSTILE, Fail);
    failing.drifts = vec![drift];
    HOSTILE.clone_into(&mut failing.rule.why);
    HOSTILE.clone_into(&mut failing.rule.area);
    let mut waived = finding("ssh-waived", Severity::High, HOSTILE, Waived);
    let mut paper = waiver("ssh-waived", HOSTILE, date(2027, 1, 31));
    HOSTILE.clone_into(&mut paper.owner);
    HOSTILE.clone_into(&mut paper.approver);
    waived.waiver = Some(AppliedWaiver {
        waiver: paper.clone(),
        expired: false,
        approver_verified: true,
    });
    let mut report = report(vec![
        failing,
        waived,
        because(
            finding("ssh-unknown", Severity::Low, HOSTILE, Unknown),
            HOSTILE,
        ),
    ]);
    report.expired_waivers = vec![paper];
    HOSTILE.clone_into(&mut report.host.hostname);
    HOSTILE.clone_into(&mut report.host.release);
    HOSTILE.clone_into(&mut report.host.kernel);
    report.host.found = vec![HOSTILE.to_owned()];
    report.host.root = Some(HOSTILE.to_owned());
    report
}

/// A thousand differences of one rule, each of its own kind, and values without end.
pub fn enormous() -> Report {
    let drifts = (0..1000)
        .map(|n| {
            drifted(
                &format!("file /srv/{n}"),
                &format!("value {n}"),
                "another",
                &[("/srv/list", n + 1)],
            )
        })
        .collect();
    let long_path = format!("/srv/{}", "deep/".repeat(60));
    let mut wide = drifted(
        "file wide",
        &"値".repeat(5000),
        &"x".repeat(5000),
        &[(&long_path, 9)],
    );
    wide.note = Some("長い説明 ".repeat(40));
    report(vec![
        failing(
            "file-many",
            Severity::High,
            "Each of a thousand files says something",
            drifts,
        ),
        failing(
            "a-rule-with-a-name-that-is-far-longer-than-any-column-would-like-it-to-be",
            Severity::Critical,
            "A title that goes on and on, since somebody had a lot to say about this one rule and nobody stopped them",
            vec![wide],
        ),
    ])
}

/// Each of them, by name.
pub fn all() -> Vec<(&'static str, Report)> {
    vec![
        ("ordinary", ordinary()),
        ("as_user", as_user()),
        ("clean", clean()),
        ("empty", empty()),
        ("hostile", hostile()),
        ("enormous", enormous()),
    ]
}
