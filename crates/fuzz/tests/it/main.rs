//! Each target with its seeds, and with inputs that chance makes of them.

mod mutate;
mod smoke;
