//! A row's shadow as JSON: the same that the screen shows. `null` means unknown, never zero.

use chrono::{Offset, Utc};
use serde::Serialize;

use super::wire::time;
use crate::{
    cockpit::shadow::{Shadow, Would},
    domain::time::Timestamp,
};

#[derive(Debug, Serialize)]
pub struct ShadowOut {
    /// Since when exactly these bytes are staged.
    since: Option<String>,
    digest: String,
    /// `null`: the workspace has no policies of this row.
    of_workspace: Option<bool>,
    /// Groups of flows that it would have denied; `null`: nothing tells it here.
    would_deny: Option<usize>,
    /// Since when this run listens to what tells it.
    heard_since: Option<String>,
    /// As the screen says it.
    words: String,
}

impl ShadowOut {
    pub fn of(shadow: &Shadow, now: Timestamp) -> Self {
        let (would_deny, heard) = match &shadow.would {
            Would::Deny { groups, heard } => (Some(*groups), Some(*heard)),
            Would::Unknown(_) => (None, None),
        };
        Self {
            since: shadow.since.map(time),
            digest: shadow.digest.to_string(),
            of_workspace: shadow.of_workspace,
            would_deny,
            heard_since: heard.map(time),
            words: shadow.words(now, Utc.fix()),
        }
    }
}
