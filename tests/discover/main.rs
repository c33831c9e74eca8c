//! Discovery from the outside: what is printed and written for a small week, that nothing of a
//! person's is lost, and what bad files are answered with.

mod binary;
#[path = "../dnstap/wire.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod dnstap;
mod documents;
mod input;
mod lines;
mod week;
