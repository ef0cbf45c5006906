//! Tests of decisions: what answers mean, and what would be done about them.

mod audit;
mod compare;
mod converge;
mod data;
mod outlook;
mod own;
mod patch;
mod retention;
mod risk;
mod stages;
mod support;
mod window;
