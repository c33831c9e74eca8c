//! Checks with a name, one for each way in which default-deny has broken clusters that whoever writes
//! the policies can prevent. One table: preview, `sluice predict` and gates iterate it. Each says pass,
//! fail or unknown with object, fact and next step; unknown of one that blocks stands against an apply.

use super::{scene::Scene, story_names, story_paths, story_pods};
use crate::domain::{flow::Direction, names::Text};

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// For scripts and people; never changes.
    pub name: &'static str,
    /// The row among the failure stories that it prevents.
    pub number: u8,
    pub weight: Weight,
    pub directions: &'static [Direction],
    check: fn(&Scene<'_>, &mut Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// It stands against an apply until it passes.
    Blocks,
    /// It is told, and no more.
    Warns,
}

impl Weight {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Warns => "warns",
        }
    }
}

const OUT: &[Direction] = &[Direction::Egress];
const IN: &[Direction] = &[Direction::Ingress];
const BOTH: &[Direction] = &Direction::ALL;

macro_rules! stories {
    ($($name:literal $number:literal $weight:ident $directions:ident $check:path;)*) => {
        /// The table, in the order of the stories.
        pub const STORIES: &[Story] = &[
            $(Story { name: $name, number: $number, weight: Weight::$weight, directions: $directions, check: $check }),*
        ];
    };
}

stories! {
    "dns-reachable" 1 Blocks OUT story_paths::resolver;
    "dns-selector-finds-pods" 2 Blocks OUT story_pods::lookup_selectors;
    "selectors-find-pods" 2 Warns BOTH story_pods::selectors;
    "node-local-dns-reachable" 3 Blocks OUT story_paths::caches;
    "token-path-open" 4 Blocks OUT story_paths::tokens;
    "isolation-is-meant" 5 Blocks BOTH story_pods::isolation;
    "webhooks-reachable" 6 Blocks IN story_paths::hooks;
    "mesh-reachable" 10 Blocks BOTH story_paths::mesh;
    "host-network-peers" 11 Warns BOTH story_pods::host_network;
    "evidence-of-every-workload" 14 Warns BOTH story_pods::silent;
    "no-list-for-churning-names" 16 Blocks OUT story_names::churning;
    "both-families" 17 Warns BOTH story_pods::families;
    "ports-after-translation" 18 Blocks BOTH story_names::ports;
    "delivery-stays-open" 21 Blocks BOTH story_pods::delivery;
}

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    Pass,
    Unknown,
    Fail,
}

impl Mark {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub name: &'static str,
    pub number: u8,
    pub weight: Weight,
    pub mark: Mark,
    /// Never empty; the first [`Checked::SAID`].
    pub said: Vec<Said>,
    /// How many more there are.
    pub more: usize,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `cart, web of shop`, `Service kube-system/kube-dns`.
    pub object: Text,
    pub fact: Text,
    /// What to do; empty where nothing is to be done.
    pub next: Text,
}

impl Checked {
    /// Findings that are kept of one check.
    pub const SAID: usize = 8;

    /// Does it stand against an apply?
    pub fn blocks(&self) -> bool {
        self.weight == Weight::Blocks && self.mark != Mark::Pass
    }
}

/// What a check has found so far; the worst counts.
#[derive(Default)]
pub(super) struct Answer {
    found: Vec<(Mark, Said)>,
}

impl Answer {
    pub fn pass(&mut self, object: &str, fact: impl Into<Text>) {
        self.say(Mark::Pass, object, fact, "");
    }

    pub fn unknown(&mut self, object: &str, fact: impl Into<Text>, next: &str) {
        self.say(Mark::Unknown, object, fact, next);
    }

    pub fn fail(&mut self, object: &str, fact: impl Into<Text>, next: &str) {
        self.say(Mark::Fail, object, fact, next);
    }

    pub fn say(&mut self, mark: Mark, object: &str, fact: impl Into<Text>, next: &str) {
        let said = Said { object: Text::new(object), fact: fact.into(), next: Text::new(next) };
        if !self.found.iter().any(|(_, known)| *known == said) {
            self.found.push((mark, said));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

/// Every check of the direction, in the order of the table.
pub(super) fn checked(scene: &Scene<'_>) -> Vec<Checked> {
    let ours = STORIES.iter().filter(|story| story.directions.contains(&scene.wanted.direction));
    ours.map(|story| {
        let mut answer = Answer::default();
        (story.check)(scene, &mut answer);
        let mark = answer.found.iter().map(|(mark, _)| *mark).max().unwrap_or(Mark::Unknown);
        // What passed beside it says nothing then.
        answer.found.retain(|(one, _)| mark == Mark::Pass || *one != Mark::Pass);
        answer.found.sort_by_key(|(mark, _)| std::cmp::Reverse(*mark));
        let more = answer.found.len().saturating_sub(Checked::SAID);
        let said = answer.found.into_iter().take(Checked::SAID).map(|(_, said)| said).collect();
        Checked { name: story.name, number: story.number, weight: story.weight, mark, said, more }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The rows that a policy author can prevent.
    #[test]
    fn every_story_that_an_author_can_prevent_has_a_check_of_its_own_name() {
        let numbers: BTreeSet<u8> = STORIES.iter().map(|story| story.number).collect();
        assert_eq!(numbers, BTreeSet::from([1, 2, 3, 4, 5, 6, 10, 11, 14, 16, 17, 18, 21]));
        let names: BTreeSet<&str> = STORIES.iter().map(|story| story.name).collect();
        assert_eq!(names.len(), STORIES.len());
        assert!(STORIES.iter().all(|story| !story.directions.is_empty()));
    }
}
