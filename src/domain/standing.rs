//! Who the API server says we are, and what it says we may do, for a whole cluster and for single
//! namespaces. What was not asked or not answered is not known, which is neither a yes nor a no.

use std::collections::BTreeMap;

use super::names::{NsName, Text};

/// Who the API server says we are (SelfSubjectReview).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: Text,
    pub groups: Vec<Text>,
}

/// What we may do in a cluster (SelfSubjectAccessReview over all namespaces). `None`: not known yet
/// or the review failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    pub read: Option<bool>,
    pub create: Option<bool>,
    pub patch: Option<bool>,
    pub delete: Option<bool>,
    pub portforward: Option<bool>,
    /// The same of single namespaces, asked where the answer for all of them is no: a RoleBinding gives
    /// rights in its own namespace only. Those that are missing were not asked.
    pub within: BTreeMap<NsName, Within>,
}

/// What we may do with the policies of one namespace, by a review there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    pub create: Option<bool>,
    pub patch: Option<bool>,
    pub delete: Option<bool>,
}

impl Within {
    pub fn may_apply(self) -> Option<bool> {
        all([self.create, self.patch])
    }

    /// A rollback opens the valve by patch and deletes; either alone already helps.
    pub fn may_roll_back(self) -> Option<bool> {
        match (self.patch, self.delete) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            (None, Some(false) | None) | (Some(false), None) => None,
        }
    }
}

impl Rights {
    /// By the reviews over all namespaces.
    pub fn everywhere(&self) -> Within {
        Within { create: self.create, patch: self.patch, delete: self.delete }
    }

    /// What may be done in this namespace. A no to all of them together is none to this one.
    pub fn within(&self, ns: &NsName) -> Within {
        let here = self.within.get(ns).copied().unwrap_or_default();
        let known = |all: Option<bool>, one: Option<bool>| if all == Some(false) { one } else { all };
        Within {
            create: known(self.create, here.create),
            patch: known(self.patch, here.patch),
            delete: known(self.delete, here.delete),
        }
    }

    /// Each right with what people call it, for the whole cluster or, where it is known of some
    /// namespaces only, for those.
    pub fn words(&self) -> [(Option<bool>, &'static str); 4] {
        let told = |may: fn(Within) -> Option<bool>, word, some| match may(self.everywhere()) {
            Some(false) if self.within.values().any(|one| may(*one) == Some(true)) => (Some(true), some),
            all => (all, word),
        };
        [
            (self.read, "read"),
            told(Within::may_apply, "apply", "apply in some namespaces"),
            told(Within::may_roll_back, "roll back", "roll back in some namespaces"),
            (self.portforward, "watch flows"),
        ]
    }
}

fn all<const N: usize>(parts: [Option<bool>; N]) -> Option<bool> {
    if parts.contains(&Some(false)) {
        Some(false)
    } else if parts.contains(&None) {
        None
    } else {
        Some(true)
    }
}
