//! The kinds of objects that the team shares: the one table of their names in the API. The
//! definitions in `assets/crds` are held to it by a test. Changes nothing and asks nobody.

use crate::domain::names::NsName;

/// The API group of everything that sluice keeps in the state cluster.
pub const GROUP: &str = "sluice.dev";
pub const VERSION: &str = "v1alpha1";

/// One kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    pub kind: &'static str,
    /// As paths and roles name it.
    pub plural: &'static str,
    /// For sentences: `reviews`.
    pub words: &'static str,
}

pub static ROLLOUT: Kind = Kind { kind: "Rollout", plural: "rollouts", words: "rollouts" };
pub static EVIDENCE: Kind = Kind { kind: "Evidence", plural: "evidence", words: "evidence" };
pub static REVIEW: Kind = Kind { kind: "Review", plural: "reviews", words: "reviews" };
pub static HOLD: Kind = Kind { kind: "Hold", plural: "holds", words: "holds" };
/// A kind of its own, so that a role can allow one without the other.
pub static EXCLUSION: Kind = Kind { kind: "Exclusion", plural: "exclusions", words: "exclusions" };
pub static WAIVER: Kind = Kind { kind: "Waiver", plural: "waivers", words: "waivers" };
pub static OVERRIDE: Kind = Kind { kind: "Override", plural: "overrides", words: "overrides" };
pub static JOURNAL: Kind = Kind { kind: "JournalEntry", plural: "journalentries", words: "journal entries" };

/// All of them, in the order in which a person meets them.
pub static ALL: [&Kind; 8] = [&ROLLOUT, &EVIDENCE, &REVIEW, &HOLD, &EXCLUSION, &WAIVER, &OVERRIDE, &JOURNAL];

impl Kind {
    /// Where the objects of a namespace stand.
    pub fn path(&self, ns: &NsName) -> String {
        format!("/apis/{GROUP}/{VERSION}/namespaces/{ns}/{}", self.plural)
    }

    pub fn object_path(&self, ns: &NsName, name: &str) -> String {
        format!("{}/{name}", self.path(ns))
    }

    pub fn api_version() -> String {
        format!("{GROUP}/{VERSION}")
    }
}
