//! The outside world in process: API servers and relays of a simulated fleet, with faults from a
//! seed. Uses nothing of ours but `domain::names` and `pb`, so it cannot agree with our bugs.
//! This file is its map.

/// The simulated fleet: scenarios, inventories, traffic, a naive opinion on policies, the relay,
/// faults, and servers on loopback. Never decides anything for the product.
pub mod fleet {
    pub mod agents;
    pub mod aggregator;
    pub mod cilium;
    pub mod companions;
    pub mod cron;
    mod door;
    pub mod event;
    pub mod faults;
    pub mod filter;
    pub mod flows;
    pub mod generate;
    pub mod goldmane;
    pub mod guests;
    pub mod jobs;
    pub mod kyverno;
    pub mod manners;
    pub mod objects;
    pub mod past;
    pub mod people;
    pub mod plan;
    pub mod printer;
    pub mod reach;
    pub mod reader;
    pub mod relay;
    pub mod running;
    pub mod scale;
    pub mod scenario;
    pub mod scenario_file;
    pub mod seeding;
    pub mod serve;
    mod shared_state;
    pub mod staged;
    pub mod system;
    pub mod tls;
    pub mod traffic;
    pub mod verdict;
    #[cfg(test)]
    mod verdict_tests;
    pub mod views;
    pub mod workspace;
}

/// A week of seeded traffic with known truth, in each format's records written after the documents.
pub mod week {
    pub mod antrea;
    pub mod calico;
    pub mod cases;
    pub mod dnstap;
    pub mod event;
    pub mod files;
    pub mod happen;
    mod hard;
    pub mod history;
    pub mod hubble;
    pub mod inventory;
    pub mod script;
    #[cfg(test)]
    mod tests;
    mod text;
    pub mod truth;
    mod wire;
}

/// One Kubernetes API server: objects in memory, served over any byte stream.
pub mod api {
    pub mod access;
    pub mod admit;
    pub mod call;
    pub mod clock;
    pub mod cluster;
    pub mod collect;
    pub mod commit;
    pub mod controllers;
    pub mod definitions;
    pub mod delete;
    pub mod discovery;
    pub mod dispatch;
    pub mod faults;
    pub mod forms;
    pub mod namespaces;
    pub mod negotiate;
    pub mod object;
    pub mod openapi;
    pub mod options;
    pub mod podlog;
    pub mod pods;
    pub mod portforward;
    pub mod protobuf;
    pub mod query;
    pub mod read;
    pub mod render;
    pub mod reply;
    pub mod resources;
    pub mod reviews;
    pub mod route;
    pub mod select;
    pub mod server;
    pub mod status;
    pub mod store;
    pub mod typecheck;
    pub mod watch;
    pub mod write;
}

/// What a real API server would say, as pure functions on JSON values, held to recordings.
pub mod rules {
    pub mod apply;
    pub mod auth;
    pub mod cel;
    pub mod cel_check;
    pub mod cel_cost;
    pub mod configmap;
    /// Custom resources: their definitions, and what a structural schema does to objects.
    pub mod custom {
        pub mod cel;
        pub mod check;
        pub mod constraints;
        pub mod crd;
        pub mod definition;
        pub mod names;
        pub mod node;
        pub mod path;
        pub mod prune;
        pub mod structural;
    }
    pub mod decode;
    pub mod errors;
    pub mod events;
    pub mod fields;
    pub mod gotext;
    pub mod kinds;
    pub mod lease;
    pub mod managers;
    pub mod meta;
    pub mod networkpolicy;
    pub mod openapi;
    pub mod patch;
    pub mod pods;
    /// Admission policies: what they may say, which writes they match, what they answer.
    pub mod policies {
        pub mod evaluate;
        pub mod matching;
        pub mod objects;
        pub mod typecheck;
    }
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
