//! What a lab host is made of. A changed recipe has another digest, so its image is built anew.

use crate::mirror::Mirror;
use crate::release::Release;
use crate::snapshot::sha256;

/// Raise it when the way in which an image is built changes, and not only what is in it.
const FORMAT: u32 = 2;

/// What a small server has, so that the rules about signing in, sudo, cron, PAM, logging, auditing, the firewall and time find their subject.
const PACKAGES: [&str; 28] = [
    "acl",
    "adduser",
    "apparmor",
    "attr",
    "auditd",
    "ca-certificates",
    "cron",
    "dbus",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libcap2-bin",
    "libpam-modules",
    "libpam-pwquality",
    "libpam-runtime",
    "logrotate",
    "nftables",
    "openssh-client",
    "openssh-server",
    "procps",
    "rsyslog",
    "sudo",
    "systemd",
    "systemd-sysv",
    "systemd-timesyncd",
    "tzdata",
    "udev",
    "unattended-upgrades",
];
/// The full kernel, since the cloud one lacks most of the modules that rules are about.
const MACHINE_PACKAGES: [&str; 3] = ["e2fsprogs", "initramfs-tools", "linux-image-amd64"];

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    Container,
    Machine,
}

/// A file that an image gets beyond what its packages bring.
#[derive(Debug)]
pub(crate) struct Placed {
    pub path: &'static str,
    pub mode: u32,
    pub content: String,
}

fn placed(path: &'static str, content: impl Into<String>) -> Placed {
    Placed {
        path,
        mode: 0o644,
        content: content.into(),
    }
}

/// A symbolic link that an image gets.
pub(crate) type Linked = (&'static str, &'static str);

/// Everything that decides what an image holds.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub release: Release,
    pub flavour: Flavour,
    pub mirror: Mirror,
    pub packages: Vec<&'static str>,
    pub files: Vec<Placed>,
    pub links: Vec<Linked>,
}

impl Recipe {
    pub(crate) fn new(release: Release, flavour: Flavour, mirror: Mirror) -> Self {
        let mut packages = PACKAGES.to_vec();
        let mut files = vec![
            placed("etc/hostname", "lab\n"),
            placed(
                "etc/hosts",
                "127.0.0.1\tlocalhost\n127.0.1.1\tlab\n::1\tlocalhost ip6-localhost ip6-loopback\n",
            ),
            sources(release, &mirror),
        ];
        let mut links = Vec::new();
        match flavour {
            Flavour::Container => {
                // The kernel refuses audit to containers; without this, auditd hangs or fails there, and the host is never quite up.
                let condition = "[Unit]\nConditionVirtualization=!container\n";
                files.push(placed(
                    "usr/lib/systemd/system/auditd.service.d/10-lab.conf",
                    condition,
                ));
                files.push(placed(
                    "usr/lib/systemd/system/audit-rules.service.d/10-lab.conf",
                    condition,
                ));
            }
            Flavour::Machine => {
                packages.extend(MACHINE_PACKAGES);
                files.push(placed(
                    "etc/fstab",
                    "/dev/vda / ext4 defaults,errors=remount-ro 0 1\n",
                ));
                files.push(placed(
                    "etc/systemd/network/10-lab.network",
                    "[Match]\nType=ether\n\n[Network]\nDHCP=yes\n",
                ));
                // The lab's own way in: another sshd, another port, no PAM, so that no rule about the host's sshd can lock us out.
                files.push(placed("usr/lib/steadfast-lab/sshd_config", CONTROL_SSHD));
                files.push(placed(
                    "usr/lib/systemd/system/steadfast-lab.service",
                    CONTROL_UNIT,
                ));
                // Both share sshd's run folder, which would go when the host's own sshd stops.
                files.push(placed(
                    "usr/lib/systemd/system/ssh.service.d/10-lab.conf",
                    "[Service]\nRuntimeDirectoryPreserve=yes\n",
                ));
                links.push((
                    "etc/systemd/system/multi-user.target.wants/steadfast-lab.service",
                    "/usr/lib/systemd/system/steadfast-lab.service",
                ));
                links.push((
                    "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
                    "/usr/lib/systemd/system/systemd-networkd.service",
                ));
            }
        }
        Self {
            release,
            flavour,
            mirror,
            packages,
            files,
            links,
        }
    }

    /// The name of the image's folder: what it is, and the start of the recipe's digest.
    pub(crate) fn name(&self) -> String {
        let flavour = match self.flavour {
            Flavour::Container => "container",
            Flavour::Machine => "machine",
        };
        let digest = sha256(format!("{FORMAT} {self:?}").as_bytes());
        format!("{}-{flavour}-{}", self.release, &digest[..12])
    }
}

/// The port of the lab's own sshd in a machine.
pub(crate) const CONTROL_PORT: u16 = 2222;

const CONTROL_SSHD: &str = "Port 2222
HostKey /usr/lib/steadfast-lab/host_key
AuthorizedKeysFile /usr/lib/steadfast-lab/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
PidFile none
MaxStartups 100
";

const CONTROL_UNIT: &str = "[Unit]
Description=The lab's own way in
After=network.target

[Service]
ExecStartPre=/bin/mkdir -p /run/sshd
ExecStart=/usr/sbin/sshd -D -f /usr/lib/steadfast-lab/sshd_config
Restart=always
KillMode=process
";

/// The apt sources as Debian's installer writes them: one line each in 12, stanzas with `Signed-By` in 13.
fn sources(release: Release, mirror: &Mirror) -> Placed {
    let codename = release.codename();
    match release {
        Release::Bookworm => {
            let mut text = format!("deb {} {codename} main\n", mirror.archive);
            if let Some(security) = &mirror.security {
                text += &format!("deb {security} {codename}-security main\n");
            }
            placed("etc/apt/sources.list", text)
        }
        Release::Trixie => {
            let stanza = |uri: &str, suite: &str| {
                format!(
                    "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
                )
            };
            let mut text = stanza(&mirror.archive, codename);
            if let Some(security) = &mirror.security {
                text += &format!("\n{}", stanza(security, &format!("{codename}-security")));
            }
            placed("etc/apt/sources.list.d/debian.sources", text)
        }
    }
}
