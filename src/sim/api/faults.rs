//! What a scenario may make wrong with a simulated API server. Plain data: the server reads it at
//! each request, so a change takes effect at once.

use std::time::Duration;

/// The faults in force. The default is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Every answer waits this long, in runtime time.
    pub latency: Duration,
    pub reach: Reach,
    pub refusals: Vec<Refusal>,
    /// A write lands, then the connection breaks before its answer.
    pub lose_write_answers: bool,
    /// Every watch that starts from a version is told that it is too old.
    pub expire_watches: bool,
    /// Answers are a page of HTML, as from a proxy in between.
    pub garbage: bool,
    /// Client certificates are refused as expired.
    pub expired_certificates: bool,
    pub denials: Vec<Denial>,
}

/// Whether requests reach the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    #[default]
    Answers,
    /// Requests go in and nothing ever comes back.
    Silent,
    /// The connection breaks at once.
    Breaks,
}

/// Requests turned away with a 429.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The user it hits; empty for everybody.
    pub user: String,
    pub retry_after_secs: u32,
}

/// A right taken from everybody, whatever their roles say. An empty field means any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub user: String,
    pub verb: String,
    pub resource: String,
    pub namespace: String,
}
