//! The monthly review of discovery documents: which are due, what changed since each was written, and
//! the text that would take its place. One list for the cockpit, `sluice documents`, status and
//! handover. What could not be read is unknown, never fresh. Asks nobody.

mod unwritten;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::NaiveDate;

use crate::domain::{
    edge::Window,
    flow::Direction,
    names::{ClusterName, NsName, Text, plural},
    renewal::{Changed, is_due, month_after, summary},
    time::{Timestamp, age},
};

pub use self::unwritten::{Unwritten, folded};
pub use self::words::{differences, doubt, due_words, heading, line};
use super::{
    decide::{Orders, Reason, Refusal},
    discoveries::Discoveries,
    ports::{Effect, Link, Trouble},
    review_orders,
    world::World,
};

/// Somebody looked a document through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    pub day: NaiveDate,
    pub by: Option<Text>,
}

/// What a document says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub generated: Timestamp,
    /// When its next review is due.
    pub due: NaiveDate,
    pub reviewed: Option<Reviewed>,
    /// Something outside the places for notes is not as sluice wrote it.
    pub is_edited: bool,
}

/// A discovery document of the workspace with its companion. What cannot be read says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFile {
    pub ns: NsName,
    /// Of the document, from the root of the workspace on.
    pub path: Text,
    /// The document is there; else there is only its companion.
    pub is_written: bool,
    pub stamp: Result<Stamp, Text>,
    /// When each cluster's evidence was taken.
    pub parts: Result<BTreeMap<ClusterName, Timestamp>, Text>,
}

/// How a document stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No cluster that it covers has the namespace any more.
    Vanished,
    /// Its review is due.
    Due,
    /// There are policies or evidence, and no document that says what they rest on.
    Unwritten,
    /// How old it is, or whether its namespace is there, is not known.
    Unknown(Text),
    /// Nobody reviewed it yet, and its first review is not due.
    New,
    Current,
}

impl Standing {
    /// A stable word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Vanished => "vanished",
            Self::Due => "due",
            Self::Unwritten => "unwritten",
            Self::Unknown(_) => "unknown",
            Self::New => "new",
            Self::Current => "current",
        }
    }

    /// Somebody has to look at it now.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Vanished | Self::Due | Self::Unwritten | Self::Unknown(_) => true,
            Self::New | Self::Current => false,
        }
    }
}

/// What a document has of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRow {
    pub cluster: ClusterName,
    pub generated: Timestamp,
    /// `None`: whether the namespace is there is not known.
    pub is_there: Option<bool>,
}

/// A document as a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRow {
    pub ns: NsName,
    pub path: Text,
    pub standing: Standing,
    /// `None`: not known.
    pub due: Option<NaiveDate>,
    pub reviewed: Option<Reviewed>,
    pub generated: Option<Timestamp>,
    /// Oldest evidence first.
    pub parts: Vec<PartRow>,
    /// Clusters for which the workspace has policies of it.
    pub policies: BTreeSet<ClusterName>,
    pub owner: Option<Text>,
    pub contact: Option<Text>,
}

impl DocumentRow {
    /// Why it stands so, in a sentence.
    pub fn words(&self) -> String {
        let reviewed = match &self.reviewed {
            None => "never reviewed".to_owned(),
            Some(Reviewed { day, by: None }) => format!("last reviewed {day}"),
            Some(Reviewed { day, by: Some(by) }) => format!("last reviewed {day} by {by}"),
        };
        let oldest = self.parts.iter().find(|part| part.is_there != Some(false));
        let oldest = oldest.map_or_else(String::new, |part| {
            format!(", oldest evidence {} ({})", part.generated.format("%Y-%m-%d"), part.cluster)
        });
        let gone: Vec<_> = self.parts.iter().filter(|part| part.is_there == Some(false)).collect();
        let gone = match gone.as_slice() {
            [] => String::new(),
            [one] => format!("; {} has no such namespace any more", one.cluster),
            more => format!("; {} have no such namespace any more", plural(more.len(), "cluster")),
        };
        match &self.standing {
            Standing::Vanished => {
                format!("no cluster that it covers has the namespace any more; {reviewed}{oldest}")
            }
            Standing::Unwritten => format!("{} is not there{oldest}{gone}", self.path),
            Standing::Unknown(why) => format!("{why}; {reviewed}{oldest}"),
            Standing::Due | Standing::New | Standing::Current => format!("{reviewed}{oldest}{gone}"),
        }
    }
}

/// What is known of the documents, and of the one that is being looked at.
#[derive(Clone, Debug, Default)]
pub struct Monthly {
    /// `None`: they were not read.
    files: Option<Vec<DocumentFile>>,
    asked: Option<Timestamp>,
    renewal: Option<Renewal>,
}

impl Monthly {
    /// Documents are read again after this time, while somebody looks at them.
    const FRESH_SECS: i64 = 60;

    pub fn renewal(&self, ns: &NsName) -> Option<&Renewal> {
        self.renewal.as_ref().filter(|renewal| renewal.ns == *ns)
    }

    /// Of which there is a document, or should be.
    pub fn namespaces(&self) -> impl Iterator<Item = &NsName> {
        self.files.iter().flatten().map(|file| &file.ns)
    }

    /// Should the files be read (again), now that somebody looks at them?
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.asked.is_none_or(|asked| age(asked, now).num_seconds() >= Self::FRESH_SECS)
    }

    pub(super) fn absorb(&mut self, fact: DocumentFact, now: Timestamp) {
        match (fact, &mut self.renewal) {
            (DocumentFact::Asked, _) => self.asked = Some(now),
            (DocumentFact::Read(files), _) => self.files = Some(files),
            (DocumentFact::Begun { ns, waiting }, renewal) => {
                *renewal = Some(Renewal { ns, since: now, state: State::Reading(waiting) });
            }
            (DocumentFact::Answered(cluster), Some(Renewal { state: State::Reading(waiting), .. })) => {
                waiting.remove(&cluster);
            }
            (DocumentFact::Compared(compared), Some(renewal)) if renewal.ns == compared.ns => {
                renewal.state = State::Compared(compared);
            }
            (DocumentFact::Writing(ns), Some(renewal)) if renewal.ns == ns => {
                if let State::Compared(compared) = &renewal.state {
                    renewal.state = State::Writing(compared.clone());
                }
            }
            (DocumentFact::Written(ns, result), Some(renewal)) if renewal.ns == ns => {
                renewal.state = State::Written { at: now, result };
            }
            // Of a document that nobody looks at any more.
            (
                DocumentFact::Answered(_)
                | DocumentFact::Compared(_)
                | DocumentFact::Writing(_)
                | DocumentFact::Written(..),
                _,
            ) => {}
        }
    }
}

/// What was told of discovery documents.
#[derive(Clone, Debug)]
pub enum DocumentFact {
    /// They are being read.
    Asked,
    /// What they say of themselves.
    Read(Vec<DocumentFile>),
    /// One is held against the evidence of now: these clusters' collectors are asked.
    Begun {
        ns: NsName,
        waiting: BTreeSet<ClusterName>,
    },
    Answered(ClusterName),
    Compared(Arc<Compared>),
    Writing(NsName),
    /// What was done, in a sentence.
    Written(NsName, Result<Text, Trouble>),
}

/// A document that somebody looks at against the evidence of now.
#[derive(Clone, Debug)]
pub struct Renewal {
    pub ns: NsName,
    pub since: Timestamp,
    pub state: State,
}

#[derive(Clone, Debug)]
pub enum State {
    /// These have not answered.
    Reading(BTreeSet<ClusterName>),
    Compared(Arc<Compared>),
    Writing(Arc<Compared>),
    Written {
        at: Timestamp,
        result: Result<Text, Trouble>,
    },
}

/// A document against what the collectors hold now.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub ns: NsName,
    pub at: Timestamp,
    pub parts: Vec<ComparedPart>,
    /// What would be written, or why nothing can be.
    pub prepared: Result<Prepared, Trouble>,
}

/// One cluster's part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedPart {
    pub cluster: ClusterName,
    /// When the document's evidence was taken; `None`: it has none of this cluster.
    pub before: Option<Timestamp>,
    /// The error is why nothing newer is known: the part then stays as it is.
    pub now: Result<Newer, Text>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Newer {
    pub window: Window,
    /// `ready`, or why the evidence does not suffice: what is called gone may only not have been seen.
    pub doubts: Vec<Text>,
    pub destinations: usize,
    /// What asks for somebody first.
    pub changes: Vec<Changed>,
}

/// Both files as they would be, and as they were when this was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    pub ns: NsName,
    /// From the root of the workspace on.
    pub path: Text,
    pub beside: Text,
    pub document: Arc<str>,
    pub edges: Arc<str>,
    /// The document with the review written down, and whose it is; `None`: nobody knows who we are.
    pub reviewed: Option<(Text, Arc<str>)>,
    pub was: [Option<Arc<str>>; 2],
    /// Notes that people wrote, all kept.
    pub notes: usize,
    pub lines: usize,
}

impl Compared {
    /// All differences of all clusters.
    pub fn changes(&self) -> impl Iterator<Item = (&ClusterName, &Changed)> {
        self.parts.iter().flat_map(|part| {
            part.now.iter().flat_map(|newer| &newer.changes).map(|changed| (&part.cluster, changed))
        })
    }

    /// In a line.
    pub fn summary(&self) -> String {
        let all: Vec<_> = self.changes().map(|(_, changed)| changed.clone()).collect();
        let unread = self.parts.iter().filter(|part| part.now.is_err()).count();
        let is_gone = |part: &ComparedPart| part.now.as_ref().is_err_and(|why| why.as_str() == GONE);
        if !self.parts.is_empty() && self.parts.iter().all(is_gone) {
            return "there is nothing to compare it with: no cluster has the namespace any more".to_owned();
        }
        match (self.parts.len(), unread) {
            (0, _) => "no cluster has it".to_owned(),
            (all, unread) if all == unread => "what changed is not known: no collector answered".to_owned(),
            (_, 0) => summary(&all),
            (_, unread) => format!("{}; {} not read", summary(&all), plural(unread, "cluster")),
        }
    }
}

/// That of one namespace. `None`: they were not read yet.
pub fn document(world: &World, ns: &NsName) -> Option<Option<DocumentRow>> {
    let files = world.discoveries().monthly().files.as_ref()?;
    let has = |cluster: &ClusterName| {
        Direction::ALL
            .iter()
            .any(|direction| world.files().sets.contains_key(&(cluster.clone(), ns.clone(), *direction)))
    };
    let clusters = world.clusters().map(|cluster| &cluster.name);
    let policies: BTreeSet<_> =
        clusters.filter(|name| !world.plan().excludes(ns) && has(name)).cloned().collect();
    Some(match files.iter().find(|file| file.ns == *ns) {
        Some(file) => Some(DocumentRow { policies, ..row(world, file) }),
        None => (!policies.is_empty()).then(|| unwritten::row(world, ns, policies)),
    })
}

/// Every document, what is open first, then by due date and name. `None`: they were not read yet.
pub fn documents(world: &World) -> Option<Vec<DocumentRow>> {
    let files = world.discoveries().monthly().files.as_ref()?;
    let mut policies: BTreeMap<&NsName, BTreeSet<ClusterName>> = BTreeMap::new();
    for (cluster, ns, _) in world.files().sets.keys() {
        if world.cluster(cluster).is_some() && !world.plan().excludes(ns) {
            policies.entry(ns).or_default().insert(cluster.clone());
        }
    }
    let mut out: Vec<_> = files
        .iter()
        .map(|file| DocumentRow {
            policies: policies.remove(&file.ns).unwrap_or_default(),
            ..row(world, file)
        })
        .collect();
    out.extend(policies.into_iter().map(|(ns, policies)| unwritten::row(world, ns, policies)));
    out.sort_by(|a, b| {
        let rank = |row: &DocumentRow| (!row.standing.is_open(), row.due.is_none(), row.due);
        rank(a).cmp(&rank(b)).then_with(|| a.ns.cmp(&b.ns))
    });
    Some(out)
}

/// Those that somebody has to look at.
pub fn due(world: &World) -> Option<Vec<DocumentRow>> {
    let mut out = documents(world)?;
    out.retain(|row| row.standing.is_open());
    Some(out)
}

fn row(world: &World, file: &DocumentFile) -> DocumentRow {
    let mut parts: Vec<_> = file
        .parts
        .iter()
        .flatten()
        .map(|(cluster, generated)| PartRow {
            cluster: cluster.clone(),
            generated: *generated,
            is_there: is_there(world, cluster, &file.ns),
        })
        .collect();
    parts.sort_by(|a, b| (a.generated, &a.cluster).cmp(&(b.generated, &b.cluster)));
    let stamp = file.stamp.as_ref().ok();
    let reviewed = stamp.and_then(|stamp| stamp.reviewed.clone());
    // Of a cluster without the namespace nothing newer will come.
    let oldest = parts.iter().find(|part| part.is_there != Some(false)).map(|part| part.generated);
    let due = stamp.map(|stamp| due_day(stamp, oldest));
    let entry = world.plan().owner_of(&file.ns);
    DocumentRow {
        ns: file.ns.clone(),
        path: file.path.clone(),
        standing: standing(world, file, &parts, due),
        due,
        reviewed,
        generated: stamp.map(|stamp| stamp.generated),
        parts,
        policies: BTreeSet::new(),
        owner: entry.map(|entry| entry.owner.clone()),
        contact: entry.and_then(|entry| entry.contact.clone()),
    }
}

/// A month after the last review, and no later than a month after the oldest evidence.
fn due_day(stamp: &Stamp, oldest: Option<Timestamp>) -> NaiveDate {
    let by_review = stamp.reviewed.as_ref().map_or(stamp.due, |reviewed| month_after(reviewed.day));
    let by_age = month_after(oldest.unwrap_or(stamp.generated).date_naive());
    by_review.min(by_age)
}

fn is_there(world: &World, cluster: &ClusterName, ns: &NsName) -> Option<bool> {
    let Some(seen) = world.cluster(cluster) else {
        return if world.plan().leaves_out(cluster) { None } else { Some(false) };
    };
    match seen.namespaces.contains_key(ns) {
        true => Some(true),
        false => seen.knows_gone(ns).then_some(false),
    }
}

fn standing(world: &World, file: &DocumentFile, parts: &[PartRow], due: Option<NaiveDate>) -> Standing {
    let is_gone = !parts.is_empty() && parts.iter().all(|part| part.is_there == Some(false));
    if !file.is_written && !parts.is_empty() && !is_gone {
        return Standing::Unwritten;
    }
    if let Some(why) = file.stamp.as_ref().err().or(file.parts.as_ref().err()) {
        return Standing::Unknown(why.clone());
    }
    if is_gone {
        return Standing::Vanished;
    }
    let today = world.now().date_naive();
    let is_new = file.stamp.as_ref().is_ok_and(|stamp| stamp.reviewed.is_none());
    match due {
        Some(due) if is_due(due, today) => Standing::Due,
        Some(_) if is_new => Standing::New,
        Some(_) => Standing::Current,
        None => Standing::Unknown(Text::new("when its review is due is not known")),
    }
}

/// Why a cluster without the namespace is not asked.
pub const GONE: &str = "the namespace is not there any more";

/// Where a document's new evidence would come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub ns: NsName,
    /// Clusters of the document that have the namespace, or may have it, and whose collectors answer.
    pub asked: BTreeSet<ClusterName>,
    /// The others, and why they keep what the document has of them.
    pub kept: BTreeMap<ClusterName, Text>,
    /// Who would have reviewed it.
    pub by: Option<Text>,
}

/// Holds the document of a namespace against what its collectors hold now. Changes nothing.
pub fn compare(world: &World, ns: &NsName, by: Option<&Text>) -> Result<Orders, Refusal> {
    let reasons = compare_reasons(world, ns);
    if !reasons.is_empty() {
        return Err(Refusal { what: Text::from(format!("comparing the document of {ns}")), reasons });
    }
    let mut question = Question {
        ns: ns.clone(),
        asked: BTreeSet::new(),
        kept: BTreeMap::new(),
        by: by.or_else(|| review_orders::me(world)).cloned(),
    };
    let file = file(world, ns);
    for cluster in file.iter().flat_map(|file| file.parts.iter().flatten()).map(|(cluster, _)| cluster) {
        match not_asked(world, cluster, ns) {
            None => {
                question.asked.insert(cluster.clone());
            }
            Some(why) => {
                question.kept.insert(cluster.clone(), why);
            }
        }
    }
    Ok(Orders { started: Vec::new(), effects: vec![Effect::Compare(Box::new(question))] })
}

fn file<'w>(world: &'w World, ns: &NsName) -> Option<&'w DocumentFile> {
    world.discoveries().monthly().files.iter().flatten().find(|file| file.ns == *ns)
}

/// Every reason why a document cannot be held against the evidence of now.
pub fn compare_reasons(world: &World, ns: &NsName) -> Vec<Reason> {
    if world.plan().path.is_none() {
        return vec![Reason::NoWorkspace];
    }
    let Some(file) = file(world, ns) else {
        let is_read = world.discoveries().monthly().files.is_some();
        return vec![Reason::Document(match is_read {
            true => Text::from(format!(
                "the workspace has no discovery document of {ns}: `sluice discover -n {ns} --write --cluster \
                 CLUSTER` writes the first"
            )),
            false => Text::new("the workspace's discovery documents are not read yet: try again"),
        })];
    };
    if let Err(why) = &file.parts {
        return vec![Reason::Document(why.clone())];
    }
    match world.discoveries().monthly().renewal(ns).map(|renewal| &renewal.state) {
        Some(State::Reading(_) | State::Writing(_)) => {
            vec![Reason::Document(Text::new("it is being read already"))]
        }
        Some(State::Compared(_) | State::Written { .. }) | None => Vec::new(),
    }
}

/// Why a cluster's collector is not asked.
fn not_asked(world: &World, cluster: &ClusterName, ns: &NsName) -> Option<Text> {
    let said = |why: String| Some(Text::from(why));
    if world.plan().leaves_out(cluster) {
        return said("this run leaves the cluster out".to_owned());
    }
    if world.cluster(cluster).is_none() {
        return said("the fleet has no such cluster any more".to_owned());
    }
    if is_there(world, cluster, ns) == Some(false) {
        return Some(Text::new(GONE));
    }
    let Some(collected) = world.discoveries().collected(cluster) else {
        return said("its collector was not heard of yet".to_owned());
    };
    match &collected.state.link {
        Link::Live if collected.state.window.is_none() => {
            said("its collector has not said what it holds".to_owned())
        }
        Link::Live => None,
        Link::None(why) => said(format!("it has no collector ({why})")),
        Link::Connecting => said("its collector is being connected".to_owned()),
        Link::Broken(trouble) => said(format!("its collector is away ({trouble})")),
    }
}

/// Writes what was compared; with `reviewed` the review is written down too. A file of the workspace
/// changes, no cluster does.
pub fn renew(world: &World, ns: &NsName, reviewed: bool) -> Result<Orders, Refusal> {
    let reasons = renew_reasons(world, ns, reviewed);
    if !reasons.is_empty() {
        return Err(Refusal { what: Text::from(format!("writing the document of {ns}")), reasons });
    }
    let effects = match ready(world.discoveries(), ns).map(|compared| &compared.prepared) {
        Some(Ok(prepared)) => vec![Effect::Renew { prepared: Box::new(prepared.clone()), reviewed }],
        Some(Err(_)) | None => Vec::new(),
    };
    Ok(Orders { started: Vec::new(), effects })
}

/// Every reason why what was compared cannot be written.
pub fn renew_reasons(world: &World, ns: &NsName, reviewed: bool) -> Vec<Reason> {
    let mut out = Vec::new();
    if world.is_read_only() {
        out.push(Reason::ReadOnly);
    }
    let said = |why: &str| Reason::Document(Text::new(why));
    match ready(world.discoveries(), ns).map(|compared| &compared.prepared) {
        None => out.push(said("it was not held against the evidence of now: look at what changed first")),
        Some(Err(trouble)) => out.push(Reason::Document(Text::from(trouble.to_string()))),
        Some(Ok(prepared)) if reviewed && prepared.reviewed.is_none() => {
            out.push(said(
                "who reviewed it is not known: say it (--reviewed-by), or write it without a review",
            ));
        }
        Some(Ok(_)) => {}
    }
    out
}

/// What was compared last and can be written.
pub fn ready<'d>(discoveries: &'d Discoveries, ns: &NsName) -> Option<&'d Compared> {
    match &discoveries.monthly().renewal(ns)?.state {
        State::Compared(compared) => Some(compared),
        State::Reading(_) | State::Writing(_) | State::Written { .. } => None,
    }
}
