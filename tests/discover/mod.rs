//! Discovery from the outside: what is printed and written for a small week, that nothing of a
//! person's is lost, and what bad files are answered with.

mod binary;
mod documents;
mod input;
pub mod lines;
mod week;
