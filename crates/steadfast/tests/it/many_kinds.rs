//! One role that touches many kinds of resources at once, and what can be seen of it from
//! outside: for the tests that kill the program, or the machine, in the middle of it.

/// What the host is given first: what the role changes, replaces and removes.
pub const ARRANGED: &str = "\
printf '# kept by hand\\na = 1\\nb = 2\\nc = 3\\n' > /etc/lines.conf && chmod 0604 /etc/lines.conf \
&& setfacl -m u:daemon:r /etc/lines.conf && setfattr -n user.note -v kept /etc/lines.conf \
&& echo 'goes away' > /etc/goes-away && ln -s /nowhere /etc/turns \
&& printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' \
   > /usr/lib/systemd/system/demo.service && systemctl daemon-reload";

/// The role; without what could cut people off, nothing of it waits to be confirmed.
pub fn role(waits: bool) -> String {
    let lines = ROLE.lines().filter(|line| waits || !line.contains("sshd:"));
    lines.map(|line| format!("{line}\n")).collect()
}

const ROLE: &str = r#"role: kinds
want:
  - directory: {path: /etc/kinds, mode: "0750"}
  - file: {path: /etc/kinds/plain, content: "plain\n", mode: "0640"}
  - template: {path: /etc/kinds/site.conf, source: site.conf.j2}
  - link: {path: /etc/kinds/link, target: plain}
  - link: {path: /etc/turns, target: /etc/kinds/plain}
  - file: {path: /etc/motd, content: "This host is kept.\n"}
  - file: {path: /etc/goes-away, absent: true}
  - key_value: {path: /etc/lines.conf, syntax: equals, key: b, value: "20"}
  - sysctl: {key: net.ipv4.conf.all.log_martians, value: 1}
  - group: {name: operators}
  - user: {name: deploy, groups: [operators], shell: /bin/bash}
  - sudo_rule: {name: operators, group: operators, commands: [/usr/bin/uptime]}
  - unit_option: {unit: demo, section: Service, option: NoNewPrivileges, value: "yes"}
  - service: {name: demo, enabled: true, running: true}
  - sshd: {option: MaxAuthTries, value: 3}
"#;

pub const TEMPLATE: &str = "made for {{ hostname }}\n";

/// What is true, as a line of shell, once part of the role is in effect. In no order: which
/// comes first is the plan's to say.
pub const MILESTONES: [&str; 9] = [
    "[ -d /etc/kinds ]",
    "[ -e /etc/kinds/site.conf ]",
    "[ -L /etc/kinds/link ]",
    "[ ! -e /etc/goes-away ]",
    "[ -d /home/deploy ]",
    "[ -e /etc/sudoers.d/operators ]",
    "[ -e /etc/ssh/sshd_config.d/00-steadfast.conf ]",
    "[ -d /etc/systemd/system/demo.service.d ]",
    "[ -L /etc/systemd/system/multi-user.target.wants/demo.service ]",
];

/// What runs, beside what the files say.
pub const RUNNING: &str = "\
sysctl -n net.ipv4.conf.all.log_martians; \
systemctl is-enabled demo; systemctl is-active demo; \
systemctl show -p NoNewPrivileges -p NeedDaemonReload demo; \
systemctl show -p NeedDaemonReload ssh; systemctl is-active ssh; \
sshd -T | grep -i maxauthtries; id deploy 2>&1; true";

/// The apply that is interrupted. Where its risk is `connectivity`, it ends by waiting.
pub const APPLY: [&str; 7] = [
    "apply",
    "--role",
    "kinds",
    "--yes",
    "--detach",
    "--confirm-within",
    "10m",
];

/// The undo that is interrupted.
pub const UNDO: [&str; 6] = [
    "undo",
    "last",
    "--yes",
    "--detach",
    "--confirm-within",
    "10m",
];

/// Where the moments begin when nobody says so.
const SEED: u64 = 9;

/// Moments that a seed decides: any spread will do, as long as the seed brings it back.
pub struct Moments {
    seed: u64,
    state: u64,
}

impl Moments {
    /// `STEADFAST_SEED`, or always the same: a test run is repeatable, and a campaign with other
    /// seeds is run by hand.
    #[expect(
        clippy::print_stdout,
        reason = "a failure can be repeated with the seed"
    )]
    pub fn seeded() -> Self {
        let given = std::env::var("STEADFAST_SEED").ok();
        let seed = given.and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or(SEED);
        println!("STEADFAST_SEED={seed} decides the moments");
        Self {
            seed,
            // Neighbouring seeds are spread, and none is zero, where xorshift would stay.
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Below `bound`, by xorshift64.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % bound
    }
}

/// How a host stands after an interruption was dealt with: nothing between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Before,
    Planned,
}

/// How many moments to try: a sample, or many when `STEADFAST_EXHAUSTIVE` is 1.
pub fn rounds(sample: u32, many: u32) -> u32 {
    match std::env::var("STEADFAST_EXHAUSTIVE").as_deref() {
        Ok("1") => many,
        _ => sample,
    }
}

/// Is everything tried, and not a sample? (`cargo xtask test --exhaustive`)
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub fn all_is_wanted() -> bool {
    let wanted = rounds(0, 1) == 1;
    if !wanted {
        eprintln!("skipped: it takes long, and STEADFAST_EXHAUSTIVE is not 1");
    }
    wanted
}

/// May a test depend on what the distributions have published by today? Only where
/// `STEADFAST_TODAY` is 1 (`cargo xtask test --today`), so that nothing that they publish breaks a
/// test run.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub fn todays_updates_are_wanted() -> bool {
    let wanted = std::env::var_os("STEADFAST_TODAY").is_some_and(|value| value == "1");
    if !wanted {
        eprintln!("skipped: it takes today's updates, and STEADFAST_TODAY is not 1");
    }
    wanted
}
