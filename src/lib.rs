//! sluice: rolls default-deny NetworkPolicies across a fleet of Kubernetes clusters.
//!
//! Facts come in and one function absorbs them ([`cockpit::world`]); orders go out and one function
//! decides them ([`cockpit::decide`]); the screen and the headless commands are two readers of the
//! same world. This file is the map, in reading order. `tests/tidy.rs` holds the import rules.

/// Values and rules. No clock, no I/O, no async, no serde, no Kubernetes, no terminal.
pub mod domain {
    pub mod denial;
    pub mod fleet;
    pub mod flow;
    pub mod names;
    pub mod policy;
    pub mod time;
    pub mod valve;
}

/// The state of the cockpit and the two functions that rule it. Synchronous, no I/O.
pub mod cockpit {
    pub mod commands;
    pub mod decide;
    pub mod orders;
    pub mod plan;
    pub mod ports;
    pub mod rows;
    pub mod world;
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
pub mod sim {}

/// The screen: reads the world, owns where the operator looks, asks and never acts. Synchronous;
/// no clock, no network, no adapters. [`tui::update`] takes keys, [`tui::settle`] follows facts,
/// [`tui::draw`] paints.
pub mod tui {
    pub mod chooser;
    pub mod copy;
    pub mod dialog;
    pub mod filter;
    pub mod keys;
    pub mod list;
    pub mod model;
    pub mod offer;
    pub mod settle;
    pub mod theme;
    pub mod update;
    pub mod view;
    pub mod widgets;

    #[cfg(test)]
    mod fixture;
    #[cfg(test)]
    mod tests;

    pub use model::{Model, Options};
    pub use settle::settle;
    pub use theme::Theme;
    pub use update::{Ask, Input, note_refusal, note_started, update};
    pub use view::draw;
}
