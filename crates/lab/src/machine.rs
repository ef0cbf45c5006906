//! An emulated machine with its own kernel, disk and power switch.
//!
//! For what a container can't show: kernel parameters, modules, mounts at boot, audit rules, real reboots and power cuts. It is reached
//! over SSH on loopback, by an sshd of the lab's own, so that a rule about the host's sshd can't lock the lab out. Nothing but loopback
//! leads in; it reaches nothing but what the emulator answers itself.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::command::{DEFAULT_LIMIT, Output, Running, ends_within, run, run_ok, tail_of_file};
use crate::image::build;
use crate::recipe::{CONTROL_PORT, Flavour};
use crate::requirements::{local, program};
use crate::scratch::Scratch;
use crate::snapshot::Snapshot;
use crate::{Error, Exec, Release, Requirements, Result, last_words, machine_snapshot};

/// Emulated, a boot takes 20 s on an idle machine with two cores; a busy one may be ten times slower.
const BOOT_LIMIT: Duration = Duration::from_secs(300);
/// How often a boot is begun in whose midst the emulator itself crashes: it has been seen once in some hundred boots. The machine then
/// lost its power once more, and is switched on again.
const BOOTS: u32 = 3;
/// Crashes of the emulator that nobody made up for.
static CRASHES: AtomicU32 = AtomicU32::new(0);
/// An orderly shutdown, on the same terms.
const STOP_LIMIT: Duration = Duration::from_secs(90);
/// `mkfs.ext4 -d` of a gigabyte.
const FORMAT_LIMIT: Duration = Duration::from_secs(300);
const TICK: Duration = Duration::from_millis(100);
/// All that can be emulated, but for what is dear there: a `rep movsb`, which goes byte by byte, and a fifth level of page tables.
const PROCESSOR: &str = "max,erms=off,la57=off";
/// The kernel's mitigations of faults that an emulated processor does not have, its clearing of each page that it gives out, and its doubts
/// about the clock: with the processor's, a third of what a boot costs, measured.
const KERNEL_LINE: &str = "root=/dev/vda rw console=ttyS0 panic=-1 quiet mitigations=off init_on_alloc=0 tsc=reliable no_timer_check nowatchdog";
/// Room for the system, a kernel, and what tests write; the file is sparse.
const DISK_SIZE: &str = "4G";
/// The monitor answers in milliseconds; a bound so that a stuck emulator is an error.
const MONITOR_LIMIT: Duration = Duration::from_secs(10);
/// What the monitor says at the end of each answer.
const PROMPT: &str = "(qemu) ";

/// A machine's own disk, which holds what it changed of the shared one.
const CHANGES: &str = "disk.qcow2";

/// How often in this process an emulator crashed under a machine that was up, or at each try to boot it. Whatever failed after that says
/// nothing of the machine.
pub fn emulator_crashes() -> u32 {
    CRASHES.load(Ordering::Relaxed)
}

/// The disk, kernel and key that machines start from, built once per release.
#[derive(Clone, Debug)]
pub struct Disk {
    release: Release,
    cache: PathBuf,
    path: Arc<Path>,
}

impl Disk {
    /// The disk of `release` below `cache`, which is built first where it's not there yet.
    pub fn build(release: Release, cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Self> {
        Requirements::Machines.check()?;
        let finish = |progress: &mut dyn FnMut(&str), folder: &Path| {
            progress("writing the machine's disk");
            finish(folder)?;
            progress("booting the machine once");
            let disk = Self {
                release,
                cache: cache.to_owned(),
                path: folder.into(),
            };
            settle(&disk)
        };
        let path = build(release, Flavour::Machine, cache, progress, finish)?;
        Ok(Self {
            release,
            cache: cache.to_owned(),
            path: path.into(),
        })
    }

    /// Its release.
    pub fn release(&self) -> Release {
        self.release
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Turns a tree into a disk with a kernel and a key beside it.
fn finish(folder: &Path) -> Result<()> {
    let tree = folder.join("tree");
    let lab = tree.join("usr/lib/steadfast-lab");
    let key = folder.join("key");
    for path in [&key, &lab.join("host_key")] {
        let exec = Exec::new([
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "lab",
            "-f",
        ]);
        run_ok(local(&exec.arg(path))?, DEFAULT_LIMIT)?;
    }
    let authorized = lab.join("authorized_keys");
    let public = folder.join("key.pub");
    fs::copy(&public, &authorized).map_err(Error::io("copy to", &authorized))?;

    let boot = tree.join("boot");
    let kernel = only_file(&boot, "vmlinuz-")?;
    let version = kernel.trim_start_matches("vmlinuz-");
    fs::copy(boot.join(&kernel), folder.join("kernel")).map_err(Error::io("copy", &kernel))?;
    // The kernel's own start-up disk has the drivers of every machine, which takes an emulator seconds to unpack; this one has ours.
    let conf = tree.join("run/lab-initramfs");
    let write = |name: &str, text: &str| {
        let path = conf.join(name);
        fs::write(&path, text).map_err(Error::io("write", &path))
    };
    fs::create_dir_all(conf.join("scripts")).map_err(Error::io("create", &conf))?;
    write(
        "initramfs.conf",
        "MODULES=list\nBUSYBOX=auto\nCOMPRESS=gzip\nFSTYPE=ext4\n",
    )?;
    write("modules", "ext4\nvirtio_pci\nvirtio_blk\n")?;
    let exec = Exec::new(["chroot"]).arg(&tree);
    let exec = exec.args([
        "mkinitramfs",
        "-d",
        "/run/lab-initramfs",
        "-o",
        "/run/lab-initrd",
        version,
    ]);
    run_ok(local(&exec)?, FORMAT_LIMIT)?;
    let (from, to) = (tree.join("run/lab-initrd"), folder.join("initrd"));
    fs::copy(&from, &to).map_err(Error::io("copy", &from))?;
    fs::remove_file(&from).map_err(Error::io("remove", &from))?;
    fs::remove_dir_all(&conf).map_err(Error::io("remove", &conf))?;

    let exec = Exec::new(["mkfs.ext4", "-q", "-F", "-L", "root", "-d"]).arg(&tree);
    run_ok(
        local(&exec.arg(folder.join("disk.raw")).arg(DISK_SIZE))?,
        FORMAT_LIMIT,
    )?;
    fs::remove_dir_all(&tree).map_err(Error::io("remove", &tree))
}

/// Boots the disk once and keeps what that wrote: compiled AppArmor profiles above all, which an
/// emulated machine would else compile at every first boot, for half a minute.
fn settle(disk: &Disk) -> Result<()> {
    let mut machine = Machine::start(disk)?;
    machine.shutdown()?;
    let exec = Exec::new(["qemu-img", "commit", "-q"]).arg(machine.scratch.path().join(CHANGES));
    run_ok(local(&exec)?, FORMAT_LIMIT).map(drop)
}

/// The name of the one file in `folder` that starts with `prefix`.
fn only_file(folder: &Path, prefix: &str) -> Result<String> {
    let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let found = names.into_iter().find(|name| name.starts_with(prefix));
    found.ok_or_else(|| Error::Damaged {
        path: folder.to_owned(),
        reason: format!("no {prefix}* in it"),
    })
}

/// What a machine has.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u32,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            memory_mib: 1024,
            // A second one waits for the first where this machine is busy, and computes while it waits: a fifth more, measured.
            cpus: 1,
        }
    }
}

/// A machine with a disk of its own over the shared one. It goes when this goes.
#[derive(Debug)]
pub struct Machine {
    disk: Disk,
    options: MachineOptions,
    scratch: Scratch,
    /// A kernel of its own with its start-up disk, where it doesn't boot the shared one.
    kernel: Option<(PathBuf, PathBuf)>,
    power: Option<Power>,
}

/// A machine that is switched on.
#[derive(Debug)]
struct Power {
    qemu: Child,
    control: u16,
    ssh: u16,
}

impl Machine {
    /// Boots a fresh machine.
    pub fn start(disk: &Disk) -> Result<Self> {
        Self::start_with(disk, MachineOptions::default())
    }

    /// Boots a fresh machine with these options.
    pub fn start_with(disk: &Disk, options: MachineOptions) -> Result<Self> {
        let scratch = Scratch::create(&disk.cache)?;
        let exec = Exec::new(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        let exec = exec
            .arg(disk.file("disk.raw"))
            .arg(scratch.path().join(CHANGES));
        run_ok(local(&exec)?, DEFAULT_LIMIT)?;
        let mut machine = Self {
            disk: disk.clone(),
            options,
            scratch,
            kernel: None,
            power: None,
        };
        machine.boot()?;
        Ok(machine)
    }

    /// Switches it on, and waits until systemd says that it's running or degraded. Where the emulator itself crashes meanwhile, it is
    /// switched on again.
    pub fn boot(&mut self) -> Result<()> {
        if self.power.is_some() {
            return Ok(());
        }
        let mut begun = 1;
        loop {
            let up = self.boot_once();
            match up.is_err() && self.has_crashed() && begun < BOOTS {
                true => self.switch_off(),
                false if up.is_err() => {
                    self.power_cut();
                    return up;
                }
                false => return up,
            }
            begun += 1;
        }
    }

    fn boot_once(&mut self) -> Result<()> {
        let deadline = Instant::now() + BOOT_LIMIT;
        let qemu = self.spawn_qemu()?;
        self.power = Some(Power {
            qemu,
            control: 0,
            ssh: 0,
        });
        self.wait_until_up(deadline)
    }

    /// Whether the emulator was ended by a signal, which no machine within can bring about.
    fn has_crashed(&mut self) -> bool {
        let Some(power) = &mut self.power else {
            return false;
        };
        matches!(power.qemu.try_wait(), Ok(Some(status)) if status.signal().is_some())
    }

    fn spawn_qemu(&self) -> Result<Child> {
        let run = self.scratch.path();
        let log = File::create(run.join("qemu.log")).map_err(Error::io("create", "qemu.log"))?;
        let mut command = self.scratch.detached_launcher()?;
        command.arg(program("qemu-system-x86_64")?);
        // Always emulated: a /dev/kvm that opens may still crash or hang its guest (seen on a
        // rented machine), and then nothing is proven.
        command.args(["-machine", "q35", "-accel", "tcg,thread=multi"]);
        command.args([
            "-cpu",
            PROCESSOR,
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
        ]);
        command.arg("-smp").arg(self.options.cpus.to_string());
        command.arg("-m").arg(self.options.memory_mib.to_string());
        let (kernel, initrd) = match &self.kernel {
            Some(own) => own.clone(),
            None => (self.disk.file("kernel"), self.disk.file("initrd")),
        };
        command.arg("-kernel").arg(kernel);
        command.arg("-initrd").arg(initrd);
        command.arg("-append").arg(KERNEL_LINE);
        // What the machine flushes is in this machine's cache, which no cut of *its* power loses.
        let disk = format!(
            "file={},if=virtio,format=qcow2,cache=unsafe",
            run.join(CHANGES).display()
        );
        command.arg("-drive").arg(disk);
        let forward = |port: u16| format!("hostfwd=tcp:127.0.0.1:0-:{port}");
        let network = format!(
            "user,id=n0,restrict=on,{},{}",
            forward(22),
            forward(CONTROL_PORT)
        );
        command.arg("-netdev").arg(network);
        command.args([
            "-device",
            "virtio-net-pci,netdev=n0",
            "-device",
            "virtio-rng-pci",
        ]);
        command
            .arg("-serial")
            .arg(format!("file:{}", self.console().display()));
        command.arg("-monitor").arg(format!(
            "unix:{},server=on,wait=off",
            self.monitor().display()
        ));
        let errors = log.try_clone().map_err(Error::io("open", "qemu.log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        command
            .spawn()
            .map_err(Error::io("start", "qemu-system-x86_64"))
    }

    fn wait_until_up(&mut self, deadline: Instant) -> Result<()> {
        let ports = self.wait_for(deadline, |machine| {
            match machine.ask_monitor("info usernet") {
                Ok(answer) => Ok(Some((
                    forwarded(&answer, 22)?,
                    forwarded(&answer, CONTROL_PORT)?,
                ))),
                // The monitor's socket isn't there yet.
                Err(Error::Io { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        if let Some(power) = &mut self.power {
            (power.ssh, power.control) = ports;
        }
        self.wait_for(deadline, |machine| {
            // The emulator takes the connection at once, and closes it again until the machine listens.
            if !machine.answers()? {
                return Ok(None);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let exec = Exec::new(["systemctl", "is-system-running", "--wait"]).limit(left);
            match machine.exec(&exec) {
                Ok(said) if ["running", "degraded"].contains(&said.text().trim()) => Ok(Some(())),
                Ok(_) | Err(Error::TimedOut { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Asks again and again until there is an answer, the emulator is gone, or the time is up.
    fn wait_for<T>(
        &mut self,
        deadline: Instant,
        mut ask: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            if let Some(power) = &mut self.power
                && let Some(status) = power
                    .qemu
                    .try_wait()
                    .map_err(Error::io("wait for", "qemu"))?
            {
                let detail = tail_of_file(&self.scratch.path().join("qemu.log"));
                let program = "qemu-system-x86_64".to_owned();
                return Err(Error::Failed {
                    program,
                    status: status.to_string(),
                    detail,
                });
            }
            if let Some(answer) = ask(self)? {
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                return Err(Error::TimedOut {
                    what: format!("the boot of {}", self.scratch.name()),
                    limit: BOOT_LIMIT,
                    detail: format!(": {}", tail_of_file(&self.console())),
                });
            }
            sleep(TICK);
        }
    }

    /// Whether the lab's sshd greets.
    fn answers(&self) -> Result<bool> {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.power()?.control).into();
        let Ok(mut stream) = std::net::TcpStream::connect_timeout(&address, TICK) else {
            return Ok(false);
        };
        stream
            .set_read_timeout(Some(MONITOR_LIMIT))
            .map_err(Error::io("prepare", "a connection"))?;
        let mut greeting = [0; 4];
        Ok(stream.read_exact(&mut greeting).is_ok() && greeting == *b"SSH-")
    }

    /// Runs a program to its end, for at most a minute.
    pub fn run<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Result<Output> {
        self.exec(&Exec::new(argv))
    }

    /// Runs a line with `/bin/sh`, which must end with 0, and returns what it says.
    pub fn shell(&self, line: &str) -> Result<String> {
        self.exec(&Exec::shell(line))?.ok()
    }

    /// Runs a command to its end. A connection that fails is the client's exit code, 255.
    pub fn exec(&self, exec: &Exec) -> Result<Output> {
        self.spawn(exec)?.wait()
    }

    /// Starts a command, to wait for it or to cut the power under it. Killing it kills the client only.
    pub fn spawn(&self, exec: &Exec) -> Result<Running> {
        let mut line = String::from("exec env");
        for (name, value) in &exec.env {
            let pair = format!("{}={}", name.to_string_lossy(), value.to_string_lossy());
            line = format!("{line} {}", quoted(&pair));
        }
        for arg in &exec.argv {
            line = format!("{line} {}", quoted(&arg.to_string_lossy()));
        }
        let mut command = self.ssh_client()?;
        command.arg(line);
        Running::start(command, exec)
    }

    /// The ssh client, over one connection that stays: each new one costs an emulated machine a second.
    fn ssh_client(&self) -> Result<Command> {
        let port = self.power()?.control;
        let mut command = self.scratch.launcher();
        command
            .arg(program("ssh")?)
            .args(["-F", "none", "-p", &port.to_string()]);
        command.arg("-i").arg(self.disk.file("key"));
        let socket = format!("ControlPath={}", self.scratch.path().join("ssh").display());
        let options = [
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "GlobalKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
            "ConnectTimeout=60",
            "ControlMaster=auto",
            "ControlPersist=yes",
            &socket,
        ];
        for option in options {
            command.args(["-o", option]);
        }
        command.arg("root@127.0.0.1").env_remove("SSH_AUTH_SOCK");
        Ok(command)
    }

    /// Where the host's own sshd is reached: a loopback port of this machine.
    pub fn ssh_port(&self) -> Result<u16> {
        Ok(self.power()?.ssh)
    }

    /// What it wrote to its serial console since it was last switched on.
    pub fn console(&self) -> PathBuf {
        self.scratch.path().join("console.log")
    }

    /// Copies a file of this machine to it, with its permission bits, or a folder with all it holds.
    pub fn copy_in(&self, from: impl AsRef<Path>, to: &str) -> Result<()> {
        let from = from.as_ref();
        let meta = fs::metadata(from).map_err(Error::io("look at", from))?;
        let to = quoted(to);
        let (bytes, line) = if meta.is_dir() {
            let tar = run(
                local(&Exec::new(["tar", "-c", "-C"]).arg(from).arg("."))?,
                DEFAULT_LIMIT,
            )?;
            (tar.stdout, format!("mkdir -p {to} && tar -x -C {to}"))
        } else {
            let mode = meta.permissions().mode() & 0o7777;
            let bytes = fs::read(from).map_err(Error::io("read", from))?;
            (
                bytes,
                format!("mkdir -p \"$(dirname {to})\" && cat >{to} && chmod {mode:o} {to}"),
            )
        };
        self.exec(&Exec::shell(&line).stdin(bytes).limit(BOOT_LIMIT))?
            .ok()
            .map(drop)
    }

    /// Copies a file of at most 64 MiB from it to this machine.
    pub fn copy_out(&self, from: &str, to: impl AsRef<Path>) -> Result<()> {
        fs::write(&to, self.read_file(from)?).map_err(Error::io("write", to))
    }

    /// What a file of at most 64 MiB holds.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        let said = self.run(["cat", "--", path])?;
        if said.success() {
            Ok(said.stdout)
        } else {
            said.ok().map(String::into_bytes)
        }
    }

    /// Writes a file, making its folders.
    pub fn write_file(&self, path: &str, content: impl Into<Vec<u8>>) -> Result<()> {
        let path = quoted(path);
        let line = format!("mkdir -p \"$(dirname {path})\" && cat >{path}");
        self.exec(&Exec::shell(&line).stdin(content))?
            .ok()
            .map(drop)
    }

    /// What the files at and below `paths` are now.
    pub fn snapshot(&self, paths: &[&str]) -> Result<Snapshot> {
        machine_snapshot::take(self, paths)
    }

    /// Cuts its power: the emulator is killed, and what the machine had not synced to its disk is lost.
    pub fn power_cut(&mut self) {
        if self.has_crashed() {
            CRASHES.fetch_add(1, Ordering::Relaxed);
        }
        self.switch_off();
    }

    fn switch_off(&mut self) {
        if let Some(mut power) = self.power.take() {
            self.scratch.end(&mut power.qemu);
        }
    }

    /// Shuts it down in order; [`Self::boot`] starts it again from the same disk.
    pub fn shutdown(&mut self) -> Result<()> {
        if self.power.is_none() {
            return Ok(());
        }
        let asked = self.ask_monitor("system_powerdown");
        let Some(power) = &mut self.power else {
            return Ok(());
        };
        let ended = asked.and_then(|_| ends_within(&mut power.qemu, STOP_LIMIT));
        self.power_cut();
        match ended? {
            true => Ok(()),
            false => Err(Error::TimedOut {
                what: format!("the shutdown of {}", self.scratch.name()),
                limit: STOP_LIMIT,
                detail: format!(": {}", tail_of_file(&self.console())),
            }),
        }
    }

    /// Shuts it down in order and boots it again.
    pub fn reboot(&mut self) -> Result<()> {
        self.shutdown()?;
        self.boot()
    }

    /// Waits until it is up again, after it was told from inside to restart itself.
    pub fn restarts_itself(&mut self) -> Result<()> {
        let deadline = Instant::now() + STOP_LIMIT;
        while self.answers()? {
            if Instant::now() >= deadline {
                return Err(Error::TimedOut {
                    what: format!("the restart of {}", self.scratch.name()),
                    limit: STOP_LIMIT,
                    detail: format!(": {}", tail_of_file(&self.console())),
                });
            }
            sleep(TICK);
        }
        // The connection that stays went with it.
        let _ = fs::remove_file(self.scratch.path().join("ssh"));
        self.wait_until_up(Instant::now() + BOOT_LIMIT)
    }

    /// Boots from now on what is installed under `release` in its `/boot`, as a boot loader would: the kernel and the start-up disk, of
    /// at most 64 MiB each.
    pub fn boots(&mut self, release: &str) -> Result<()> {
        let take = |name: &str| -> Result<PathBuf> {
            let to = self.scratch.path().join(name);
            self.copy_out(&format!("/boot/{name}-{release}"), &to)?;
            Ok(to)
        };
        self.kernel = Some((take("vmlinuz")?, take("initrd.img")?));
        Ok(())
    }

    fn power(&self) -> Result<&Power> {
        self.power
            .as_ref()
            .ok_or_else(|| Error::NotRunning(self.scratch.name()))
    }

    fn monitor(&self) -> PathBuf {
        self.scratch.path().join("monitor")
    }

    /// Gives the emulator a command and returns its answer.
    fn ask_monitor(&self, command: &str) -> Result<String> {
        let path = self.monitor();
        let mut stream = UnixStream::connect(&path).map_err(Error::io("connect to", &path))?;
        stream
            .set_read_timeout(Some(MONITOR_LIMIT))
            .map_err(Error::io("prepare", &path))?;
        read_to_prompt(&mut stream).map_err(Error::io("read from", &path))?;
        writeln!(stream, "{command}").map_err(Error::io("write to", &path))?;
        read_to_prompt(&mut stream).map_err(Error::io("read from", &path))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            last_words::tell(&|exec| self.exec(exec));
        }
        self.power_cut();
    }
}

fn read_to_prompt(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while !said.ends_with(PROMPT.as_bytes()) {
        match stream.read(&mut buffer)? {
            0 => break,
            count => said.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// The port of this machine that leads to `guest_port`, out of the monitor's table.
fn forwarded(table: &str, guest_port: u16) -> Result<u16> {
    // `  TCP[HOST_FORWARD]  12       127.0.0.1 35555       10.0.2.15    22     0     0`
    let rows = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.into_iter().find(|row| {
        row.first()
            .is_some_and(|kind| kind.starts_with("TCP[HOST_FORWARD]"))
            && row.get(5) == Some(&guest_port.to_string().as_str())
    });
    row.and_then(|row| row.get(3)?.parse().ok())
        .ok_or_else(|| Error::Failed {
            program: "qemu-system-x86_64".to_owned(),
            status: "running".to_owned(),
            detail: format!("no port leads to {guest_port}: {table}"),
        })
}

/// A word for the shell at the other end of an SSH connection.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_other_shell_whole() {
        let word = "a b'c\"$(d)\n";
        let mut echo = Command::new("/bin/sh");
        echo.args(["-c", &format!("printf %s {}", quoted(word))]);
        assert_eq!(
            echo.output().map(|said| said.stdout).ok(),
            Some(word.as_bytes().to_vec())
        );
    }

    #[test]
    fn a_forwarded_port_is_found_in_the_monitors_table() {
        let table = "info usernet\r\nHub -1 (n0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  TCP[HOST_FORWARD]  12       127.0.0.1 35555       10.0.2.15    22     0     0\r\n  TCP[HOST_FORWARD]  11       127.0.0.1 43211       10.0.2.15  2222     0     0\r\n(qemu) ";
        assert_eq!(forwarded(table, 22).ok(), Some(35555));
        assert_eq!(forwarded(table, 2222).ok(), Some(43211));
        assert!(forwarded(table, 80).is_err());
    }
}
