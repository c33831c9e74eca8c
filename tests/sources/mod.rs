//! Flow sources beyond Hubble and Goldmane: Antrea's stream from its bytes, pods' logs from hand-made
//! streams, and both on the simulated fleet, with what breaks them; how far back printed records reach.

mod api;
mod fleet;
mod logs;
mod reach;
mod told;
mod wire;
