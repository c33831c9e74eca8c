//! Destinations of a page taken together by where they lead, whoever talks to it: what a person
//! decides on. Pure; the input is sorted already.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    documents::{
        discovery::page::{self, Kind, Page},
        notes,
    },
    domain::{
        destination::{Category, Churn, Destination, Finding},
        flow::Direction,
    },
};

/// One place, in one direction.
pub struct Party<'p> {
    pub direction: Direction,
    pub kind: Kind,
    pub title: String,
    /// At least one.
    pub destinations: Vec<&'p Destination>,
}

/// In the order in which the page's destinations first lead there.
pub fn of(page: &Page) -> Vec<Party<'_>> {
    let mut at: BTreeMap<(Direction, Kind, String), usize> = BTreeMap::new();
    let mut out: Vec<Party<'_>> = Vec::new();
    for destination in &page.destinations {
        let (kind, title) = (page::kind(destination), page::title(destination));
        let place = *at.entry((destination.direction, kind, title.clone())).or_insert(out.len());
        if place == out.len() {
            let direction = destination.direction;
            out.push(Party { direction, kind, title, destinations: Vec::new() });
        }
        out[place].destinations.push(destination);
    }
    out
}

impl<'p> Party<'p> {
    /// Same place, same id, whatever the evidence and the rules say of it.
    pub fn id(&self, page: &Page) -> String {
        let direction = self.direction.as_str();
        notes::id(&["to", page.cluster.as_str(), direction, self.kind.as_str(), &self.title])
    }

    pub fn is_suspect(&self) -> bool {
        self.destinations.iter().any(|destination| destination.suspect().is_some())
    }

    /// Known by more than its address.
    pub fn is_named(&self) -> bool {
        self.kind != Kind::Ip
    }

    /// Most severe first, each once.
    pub fn findings(&self) -> Vec<&'p Finding> {
        let mut all: Vec<_> =
            self.destinations.iter().flat_map(|destination| &destination.meaning.findings).collect();
        all.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
        all.dedup();
        all
    }

    /// The category of the first; the rules look at where it leads, not at who goes there.
    pub fn category(&self) -> Category {
        self.destinations.first().map_or(Category::Unknown, |first| first.meaning.category)
    }

    pub fn categories_by(&self) -> impl Iterator<Item = &'p str> {
        let by: BTreeSet<_> =
            self.destinations.iter().map(|destination| destination.meaning.category_by.as_str()).collect();
        by.into_iter()
    }

    /// Those to show, and how many there are.
    pub fn addresses(&self) -> (Vec<IpAddr>, usize) {
        const SHOWN: usize = 8;
        let all: BTreeSet<_> = self.destinations.iter().flat_map(|d| d.addresses.iter().copied()).collect();
        let most = self.destinations.iter().map(|destination| destination.addresses_total).max();
        let total = all.len().max(most.unwrap_or(0));
        (all.into_iter().take(SHOWN).collect(), total)
    }

    pub fn also(&self) -> Vec<&'p str> {
        let all: BTreeSet<_> =
            self.destinations.iter().flat_map(|d| d.also.iter().map(|name| name.as_str())).collect();
        all.into_iter().collect()
    }

    pub fn chain(&self) -> Vec<&'p str> {
        let all: BTreeSet<_> =
            self.destinations.iter().flat_map(|d| d.chain.iter().map(|name| name.as_str())).collect();
        all.into_iter().collect()
    }

    /// The worst of it, for names whose addresses change.
    pub fn churn(&self) -> Option<Churn> {
        if self.kind != Kind::Name {
            return None;
        }
        let of = |destination: &&Destination| destination.seen.churn;
        let addresses_a_day = self.destinations.iter().map(of).map(|churn| churn.addresses_a_day).max()?;
        let new_share = self.destinations.iter().map(of).map(|churn| churn.new_share).fold(0.0, f32::max);
        (addresses_a_day > 1 || new_share > 0.0).then_some(Churn { addresses_a_day, new_share })
    }
}
