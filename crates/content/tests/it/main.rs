//! The reader of policies, and the compiler, as cases of text in and value or message out.

mod baselines;
mod compiled;
mod controls;
mod errors;
mod loader;
mod openssh;
mod published;
mod reader;
mod schema;
mod support;
