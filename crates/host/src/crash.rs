//! Where a change may be cut off. Each transition of the journal and each step of an
//! effect passes one of these points; in production they do nothing, and the tests kill
//! the process at each of them in turn.

use std::fmt;

/// Told about every point; see the module.
#[derive(Default)]
pub struct CrashPoints(Option<Box<dyn Fn(&'static str) + Send + Sync>>);

impl CrashPoints {
    pub const fn none() -> Self {
        Self(None)
    }

    /// For tests: `at` is called at every point with its name.
    #[doc(hidden)]
    pub fn calling(at: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(at)))
    }

    pub(crate) fn here(&self, point: &'static str) {
        if let Some(at) = &self.0 {
            at(point);
        }
    }
}

impl fmt::Debug for CrashPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "CrashPoints(test)"
        } else {
            "CrashPoints"
        })
    }
}
