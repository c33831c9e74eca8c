//! The document that somebody looks at for its monthly review: collectors are asked for what they hold
//! now, it is compared with what the document has, and the text is made that would take its place.
//! Writes only what was compared, and only over the files that it was compared with.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Reach,
    papers::{self, Drawn},
};
use crate::{
    cockpit::{
        discoveries::Opened,
        monthly::{self, Compared, ComparedPart, DocumentFact, Newer, Prepared, Question},
        plan::FleetFile,
        ports::{Baseline, ClusterFact, Fact, Trouble},
        world::World,
    },
    documents::{
        discovery::{
            changes::{self, Live},
            companion::Part,
            gather::{self, Known},
            known,
            page::{self, Shown},
        },
        notes::{self, Kind, Notes},
        predict as words,
    },
    domain::{
        coverage::Readiness,
        discovery::{Everywhere, Rules},
        edge::{Edge, EdgeKey},
        fleet::{Listed, Namespace, Presence},
        flow::Direction,
        names::{ClusterName, NsName, Text},
        predict::replay::{self, Recorded, Wanted},
        time::{Timestamp, span},
        valve::{self, Set},
    },
    k8s::{connect::Access, snapshot},
    workspace::{self, discovery, root::Place},
};

/// Clusters looked at beside each other: what is read of one is held until it is judged.
const AT_ONCE: usize = 4;
/// Longest wait for a collector's edges.
const PATIENCE: Duration = Duration::from_secs(60);

/// The workspace, as far as this run has it.
pub(super) struct Desk {
    pub place: Option<Place>,
    /// The rules of meaning are large: they are read when the first collector speaks.
    pub has_rules: bool,
    /// The document that is being compared.
    pub look: Option<Look>,
}

impl Desk {
    pub(super) fn root(&self) -> Option<PathBuf> {
        self.place.as_ref().map(|place| place.root.clone())
    }

    /// Takes an answer that only the look under way asked for.
    pub(super) fn take(&mut self, world: &World, fact: &Fact) -> Option<Fact> {
        let Fact::Cluster(cluster, ClusterFact::Baseline(baseline)) = fact else { return None };
        let is_ours = self.look.as_mut()?.take(cluster, baseline);
        let waits = world.discoveries().opened(cluster, &baseline.ns).is_some_and(Opened::is_waiting);
        (is_ours && !waits).then(|| Fact::Document(DocumentFact::Answered(cluster.clone())))
    }

    /// The look, once it has waited for all.
    pub(super) fn over(&mut self, now: Instant) -> Option<Look> {
        self.look.take_if(|look| look.is_over(now))
    }
}

/// The look that is under way.
pub(super) struct Look {
    question: Question,
    told: BTreeMap<ClusterName, Baseline>,
    deadline: Instant,
}

impl Look {
    pub(super) fn begin(question: Question, now: Instant) -> Self {
        Self { question, told: BTreeMap::new(), deadline: now + PATIENCE }
    }

    /// An answer for it is taken; one for others is not.
    pub(super) fn take(&mut self, cluster: &ClusterName, baseline: &Baseline) -> bool {
        let is_wanted = baseline.ns == self.question.ns
            && self.question.asked.contains(cluster)
            && !self.told.contains_key(cluster);
        if is_wanted {
            self.told.insert(cluster.clone(), baseline.clone());
        }
        is_wanted
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.told.len() == self.question.asked.len() || now >= self.deadline
    }

    /// Compares in the background; the answer is a fact.
    pub(super) fn compare(self, world: &World, root: PathBuf, reach: &Reach, sender: mpsc::Sender<Fact>) {
        let ns = self.question.ns.clone();
        let fleet = world.plan().clone();
        let by = self.question.by.clone();
        let now = world.now();
        let (kept, sides) = self.sides(world, reach);
        tokio::spawn(async move {
            let (failed, ns_) = (ns.clone(), ns.clone());
            let run = tokio::spawn(async move {
                // One that answers late holds up nobody but its own part.
                let looks = sides.into_iter().map(|side| side.look(&ns));
                let looked = stream::iter(looks).buffered(AT_ONCE).collect::<Vec<_>>().await;
                let work =
                    move || compare(&Paper { root: &root, fleet: &fleet, ns: &ns, by, now }, kept, looked);
                tokio::task::spawn_blocking(work).await
            });
            let compared = match run.await {
                Ok(Ok(compared)) => compared,
                Ok(Err(stopped)) | Err(stopped) => {
                    tracing::error!(%failed, %stopped, "comparing a document stopped");
                    let fact = "comparing it stopped on a fault of sluice";
                    let trouble = Trouble::new(&format!("the document of {ns_}"), fact, "See the log file.");
                    Compared { ns: ns_, at: now, parts: Vec::new(), prepared: Err(trouble) }
                }
            };
            let _ = sender.send(Fact::Document(DocumentFact::Compared(Arc::new(compared)))).await;
        });
    }

    /// What each cluster told, and why others told nothing.
    fn sides(self, world: &World, reach: &Reach) -> (BTreeMap<ClusterName, Text>, Vec<Side>) {
        let Question { ns, asked, mut kept, .. } = self.question;
        let mut told = self.told;
        let mut sides = Vec::new();
        for cluster in asked {
            let unheard = || {
                let secs = i64::try_from(PATIENCE.as_secs()).unwrap_or_default();
                format!("its collector did not answer within {}", span(chrono::TimeDelta::seconds(secs)))
            };
            let side = told.remove(&cluster).ok_or_else(unheard);
            match side.and_then(|baseline| side_of(world, &cluster, &ns, baseline, reach)) {
                Ok(side) => sides.push(side),
                Err(why) => {
                    kept.insert(cluster, Text::from(why));
                }
            }
        }
        (kept, sides)
    }
}

fn side_of(
    world: &World,
    cluster: &ClusterName,
    ns: &NsName,
    baseline: Baseline,
    reach: &Reach,
) -> Result<Side, String> {
    if let Some(trouble) = baseline.trouble {
        return Err(trouble.to_string());
    }
    if baseline.left_out > 0 {
        return Err(format!(
            "{} edges did not fit into the collector's answer: run `sluice discover` on the records",
            baseline.left_out
        ));
    }
    let collected = world.discoveries().collected(cluster).ok_or("its collector is not known any more")?;
    let known = known::of_cluster(world, cluster, collected, None).map_err(|trouble| trouble.to_string())?;
    let entry = world.plan().clusters.iter().find(|entry| entry.name == *cluster);
    let entry = entry.ok_or("the fleet has no such cluster any more")?;
    let seen = world.namespace(cluster, ns);
    let is_listed = world.cluster(cluster).is_some_and(|seen| seen.listed.contains(&Listed::Policies));
    let is_read = is_listed && seen.is_some();
    let live = Direction::ALL.into_iter().map(|direction| {
        // An allow alone isolates as much as a default deny.
        let isolates = |seen: &&Namespace| match seen.presence(direction) {
            Presence::None | Presence::Open => false,
            Presence::Partial { .. } | Presence::Tight => true,
        };
        let set = seen.filter(|seen| isolates(seen));
        (direction, set.map(|seen| valve::live_set(seen, direction)))
    });
    let live: BTreeMap<_, _> = live.collect();
    let access = live.values().any(Option::is_some).then(|| reach(entry));
    Ok(Side { cluster: cluster.clone(), known, edges: baseline.edges, is_read, live, access })
}

/// What one cluster told.
struct Side {
    cluster: ClusterName,
    known: Known,
    edges: Vec<(EdgeKey, Edge)>,
    /// The namespace's policies are known.
    is_read: bool,
    /// The sets of ours that isolate.
    live: BTreeMap<Direction, Option<Set>>,
    /// `None`: nothing of ours isolates there, so the cluster is not looked at.
    access: Option<Access>,
}

/// The same, with what the live policies say of it.
struct Looked {
    cluster: ClusterName,
    part: Part,
    live: BTreeMap<Direction, Live>,
}

impl Side {
    async fn look(self, ns: &NsName) -> Looked {
        let Self { cluster, mut known, edges, is_read, live, access } = self;
        known.generated = whole_second(known.generated);
        let seen = match &access {
            None => None,
            Some(access) => Some(snapshot::look(access, cluster.as_str(), snapshot::Need::Checks).await),
        };
        let window = known.window;
        let part = gather::parts(edges, &known, std::slice::from_ref(ns)).remove(ns);
        let part = part.unwrap_or_else(|| Part {
            window,
            generated: known.generated,
            evidence: page::Evidence {
                coverage: known.coverage.clone(),
                readiness: Readiness::Blocked { why: vec![Text::new("nothing was gathered")] },
                ingress: None,
                crons: None,
                silent: None,
                remarks: Vec::new(),
            },
            edges: Vec::new(),
        });
        let judge = |(direction, set): (Direction, Option<Set>)| {
            let live = match (set, &seen) {
                _ if !is_read => Live::Unknown(Text::new("the namespace's policies are not read")),
                (None, _) | (Some(_), None) => Live::NotIsolated,
                (Some(_), Some(Err(trouble))) => Live::Unknown(Text::from(trouble.to_string())),
                (Some(_), Some(Ok(seen))) if !seen.troubles.is_empty() => {
                    let why = seen.troubles.iter().map(ToString::to_string).next().unwrap_or_default();
                    Live::Unknown(Text::from(format!("parts of the cluster could not be read: {why}")))
                }
                (Some(set), Some(Ok(seen))) => {
                    let wanted = Wanted { ns, direction, set: &set };
                    let recorded = Recorded { window, edges: &part.edges, doubts: Vec::new() };
                    Live::Judged(Box::new(replay::predict(&seen.cluster, wanted, recorded)))
                }
            };
            (direction, live)
        };
        let live = live.into_iter().map(judge).collect();
        Looked { cluster, part, live }
    }
}

/// What is compared, for whom.
struct Paper<'p> {
    root: &'p Path,
    fleet: &'p FleetFile,
    ns: &'p NsName,
    by: Option<Text>,
    now: Timestamp,
}

fn compare(paper: &Paper<'_>, kept: BTreeMap<ClusterName, Text>, looked: Vec<Looked>) -> Compared {
    let (rules, _) = workspace::rules_of(paper.fleet, Some(paper.root));
    let mut parts = Vec::new();
    let prepared = prepared(paper, &rules, kept, looked, &mut parts);
    parts.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    Compared { ns: paper.ns.clone(), at: paper.now, parts, prepared }
}

fn prepared(
    paper: &Paper<'_>,
    rules: &Rules,
    kept: BTreeMap<ClusterName, Text>,
    looked: Vec<Looked>,
    parts: &mut Vec<ComparedPart>,
) -> Result<Prepared, Trouble> {
    let Paper { root, ns, .. } = *paper;
    let path = discovery::shown(root, &discovery::document_path(root, ns));
    let beside = discovery::shown(root, &discovery::companion_path(root, ns));
    let files = discovery::read(root, ns)?;
    let mut companion = papers::companion_of(&files, &beside, ns, false)?;
    let mut everywhere = everywhere(root);
    for side in &looked {
        everywhere.note(&side.cluster, side.part.edges.iter().map(|(key, edge)| (key, edge)));
    }
    for (cluster, why) in kept {
        let before = companion.parts.get(&cluster).map(|part| part.generated);
        parts.push(ComparedPart { cluster, before, now: Err(why) });
    }
    let is_gone = parts.iter().all(|part| part.now.as_ref().is_err_and(|why| why.as_str() == monthly::GONE));
    let any = !looked.is_empty();
    for side in looked {
        let before = companion.parts.remove(&side.cluster);
        parts.push(part(&side, ns, before.as_ref(), rules, &everywhere));
        companion.parts.insert(side.cluster, side.part);
    }
    if !any && is_gone {
        let fact = "no cluster that it covers has the namespace any more";
        let next = "Take both files out of the workspace (`git rm`); its history keeps them.";
        return Err(Trouble::new(&path, fact, next));
    }
    if !any {
        let next = "Wait for one of its collectors, or run `sluice discover --write` on records.";
        return Err(Trouble::new(&path, "no collector told anything newer", next));
    }
    let old = papers::kept(Kind::Discovery, files.document.as_deref(), &path, false)?;
    let none = Notes::new();
    let notes = old.as_ref().map_or(&none, |old| &old.notes);
    let generated = companion.parts.values().map(|part| part.generated).max().unwrap_or_default();
    let due = old.as_ref().map(|old| old.due);
    let (document, edges) = papers::texts(rules, &companion, Drawn { notes, due, generated }, &everywhere);
    let reviewed = paper.by.clone().map(|by| {
        let mut marked = notes.clone();
        notes::mark(&mut marked, generated.date_naive(), by.as_str());
        let drawn = Drawn { notes: &marked, due, generated };
        (by, papers::texts(rules, &companion, drawn, &everywhere).0.into())
    });
    Ok(Prepared {
        ns: ns.clone(),
        path: Text::from(path),
        beside: Text::from(beside),
        lines: edges.lines().count().saturating_sub(1),
        document: document.into(),
        edges: edges.into(),
        reviewed,
        was: [files.document.map(Arc::from), files.companion.map(Arc::from)],
        notes: notes.values().filter(|note| notes::is_written(note)).count(),
    })
}

/// What the workspace holds of the whole fleet.
fn everywhere(root: &Path) -> Everywhere {
    let mut out = Everywhere::default();
    for ns in discovery::namespaces(root) {
        let Ok(parts) = workspace::evidence::parts(root, &ns) else { continue };
        for (cluster, seen) in &parts {
            out.note(cluster, seen.edges.iter().map(|(key, edge)| (key, edge)));
        }
    }
    out
}

fn part(
    side: &Looked,
    ns: &NsName,
    before: Option<&Part>,
    rules: &Rules,
    everywhere: &Everywhere,
) -> ComparedPart {
    let page = |part: &Part| page::of(&side.cluster, ns, part, rules, everywhere, Shown::Passed);
    let now = page(&side.part);
    let empty = Part { edges: Vec::new(), ..side.part.clone() };
    let was = page(before.unwrap_or(&empty));
    let mut doubts = words::doubts(&side.part, Direction::Egress);
    let callers = words::doubts(&side.part, Direction::Ingress);
    doubts.extend(callers.into_iter().filter(|doubt| !doubts.contains(doubt)).collect::<Vec<_>>());
    doubts.extend(words::uncovered(&side.part));
    ComparedPart {
        cluster: side.cluster.clone(),
        before: before.map(|part| part.generated),
        now: Ok(Newer {
            window: side.part.window,
            doubts,
            destinations: now.destinations.len(),
            changes: changes::of(&was, &now, &side.live),
        }),
    }
}

fn whole_second(at: Timestamp) -> Timestamp {
    chrono::Timelike::with_nanosecond(&at, 0).unwrap_or(at)
}

/// Writes what was compared, unless one of the files is another by now.
pub(super) fn write(root: &Path, prepared: &Prepared, reviewed: bool) -> Result<Text, Trouble> {
    let ns = &prepared.ns;
    let (path, beside) = (discovery::document_path(root, ns), discovery::companion_path(root, ns));
    let files = discovery::read(root, ns)?;
    let is_same = |now: &Option<String>, then: &Option<Arc<str>>| now.as_deref() == then.as_deref();
    for (now, then, shown) in [
        (&files.document, &prepared.was[0], &prepared.path),
        (&files.companion, &prepared.was[1], &prepared.beside),
    ] {
        if !is_same(now, then) {
            let fact = "it was changed since it was compared, so nothing is written";
            return Err(Trouble::new(shown.as_str(), fact, "Look at what changed again."));
        }
    }
    let (document, review) = match prepared.reviewed.as_ref().filter(|_| reviewed) {
        Some((by, marked)) => (marked, format!(", reviewed by {by}")),
        None => (&prepared.document, ", not reviewed".to_owned()),
    };
    discovery::write(root, &beside, &prepared.edges)?;
    discovery::write(root, &path, document)?;
    Ok(Text::from(format!(
        "{} and {} are written{review}; `git checkout -- {} {}` takes them back",
        prepared.path, prepared.beside, prepared.path, prepared.beside
    )))
}

#[cfg(test)]
mod tests;
