//! What discovery knows: each cluster's collector with its age, CronJobs, and the destinations of
//! the namespaces that somebody opened lately. Facts go in; what views read is worked out in
//! [`Discoveries::settle`], never while drawing. Asks nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use indexmap::IndexMap;

use crate::domain::{
    coverage::CronJob,
    destination::Destination,
    discovery::{Everywhere, Rules, assemble},
    flagged::{Flagged, flagged},
    fleet::Cluster,
    hold::{Subject, Waiver, not_for},
    names::{ClusterName, NsName, Text},
    time::{Timestamp, age},
};

use super::{
    coverage::{self, ChurnRow},
    discovery::{self, Judged},
    foresights::{Foresights, Foretold},
    monthly::{DocumentFact, Monthly},
    orders::Target,
    ports::{Baseline, Change, CollectorState, Document, Documented, Link},
    shared::Shared,
};

/// A collector as it was last heard of.
#[derive(Clone, Debug)]
pub struct Collected {
    pub state: CollectorState,
    /// When `state` was told.
    pub at: Timestamp,
}

/// A namespace whose edges were asked for.
#[derive(Clone, Debug)]
pub struct Opened {
    pub cluster: ClusterName,
    pub ns: NsName,
    /// When they were asked for last.
    pub asked: Timestamp,
    pub answer: Option<Answer>,
}

/// What the collector answered, and what it means.
#[derive(Clone, Debug)]
pub struct Answer {
    pub at: Timestamp,
    pub baseline: Baseline,
    /// Where the workspace told it in place of a collector.
    pub document: Option<Document>,
    /// Suspects first, then by category. Filled by [`Discoveries::settle`].
    pub destinations: Vec<Destination>,
    /// Destinations and callers of each workload, by its name.
    pub evidence: BTreeMap<Text, [usize; 2]>,
    pub churned: Vec<ChurnRow>,
    pub suspects: usize,
    /// What a policy may open only under a grant.
    pub flagged: Vec<Flagged>,
}

impl Answer {
    fn new(baseline: Baseline, document: Option<Document>, at: Timestamp) -> Self {
        Self {
            at,
            baseline,
            document,
            destinations: Vec::new(),
            evidence: BTreeMap::new(),
            churned: Vec::new(),
            suspects: 0,
            flagged: Vec::new(),
        }
    }

    fn sort_out(&mut self, rules: &Rules, everywhere: &Everywhere) {
        let edges = self.baseline.edges.iter().map(|(key, edge)| (key, edge));
        self.destinations = assemble(edges, rules, everywhere, self.baseline.window);
        let edges = self.baseline.edges.iter().map(|(key, edge)| (key, edge));
        self.flagged = flagged(edges, &self.destinations, rules);
        self.evidence = coverage::evidence(&self.destinations);
        self.churned = coverage::churned(&self.destinations);
        self.suspects = self.destinations.iter().filter(|one| one.suspect().is_some()).count();
    }
}

impl Opened {
    /// Asked, and not answered since.
    pub fn is_waiting(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| answer.at < self.asked)
    }
}

/// The discovery of the whole fleet, as far as it is known here.
#[derive(Clone, Debug, Default)]
pub struct Discoveries {
    collected: BTreeMap<ClusterName, Collected>,
    /// A cluster without an entry has not told its CronJobs: that is not the same as having none.
    crons: BTreeMap<ClusterName, BTreeMap<(NsName, Text), CronJob>>,
    /// Namespaces that the workspace has a document of, with its companion.
    documented: BTreeSet<(ClusterName, NsName)>,
    foresights: Foresights,
    monthly: Monthly,
    /// The one used last stands last; at most [`Discoveries::OPEN`].
    opened: Vec<Opened>,
    /// Until they come nothing is called harmless.
    rules: Option<Arc<Rules>>,
    judged: BTreeMap<ClusterName, BTreeMap<NsName, Judged>>,
    /// Clusters of which something came that readiness rests on.
    touched: BTreeSet<ClusterName>,
    /// Edges or rules came.
    unsorted: bool,
    /// Grows whenever destinations were worked out anew.
    revision: u64,
}

impl Discoveries {
    /// Namespaces whose edges are kept; older ones are asked for again.
    pub const OPEN: usize = 8;
    /// An answer older than this is asked for again while its page is open.
    const FRESH_SECS: i64 = 300;
    /// A question that got no answer for this long is asked again.
    const PATIENCE_SECS: i64 = 60;

    pub fn collected(&self, cluster: &ClusterName) -> Option<&Collected> {
        self.collected.get(cluster)
    }

    /// CronJobs of a namespace; `None` where the cluster has not told them.
    pub fn crons<'a>(
        &'a self,
        cluster: &ClusterName,
        ns: &'a NsName,
    ) -> Option<impl Iterator<Item = &'a CronJob>> {
        let all = self.crons.get(cluster)?;
        Some(all.values().filter(move |cron| cron.ns == *ns))
    }

    pub fn opened(&self, cluster: &ClusterName, ns: &NsName) -> Option<&Opened> {
        self.opened.iter().find(|opened| opened.ns == *ns && opened.cluster == *cluster)
    }

    /// Every namespace whose edges are here.
    pub fn all_opened(&self) -> impl Iterator<Item = &Opened> {
        self.opened.iter()
    }

    pub fn destinations(&self, cluster: &ClusterName, ns: &NsName) -> Option<&[Destination]> {
        Some(&self.opened(cluster, ns)?.answer.as_ref()?.destinations)
    }

    pub fn rules(&self) -> Option<&Rules> {
        self.rules.as_deref()
    }

    /// Grows whenever destinations change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How far a namespace is; `None` where no collector ever told anything.
    pub fn judged(&self, cluster: &ClusterName, ns: &NsName) -> Option<&Judged> {
        self.judged.get(cluster)?.get(ns)
    }

    /// Should its edges be asked for (again), now that somebody looks at it?
    pub fn is_due(&self, cluster: &ClusterName, ns: &NsName, now: Timestamp) -> bool {
        let is_live = self.collected.get(cluster).is_some_and(|c| c.state.link == Link::Live);
        (is_live || self.rests_on_document(cluster, ns))
            && self.opened(cluster, ns).is_none_or(|opened| {
                let is_stand_in = opened.answer.as_ref().is_some_and(|answer| answer.document.is_some());
                let limit = match opened.is_waiting() {
                    true => Self::PATIENCE_SECS,
                    // The collector itself knows better.
                    false if is_live && is_stand_in => 0,
                    false => Self::FRESH_SECS,
                };
                age(opened.asked, now).num_seconds() >= limit
            })
    }

    /// Is there no collector to ask, or none that answers, and a document of the workspace that can
    /// stand in for it? What a collector told before it went away is newer than any document.
    pub fn rests_on_document(&self, cluster: &ClusterName, ns: &NsName) -> bool {
        let link = self.collected.get(cluster).map(|collected| &collected.state.link);
        let told = self.opened(cluster, ns).and_then(|opened| opened.answer.as_ref());
        let has_better =
            told.is_some_and(|answer| answer.document.is_none() && answer.baseline.trouble.is_none());
        matches!(link, Some(Link::None(_) | Link::Broken(_)))
            && !has_better
            && self.documented.contains(&(cluster.clone(), ns.clone()))
    }

    pub fn foresights(&self) -> &Foresights {
        &self.foresights
    }

    pub fn monthly(&self) -> &Monthly {
        &self.monthly
    }

    pub(super) fn tell(&mut self, fact: DocumentFact, now: Timestamp) {
        self.monthly.absorb(fact, now);
    }

    /// Something came on which the readiness of its namespaces rests.
    pub(super) fn touch(&mut self, cluster: &ClusterName) {
        if self.collected.contains_key(cluster) {
            self.touched.insert(cluster.clone());
        }
    }

    pub(super) fn rule(&mut self, rules: Arc<Rules>) {
        self.rules = Some(rules);
        self.unsorted = true;
    }

    pub(super) fn collect(&mut self, cluster: &ClusterName, state: CollectorState, at: Timestamp) {
        self.collected.insert(cluster.clone(), Collected { state, at });
        self.touch(cluster);
    }

    pub(super) fn schedule(&mut self, cluster: &ClusterName, change: Change<CronJob, (NsName, Text)>) {
        let crons = self.crons.entry(cluster.clone()).or_default();
        let key = |cron: &CronJob| (cron.ns.clone(), cron.name.clone());
        match change {
            Change::Reset(all) => *crons = all.into_iter().map(|cron| (key(&cron), cron)).collect(),
            Change::Put(cron) => {
                crons.insert(key(&cron), cron);
            }
            Change::Gone(key) => {
                crons.remove(&key);
            }
        }
        self.touch(cluster);
    }

    pub(super) fn ask(&mut self, cluster: &ClusterName, ns: &NsName, now: Timestamp) {
        self.use_now(cluster, ns, now).asked = now;
    }

    pub(super) fn answer(&mut self, cluster: &ClusterName, baseline: Baseline, now: Timestamp) {
        self.take(cluster, baseline, None, now);
    }

    /// What comes after a collector answered for itself is too late.
    pub(super) fn documented(&mut self, cluster: &ClusterName, told: Documented, now: Timestamp) {
        if self.rests_on_document(cluster, &told.baseline.ns) {
            self.take(cluster, told.baseline, Some(told.document), now);
        }
    }

    fn take(
        &mut self,
        cluster: &ClusterName,
        baseline: Baseline,
        document: Option<Document>,
        now: Timestamp,
    ) {
        let opened = self.use_now(cluster, &baseline.ns, now);
        opened.answer = Some(Answer::new(baseline, document, now));
        self.unsorted = true;
        self.touch(cluster);
    }

    /// Namespaces that have a companion in the workspace.
    pub(super) fn document(&mut self, documented: BTreeSet<(ClusterName, NsName)>) {
        self.documented = documented;
    }

    pub(super) fn foresee(&mut self, target: Target, now: Timestamp) {
        self.foresights.ask(target, now);
    }

    pub(super) fn foretold(&mut self, told: Foretold, now: Timestamp) {
        self.foresights.answer(told, now);
    }

    /// The entry of a namespace, moved to the end; the one unused for longest makes room.
    fn use_now(&mut self, cluster: &ClusterName, ns: &NsName, now: Timestamp) -> &mut Opened {
        let found = self.opened.iter().position(|opened| opened.ns == *ns && opened.cluster == *cluster);
        let opened = match found {
            Some(at) => self.opened.remove(at),
            None => Opened { cluster: cluster.clone(), ns: ns.clone(), asked: now, answer: None },
        };
        if self.opened.len() == Self::OPEN {
            self.opened.remove(0);
        }
        self.opened.push(opened);
        let newest = self.opened.len() - 1;
        &mut self.opened[newest]
    }

    /// Forgets clusters that left the plan.
    pub(super) fn retain(&mut self, clusters: &IndexMap<ClusterName, Cluster>) {
        self.collected.retain(|name, _| clusters.contains_key(name));
        self.crons.retain(|name, _| clusters.contains_key(name));
        self.judged.retain(|name, _| clusters.contains_key(name));
        self.opened.retain(|opened| clusters.contains_key(&opened.cluster));
    }

    /// What one namespace means also depends on what all others do.
    fn sort_out(&mut self) {
        let mut everywhere = Everywhere::default();
        for opened in &self.opened {
            let edges = opened.answer.iter().flat_map(|answer| &answer.baseline.edges);
            everywhere.note(&opened.cluster, edges.map(|(key, edge)| (key, edge)));
        }
        let none = Rules::default();
        let rules = self.rules.as_deref().unwrap_or(&none);
        for answer in self.opened.iter_mut().filter_map(|opened| opened.answer.as_mut()) {
            answer.sort_out(rules, &everywhere);
        }
    }

    /// Clusters judged anew in one batch: of a hundred, the others wait for the next one.
    const AT_ONCE: usize = 16;

    /// Clusters wait to be judged anew.
    pub(super) fn has_more(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Works out what views read, once a batch.
    pub(super) fn settle(
        &mut self,
        clusters: &IndexMap<ClusterName, Cluster>,
        shared: &Shared,
        now: Timestamp,
    ) {
        if std::mem::take(&mut self.unsorted) {
            self.revision += 1;
            self.sort_out();
        }
        for _ in 0..Self::AT_ONCE {
            let Some(name) = self.touched.pop_first() else { break };
            let Some(cluster) = clusters.get(&name) else { continue };
            let crons: Vec<CronJob> =
                self.crons.get(&name).into_iter().flat_map(BTreeMap::values).cloned().collect();
            let jobs = discovery::Jobs { all: &crons, waived: &waived_jobs(shared, cluster, now) };
            let judged = cluster
                .namespaces
                .values()
                .filter_map(|ns| {
                    Some((
                        ns.seen.name.clone(),
                        discovery::judge(
                            self,
                            cluster,
                            ns,
                            &waived(shared, cluster, &ns.seen.name, now),
                            &jobs,
                        )?,
                    ))
                })
                .collect();
            self.judged.insert(name, judged);
        }
    }
}

/// What somebody takes upon himself of a namespace, by the state cluster's clock.
pub fn waived(shared: &Shared, cluster: &Cluster, ns: &NsName, now: Timestamp) -> discovery::Waived {
    let mut out = discovery::Waived::default();
    let Some(now) = shared.now(now) else { return out };
    let waivers = shared.waivers().map(|kept| &kept.value).filter(|waiver| waiver.target.ns == *ns);
    for waiver in waivers.filter(|waiver| counts(waiver, cluster, now)) {
        match &waiver.subject {
            Subject::CronJob(name) => out.jobs.push(name.clone()),
            Subject::NoEvidence(workload) => out.workloads.push(workload.clone()),
            Subject::Denial(_) | Subject::Quiet => {}
        }
    }
    out
}

/// Of this very cluster, and not run out.
fn counts(waiver: &Waiver, cluster: &Cluster, now: Timestamp) -> bool {
    waiver.target.cluster == cluster.name
        && waiver.expires > now
        && not_for(waiver.uid.as_ref(), cluster.uid.as_ref()).is_none()
}

/// CronJobs of a cluster that somebody takes upon himself, whatever namespace they are of.
fn waived_jobs(shared: &Shared, cluster: &Cluster, now: Timestamp) -> Vec<(NsName, Text)> {
    let Some(now) = shared.now(now) else { return Vec::new() };
    let waivers = shared.waivers().map(|kept| &kept.value);
    let ours = waivers.filter(|waiver| counts(waiver, cluster, now));
    ours.filter_map(|waiver| match &waiver.subject {
        Subject::CronJob(name) => Some((waiver.target.ns.clone(), name.clone())),
        Subject::NoEvidence(_) | Subject::Denial(_) | Subject::Quiet => None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone, Utc};

    use super::*;
    use crate::{
        cockpit::ports::Trouble,
        domain::{coverage::Coverage, edge::Window},
    };

    fn at(secs: i64) -> Timestamp {
        Utc.with_ymd_and_hms(2026, 11, 23, 12, 0, 0).single().expect("a time") + TimeDelta::seconds(secs)
    }

    fn cluster() -> ClusterName {
        ClusterName::parse("prod-eu").expect("valid")
    }

    fn ns(nth: usize) -> NsName {
        NsName::parse(&format!("ns-{nth}")).expect("valid")
    }

    fn baseline(ns: NsName) -> Baseline {
        let window = Window { from: at(-604_800), to: at(0) };
        Baseline { ns, window, edges: Vec::new(), left_out: 0, trouble: None }
    }

    fn state(link: Link) -> CollectorState {
        CollectorState {
            link,
            version: None,
            sources: Vec::new(),
            window: None,
            coverage: Coverage::default(),
            edges: Vec::new(),
            troubles: Vec::new(),
        }
    }

    #[test]
    fn the_namespaces_used_last_are_kept_and_the_oldest_make_room() {
        let mut known = Discoveries::default();
        for nth in 0..Discoveries::OPEN {
            known.ask(&cluster(), &ns(nth), at(0));
        }
        // Looked at again: now the second is the one unused for longest.
        known.answer(&cluster(), baseline(ns(0)), at(1));
        known.ask(&cluster(), &ns(99), at(2));
        assert!(known.opened(&cluster(), &ns(0)).is_some() && known.opened(&cluster(), &ns(99)).is_some());
        assert!(known.opened(&cluster(), &ns(1)).is_none());
        assert_eq!(known.all_opened().count(), Discoveries::OPEN);
    }

    #[test]
    fn edges_are_asked_for_when_they_are_missing_old_or_unanswered_and_the_collector_lives() {
        let mut known = Discoveries::default();
        let due = |known: &Discoveries, secs| known.is_due(&cluster(), &ns(1), at(secs));
        assert!(!due(&known, 0), "no collector is known");
        known.collect(&cluster(), state(Link::Connecting), at(0));
        assert!(!due(&known, 0));
        known.collect(&cluster(), state(Link::Live), at(0));
        assert!(due(&known, 0));
        known.ask(&cluster(), &ns(1), at(0));
        assert!(!due(&known, 59) && due(&known, 60), "unanswered");
        known.answer(&cluster(), baseline(ns(1)), at(3));
        assert!(!due(&known, 299) && due(&known, 300), "old");
    }

    #[test]
    fn a_document_stands_in_for_a_collector_that_does_not_answer() {
        let mut known = Discoveries::default();
        let rests = |known: &Discoveries| known.rests_on_document(&cluster(), &ns(1));
        let due = |known: &Discoveries, secs| known.is_due(&cluster(), &ns(1), at(secs));
        let by_document = |known: &Discoveries| {
            let answer = known.opened(&cluster(), &ns(1)).and_then(|opened| opened.answer.as_ref());
            answer.expect("told").document.is_some()
        };
        let document = Document {
            path: Text::new("network-policies/discovery/ns-1.edges.jsonl"),
            written: at(-86_400),
            doubts: Vec::new(),
            ingress_doubts: Vec::new(),
            uncovered: Vec::new(),
        };
        let documented = || Documented { baseline: baseline(ns(1)), document: document.clone() };
        known.document([(cluster(), ns(1))].into());
        assert!(!rests(&known), "whether there is a collector is not known yet");
        known.collect(&cluster(), state(Link::None(Text::new("none runs there"))), at(0));
        assert!(rests(&known) && due(&known, 0));
        assert!(!known.rests_on_document(&cluster(), &ns(2)), "that one has no document");
        known.ask(&cluster(), &ns(1), at(0));
        known.documented(&cluster(), documented(), at(1));
        assert!(by_document(&known) && !due(&known, 299) && due(&known, 300));
        known.collect(&cluster(), state(Link::Live), at(2));
        assert!(due(&known, 2), "the collector itself knows better");
        known.answer(&cluster(), baseline(ns(1)), at(3));
        assert!(!due(&known, 4));
        known.collect(&cluster(), state(Link::Broken(Trouble::new("it", "is away", "Wait."))), at(5));
        assert!(!rests(&known), "what the collector told is newer than any document");
        known.documented(&cluster(), documented(), at(6));
        assert!(!by_document(&known), "one that comes too late is dropped");
    }
}
