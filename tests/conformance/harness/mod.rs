//! Replays recordings of a real API server against the simulated one, in memory, under a paused
//! clock, and names every step that differs.

pub mod compare;
pub mod connect;
pub mod ordered;
pub mod replay;
pub mod scene;
