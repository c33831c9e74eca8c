//! The simulated servers held to what real ones answered, and every source of flows, names and answers
//! of DNS followed over its own protocol.
//!
//! All tests stand in three programs: each is linked with the whole product, which takes longer than
//! most tests do.

mod collect;
mod conformance;
mod discover;
mod dnstap;
mod fleet;
mod forwarding;
mod goldmane;
mod hubble;
mod live;
mod pb;
mod probing;
mod sign_in;
mod sim_clients;
mod sim_custom;
mod sim_policies;
mod sources;
mod support;
mod tls;
mod watching;
mod wire;
