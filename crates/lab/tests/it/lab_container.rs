//! Containers of both releases.

use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lab::{Container, Exec, Image, NOISE, Options, Release, Requirements, Snapshot, diff};

fn on_each_release(test: impl Fn(&Image) -> lab::Result<()>) {
    if !crate::lab_is_wanted(Requirements::Containers) {
        return;
    }
    for release in Release::ALL {
        let image = Image::build(release, &crate::cache(), &mut |said| eprintln!("{said}"))
            .expect("an image can be built where the lab is wanted");
        if let Err(error) = test(&image) {
            panic!("on {release}: {error:?}");
        }
    }
}

#[test]
fn a_host_boots_and_runs_what_a_server_runs() {
    on_each_release(|image| {
        let host = Container::start(image)?;
        assert_eq!(host.shell("systemctl is-system-running")?.trim(), "running");
        assert_eq!(
            host.shell(". /etc/os-release; echo $VERSION_ID")?.trim(),
            image.release().version().to_string()
        );
        assert!(host.shell("sshd -T")?.contains("port 22\n"));
        assert_eq!(
            host.shell("systemctl is-active ssh cron rsyslog dbus")?,
            "active\nactive\nactive\nactive\n"
        );
        assert_eq!(host.shell("sysctl -qw net.ipv4.conf.all.accept_redirects=0; cat /proc/sys/net/ipv4/conf/all/accept_redirects")?, "0\n");
        host.shell("nft add table inet filter && nft list table inet filter")?;
        let failed = host.run(["sh", "-c", "echo out; echo err >&2; exit 3"])?;
        assert_eq!(
            (
                failed.code(),
                failed.text().as_str(),
                failed.errors().as_str()
            ),
            (Some(3), "out\n", "err\n")
        );
        let seen = host
            .spawn_in_network(&Exec::new(["ssh-keyscan", "-t", "ed25519", "127.0.0.1"]))?
            .wait()?;
        assert!(seen.text().contains("ssh-ed25519"), "{seen:?}");
        Ok(())
    });
}

#[test]
fn a_failure_is_told_with_what_the_host_says() {
    static TOLD: Mutex<String> = Mutex::new(String::new());
    if let Err(why) = lab::wanted(
        std::env::var_os("STEADFAST_LAB").as_deref(),
        Requirements::Containers,
    ) {
        return eprintln!("skipped: {why}");
    }
    lab::tell_failures(|words| TOLD.lock().expect("a text").push_str(words));
    let image = Image::build(Release::Bookworm, &crate::cache(), &mut |_| {}).expect("an image");
    let failed = catch_unwind(AssertUnwindSafe(|| {
        let host = Container::start(&image).expect("a host");
        host.shell("systemd-run --quiet --unit broken false; logger -p user.err 'the disk is on fire'; sleep 1")
            .expect("it says so");
        let lines = "for i in $(seq 40); do echo line $i >&2; done; echo no such thing >&2; exit 7";
        let said = host.exec(&Exec::shell(lines)).expect("an end");
        assert_eq!(said.code(), Some(0), "the command works\n{}", said.errors());
    }));
    assert!(failed.is_err());
    let told = TOLD.lock().expect("a text").clone();
    let wanted = [
        "lab_container.rs:",
        "the command works",
        "exit status: 7",
        "no such thing",
        "broken.service",
        "the disk is on fire",
    ];
    for wanted in [&[lab::MARK][..], &wanted[..]].concat() {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert!(told.lines().count() <= 20, "{told}");
}

#[test]
fn a_snapshot_sees_every_change_and_nothing_else() {
    on_each_release(|image| {
        let host = Container::start(image)?;
        host.shell("mkdir -p /srv/gone && echo 1 > /srv/gone/deep && echo 1 > /etc/kept")?;
        let before = host.snapshot()?;
        assert_eq!(
            diff(&before, &host.snapshot()?, NOISE),
            [],
            "nothing was done"
        );
        assert_eq!(
            diff(&before, &Snapshot::of_tree(&host.root_path())?, NOISE),
            [],
            "the quick way and a whole walk agree"
        );

        host.shell(
            "rm -r /srv/gone && rm /etc/issue && chmod 600 /etc/passwd && setfacl -m u:1:r /etc/group && setcap cap_net_raw+ep /usr/bin/id \
             && ln -sf elsewhere /etc/motd && echo 2 > /etc/kept && touch -d @1 /etc/hostname && echo x > '/etc/new file' \
             && rm -r /etc/cron.daily && mkdir /etc/cron.daily",
        )?;
        let after = host.snapshot()?;
        let whole = Snapshot::of_tree(&host.root_path())?;
        assert_eq!(
            diff(&after, &whole, NOISE),
            [],
            "the quick way and a whole walk agree"
        );
        let changed: Vec<_> = diff(&before, &after, NOISE)
            .into_iter()
            .map(|change| change.path.display().to_string())
            .collect();
        for path in [
            "/srv/gone/deep",
            "/etc/issue",
            "/etc/passwd",
            "/etc/group",
            "/usr/bin/id",
            "/etc/motd",
            "/etc/kept",
            "/etc/hostname",
            "/etc/new file",
            "/etc/cron.daily/dpkg",
        ] {
            assert!(
                changed.iter().any(|other| other == path),
                "{path} is not in {changed:?}"
            );
        }
        assert!(
            !changed.iter().any(|path| path == "/etc/shadow"),
            "{changed:?}"
        );
        Ok(())
    });
}

#[test]
fn files_outlive_a_reboot_and_not_a_reset() {
    on_each_release(|image| {
        let mut host = Container::start(image)?;
        let fresh = host.snapshot()?;
        host.write_file("/etc/steadfast/policy/kept", "kept")?;
        host.reboot()?;
        assert_eq!(host.read_file("/etc/steadfast/policy/kept")?, b"kept");
        assert_eq!(
            host.shell("stat -c %a /etc/steadfast/policy/kept")?,
            "644\n"
        );
        host.kill();
        assert!(host.run(["true"]).is_err(), "it's off");
        host.boot()?;
        assert_eq!(host.shell("cat /etc/steadfast/policy/kept")?, "kept");
        host.reset()?;
        assert!(host.read_file("/etc/steadfast/policy/kept").is_err());
        assert_eq!(diff(&fresh, &host.snapshot()?, NOISE), []);
        Ok(())
    });
}

#[test]
fn two_hosts_at_once_know_nothing_of_each_other() {
    on_each_release(|image| {
        let boot = |name: &'static str| {
            let image = image.clone();
            std::thread::spawn(move || {
                let host = Container::start(&image)?;
                host.write_file("/etc/name", name)?;
                Ok::<_, lab::Error>(host)
            })
        };
        let hosts =
            [boot("one"), boot("two")].map(|thread| thread.join().expect("a boot doesn't panic"));
        for (host, name) in hosts.into_iter().zip(["one", "two"]) {
            assert_eq!(host?.read_file("/etc/name")?, name.as_bytes());
        }
        Ok(())
    });
}

#[test]
fn a_command_is_bounded_and_can_be_killed() {
    on_each_release(|image| {
        let host = Container::start(image)?;
        let begun = Instant::now();
        let late = host.exec(&Exec::shell("echo begun; sleep 1000").limit(Duration::from_secs(1)));
        assert!(
            matches!(&late, Err(error @ lab::Error::TimedOut { .. }) if error.to_string().contains("begun")),
            "{late:?}"
        );
        let running = host.spawn(&Exec::new(["sleep", "1000"]))?;
        running.kill()?;
        assert!(running.wait()?.was_killed());
        assert!(begun.elapsed() < Duration::from_secs(20));
        // A killed process is gone when its parent has taken note, a moment later.
        let gone_by = Instant::now() + Duration::from_secs(10);
        while host.run(["pgrep", "sleep"])?.code() == Some(0) {
            assert!(Instant::now() < gone_by, "nothing is left of either");
        }
        // What stays in the background holds the output open, and isn't waited for.
        assert_eq!(
            host.exec(&Exec::shell("sleep 1000 & echo done").limit(Duration::from_secs(30)))?
                .text(),
            "done\n"
        );
        assert_eq!(host.exec(&Exec::new(["cat"]).stdin("in"))?.text(), "in");
        assert_eq!(
            host.exec(&Exec::shell("echo $A").env("A", "b"))?.text(),
            "b\n"
        );
        Ok(())
    });
}

#[test]
fn a_small_disk_is_full_soon() {
    on_each_release(|image| {
        let host = Container::start_with(
            image,
            Options {
                disk_bytes: 8 << 20,
                ..Options::default()
            },
        )?;
        let full = host.run(["dd", "if=/dev/zero", "of=/srv/fill", "bs=1M", "count=20"])?;
        assert!(full.errors().contains("No space left"), "{full:?}");
        Ok(())
    });
}

#[test]
fn an_overlay_works_inside_and_files_can_be_copied_and_bound() {
    on_each_release(|image| {
        let options = Options {
            binds: vec![("/bin/true".into(), "/opt/bound".into())],
            ..Options::default()
        };
        let host = Container::start_with(image, options)?;
        host.shell("mkdir /run/u /run/w && mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/u,workdir=/run/w /mnt && echo x > /mnt/x && test ! -e /etc/x")?;
        host.shell("test -x /opt/bound && ! touch /opt/bound")?;
        host.copy_in(
            concat!(env!("CARGO_MANIFEST_DIR"), "/src"),
            "/opt/folder/src",
        )?;
        host.copy_in("/bin/true", "/bin/copied")?;
        host.shell("grep -q fn /opt/folder/src/container.rs && test -x /usr/bin/copied")?;
        host.shell("ln -s /etc /srv/link")?;
        assert!(
            host.write_file("/srv/link/planted", "x").is_err(),
            "a link must not lead out of the host"
        );
        Ok(())
    });
}

/// Holds a host until it's killed, for the test below.
#[test]
#[ignore = "started by `what_a_killed_process_left_is_taken_away`, in a process of its own"]
fn hold_a_host() {
    on_each_release(|image| {
        let host = Container::start(image)?;
        println!("holding {}", run_folder(&host).display());
        std::thread::sleep(Duration::from_secs(300));
        Ok(())
    });
}

fn run_folder(host: &Container) -> PathBuf {
    let console = host.console();
    console
        .parent()
        .expect("the console's log lies in the run folder")
        .to_owned()
}

#[test]
fn what_a_killed_process_left_is_taken_away() {
    on_each_release(|image| {
        let program = std::env::current_exe().expect("a test has a program");
        let mut owner = Command::new(program)
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "lab_container::hold_a_host",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test's own program starts");
        let said = BufReader::new(owner.stdout.take().expect("it has a pipe")).lines();
        let folder = said
            .map_while(Result::ok)
            .find_map(|line| Some(PathBuf::from(line.split_once("holding ")?.1)));
        let folder = folder.expect("it says which folder it holds");
        let name = folder
            .file_name()
            .expect("a folder has a name")
            .to_string_lossy()
            .into_owned();
        let host_is_up = || {
            let processes = std::fs::read_dir("/proc")
                .expect("there is a /proc")
                .flatten();
            let lines = processes.map(|entry| std::fs::read(entry.path().join("cmdline")));
            lines
                .flatten()
                .any(|line| String::from_utf8_lossy(&line).contains(&name))
        };
        owner.kill().expect("it can be killed");
        owner.wait().expect("it ends");
        assert!(host_is_up(), "a killed owner leaves its host behind");
        Container::prepare(image, Options::default())?;
        assert!(!folder.exists(), "{} is left", folder.display());
        assert!(!host_is_up(), "a process of {name} is left");
        Ok(())
    });
}

/// Two network namespaces with a wire between them, which go when this goes.
struct Wire([String; 2]);

impl Wire {
    fn lay() -> Self {
        let names = ["a", "b"].map(|end| format!("steadfast-{}-{end}", std::process::id()));
        let wire = Self(names);
        let [a, b] = &wire.0;
        ip(&["netns", "add", a]);
        ip(&["netns", "add", b]);
        ip(&[
            "-n", a, "link", "add", "host0", "type", "veth", "peer", "name", "host0", "netns", b,
        ]);
        for (name, address) in [(a, "192.0.2.1/24"), (b, "192.0.2.2/24")] {
            ip(&["-n", name, "address", "add", address, "dev", "host0"]);
            ip(&["-n", name, "link", "set", "host0", "up"]);
        }
        wire
    }

    fn ends(&self) -> [Options; 2] {
        self.0.each_ref().map(|name| Options {
            network: Some(format!("/run/netns/{name}").into()),
            ..Options::default()
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in &self.0 {
            ip(&["netns", "delete", name]);
        }
    }
}

fn ip(args: &[&str]) {
    let status = Command::new("ip")
        .args(args)
        .status()
        .expect("ip(8) is there");
    assert!(status.success(), "ip {args:?}: {status}");
}

#[test]
fn two_hosts_reach_each_other_over_a_wire() {
    on_each_release(|image| {
        let wire = Wire::lay();
        let [a, b] = wire.ends();
        let a = Container::start_with(image, a)?;
        let _b = Container::start_with(image, b)?;
        let seen = a.shell("ssh-keyscan -t ed25519 192.0.2.2")?;
        assert!(seen.contains("192.0.2.2 ssh-ed25519"), "{seen}");
        Ok(())
    });
}
