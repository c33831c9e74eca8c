//! Where the operator looks: views, cursors, marks, filters, dialogs. Knows nothing of clusters
//! beyond their names; what they are is asked of the world by id. Changed by `update` and `settle`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tui_input::Input as LineInput;

use crate::{
    cockpit::{
        dossier::DestinationKey,
        orders::{OrderId, Target},
        ports::Trouble,
        rows::ClusterRow,
        world::World,
    },
    domain::{
        denial::{Denial, Group, GroupId},
        flow::Direction,
        names::{ClusterName, NsName, Text},
        time::Timestamp,
    },
};

use super::{
    bindings::Bindings,
    dialog::Overlay,
    ends::Ends,
    list::List,
    masks::Masks,
    past::Past,
    plan::PlanPage,
    reviews::Desk,
    views::{self, Saved},
};

pub use super::told::{Asked, Toast, Told, Tone};

/// How the cockpit starts.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Name of a theme, see [`super::theme::choose`].
    pub theme: &'static str,
    /// Only ASCII can be shown.
    pub ascii: bool,
    /// Columns and lines of the terminal.
    pub size: (u16, u16),
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    Main(Main),
    Namespace(ClusterName, NsName),
    Group(GroupId),
    /// Where the workloads of a namespace talk.
    Destinations(ClusterName, NsName),
    /// One of them in full.
    Dossier(ClusterName, NsName, Box<DestinationKey>),
    /// What the collected week has seen of a namespace.
    Coverage(ClusterName, NsName),
    /// What changed around a rollout.
    Timeline(Target),
    /// What the workspace's policies of a rollout would do.
    Prediction(Target),
    /// One review in full, by its name.
    Review(Text),
    /// What must hold of a cluster before anything is written there.
    Preflight(ClusterName),
    /// The discovery document of a namespace, of all its clusters.
    Document(NsName),
}

impl View {
    /// The namespace that the page is about.
    pub fn place(&self) -> Option<(&ClusterName, &NsName)> {
        match self {
            Self::Namespace(cluster, ns)
            | Self::Destinations(cluster, ns)
            | Self::Dossier(cluster, ns, _)
            | Self::Coverage(cluster, ns) => Some((cluster, ns)),
            _ => None,
        }
    }

    /// The list on this page that a filter narrows.
    pub fn sheet(&self) -> Option<Sheet> {
        match self {
            Self::Main(main) => Some(Sheet::Main(*main)),
            Self::Destinations(..) => Some(Sheet::Destinations),
            _ => None,
        }
    }
}

/// A list that a filter narrows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sheet {
    Main(Main),
    /// Of whatever namespace.
    Destinations,
}

impl From<Main> for Sheet {
    fn from(main: Main) -> Self {
        Self::Main(main)
    }
}

/// A page with a number key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Main {
    Fleet,
    Denials,
    Live,
    Activity,
    Sources,
    Notices,
    Plan,
    Reviews,
    OpenEnds,
}

impl Main {
    /// With the number that opens it.
    pub const ALL: [(u8, Self); 9] = [
        (1, Self::Fleet),
        (2, Self::Denials),
        (3, Self::Live),
        (4, Self::Activity),
        (5, Self::Sources),
        (6, Self::Notices),
        (7, Self::Plan),
        (8, Self::Reviews),
        (9, Self::OpenEnds),
    ];

    /// The same where there is no room for it.
    pub fn short(self) -> &'static str {
        match self {
            Self::Denials => "deny",
            Self::Activity => "act",
            Self::Sources => "src",
            Self::Notices => "note",
            Self::Reviews => "rev",
            Self::OpenEnds => "ends",
            Self::Fleet | Self::Live | Self::Plan => self.word(),
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Denials => "denials",
            Self::Live => "live",
            Self::Activity => "activity",
            Self::Sources => "sources",
            Self::Notices => "notices",
            Self::Plan => "plan",
            Self::Reviews => "reviews",
            Self::OpenEnds => "open ends",
        }
    }
}

/// The pages visited, as a browser keeps them.
#[derive(Clone, Debug)]
pub struct Views {
    visited: Vec<View>,
    at: usize,
    last: Option<View>,
    /// What can be undone.
    pub past: Past,
}

impl Views {
    const KEPT: usize = 50;

    fn new() -> Self {
        Self { visited: vec![View::Main(Main::Fleet)], at: 0, last: None, past: Past::default() }
    }

    pub fn now(&self) -> &View {
        &self.visited[self.at]
    }

    pub fn go(&mut self, view: View) {
        if *self.now() == view {
            return;
        }
        self.last = Some(self.now().clone());
        self.visited.truncate(self.at + 1);
        if self.visited.len() == Self::KEPT {
            self.visited.remove(0);
        }
        self.visited.push(view);
        self.at = self.visited.len() - 1;
    }

    /// The view before this one in time; false at the beginning.
    pub fn older(&mut self) -> bool {
        let can = self.at > 0;
        if can {
            self.last = Some(self.now().clone());
            self.at -= 1;
        }
        can
    }

    pub fn newer(&mut self) -> bool {
        let can = self.at + 1 < self.visited.len();
        if can {
            self.last = Some(self.now().clone());
            self.at += 1;
        }
        can
    }

    /// Back and forth between the last two.
    pub fn swap(&mut self) {
        if let Some(last) = self.last.clone() {
            self.go(last);
        }
    }
}

/// A row of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    Cluster(ClusterName),
    Namespace(ClusterName, NsName),
    Rollout(Target),
}

impl RowKey {
    pub fn cluster(&self) -> &ClusterName {
        match self {
            Self::Cluster(cluster) | Self::Namespace(cluster, _) => cluster,
            Self::Rollout(target) => &target.cluster,
        }
    }

    pub fn ns(&self) -> Option<&NsName> {
        match self {
            Self::Cluster(_) => None,
            Self::Namespace(_, ns) => Some(ns),
            Self::Rollout(target) => Some(&target.ns),
        }
    }
}

/// A cluster's row, kept until a fact about the cluster came or time moved on.
#[derive(Clone, Debug)]
pub struct Kept {
    pub row: ClusterRow,
    pub revision: u64,
    pub at: Timestamp,
}

/// The fleet page.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    pub list: List<RowKey>,
    pub clusters: Vec<Kept>,
    pub unfolded: BTreeSet<ClusterName>,
    pub unfolded_ns: BTreeSet<(ClusterName, NsName)>,
    /// Never a cluster.
    pub marks: BTreeSet<RowKey>,
}

impl Fleet {
    pub fn row(&self, name: &ClusterName) -> Option<&ClusterRow> {
        self.clusters.iter().find(|kept| kept.row.name == *name).map(|kept| &kept.row)
    }
}

/// What actions on the namespace page are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    Both,
    One(Direction),
    Denials,
}

impl Focus {
    /// The one direction that is meant.
    pub fn direction(self) -> Option<Direction> {
        match self {
            Self::One(direction) => Some(direction),
            Self::Both | Self::Denials => None,
        }
    }
}

/// The namespace page and the page of one denial.
#[derive(Clone, Debug)]
pub struct Page {
    pub focus: Focus,
    pub denials: List<GroupId>,
    pub scroll: usize,
}

/// What destinations are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The most severe first, then by category and name.
    Suspects,
    Name,
    Workload,
    Flows,
    Hours,
    /// Newcomers first.
    First,
    Last,
}

impl Order {
    pub const ALL: [Self; 7] =
        [Self::Suspects, Self::Name, Self::Workload, Self::Flows, Self::Hours, Self::First, Self::Last];

    pub fn word(self) -> &'static str {
        match self {
            Self::Suspects => "suspects",
            Self::Name => "name",
            Self::Workload => "workload",
            Self::Flows => "flows",
            Self::Hours => "hours",
            Self::First => "first seen",
            Self::Last => "last seen",
        }
    }

    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|order| *order == self).map_or(0, |at| at + 1);
        Self::ALL[at % Self::ALL.len()]
    }
}

/// The list of destinations.
#[derive(Clone, Debug)]
pub struct Found {
    pub list: List<DestinationKey>,
    /// Where each row stands among the namespace's destinations.
    pub places: Vec<usize>,
    pub order: Order,
    pub reversed: bool,
    /// What the rows were made from: they are not made anew for every frame.
    pub made: Option<Made>,
}

/// A set of destinations, and how it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub place: (ClusterName, NsName),
    pub revision: u64,
    pub filter: String,
    pub order: (Order, bool),
    pub direction: Option<Direction>,
}

/// A row of the activity page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActKey {
    Order(OrderId),
    /// The nth call of an order, counted from the first that is still kept.
    Call {
        order: OrderId,
        nth: usize,
    },
}

/// Where the calls of each order stand among all that are kept.
pub type Calls = BTreeMap<OrderId, Vec<usize>>;

/// The activity page.
#[derive(Clone, Debug)]
pub struct Activity {
    pub list: List<ActKey>,
    pub calls: Calls,
}

/// The denials as they were when the view was frozen.
#[derive(Clone, Debug)]
pub struct Frozen {
    pub at: Timestamp,
    pub total: u64,
    pub groups: HashMap<GroupId, Group>,
    /// Sorted as they were.
    pub order: Vec<GroupId>,
    pub live: Vec<Denial>,
}

/// Filters by page; one may be in the making.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    pub texts: BTreeMap<Sheet, String>,
    pub editing: Option<LineInput>,
}

impl Filters {
    /// What narrows a page now, also while it is typed.
    pub fn text(&self, sheet: Sheet, current: &View) -> &str {
        match &self.editing {
            Some(input) if current.sheet() == Some(sheet) => input.value(),
            Some(_) | None => self.texts.get(&sheet).map_or("", String::as_str),
        }
    }
}

/// What is wrong with files and settings, kept as `rows::notices` told it.
#[derive(Clone, Debug)]
pub struct Notices {
    /// Places in `all`, newest first.
    pub list: List<usize>,
    pub all: Vec<(Option<Timestamp>, Trouble)>,
}

/// What of a page has the whole screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zoom {
    /// Nothing: each part has its place.
    No,
    Details,
    List,
}

/// What the operator chose for good.
#[derive(Clone, Debug)]
pub struct Settings {
    pub keys: Bindings,
    /// Saved views, those that ship too.
    pub views: Vec<Saved>,
    /// What is wrong with the preferences.
    pub troubles: Vec<Trouble>,
    pub theme: &'static str,
    pub ascii: bool,
    /// Names and addresses hidden, for screen sharing.
    pub masks: Masks,
    pub clock: bool,
    pub zoom: Zoom,
    pub size: (u16, u16),
}

/// What the team shares, as it is looked at.
#[derive(Clone, Debug, Default)]
pub struct Team {
    pub reviews: Desk,
    pub ends: Ends,
}

/// Where the operator looks.
#[derive(Clone, Debug)]
pub struct Model {
    pub views: Views,
    pub fleet: Fleet,
    pub page: Page,
    pub denials: List<GroupId>,
    pub found: Found,
    /// By the number of the attempt.
    pub live: List<u64>,
    pub activity: Activity,
    pub sources: List<ClusterName>,
    pub notices: Notices,
    pub plan: PlanPage,
    pub filters: Filters,
    pub frozen: Option<Frozen>,
    pub overlay: Option<Overlay>,
    pub told: Told,
    pub settings: Settings,
    pub team: Team,
}

impl Model {
    pub fn new(options: Options) -> Self {
        Self {
            views: Views::new(),
            fleet: Fleet::default(),
            page: Page { focus: Focus::Both, denials: List::default(), scroll: 0 },
            denials: List::default(),
            found: Found {
                list: List::default(),
                places: Vec::new(),
                order: Order::Suspects,
                reversed: false,
                made: None,
            },
            live: List::following(),
            activity: Activity { list: List::following(), calls: Calls::new() },
            sources: List::default(),
            notices: Notices { list: List::following(), all: Vec::new() },
            plan: PlanPage::new(),
            filters: Filters::default(),
            frozen: None,
            overlay: None,
            told: Told::default(),
            settings: Settings {
                keys: Bindings::default(),
                views: views::all(&[]),
                troubles: Vec::new(),
                theme: options.theme,
                ascii: options.ascii,
                masks: Masks::default(),
                clock: false,
                zoom: Zoom::No,
                size: options.size,
            },
            team: Team::default(),
        }
    }

    pub fn view(&self) -> &View {
        self.views.now()
    }

    pub fn filter(&self, sheet: impl Into<Sheet>) -> &str {
        self.filters.text(sheet.into(), self.view())
    }

    /// The group as the page shows it: as it was when frozen, else as it is.
    pub fn group<'a>(&'a self, world: &'a World, id: GroupId) -> Option<&'a Group> {
        match &self.frozen {
            Some(frozen) => frozen.groups.get(&id),
            None => world.denials().group(id),
        }
    }

    /// The attempt of this number, as long as it is kept.
    pub fn attempt<'a>(&'a self, world: &'a World, number: u64) -> Option<&'a Denial> {
        match &self.frozen {
            Some(frozen) => {
                let at = frozen.live.binary_search_by_key(&number, |denial| denial.number).ok()?;
                frozen.live.get(at)
            }
            None => {
                let live = world.denials().live();
                live.get(live.binary_search_by_key(&number, |denial| denial.number).ok()?)
            }
        }
    }

    /// Now, as far as the denials pages are concerned.
    pub fn denials_now(&self, world: &World) -> Timestamp {
        self.frozen.as_ref().map_or(world.now(), |frozen| frozen.at)
    }
}
