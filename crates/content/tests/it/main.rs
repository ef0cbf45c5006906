//! The reader of policies, and the compiler, as cases of text in and value or message out.

mod baselines;
mod builtin;
mod compiled;
mod errors;
mod support;
