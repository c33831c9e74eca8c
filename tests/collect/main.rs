//! `sluice collect` from the outside: gathering from a simulated relay, restarts, losses, being
//! killed, its door and its reader, and the files that install it.

mod address;
#[path = "../fleet/client.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod client;
mod door;
mod install;
mod kill;
mod relay;
