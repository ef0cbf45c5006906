//! Keeps a program from sockets to other programs of this host (unix(7)). They are files that a
//! read-only view does not close, and root's programs do what root's user id asks of them: over
//! systemd's or Docker's socket a check could do anything.

use std::io;

// linux/seccomp.h
const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
const ALLOW: u32 = 0x7fff_0000;
const REFUSE: u32 = 0x0005_0000 | libc::EACCES.cast_unsigned();

// linux/seccomp.h, `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
#[cfg(target_endian = "little")]
const FIRST_ARGUMENT: u32 = 16;
#[cfg(target_endian = "big")]
const FIRST_ARGUMENT: u32 = 20;

// linux/audit.h
#[cfg(target_arch = "x86_64")]
const OURS: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const OURS: Option<u32> = Some(0xc000_00b7);
#[cfg(target_arch = "riscv64")]
const OURS: Option<u32> = Some(0xc000_00f3);
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
)))]
const OURS: Option<u32> = None;

/// The first number of x32, another way into the same calls (arch/x86/include/uapi/asm/unistd.h).
const X32: u32 = 0x4000_0000;

const fn load(offset: u32) -> libc::sock_filter {
    step(
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        0,
        0,
        offset,
    )
}

const fn give(answer: u32) -> libc::sock_filter {
    step((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, answer)
}

/// Jumps over so many steps where the loaded value is `value`, or is not.
const fn is(value: u32, then: u8, otherwise: u8) -> libc::sock_filter {
    step(
        (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        then,
        otherwise,
        value,
    )
}

const fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// For a child between fork and exec, after it gave up new privileges: makes one system call.
///
/// # Errors
/// Where this kernel or this architecture has no such filter.
#[expect(unsafe_code, reason = "a system call without a wrapper")]
pub(super) fn forbid() -> io::Result<()> {
    let Some(ours) = OURS else {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    };
    // Another architecture's calls have other numbers; a ring of io_uring makes sockets itself.
    let mut steps = [
        load(ARCHITECTURE),
        is(ours, 0, 7),
        load(NUMBER),
        step(
            (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16,
            5,
            0,
            X32,
        ),
        is(libc::SYS_io_uring_setup as u32, 4, 0),
        is(libc::SYS_socket as u32, 0, 2),
        load(FIRST_ARGUMENT),
        is(libc::AF_UNIX.cast_unsigned(), 1, 0),
        give(ALLOW),
        give(REFUSE),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            0 as libc::c_uint,
            &raw const program,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
