//! What people meet: commands, screens, stories of whole days, the README, and the rules of the code.

mod cli;
mod flights;
mod headless;
mod ingress;
mod lines;
mod monthly;
mod newcomer;
mod plain;
mod readme;
mod shared;
mod steady;
mod stories;
mod support;
mod team;
mod terminal;
mod tidy;
mod transcripts;
mod ux;
mod watchers;
mod whole;
