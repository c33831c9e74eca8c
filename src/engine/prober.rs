//! Starts the probes that are due in clusters whose Lease this process holds, and puts together what
//! their pods said and what the flow source told of them. One lane of bounded width a cluster, so that
//! a slow one holds up no other. How often: domain time; how long one is waited for: runtime time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};

use super::Reach;
use crate::{
    cockpit::{
        plan::ClusterEntry,
        ports::{ClusterFact, Fact},
        probing,
        settings::ProbeEntry,
        world::World,
    },
    domain::{
        flow::Flow,
        names::{ClusterName, NodeName, PodName, Text},
        probe::{self, Aim, Exit, Outcome, Seen},
        rollout::Target,
        source::SourceKind,
        time::Timestamp,
    },
    k8s::{
        connect::Access,
        probe::{Probe, Runner},
    },
};

/// Between two looks at what is due.
const LOOK: Duration = Duration::from_secs(1);
/// Probes of one cluster at a time.
const WIDTH: usize = 16;
/// Between two sweeps of one cluster.
const SWEEP: Duration = Duration::from_secs(600);

/// Whose proof a probe is.
type Spot = (Target, NodeName);

pub(super) struct Prober {
    sender: mpsc::Sender<Fact>,
    lanes: BTreeMap<ClusterName, Lane>,
    /// When the newest probe of each began.
    began: BTreeMap<Spot, Timestamp>,
    running: BTreeMap<Spot, Running>,
    looked: Option<Instant>,
    random: fastrand::Rng,
}

/// A probe under way.
struct Running {
    aim: Aim,
    pod: PodName,
    seen: watch::Sender<Seen>,
}

struct Lane {
    jobs: mpsc::Sender<Job>,
    task: AbortHandle,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Job {
    probe: Probe,
    began: Timestamp,
    /// After the pod's end, the source's word on it may take this long; `None`: no source is live.
    word: Option<Duration>,
    seen: watch::Receiver<Seen>,
}

impl Prober {
    pub(super) fn new(sender: mpsc::Sender<Fact>) -> Self {
        Self {
            sender,
            lanes: BTreeMap::new(),
            began: BTreeMap::new(),
            running: BTreeMap::new(),
            looked: None,
            random: fastrand::Rng::new(),
        }
    }

    /// Flows of probes under way are their proof; a probe that was told is over.
    pub(super) fn note(&mut self, cluster: &ClusterName, fact: &ClusterFact) {
        match fact {
            ClusterFact::Flows(flows) => self.see(cluster, flows),
            ClusterFact::Probed { ns, direction, node, .. } => {
                let target = Target { cluster: cluster.clone(), ns: ns.clone(), direction: *direction };
                self.running.remove(&(target, node.clone()));
            }
            // All else says nothing of a probe.
            _ => {}
        }
    }

    fn see(&self, cluster: &ClusterName, flows: &[Flow]) {
        if !self.lanes.contains_key(cluster) {
            return;
        }
        for flow in flows.iter().filter(|flow| probe::is_at_an_end_of(flow)) {
            for ((target, _), running) in &self.running {
                if target.cluster == *cluster && running.aim.is_met(&running.pod, flow) {
                    running.seen.send_modify(|seen| running.aim.note(&running.pod, flow, seen));
                }
            }
        }
    }

    /// Starts what is due; answers what cannot be probed, with why.
    pub(super) fn follow(&mut self, world: &World, reach: &Reach, now: Instant) -> Vec<Fact> {
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return Vec::new();
        }
        self.looked = Some(now);
        let held: BTreeSet<&ClusterName> = probing::held(world).map(|(entry, _)| &entry.cluster).collect();
        self.lanes.retain(|name, _| held.contains(name));
        self.running.retain(|(target, _), _| held.contains(&target.cluster));
        let mut facts = Vec::new();
        let mut needed = BTreeSet::new();
        for (entry, cluster) in probing::held(world) {
            let spots: Vec<Spot> = probing::needed(world, &cluster.name).collect();
            needed.extend(spots.iter().cloned());
            for spot in self.due(spots, world.now()) {
                match probing::aim(cluster, entry, &spot.0, &spot.1) {
                    Ok(aim) => {
                        if !self.start(world, reach, entry, &spot, aim) {
                            // The lane is full: the rest comes when there is room.
                            break;
                        }
                    }
                    Err(why) => {
                        let outcome = Outcome::Unknown(why);
                        let fact = probed(&spot.0, &spot.1, world.now(), outcome);
                        facts.push(Fact::Cluster(spot.0.cluster.clone(), fact));
                    }
                }
                self.began.insert(spot, world.now());
            }
        }
        self.began.retain(|spot, _| needed.contains(spot));
        facts
    }

    /// What was not probed for long enough, longest first.
    fn due(&self, spots: Vec<Spot>, now: Timestamp) -> Vec<Spot> {
        let began = |spot: &Spot| self.began.get(spot).copied();
        let mut due: Vec<Spot> = spots
            .into_iter()
            .filter(|spot| !self.running.contains_key(spot))
            .filter(|spot| began(spot).is_none_or(|at| now - at >= probe::EVERY))
            .collect();
        due.sort_by_key(began);
        due
    }

    fn start(&mut self, world: &World, reach: &Reach, entry: &ProbeEntry, spot: &Spot, aim: Aim) -> bool {
        let name = &spot.0.cluster;
        let Some(planned) = world.plan().clusters.iter().find(|planned| planned.name == *name) else {
            return false;
        };
        let raw = format!("{}-{}-{:08x}", probe::NAME, aim.direction, self.random.u32(..));
        let Ok(pod) = PodName::parse(&raw) else { return false };
        let observer =
            world.shared().observer(name).map(|observer| observer.holder.clone()).unwrap_or_default();
        let (seen, heard) = watch::channel(Seen::default());
        let job = Job {
            probe: Probe { aim: aim.clone(), pod: pod.clone(), image: entry.image.clone(), observer },
            began: world.now(),
            word: world.source(name).filter(|source| source.is_live()).map(|source| {
                let kind = source.state.as_ref().map_or(SourceKind::Unknown, |state| state.kind);
                Duration::from_secs(kind.ability().late_secs.into())
            }),
            seen: heard,
        };
        let lane = self.lanes.entry(name.clone()).or_insert_with(|| lane(planned, reach, &self.sender));
        if lane.jobs.try_send(job).is_err() {
            return false;
        }
        self.running.insert(spot.clone(), Running { aim, pod, seen });
        true
    }
}

fn lane(entry: &ClusterEntry, reach: &Reach, sender: &mpsc::Sender<Fact>) -> Lane {
    // One that runs has left the queue: together they are no more than two widths.
    let (jobs, asked) = mpsc::channel(WIDTH);
    let run = run_lane(entry.name.clone(), reach(entry), asked, sender.clone());
    let task = tokio::spawn(run).abort_handle();
    Lane { jobs, task }
}

async fn run_lane(
    cluster: ClusterName,
    access: Access,
    mut asked: mpsc::Receiver<Job>,
    sender: mpsc::Sender<Fact>,
) {
    let mut running: JoinSet<PodName> = JoinSet::new();
    let mut ours: BTreeSet<PodName> = BTreeSet::new();
    let mut runner: Option<Arc<Runner>> = None;
    let mut swept: Option<Instant> = None;
    loop {
        let job = tokio::select! {
            Some(ended) = running.join_next() => {
                match ended {
                    Ok(pod) => drop(ours.remove(&pod)),
                    Err(stopped) => tracing::error!(%cluster, %stopped, "a probe stopped"),
                }
                continue;
            }
            job = asked.recv(), if running.len() < WIDTH => job,
        };
        let Some(job) = job else { return };
        if runner.is_none() {
            match Runner::open(&access).await {
                Ok(opened) => runner = Some(Arc::new(opened)),
                Err(trouble) => {
                    let why = Exit::CouldNotRun(Text::from(trouble.to_string()));
                    tell(&cluster, &job, &why, Seen::default(), &sender).await;
                    continue;
                }
            }
        }
        let Some(runner) = runner.clone() else { continue };
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            swept = Some(Instant::now());
            runner.sweep(|name| ours.iter().any(|pod| pod.as_str() == name)).await;
        }
        ours.insert(job.probe.pod.clone());
        let (cluster, sender) = (cluster.clone(), sender.clone());
        running.spawn(async move {
            let pod = job.probe.pod.clone();
            run_one(&runner, cluster, job, sender).await;
            pod
        });
    }
}

async fn run_one(runner: &Runner, cluster: ClusterName, mut job: Job, sender: mpsc::Sender<Fact>) {
    let exit = runner.run(&job.probe).await;
    if let Some(word) = job.word {
        let told = job.seen.wait_for(|seen| seen.denied.is_some() || seen.allowed.is_some());
        // Without a word in time it stays unknown.
        let _ = timeout(word, told).await;
    }
    let seen = *job.seen.borrow();
    tell(&cluster, &job, &exit, seen, &sender).await;
}

async fn tell(cluster: &ClusterName, job: &Job, exit: &Exit, seen: Seen, sender: &mpsc::Sender<Fact>) {
    let aim = &job.probe.aim;
    let outcome = probe::conclude(exit, seen);
    // A proof is as old as the source says, and never older than its probe.
    let at = match (&outcome, seen.denied) {
        (Outcome::Denied, Some(at)) => at.max(job.began),
        (Outcome::Denied | Outcome::GotThrough | Outcome::Unknown(_), _) => job.began,
    };
    let target = Target { cluster: cluster.clone(), ns: aim.ns.clone(), direction: aim.direction };
    let fact = probed(&target, &aim.node, at, outcome);
    let _ = sender.send(Fact::Cluster(cluster.clone(), fact)).await;
}

fn probed(target: &Target, node: &NodeName, at: Timestamp, outcome: Outcome) -> ClusterFact {
    let (ns, direction, node) = (target.ns.clone(), target.direction, node.clone());
    ClusterFact::Probed { ns, direction, node, at, outcome }
}
