//! The numbers of system calls and of errors, which stand for their names in audit rules.

/// `asm/unistd.h` of each machine, by name.
const CALLS: &str = include_str!("syscalls.txt");

/// What numbers mean depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// With i386 as its 32 bits.
    X86_64,
    /// With arm as its 32 bits.
    Aarch64,
}

impl Machine {
    /// By Debian's name of its architecture; none for one whose numbers are not known here.
    pub fn of_debian(architecture: &str) -> Option<Self> {
        match architecture {
            "amd64" => Some(Self::X86_64),
            "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The number of a call that is named, or written in another way; none for what is no call of
    /// this machine.
    pub(super) fn number(self, call: &str, is_32_bit: bool) -> Option<String> {
        if call.starts_with(|c: char| c.is_ascii_digit()) {
            // As strtol(3) reads it, with any base.
            let number = match call.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16),
                None if call.len() > 1 && call.starts_with('0') => u32::from_str_radix(call, 8),
                None => call.parse(),
            };
            return number.ok().map(|number| number.to_string());
        }
        let column = match (self, is_32_bit) {
            (Self::X86_64, false) => 1,
            (Self::X86_64, true) => 2,
            (Self::Aarch64, false) => 3,
            (Self::Aarch64, true) => 4,
        };
        let mut lines = CALLS.lines().map(str::split_ascii_whitespace);
        let mut line = lines.find(|line| line.clone().next() == Some(call))?;
        let number = line.nth(column).filter(|number| *number != "-")?;
        Some(number.to_owned())
    }
}

/// errno(3): `asm-generic/errno-base.h`, from 1.
const ERRORS: [&str; 34] = [
    "-EPERM", "-ENOENT", "-ESRCH", "-EINTR", "-EIO", "-ENXIO", "-E2BIG", "-ENOEXEC", "-EBADF",
    "-ECHILD", "-EAGAIN", "-ENOMEM", "-EACCES", "-EFAULT", "-ENOTBLK", "-EBUSY", "-EEXIST",
    "-EXDEV", "-ENODEV", "-ENOTDIR", "-EISDIR", "-EINVAL", "-ENFILE", "-EMFILE", "-ENOTTY",
    "-ETXTBSY", "-EFBIG", "-ENOSPC", "-ESPIPE", "-EROFS", "-EMLINK", "-EPIPE", "-EDOM", "-ERANGE",
];

/// What a call ended with: `-13` is `-EACCES`.
pub(super) fn exit(value: &str) -> &str {
    let number = value.strip_prefix('-').and_then(|text| text.parse().ok());
    let named = number.and_then(|number: usize| ERRORS.get(number.checked_sub(1)?));
    named.copied().unwrap_or(value)
}
