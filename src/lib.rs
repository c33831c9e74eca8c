//! sluice: rolls default-deny NetworkPolicies across a fleet of Kubernetes clusters.
//!
//! Facts come in and one function absorbs them ([`cockpit::world`]); orders go out and one function
//! decides them ([`cockpit::decide`]); the screen and the headless commands are two readers of the
//! same world. This file is the map, in reading order. `tests/tidy.rs` holds the import rules.

/// Values and rules. No clock, no I/O, no async, no serde, no Kubernetes, no terminal.
pub mod domain {
    pub mod addresses;
    pub mod answers;
    pub mod author;
    pub mod behaviour;
    pub mod calendar;
    pub mod category;
    pub mod cni;
    pub mod coverage;
    pub mod credit;
    pub mod denial;
    pub mod dependencies;
    pub mod destination;
    pub mod discovery;
    pub mod edge;
    mod ends;
    /// What the NetworkPolicies of a cluster do with a connection, and why; compiled once, asked often.
    pub mod eval {
        pub mod answer;
        pub mod around;
        mod classes;
        pub mod cluster;
        mod compile;
        pub mod isolation;
        pub mod judge;
        pub mod model;
        pub mod parties;
        mod peers;
        pub mod plugin;
        pub mod rule;
        mod table;
        pub mod verdict;
    }
    mod everywhere;
    pub mod evidence;
    mod excuse;
    pub mod expected;
    pub mod few;
    pub mod flagged;
    pub mod fleet;
    pub mod flow;
    pub mod forecast;
    pub mod gate;
    pub mod grant;
    pub mod hold;
    mod interned;
    #[cfg(test)]
    mod join_tests;
    pub mod journal;
    pub mod ledger;
    pub mod lookup;
    pub mod manifest;
    pub mod merged;
    pub mod minutes;
    pub mod names;
    pub mod opened;
    pub mod opinion;
    pub mod owner;
    pub mod policy;
    /// The recorded week against policies that are not live yet: what they would deny or change.
    pub mod predict {
        mod diff;
        pub mod families;
        mod place;
        pub mod prediction;
        pub mod replay;
        mod rules;
        mod scene;
        pub mod stories;
        mod story_names;
        mod story_paths;
        mod story_pods;
        mod tell;
        mod weigh;
        pub mod words;
    }
    /// What must hold of a cluster before anything is written there, as checks. Reads nothing itself.
    pub mod preflight {
        pub mod around;
        pub mod check;
        pub mod cni;
        pub mod corefile;
        pub mod dns;
        mod enforcement;
        pub mod engines;
        mod flows;
        pub mod gaps;
        mod identity;
        mod lookups;
        pub mod reading;
        pub mod relay;
        pub mod report;
        pub mod rights;
        mod scrapers;
    }
    pub mod probe;
    pub mod range;
    pub mod ranges;
    pub mod readiness;
    pub mod registrable;
    pub mod renewal;
    pub mod resolver;
    pub mod risk;
    pub mod rollout;
    mod runs;
    pub mod shadow;
    pub mod sighting;
    pub mod soak;
    pub mod source;
    pub mod spans;
    mod standing;
    pub mod steady;
    pub mod suspect;
    pub mod time;
    pub mod valve;
    pub mod wave;
    pub mod wildcard;
    pub mod zone;
}

/// The state of the cockpit and the two functions that rule it. Synchronous, no I/O.
pub mod cockpit {
    pub mod alerts;
    pub mod allowed;
    pub mod closed;
    pub mod commands;
    pub mod coverage;
    pub mod decide;
    pub mod discoveries;
    pub mod discovery;
    pub mod dossier;
    pub mod foresights;
    pub mod gate;
    pub mod gates;
    pub mod handover;
    pub mod holding;
    pub mod incidents;
    pub mod kept_clean;
    pub mod monthly;
    pub mod noticed;
    pub mod open_ends;
    mod opinions;
    pub mod orders;
    pub mod outbox;
    pub mod plan;
    pub mod planned;
    pub mod ports;
    pub mod preflight;
    pub mod probing;
    pub mod proposal;
    pub mod reading;
    pub mod recording;
    pub mod records;
    pub mod recovery;
    pub mod report;
    mod review_orders;
    pub mod reviews;
    pub mod rows;
    pub mod settings;
    pub mod shadow;
    pub mod shared;
    pub mod soaks;
    pub mod sources;
    pub mod spot;
    pub mod steady;
    mod strangers;
    #[cfg(test)]
    mod tests;
    pub mod timeline;
    pub mod waiving;
    pub mod waves;
    pub mod why;
    pub mod world;
}

/// Policy objects as JSON and YAML, to [`domain::policy::Policy`] and back. Pure.
pub mod manifest;

/// Edges as lines of JSON, both ways. Pure.
pub mod edges;

/// Sources of flows: each a pure `decode` and a thin task that tells facts. Never asks Kubernetes:
/// byte streams to a source are handed in.
pub mod flows {
    pub mod batch;
    mod channel;
    pub mod dial;
    mod judged;
    mod memory;
    pub mod offline;
    mod outlet;
    pub mod records;
    pub mod source;
    pub mod tail;
    mod thread;
    pub mod tls;

    pub use outlet::Gathering;

    /// Antrea's flow aggregator: FlowStreamService.
    pub mod antrea {
        pub mod decode;
        mod follow;
        pub mod tls;

        pub use follow::{gather, reach, run};
    }
    /// Records that pods print to their logs, one pod a node.
    pub mod logs {
        mod follow;
        pub mod line;
        mod node;

        pub use follow::{Ended, Find, Gathering, Logs, Open, Opened, Owned, Printer, Since, gather, run};
    }
    /// The collector: what sources tell becomes edges in a database of its own, served read-only.
    pub mod baseline {
        pub mod dns;
        mod encode;
        pub mod files;
        pub mod gather;
        mod hold;
        pub mod owned;
        pub mod read;
        pub mod serve;
        pub mod store;
        pub mod wire;
    }
    /// DNS answers as DNS servers tell them: Frame Streams, dnstap in it, and the sockets they come by.
    pub mod dnstap {
        mod conversation;
        pub mod decode;
        pub mod frames;
        pub mod listen;
        mod message;
        mod senders;
        mod sockets;
    }
    pub mod goldmane;
    /// Hubble Relay, or one Hubble agent.
    pub mod hubble {
        mod aim;
        pub mod decode;
        mod follow;
        mod link;
        mod nodes;
        pub mod request;
        mod restart;
        pub mod sight;

        pub use follow::{Gathering, gather, run};
        pub use link::reach;
    }
}

/// The API server: connect, watch, write, forward. Kubernetes types end here.
pub mod k8s {
    pub mod antrea;
    pub mod connect;
    mod cronjobs;
    mod decode;
    mod door;
    mod failure;
    mod follow;
    pub mod forward;
    pub mod goldmane;
    mod identity;
    mod kubeconfig;
    mod kyverno;
    pub mod lease;
    mod listed;
    pub mod logs;
    pub mod owners;
    mod place;
    mod plugin;
    /// What a pre-flight reads, from the API server or from manifest files.
    pub mod preflight {
        pub mod look;
        pub mod manifests;
        mod objects;
    }
    mod preview;
    pub mod probe;
    mod proxy;
    mod rollback;
    mod served;
    mod shadow;
    /// What the team shares, as custom resources of the state cluster: one file a kind for the wire
    /// types and back, names, sizes; following, writing and installing them.
    pub mod shared {
        mod assets;
        pub mod chain;
        pub mod evidence;
        pub mod fit;
        pub mod hold;
        pub mod install;
        pub mod journal;
        pub mod kind;
        mod lists;
        pub mod names;
        pub(super) mod object;
        pub mod overrides;
        mod parts;
        pub mod review;
        pub mod rollout;
        pub mod session;
        mod spans;
        pub mod waiver;
        mod write;
    }
    pub mod snapshot;
    pub mod staged;
    pub mod surroundings;
    pub mod watch;
    mod wire;
    pub mod write;
}

/// Files of the workspace: `sluice.yaml` and the policy files, read into [`cockpit::plan`]. Every
/// complaint names file, fact and next step; one bad file never costs the others.
pub mod workspace {
    mod author_keys;
    pub mod authored;
    mod calendar_keys;
    pub mod catalogue;
    pub mod categories;
    pub mod discovery;
    pub mod evidence;
    pub mod extra;
    pub mod facts;
    pub mod feeds;
    pub mod fleet_file;
    pub mod init;
    pub mod manifests;
    mod outward_keys;
    pub mod policy_files;
    pub mod relay_way;
    pub mod root;
    mod rules;
    mod rules_keys;
    mod settings_keys;
    #[cfg(test)]
    mod tests;
    mod values;
    mod wave_keys;
    pub mod yaml;

    pub use rules::{rules, rules_of};
}

/// What is known -> text and JSON for pipes and scripts, from the same rows as the screen. Pure.
pub mod documents {
    pub mod author;
    pub mod denials;
    /// Destinations of a namespace: JSON lines, text, the reviewed document and its companion of edges.
    pub mod discovery {
        pub mod changes;
        pub mod companion;
        pub mod gather;
        pub mod json;
        pub mod known;
        pub mod markdown;
        pub mod page;
        pub mod text;
    }
    pub mod explain;
    #[cfg(test)]
    pub(crate) mod fixture;
    pub mod handover;
    pub mod install;
    pub mod journal;
    pub mod kyverno;
    pub mod markdown;
    pub mod monthly;
    pub mod notes;
    pub mod open_ends;
    pub mod orders;
    pub mod plan;
    pub mod plan_json;
    pub mod predict;
    pub mod preflight;
    pub mod report;
    pub mod reviews;
    pub mod runbook;
    pub mod shadow;
    pub mod soak;
    pub mod status;
    pub mod table;
    #[cfg(test)]
    pub(crate) mod tests;
    pub mod timeline;
    pub mod wire;
}

/// Spawns adapters, owns the world, the inbox and the clock; performs effects. Never draws.
pub mod engine;

/// The interactive program: the terminal, and one loop of keys, frames and facts.
pub mod app;

/// The command line: arguments, headless commands that drive the engine until a condition holds and
/// print text or JSON, exit codes.
pub mod cli {
    pub mod apply;
    pub mod args;
    mod args_collect;
    mod args_plan;
    mod args_screen;
    mod args_team;
    pub mod ask;
    pub mod author;
    mod author_live;
    mod author_write;
    pub mod change;
    pub mod cockpit;
    pub mod collect;
    mod collect_sources;
    pub mod demo;
    pub mod denials;
    pub mod discover;
    mod discover_live;
    pub mod documents;
    pub mod exit;
    pub mod explain;
    mod help;
    pub mod hold;
    pub mod info;
    pub mod init;
    pub mod install;
    pub mod kyverno;
    pub mod log;
    pub mod manual;
    mod observe;
    pub mod overrule;
    pub mod plan;
    pub mod predict;
    pub mod preferences;
    pub mod preflight;
    pub mod print;
    pub mod probe;
    pub mod records;
    pub mod report;
    pub mod review;
    pub mod review_gate;
    pub mod rollback;
    pub mod run;
    mod runbook;
    pub mod session;
    mod share;
    pub mod status;
    #[cfg(test)]
    mod tests;
    mod to_git;
    pub mod wait;
    pub mod waive;
    pub mod watch;
}

/// Generated from `assets/proto`; a test regenerates it and compares. Never edited by hand.
#[allow(clippy::all, clippy::pedantic, clippy::restriction, rust_2018_idioms)]
#[rustfmt::skip]
pub mod pb {
    pub mod antrea;
    pub mod dnstap;
    pub mod flow;
    pub mod goldmane;
    pub mod observer;
    pub mod relay;
}

/// The outside world in process: API servers and relays of a simulated fleet, with faults from a
/// seed. Uses nothing of ours but [`domain::names`] and [`pb`], so it cannot agree with our bugs.
pub mod sim;

/// The screen: reads the world, owns where the operator looks, asks and never acts. Synchronous;
/// no clock, no network, no adapters. [`tui::update`] takes keys, [`tui::settle`] follows facts,
/// [`tui::draw`] paints.
pub mod tui {
    pub mod as_command;
    pub mod bindings;
    pub mod chooser;
    pub mod copy;
    pub mod cursor;
    pub mod desk;
    pub mod destinations;
    pub mod dialog;
    pub mod ends;
    pub mod filter;
    pub mod form;
    pub mod keys;
    pub mod list;
    pub mod masks;
    pub mod model;
    pub mod offer;
    pub mod past;
    /// The same views and keys as lines that are read once and never drawn over.
    pub mod plain {
        pub mod answer;
        mod dialogs;
        mod news;
        mod page;
        pub mod rows;
        pub mod words;
    }
    pub mod plan;
    pub mod preferences;
    pub mod proposal;
    pub mod renewal;
    pub mod reviews;
    pub mod settle;
    pub mod theme;
    pub mod told;
    pub mod update;
    pub mod view;
    pub mod views;
    pub mod widgets;

    #[cfg(test)]
    pub(crate) mod fixture;
    #[cfg(test)]
    mod tests;

    pub use model::{Model, Options};
    pub use settle::settle;
    pub use theme::Theme;
    pub use update::{Ask, Input, note_refusal, note_started, update};
    pub use view::draw;
}
