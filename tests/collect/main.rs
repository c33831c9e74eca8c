//! `sluice collect` from the outside: gathering from a simulated relay, restarts, losses, being
//! killed, its door and its reader, and the files that install it.

mod address;
#[path = "../fleet/client.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod client;
mod cockpit;
#[path = "../dnstap/wire.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod dnstap;
mod door;
mod install;
mod kill;
mod killed;
#[path = "../discover/lines.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod lines;
mod process;
mod relay;
mod sources;
#[path = "../support/terminal.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod terminal;
