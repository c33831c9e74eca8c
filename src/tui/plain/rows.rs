//! The rows of the page on screen by number. A number means the row that was printed under it, not
//! the one that stands there by now.

use super::super::{
    ends::EndKey,
    list::List,
    model::{ActKey, Focus, Main, Model, RowKey, View},
    plan::PlanKey,
};
use crate::{
    cockpit::dossier::DestinationKey,
    domain::{
        denial::GroupId,
        names::{ClusterName, Text},
    },
};

/// A row of whatever page.
#[derive(Clone, Debug, PartialEq)]
pub enum RowId {
    Fleet(RowKey),
    Group(GroupId),
    Attempt(u64),
    Act(ActKey),
    Source(ClusterName),
    Notice(usize),
    Plan(PlanKey),
    Review(Text),
    End(EndKey),
    Destination(DestinationKey),
}

impl RowId {
    /// Its columns are not those that the page names above its rows.
    pub fn has_own_columns(&self) -> bool {
        matches!(self, Self::Fleet(RowKey::Rollout(_)) | Self::Plan(PlanKey::Wave(_)))
    }
}

/// The list of a page as it stands.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub all: Vec<RowId>,
    /// Place of the first one that is printed.
    pub first: usize,
    /// Place of the one that is chosen.
    pub at: Option<usize>,
}

fn of<K: Clone + PartialEq>(list: &List<K>, wrap: fn(K) -> RowId) -> Rows {
    Rows {
        all: list.rows().iter().cloned().map(wrap).collect(),
        first: list.window(1).next().map_or(0, |(at, _)| at),
        at: list.chosen().map(|_| list.at()),
    }
}

pub fn rows(model: &Model) -> Rows {
    match model.view() {
        View::Main(Main::Fleet) => of(&model.fleet.list, RowId::Fleet),
        View::Main(Main::Denials) => of(&model.denials, RowId::Group),
        View::Main(Main::Live) => of(&model.live, RowId::Attempt),
        View::Main(Main::Activity) => of(&model.activity.list, RowId::Act),
        View::Main(Main::Sources) => of(&model.sources, RowId::Source),
        View::Main(Main::Notices) => of(&model.notices.list, RowId::Notice),
        View::Main(Main::Plan) => of(&model.plan.list, RowId::Plan),
        View::Main(Main::Reviews) => of(&model.team.reviews.list, RowId::Review),
        View::Main(Main::OpenEnds) => of(&model.team.ends.list, RowId::End),
        View::Namespace(..) => {
            let rows = of(&model.page.denials, RowId::Group);
            Rows { at: rows.at.filter(|_| model.page.focus == Focus::Denials), ..rows }
        }
        View::Destinations(..) => of(&model.found.list, RowId::Destination),
        View::Group(_)
        | View::Dossier(..)
        | View::Coverage(..)
        | View::Timeline(_)
        | View::Prediction(_)
        | View::Review(_)
        | View::Document(_)
        | View::Preflight(_) => Rows::default(),
    }
}

/// Puts the cursor on a row; false: it is not on this page (any more).
pub fn choose(model: &mut Model, id: &RowId) -> bool {
    if !rows(model).all.contains(id) {
        return false;
    }
    match id.clone() {
        RowId::Fleet(key) => model.fleet.list.choose(key),
        RowId::Group(id) if matches!(model.view(), View::Namespace(..)) => {
            // Actions then mean the denial, as they do after tab.
            model.page.focus = Focus::Denials;
            model.page.denials.choose(id);
        }
        RowId::Group(id) => model.denials.choose(id),
        RowId::Attempt(number) => model.live.choose(number),
        RowId::Act(key) => model.activity.list.choose(key),
        RowId::Source(cluster) => model.sources.choose(cluster),
        RowId::Notice(at) => model.notices.list.choose(at),
        RowId::Plan(key) => model.plan.list.choose(key),
        RowId::Review(name) => model.team.reviews.list.choose(name),
        RowId::End(key) => model.team.ends.list.choose(key),
        RowId::Destination(key) => model.found.list.choose(key),
    }
    true
}
