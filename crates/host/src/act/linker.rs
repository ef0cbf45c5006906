//! The cache of shared libraries (ldconfig(8)).

use super::ActError;
use super::program::Program;

/// Makes `/etc/ld.so.cache` from the libraries that are there.
pub fn make_cache() -> Result<(), ActError> {
    Program::find(&["/usr/sbin/ldconfig", "/sbin/ldconfig"])?
        .succeed()
        .map(drop)
}
