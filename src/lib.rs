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
    /// One Kubernetes API server: objects in memory, served over any byte stream.
    pub mod api {
        pub mod status;
    }

    /// What a real API server would say: bodies, schemas, validation, field ownership, patches,
    /// selectors, rights, tables. Pure functions on JSON values, held to recordings.
    pub mod rules {
        pub mod apply;
        pub mod auth;
        pub mod decode;
        pub mod errors;
        pub mod fields;
        pub mod kinds;
        pub mod managers;
        pub mod meta;
        pub mod networkpolicy;
        pub mod openapi;
        pub mod patch;
        pub mod pods;
        pub mod rbac;
        pub mod reviews;
        pub mod schema;
        pub mod selector;
        pub mod shape;
        pub mod table;
        pub mod tree;
        pub mod typed;
        pub mod words;
        pub mod yaml;
    }
}
