//! sluice: rolls default-deny NetworkPolicies across a fleet of Kubernetes clusters.
//!
//! Facts come in and one function absorbs them ([`cockpit::world`]); orders go out and one function
//! decides them ([`cockpit::decide`]); the screen and the headless commands are two readers of the
//! same world. This file is the map, in reading order. `tests/tidy.rs` holds the import rules.

/// Values and rules. No clock, no I/O, no async, no serde, no Kubernetes, no terminal.
pub mod domain {
    pub mod names;
}

/// Generated from `assets/proto`; a test regenerates it and compares. Never edited by hand.
#[allow(clippy::all, clippy::pedantic, clippy::restriction, rust_2018_idioms)]
#[rustfmt::skip]
pub mod pb {
    pub mod flow;
    pub mod observer;
    pub mod relay;
}

/// The outside world in process: API servers and relays of a simulated fleet, with faults from a
/// seed. Uses nothing of ours but [`domain::names`] and [`pb`], so it cannot agree with our bugs.
pub mod sim {
    /// The simulated fleet: scenarios, inventories, traffic, a naive opinion on policies, the relay,
    /// faults, and servers on loopback. Never decides anything for the product.
    pub mod fleet {
        pub mod agents;
        pub mod cron;
        pub mod event;
        pub mod faults;
        pub mod filter;
        pub mod flows;
        pub mod generate;
        pub mod objects;
        pub mod people;
        pub mod plan;
        pub mod reader;
        pub mod relay;
        pub mod running;
        pub mod scenario;
        pub mod serve;
        pub mod system;
        pub mod tls;
        pub mod traffic;
        pub mod verdict;
        #[cfg(test)]
        mod verdict_tests;
        pub mod workspace;
    }

    /// One Kubernetes API server: objects in memory, served over any byte stream.
    pub mod api {
        pub mod clock;
        pub mod cluster;
        pub mod delete;
        pub mod discovery;
        pub mod faults;
        pub mod forms;
        pub mod negotiate;
        pub mod object;
        pub mod portforward;
        pub mod query;
        pub mod read;
        pub mod reply;
        pub mod resources;
        pub mod route;
        pub mod select;
        pub mod server;
        pub mod status;
        pub mod store;
        pub mod watch;
        pub mod write;
    }

    /// What a real API server would say: bodies, schemas, validation, field ownership, patches,
    /// selectors, rights, tables. Pure functions on JSON values, held to recordings.
    pub mod rules {
        pub mod decode;
        pub mod errors;
        pub mod kinds;
        pub mod meta;
        pub mod networkpolicy;
        pub mod pods;
        pub mod schema;
        pub mod shape;
        pub mod tree;
        pub mod words;
        pub mod yaml;
    }
}
