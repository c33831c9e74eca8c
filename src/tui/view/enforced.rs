//! What somebody may do in a cluster and whether it does what policies say, in words. Unknown is a
//! word of its own.

use crate::domain::fleet::{Cluster, Enforcement};

/// Each right, also those that are missing or not known.
pub fn rights(cluster: &Cluster) -> String {
    let all = cluster.rights.words();
    let words = |want: Option<bool>| -> Vec<&str> {
        all.iter().filter(|(right, _)| *right == want).map(|(_, word)| *word).collect()
    };
    let mut out = words(Some(true)).join(", ");
    if out.is_empty() {
        out.push_str("do nothing that is known");
    }
    for (want, label) in [(Some(false), "not"), (None, "unknown")] {
        let words = words(want);
        if !words.is_empty() {
            out.push_str(&format!("; {label}: {}", words.join(", ")));
        }
    }
    out
}

/// What its CNI does with policies.
pub fn enforcement(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Enforces => "enforces policies",
        Enforcement::DoesNot => "does NOT enforce policies",
        Enforcement::Audits => "judges policies and does NOT enforce them",
        Enforcement::Unknown => "whether it enforces policies is unknown",
    }
}
