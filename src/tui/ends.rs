//! What was put off, as it is looked at: open ends and grants that end, kept for a moment, filtered,
//! with a cursor that stays on its object.

use std::borrow::Cow;

use chrono::NaiveTime;

use crate::{
    cockpit::{
        gate::{self, Due},
        monthly::{self, DocumentRow, Standing, Unwritten},
        open_ends::{OpenEnd, open_ends},
        orders::Target,
        world::World,
    },
    domain::{
        hold::Scope,
        names::{ClusterName, NsName, Text},
        time::Timestamp,
    },
};

use super::{
    filter::{Columns, Filter},
    list::List,
    model::{Main, Model, RowKey},
};

/// What filters of the page can ask.
pub const COLUMNS: Columns = Columns {
    plain: &["kind", "where", "owner", "by", "what"],
    keys: &["kind", "where", "owner", "by", "what"],
    alone: &["owner"],
};

/// What makes a row the same one after a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndKey {
    kind: &'static str,
    scope: String,
    what: Text,
    since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum End {
    Open(OpenEnd),
    /// A grant that ends soon, or ended and is used.
    Grant {
        due: Due,
        /// `None`: no cluster of the fleet says that it is the one.
        cluster: Option<ClusterName>,
        ns: NsName,
        what: Text,
        owner: Option<Text>,
    },
    /// A discovery document whose monthly review is due, or that needs somebody.
    Document(DocumentRow),
    /// Documents that nobody has written.
    Unwritten(Unwritten),
}

impl End {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Open(end) => end.kind.as_str(),
            Self::Grant { .. } => "grant",
            Self::Document(_) | Self::Unwritten(_) => "document",
        }
    }

    pub fn scope(&self) -> String {
        match self {
            Self::Open(end) => end.scope.to_string(),
            Self::Grant { cluster, due, ns, .. } => match cluster {
                Some(cluster) => format!("{cluster}/{ns}"),
                None => format!("unknown cluster {}/{ns}", due.cluster),
            },
            Self::Document(row) => row.ns.to_string(),
            Self::Unwritten(one) => one.place(),
        }
    }

    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Open(end) => end.due,
            Self::Grant { due, .. } => Some(due.until),
            Self::Unwritten(_) => None,
            Self::Document(row) => row.due.map(|day| day.and_time(NaiveTime::MIN).and_utc()),
        }
    }

    pub fn is_overdue(&self) -> bool {
        match self {
            Self::Open(end) => end.is_overdue,
            Self::Grant { due, .. } => due.is_over,
            Self::Unwritten(_) => false,
            Self::Document(row) => matches!(row.standing, Standing::Due | Standing::Vanished),
        }
    }

    pub fn owner(&self) -> Option<&Text> {
        match self {
            Self::Open(end) => end.owner.as_ref(),
            Self::Grant { owner, .. } => owner.as_ref(),
            Self::Document(row) => row.owner.as_ref(),
            Self::Unwritten(_) => None,
        }
    }

    /// Since when it is put off; a grant has no such moment.
    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Open(end) => end.since(),
            Self::Grant { .. } | Self::Unwritten(_) => None,
            Self::Document(row) => row.generated,
        }
    }

    pub fn by(&self) -> &str {
        match self {
            Self::Open(end) => end.stamp.as_ref().map_or("", |stamp| stamp.by.as_str()),
            Self::Grant { .. } | Self::Document(_) | Self::Unwritten(_) => "",
        }
    }

    /// What it is for, and why.
    pub fn what(&self) -> String {
        match self {
            Self::Open(end) => {
                let reason = end.reason.as_ref().filter(|reason| !reason.is_empty());
                match (end.what.is_empty(), reason) {
                    (true, None) => "no reason was given".to_owned(),
                    (true, Some(reason)) => reason.to_string(),
                    (false, None) => end.what.to_string(),
                    (false, Some(reason)) => format!("{}: {reason}", end.what),
                }
            }
            Self::Grant { what, .. } => what.to_string(),
            Self::Document(row) => row.words(),
            Self::Unwritten(one) => one.words(),
        }
    }

    /// The row of the fleet that it is about.
    pub fn row(&self) -> Option<RowKey> {
        match self {
            Self::Open(end) => match &end.scope {
                Scope::Fleet => None,
                Scope::Cluster(cluster) => Some(RowKey::Cluster(cluster.clone())),
                Scope::Namespace(cluster, ns) => Some(RowKey::Namespace(cluster.clone(), ns.clone())),
                Scope::Rollout(target) => Some(RowKey::Rollout(target.clone())),
            },
            Self::Grant { cluster, ns, .. } => {
                cluster.clone().map(|cluster| RowKey::Namespace(cluster, ns.clone()))
            }
            Self::Unwritten(one) => one.only().cloned().map(RowKey::Cluster),
            Self::Document(row) => {
                let part = row.parts.iter().find(|part| part.is_there == Some(true))?;
                Some(RowKey::Namespace(part.cluster.clone(), row.ns.clone()))
            }
        }
    }

    fn key(&self) -> EndKey {
        let what = match self {
            Self::Open(end) => end.what.clone(),
            Self::Grant { due, .. } => due.review.clone(),
            Self::Document(_) | Self::Unwritten(_) => Text::default(),
        };
        EndKey { kind: self.kind(), scope: self.scope(), what, since: self.since() }
    }
}

/// The page.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    pub list: List<EndKey>,
    /// `None`: the state cluster never answered, so nobody knows.
    pub all: Option<Vec<End>>,
    made: Option<(u64, Timestamp)>,
}

impl Ends {
    pub fn find(&self, key: &EndKey) -> Option<&End> {
        self.all.iter().flatten().find(|end| end.key() == *key)
    }

    pub fn chosen(&self) -> Option<&End> {
        self.list.chosen().and_then(|key| self.find(key))
    }
}

/// The rows of the page.
pub fn refresh(model: &mut Model, world: &World) {
    const FRESH_SECS: i64 = 5;
    let (revision, now) = (world.shared().revision(), world.now());
    let is_fresh = |(made, at): (u64, Timestamp)| made == revision && (now - at).num_seconds() < FRESH_SECS;
    if !model.team.ends.made.is_some_and(is_fresh) {
        model.team.ends.all = all(world);
        model.team.ends.made = Some((revision, now));
    }
    let filter = Filter::parse(model.filter(Main::OpenEnds), &COLUMNS);
    let passes = |end: &&End| filter.passes(&COLUMNS, |key: &str| field(end, key));
    let rows = model.team.ends.all.iter().flatten().filter(passes).map(End::key).collect();
    model.team.ends.list.set(rows);
}

/// Overdue ones first, then by due date, then those without one, the oldest first.
fn all(world: &World) -> Option<Vec<End>> {
    let mut out: Vec<_> = open_ends(world)?.into_iter().map(End::Open).collect();
    let (documents, unwritten) = monthly::folded(monthly::due(world).unwrap_or_default());
    out.extend(documents.into_iter().map(End::Document));
    out.extend(unwritten.into_iter().map(End::Unwritten));
    out.extend(gate::due(world).into_iter().filter_map(|due| grant(world, due)));
    out.sort_by_key(|end| (!end.is_overdue(), end.due().is_none(), end.due(), end.since()));
    Some(out)
}

fn grant(world: &World, due: Due) -> Option<End> {
    let grant = &world.shared().review(&due.review)?.value.grant;
    let used = match due.rollouts.as_slice() {
        [] => "no rollout uses it".to_owned(),
        all => format!("used by {}", all.iter().map(Target::to_string).collect::<Vec<_>>().join(", ")),
    };
    let what = format!("{} on {} (review {}); {used}", grant.destination, grant.ports(), due.review);
    let cluster = world.clusters().find(|cluster| cluster.uid.as_ref() == Some(&due.cluster));
    let owner = world.plan().owner_of(&grant.ns).map(|entry| entry.owner.clone());
    let told = || cluster?.namespaces.get(&grant.ns)?.seen.owner.clone();
    Some(End::Grant {
        cluster: cluster.map(|cluster| cluster.name.clone()),
        ns: grant.ns.clone(),
        what: Text::from(what),
        owner: owner.or_else(told),
        due,
    })
}

fn field<'a>(end: &'a End, key: &str) -> Option<Cow<'a, str>> {
    match key {
        "kind" => Some(end.kind().into()),
        "where" => Some(end.scope().into()),
        "owner" => end.owner().map(|owner| owner.as_str().into()),
        "by" => Some(end.by().into()),
        "what" => Some(end.what().into()),
        _ => None,
    }
}
