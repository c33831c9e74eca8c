//! The queue of reviews as it is looked at: rows kept for a moment, filter, order, marks, and the
//! dossier that is open. Made anew when the team's state changed or time went on, never per frame.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    cockpit::{
        decide::Shown,
        reviews::{self, Dossier, Queue, ReviewRow, Waits},
        world::World,
    },
    domain::{
        grant::{Grant, Standing},
        names::Text,
        time::{Timestamp, span},
    },
};

use super::{
    filter::{Columns, Filter},
    list::List,
    model::{Main, Model, View},
};

/// What filters of the queue can ask.
pub const COLUMNS: Columns = Columns {
    plain: &["cluster", "ns", "dest", "by", "flagged"],
    keys: &["state", "cluster", "ns", "dest", "port", "by", "flagged", "name"],
    alone: &["flagged"],
};

/// What reviews are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// What waits first, then what runs out.
    #[default]
    Queue,
    Oldest,
    Cluster,
    Namespace,
    Destination,
    By,
    Ends,
}

impl Order {
    pub const ALL: [Self; 7] =
        [Self::Queue, Self::Oldest, Self::Cluster, Self::Namespace, Self::Destination, Self::By, Self::Ends];

    pub fn word(self) -> &'static str {
        match self {
            Self::Queue => "what waits",
            Self::Oldest => "age",
            Self::Cluster => "cluster",
            Self::Namespace => "namespace",
            Self::Destination => "destination",
            Self::By => "who asked",
            Self::Ends => "end",
        }
    }

    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|order| *order == self).map_or(0, |at| at + 1);
        Self::ALL[at % Self::ALL.len()]
    }
}

/// The queue, and what is looked at of it.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    /// By name.
    pub list: List<Text>,
    pub marks: BTreeSet<Text>,
    pub order: Order,
    pub reversed: bool,
    /// As [`reviews::queue`] gave them.
    rows: Vec<ReviewRow>,
    made: Option<Made>,
    dossier: Option<(Made, Dossier)>,
}

/// What something was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    shared: u64,
    discoveries: u64,
    at: Timestamp,
}

impl Made {
    /// Clusters come and grants end without a word from the state cluster.
    const FRESH_SECS: i64 = 5;

    fn of(world: &World) -> Self {
        let (shared, discoveries) = (world.shared().revision(), world.discoveries().revision());
        Self { shared, discoveries, at: world.now() }
    }

    fn is_fresh(&self, now: &Self) -> bool {
        self.shared == now.shared
            && self.discoveries == now.discoveries
            && (now.at - self.at).num_seconds() < Self::FRESH_SECS
    }
}

impl Desk {
    pub fn row(&self, name: &Text) -> Option<&ReviewRow> {
        self.rows.iter().find(|row| row.name == *name)
    }

    /// All of them, whatever the filter.
    pub fn rows(&self) -> &[ReviewRow] {
        &self.rows
    }

    pub fn waits(&self) -> Waits {
        reviews::waits(&self.rows)
    }

    /// The dossier of the page on screen.
    pub fn dossier(&self, name: &Text) -> Option<&Dossier> {
        self.dossier.as_ref().map(|(_, dossier)| dossier).filter(|dossier| dossier.row.name == *name)
    }
}

/// After facts: the queue itself, which the header counts on every page.
pub fn keep(model: &mut Model, world: &World) {
    let now = Made::of(world);
    if model.team.reviews.made.as_ref().is_some_and(|made| made.is_fresh(&now)) {
        return;
    }
    model.team.reviews.rows = reviews::queue(world);
    model.team.reviews.made = Some(now);
    let Desk { rows, marks, .. } = &mut model.team.reviews;
    marks.retain(|name| rows.iter().any(|row| row.name == *name));
}

/// The rows of the page.
pub fn refresh(model: &mut Model, world: &World) {
    keep(model, world);
    let filter = Filter::parse(model.filter(Main::Reviews), &COLUMNS);
    let desk = &mut model.team.reviews;
    let passes = |row: &&ReviewRow| filter.passes(&COLUMNS, |key: &str| field(row, key));
    let mut rows: Vec<&ReviewRow> = desk.rows.iter().filter(passes).collect();
    match desk.order {
        Order::Queue => {}
        Order::Oldest => rows.sort_by_key(|row| row.created),
        Order::Cluster => rows.sort_by_cached_key(|row| cluster(row)),
        Order::Namespace => rows.sort_by(|a, b| a.grant.ns.cmp(&b.grant.ns)),
        Order::Destination => rows.sort_by(|a, b| a.grant.destination.cmp(&b.grant.destination)),
        Order::By => rows.sort_by(|a, b| a.requested_by.cmp(&b.requested_by)),
        Order::Ends => rows.sort_by_key(|row| ends(row)),
    }
    if desk.reversed {
        rows.reverse();
    }
    let names = rows.into_iter().map(|row| row.name.clone()).collect();
    desk.list.set(names);
}

/// The dossier of a page.
pub fn open(model: &mut Model, world: &World, name: &Text) {
    let now = Made::of(world);
    let is_kept = |(made, dossier): &(Made, Dossier)| dossier.row.name == *name && made.is_fresh(&now);
    if model.team.reviews.dossier.as_ref().is_some_and(is_kept) {
        return;
    }
    let kept = world.shared().review(name);
    model.team.reviews.dossier = kept.map(|kept| (now, reviews::dossier(world, kept)));
}

/// The reviews that a decision is about: the marked ones, else the one under the cursor or on the page.
pub fn meant(model: &Model) -> Vec<&ReviewRow> {
    let desk = &model.team.reviews;
    match model.view() {
        View::Review(name) => desk.row(name).into_iter().collect(),
        View::Main(Main::Reviews) if !desk.marks.is_empty() => {
            desk.rows.iter().filter(|row| desk.marks.contains(&row.name)).collect()
        }
        View::Main(Main::Reviews) => desk.list.chosen().and_then(|name| desk.row(name)).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// As it was looked at: a decision on one that changed since is refused.
pub fn shown(row: &ReviewRow) -> Shown {
    Shown { name: row.name.clone(), version: row.version.clone() }
}

fn field<'a>(row: &'a ReviewRow, key: &str) -> Option<Cow<'a, str>> {
    match key {
        "state" => {
            let standings = row.clusters.iter().map(|one| one.standing.as_str());
            let words: Vec<_> = [state(row), row.queue.as_str()].into_iter().chain(standings).collect();
            Some(words.join(" ").into())
        }
        "cluster" => Some(clusters(row).into()),
        "ns" => Some(row.grant.ns.as_str().into()),
        "dest" => Some(row.grant.destination.to_string().into()),
        "port" => Some(row.grant.ports().to_string().into()),
        "by" => Some(row.requested_by.as_str().into()),
        "flagged" => {
            let all: Vec<_> = row.findings.iter().map(Text::as_str).collect();
            (!all.is_empty()).then(|| all.join(" ").into())
        }
        "name" => Some(row.name.as_str().into()),
        _ => None,
    }
}

/// One word for a column. Where its clusters differ, the most urgent.
pub fn state(row: &ReviewRow) -> &'static str {
    match row.queue {
        Queue::Open => "open",
        Queue::Expiring => "ending",
        Queue::Decided => {
            let words: BTreeSet<_> = row.clusters.iter().map(|one| one.standing.as_str()).collect();
            let mut words = words.into_iter();
            match (words.next(), words.next()) {
                (Some(one), None) => one,
                (Some(_), Some(_)) => "mixed",
                (None, _) => "no cluster",
            }
        }
    }
}

/// When the first grant of it ends, or until when it was asked for.
pub fn ends(row: &ReviewRow) -> Timestamp {
    let ends = row.clusters.iter().filter_map(|one| match one.standing {
        Standing::Approved { until } => Some(until),
        _ => None,
    });
    ends.min().unwrap_or(row.grant.expires)
}

/// One cluster by name, of several also how many more.
pub fn cluster(row: &ReviewRow) -> String {
    let name = row.clusters.first().map_or_else(|| "none".to_owned(), name);
    match row.clusters.len() {
        0 | 1 => name,
        all => format!("{name} +{}", all - 1),
    }
}

pub fn clusters(row: &ReviewRow) -> String {
    row.clusters.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Why it is needed, in the words of whoever asks.
pub fn purpose(row: &ReviewRow) -> &str {
    if row.purpose.is_empty() { "no purpose was given" } else { row.purpose.as_str() }
}

pub fn name(cluster: &reviews::ClusterRow) -> String {
    cluster.name.as_ref().map_or_else(|| format!("unknown cluster {}", cluster.uid), ToString::to_string)
}

/// `payments egress to hooks.slack.com on TCP/443`.
pub fn headline(grant: &Grant) -> String {
    format!("{} {} to {} on {}", grant.ns, grant.direction, grant.destination, grant.ports())
}

/// Where it stands for one cluster, with who and until when.
pub fn standing(one: &Standing, now: Timestamp) -> String {
    let word = one.as_str();
    match one {
        Standing::Open => "open: nobody decided".to_owned(),
        Standing::Approved { until } => format!("{word}, ends in {}", span(*until - now)),
        Standing::Expired(at) => format!("{word} {} ago", span(now - *at)),
        Standing::Rejected(stamp) | Standing::Revoked(stamp) => format!("{word} by {}", stamp.by),
        Standing::SelfApproved(stamp) => {
            format!("approved by {}, who asked for it: that is no approval", stamp.by)
        }
        Standing::OtherCluster => "not asked for here".to_owned(),
        Standing::TimeUnknown => "approved; whether it has ended is unknown".to_owned(),
    }
}
