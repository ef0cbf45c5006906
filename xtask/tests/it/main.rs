//! What holds for the whole repository, whichever crate is looked at.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod architecture;
