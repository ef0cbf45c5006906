//! What can go wrong before a host can be asked anything. Single questions never fail:
//! they are answered "unknown", with the reason.

use std::path::PathBuf;

/// The host itself can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("cannot open the root directory `{}`", path.display())]
    Root {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Links inside a tree that is looked at from outside are resolved by the kernel
    /// (`openat2` with `RESOLVE_IN_ROOT`); following them by hand would race.
    #[error("looking at another root needs Linux 5.6 or newer (openat2)")]
    NoOpenat2,
}
