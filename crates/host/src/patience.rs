//! Waiting with a limit. A read from a file system whose server is gone can block for
//! ever, and no signal wakes it: such a read runs on a thread of its own, which is left
//! behind when it takes too long.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The job's answer, or none when it took longer than `limit`.
pub fn within<T: Send + 'static>(
    limit: Duration,
    job: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, wait) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("steadfast-read".to_owned())
        .spawn(move || {
            // Nobody may be waiting any more; then the answer is of no use.
            let _ = answer.send(job());
        })
        .ok()?;
    wait.recv_timeout(limit).ok()
}
