//! Tests of what is believed and what is not.

mod envelopes;
mod keys;
mod manifests;
