//! Goldmane: its messages become what sluice understands, and the simulated one is followed through the
//! port-forward with mutual TLS, its losses and restarts told.

mod live;
mod wire;
