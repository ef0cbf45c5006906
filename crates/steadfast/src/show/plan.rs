//! Shows a plan before anything changes.
