//! An emulated machine of each release. One boot serves many questions, since a boot is what's dear.

use lab::{Disk, Machine, Release, Requirements, diff};

fn on(release: Release, test: impl Fn(&mut Machine) -> lab::Result<()>) {
    if !crate::lab_is_wanted(Requirements::Machines) {
        return;
    }
    let disk = Disk::build(release, &crate::cache(), &mut |said| eprintln!("{said}"))
        .expect("a disk can be built where the lab is wanted");
    let attempt = || Machine::start(&disk).and_then(|mut machine| test(&mut machine));
    let mut tried = attempt();
    // Which says nothing of ours.
    if tried.is_err() && lab::emulator_crashes() > 0 {
        eprintln!("the emulator crashed: once more");
        tried = attempt();
    }
    if let Err(error) = tried {
        panic!("on {release}: {error:?}");
    }
}

fn survives(machine: &mut Machine, version: &str) -> lab::Result<()> {
    assert_eq!(
        machine.shell("systemctl is-system-running")?.trim(),
        "running"
    );
    assert_eq!(
        machine.shell(". /etc/os-release; echo $VERSION_ID")?.trim(),
        version
    );
    // What a container can't do.
    machine
        .shell("sysctl -qw kernel.kptr_restrict=2 && grep -qx 2 /proc/sys/kernel/kptr_restrict")?;
    machine.shell("modprobe usb-storage && rmmod usb-storage")?;
    machine.shell("auditctl -w /etc/shadow -p wa -k lab && auditctl -l | grep -q shadow")?;
    let said = machine.run(["printf", "%s|", "a b", "c'd", "$e"])?;
    assert_eq!(said.text(), "a b|c'd|$e|");

    let before = machine.snapshot(&["/etc"])?;
    assert_eq!(diff(&before, &machine.snapshot(&["/etc"])?, &[]), []);
    machine.write_file("/etc/steadfast/kept", "kept")?;
    machine.shell("sync; echo lost > /etc/lost")?;
    machine.power_cut();
    assert!(machine.run(["true"]).is_err(), "it's off");

    machine.boot()?;
    assert_eq!(machine.read_file("/etc/steadfast/kept")?, b"kept");
    let lost = machine.run(["cat", "/etc/lost"])?;
    assert_ne!(lost.text(), "lost\n", "what was not synced is lost");
    machine.copy_in("/bin/true", "/opt/copied/true")?;
    machine.shell("test -x /opt/copied/true && rm -rf /etc/steadfast /etc/lost")?;
    let after = machine.snapshot(&["/etc"])?;
    let changed: Vec<_> = diff(&before, &after, &[])
        .into_iter()
        .filter(|change| !change.is_only_mtime())
        .collect();
    assert_eq!(changed, []);

    let greeting = std::net::TcpStream::connect(("127.0.0.1", machine.ssh_port()?)).is_ok();
    assert!(greeting, "the host's own sshd is reached");
    if !everything_is_tried() {
        // An orderly restart is one more boot; that of a patch is seen in each run.
        return Ok(());
    }
    machine.reboot()?;
    machine.shell("test -x /opt/copied/true")?;
    machine.shutdown()
}

fn everything_is_tried() -> bool {
    std::env::var_os("STEADFAST_EXHAUSTIVE").is_some()
}

#[test]
fn a_bookworm_machine_survives_a_power_cut() {
    // A boot is dear, and the other release shows the same in each run.
    if !everything_is_tried() {
        eprintln!("skipped: it takes long, and STEADFAST_EXHAUSTIVE is not set");
        return;
    }
    on(Release::Bookworm, |machine| survives(machine, "12"));
}

#[test]
fn a_trixie_machine_survives_a_power_cut() {
    on(Release::Trixie, |machine| survives(machine, "13"));
}
