//! Clocks that nobody sets. What waits for a confirmation is judged by these, since a step of
//! the time of day must neither lengthen the wait nor make a sign-in new.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Since the machine was started, with the time that it was suspended (clock_gettime(2)):
/// what the start of a process is counted by, too (proc_pid_stat(5)).
pub(crate) fn since_boot_ms() -> u64 {
    millis(clock_gettime(ClockId::Boottime))
}

/// The same without the time that it was suspended: what systemd and journald count by.
pub(crate) fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = parts(now);
    seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanos / 1000)
}

fn millis(now: Timespec) -> u64 {
    let (seconds, nanos) = parts(now);
    seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000)
}

fn parts(now: Timespec) -> (u64, u64) {
    let whole = |part: i64| u64::try_from(part).unwrap_or(0);
    (whole(now.tv_sec), whole(now.tv_nsec))
}
