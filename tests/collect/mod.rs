//! `sluice collect` from the outside: gathering from a simulated relay, restarts, losses, being
//! killed, its door and its reader, and the files that install it.

mod address;
mod cockpit;
mod door;
mod install;
mod kill;
mod killed;
mod process;
mod relay;
mod sources;
