//! One running sluice: its world, the orders that it carries out write by write, what it publishes and
//! journals. Only `absorb`, `settle` and `decide` of the product are driven; the hands are modelled.

use std::collections::{BTreeMap, BTreeSet};

use sluice::{
    cockpit::{
        decide::{self, Command, Refusal},
        orders::{
            Answer, ApplyOrder, OrderId, OrderKind, Outcome, Preview, PreviewOrder, Receipt, RollbackOrder,
            Target,
        },
        outbox::{DraftKey, Outbox, Step as Sending},
        plan::{FleetFile, PolicyFiles},
        ports::{ClusterFact, Effect, Fact, OrderFact, Trouble},
        recording::{self, Draft},
        records,
        shared::{Share, ShareId, SharedFact},
        world::World,
    },
    domain::{
        edge::Window,
        fleet::Isolation,
        flow::Direction,
        names::Text,
        policy::{Pinned, PolicyDigest, Role},
        predict::prediction::{Bound, Prediction},
        valve::{self, Step},
    },
};

use super::{
    layout::{CLUSTERS, EVERYTHING, Made, Row, at, cluster_name, made, make},
    outside::Cluster,
};

/// An apply or a rollback on its way.
pub struct Running {
    pub id: OrderId,
    pub row: Row,
    pub kind: OrderKind,
    /// Of an apply.
    pub preview: Option<Box<Preview>>,
    /// Waits for the end of these.
    pub after: Option<OrderId>,
    pub steps: Option<Vec<Step>>,
    pub done: usize,
    pub aborted: bool,
    /// The objects it writes to, as it saw them last.
    held: BTreeMap<&'static str, Option<u64>>,
}

/// What becomes of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// It landed, and nobody said so.
    LandedUnsaid,
    /// It did not land, and nobody said so.
    LostUnsaid,
}

pub struct Sluice {
    pub user: &'static str,
    pub follows_flows: bool,
    /// Seconds that its clock is ahead.
    pub skew: i64,
    pub alive: bool,
    pub world: World,
    pub running: Vec<Running>,
    /// Previews that were asked for, until they are applied or dropped.
    pub previews: BTreeSet<OrderId>,
    /// Is the state cluster reached, and how much of its changes was told?
    pub linked: bool,
    pub told: usize,
    /// The latest time that the state cluster showed it, and when.
    latest: (i64, i64),
    /// Drafts on its disk: a restart does not lose them.
    disk: BTreeMap<u64, Draft>,
    outbox: Outbox,
    open: BTreeMap<OrderId, Draft>,
    acts: BTreeMap<ShareId, Draft>,
    next: u64,
    pub shares: Vec<(ShareId, Share)>,
    /// A fact came since the last settling.
    pub touched: bool,
}

impl Sluice {
    pub fn new(user: &'static str, follows_flows: bool, skew: i64) -> Self {
        Self {
            user,
            follows_flows,
            skew,
            alive: false,
            world: World::new(at(0)),
            running: Vec::new(),
            previews: BTreeSet::new(),
            linked: false,
            told: 0,
            latest: (0, 0),
            disk: BTreeMap::new(),
            outbox: Outbox::default(),
            open: BTreeMap::new(),
            acts: BTreeMap::new(),
            next: 0,
            shares: Vec::new(),
            touched: true,
        }
    }

    /// It is started, with nothing but its files and its disk.
    pub fn start(&mut self, fleet: FleetFile, files: PolicyFiles, now: i64) {
        self.alive = true;
        self.world = World::new(at(now + self.skew));
        self.running.clear();
        self.previews.clear();
        self.linked = false;
        self.latest = (i64::MIN / 2, now);
        self.outbox = Outbox::default();
        for (key, draft) in &self.disk {
            self.outbox.add(DraftKey(*key), draft.clone());
        }
        self.tell(Fact::Fleet(fleet));
        self.tell(Fact::Files(files));
        self.tell(Fact::Rules(std::sync::Arc::default()));
    }

    /// It is killed. What it had begun stays on its disk, without an end.
    pub fn kill(&mut self) {
        self.alive = false;
        let open = std::mem::take(&mut self.open);
        for (_, mut draft) in open {
            draft.say(recording::never_ended());
            self.keep(draft);
        }
        self.running.clear();
        self.shares.clear();
        self.acts.clear();
    }

    fn keep(&mut self, draft: Draft) {
        self.next += 1;
        self.disk.insert(self.next, draft.clone());
        self.outbox.add(DraftKey(self.next), draft);
    }

    pub fn waits_for_journal(&self) -> usize {
        self.disk.len()
    }

    pub fn tell(&mut self, fact: Fact) {
        self.touched = true;
        self.note(&fact);
        self.world.absorb(fact);
    }

    pub fn tell_of(&mut self, cluster: usize, fact: ClusterFact) {
        self.tell(Fact::Cluster(cluster_name(CLUSTERS[cluster].0), fact));
    }

    pub fn share(&mut self, fact: SharedFact) {
        self.tell(Fact::Shared(fact));
    }

    /// The state cluster shows its clock.
    pub fn show(&mut self, clock: i64, now: i64) {
        self.latest = (self.latest(now).max(clock), now);
        self.share(SharedFact::Clock(at(clock)));
    }

    /// The time by which things expire for it.
    pub fn latest(&self, now: i64) -> i64 {
        self.latest.0 + now - self.latest.1
    }

    pub fn tick(&mut self, now: i64) {
        self.world.absorb(Fact::Tick(at(now + self.skew)));
    }

    pub fn settle(&mut self) {
        self.touched = false;
        self.world.settle();
    }

    /// A fact as the journal sees it.
    fn note(&mut self, fact: &Fact) {
        match fact {
            Fact::Order(id, OrderFact::Wrote(receipt)) => {
                if let Some(draft) = self.open.get_mut(id) {
                    draft.say(recording::called(receipt));
                }
            }
            Fact::Order(id, OrderFact::Ended(outcome)) => {
                let (Some(mut draft), Some(order)) = (self.open.remove(id), self.world.orders().get(*id))
                else {
                    return;
                };
                draft.say(recording::ended(&order.target, outcome));
                self.keep(draft);
            }
            Fact::Shared(SharedFact::Wrote { id, result, .. }) => {
                if let (Some(draft), Ok(())) = (self.acts.remove(id), result) {
                    self.keep(draft);
                }
            }
            _ => {}
        }
    }

    /// Decides and, if it may be done, begins it.
    pub fn command(&mut self, command: &Command) -> Result<Vec<OrderId>, Refusal> {
        let orders = decide::decide(&self.world, command)?;
        let ids = orders.started.iter().map(|(id, ..)| *id).collect();
        for (id, kind, target) in orders.started {
            self.tell(Fact::Order(id, OrderFact::Started { kind, target }));
        }
        for effect in orders.effects {
            self.begin(effect);
        }
        Ok(ids)
    }

    fn begin(&mut self, effect: Effect) {
        if let Some((id, draft)) = recording::begun(&self.world, &effect) {
            self.open.insert(id, draft);
        } else if let Some(draft) = recording::at_once(&self.world, &effect) {
            self.keep(draft);
        }
        match effect {
            Effect::Preview(order) => {
                self.previews.insert(order.id);
                let preview = preview(&self.world, order);
                self.tell(preview);
            }
            Effect::Apply(ApplyOrder { id, preview, after }) => {
                let kind = self.world.orders().get(id).map_or(OrderKind::Apply, |order| order.kind);
                let row = Row::of(&preview.target);
                self.run(Running { preview: Some(preview), after, ..Running::new(id, row, kind) });
            }
            Effect::Rollback(RollbackOrder { id, target, aborts }) => {
                for running in &mut self.running {
                    running.aborted |= Some(running.id) == aborts;
                }
                self.run(Running {
                    after: aborts,
                    ..Running::new(id, Row::of(&target), OrderKind::Rollback)
                });
            }
            Effect::Abort(id) => {
                for running in self.running.iter_mut().filter(|running| running.id == id) {
                    running.aborted = true;
                }
            }
            Effect::Share(id, share) => {
                self.acts.extend(recording::shared(&self.world, &share).map(|draft| (id, draft)));
                self.share(SharedFact::Asked(id));
                self.shares.push((id, share));
            }
            Effect::Reconnect(_)
            | Effect::ReadEdges(..)
            | Effect::Foresee(_)
            | Effect::ReadDocuments
            | Effect::Compare(_)
            | Effect::Renew { .. }
            | Effect::Reload => {}
        }
    }

    fn run(&mut self, running: Running) {
        self.running.push(running);
    }

    /// An order comes to its end.
    pub fn end(&mut self, id: OrderId, outcome: Outcome) {
        self.running.retain(|running| running.id != id);
        self.tell(Fact::Order(id, OrderFact::Ended(outcome)));
    }

    /// Journal entries that are due.
    pub fn journal(&mut self) {
        let user = recording::state_user(&self.world);
        for step in self.outbox.follow(self.world.shared(), &user, self.world.now()) {
            match step {
                Sending::Send(id, entry) => self.shares.push((id, Share::Journal(entry))),
                Sending::Recorded(key) => drop(self.disk.remove(&key.0)),
            }
        }
    }

    /// As the observer of this cluster: its evidence and its records. Answers the rows whose evidence is
    /// on its way.
    pub fn publish(&mut self, cluster: usize, holder: &Text) -> Vec<(Row, ShareId)> {
        let mut told = Vec::new();
        if !self.world.shared().is_live() {
            return told;
        }
        let name = cluster_name(CLUSTERS[cluster].0);
        let targets: Vec<Target> =
            self.world.soaks().targets().filter(|target| target.cluster == name).collect();
        for target in targets {
            let Some(mut evidence) = self.world.soaks().evidence(&target, &self.world) else { continue };
            evidence.observer = holder.clone();
            let stored = self.world.shared().evidence(&target);
            if let Some(stored) = stored {
                evidence = evidence.union(&stored.value).unwrap_or(evidence);
                if evidence == stored.value {
                    continue;
                }
            }
            let version = stored.map(|stored| stored.version.clone());
            let id = self.observer_id();
            told.push((Row::of(&target), id));
            self.shares.push((id, Share::Evidence { evidence: Box::new(evidence), version }));
        }
        self.publish_records(cluster);
        told
    }

    pub fn publish_records(&mut self, cluster: usize) {
        let Some(known) = self.world.cluster(&cluster_name(CLUSTERS[cluster].0)) else { return };
        let wave = |target: &Target| {
            let plan = self.world.waves().plan(target.direction);
            plan.row(target).map(|(wave, _)| wave.number)
        };
        let due = records::due(&self.world, known, wave);
        for share in due {
            let id = self.observer_id();
            self.shares.push((id, share));
        }
    }

    fn observer_id(&mut self) -> ShareId {
        self.next += 1;
        ShareId((1 << 62) + self.next)
    }
}

impl Running {
    fn new(id: OrderId, row: Row, kind: OrderKind) -> Self {
        Self {
            id,
            row,
            kind,
            preview: None,
            after: None,
            steps: None,
            done: 0,
            aborted: false,
            held: BTreeMap::new(),
        }
    }

    /// What it is about to do, with the objects as they are now. `Err`: it stops here.
    #[expect(clippy::result_large_err, reason = "a few times a story")]
    pub fn prepare(&mut self, cluster: &Cluster) -> Result<(), Outcome> {
        let live: BTreeMap<_, _> = cluster
            .live_set(self.row.ns, self.row.direction)
            .map(|(pinned, live)| (pinned.name, live))
            .collect();
        let moved = |preview: &Preview| {
            live.len() != preview.live.len()
                || live.iter().any(|(name, live)| {
                    preview.live.get(name).is_none_or(|then| then.canonical != live.made.policy.canonical)
                })
        };
        let steps = match &self.preview {
            Some(preview) if moved(preview) => return Err(stopped("changed since the preview")),
            Some(preview) => preview.steps.clone(),
            None => {
                let set = live.iter().map(|(name, live)| (*name, live.made.policy.clone())).collect();
                valve::rollback_steps(&set, self.row.direction)
            }
        };
        self.held = live.iter().map(|(name, live)| (*name, Some(live.version))).collect();
        self.steps = Some(steps);
        Ok(())
    }

    /// The object that a step writes; `None`: it deletes.
    fn object(&self, step: &Step) -> Option<std::rc::Rc<Made>> {
        let ns = self.row.name();
        let text = |pinned: &Pinned| {
            let text = self.preview.as_ref()?.manifests.get(pinned.name)?;
            Some(made(ns, text.to_string()))
        };
        match step {
            Step::Open(pinned) => Some(make(ns, pinned, EVERYTHING)),
            Step::Put(pinned) | Step::Tighten(pinned) => text(pinned),
            Step::Widen(pinned) => {
                let live = self.preview.as_ref()?.live.get(pinned.name)?;
                let both = text(pinned)?.opens | opens_of(live);
                Some(make(ns, pinned, both))
            }
            Step::Delete(_) | Step::Stage(_) | Step::Unstage(_) => None,
        }
    }

    /// One write. Answers what the cluster's watchers see, and the receipt.
    pub fn step(
        &mut self,
        cluster: &mut Cluster,
        fate: Fate,
        now: i64,
    ) -> (Option<ClusterFact>, Receipt, bool) {
        let step = self.steps.as_ref().expect("prepared")[self.done].clone();
        let pinned = step.pinned();
        let key = (self.row.ns, pinned.name.to_owned());
        let there = cluster.policies.get(&key).map(|live| live.version);
        // What opens may create; all else is for the object as it was seen.
        let expects = self.held.get(pinned.name).copied().flatten();
        let is_free = matches!(step, Step::Open(_)) || self.kind == OrderKind::Rollback;
        let (mut seen, mut result) = (None, Answer::Done { version: None });
        // A first apply puts nothing once its valve is not the one that it opened.
        let valve = Pinned::valve(self.row.direction).name;
        let stands = cluster.policies.get(&(self.row.ns, valve.to_owned())).map(|live| live.version);
        let first = self.steps.as_deref().and_then(<[Step]>::first);
        let is_first_apply = self.preview.is_some() && matches!(first, Some(Step::Open(_)));
        let is_put = matches!(step, Step::Put(_));
        if is_first_apply && is_put && self.held.get(valve).copied().flatten() != stands {
            let trouble = Trouble::new(valve, "it was taken away meanwhile", "Preview again.");
            return (None, self.receipt(step, Answer::Refused(trouble)), false);
        }
        if !is_free && expects != there {
            let trouble = Trouble::new(pinned.name, "HTTP 409: it changed", "Preview again.");
            return (None, self.receipt(step, Answer::Refused(trouble)), false);
        }
        if fate != Fate::LostUnsaid {
            seen = cluster.write((self.row.ns, pinned.name), self.object(&step), "sluice", now);
            let version = cluster.policies.get(&key).map(|live| live.version);
            self.held.insert(pinned.name, version);
        }
        if fate != Fate::Answered {
            let trouble = Trouble::new(pinned.name, "no answer within 10 s", "The watch will tell.");
            result = Answer::Unsettled(trouble);
        }
        self.done += 1;
        (seen, self.receipt(step, result), true)
    }

    fn receipt(&self, step: Step, result: Answer) -> Receipt {
        let command = format!("kubectl -n {} {} {}", self.row.name(), step.verb(), step.pinned().name);
        Receipt { order: self.id, target: self.row.target(), step, command, result }
    }

    pub fn is_done(&self) -> bool {
        self.steps.as_ref().is_some_and(|steps| self.done == steps.len())
    }
}

pub fn stopped(why: &str) -> Outcome {
    Outcome::Stopped { trouble: Trouble::new("policies", why, "Look at the row."), isolation: None }
}

fn opens_of(policy: &sluice::domain::policy::Policy) -> u8 {
    made_opens(&policy.canonical)
}

fn made_opens(canonical: &str) -> u8 {
    super::layout::opens(canonical)
}

/// What the server's dry run would answer: the same bytes.
fn preview(world: &World, order: PreviewOrder) -> Fact {
    let PreviewOrder { id, target, origin, wanted, manifests } = order;
    let ns = world.namespace(&target.cluster, &target.ns);
    let live = ns.map(|ns| valve::live_set(ns, target.direction)).unwrap_or_default();
    let steps = valve::apply_steps(&live, &wanted, target.direction);
    let uid = world.cluster(&target.cluster).and_then(|cluster| cluster.uid.clone());
    let window = Window { from: world.now(), to: world.now() };
    let bound = Bound { digest: PolicyDigest::of(wanted.values()), cluster: uid, window };
    let prediction = Prediction {
        ns: target.ns.clone(),
        direction: target.direction,
        bound,
        edges: 0,
        icmp: 0,
        denied: Vec::new(),
        unknown: Vec::new(),
        doubts: Vec::new(),
        unused: Vec::new(),
        turned: Vec::new(),
        changes: Vec::new(),
        checks: Vec::new(),
    };
    let preview = Preview {
        digest: PolicyDigest::of(wanted.values()),
        set: wanted,
        target,
        origin,
        manifests,
        live,
        steps,
        before: Isolation::default(),
        after: Isolation::default(),
        diff: Vec::new(),
        commands: Vec::new(),
        warnings: Vec::new(),
        refusals: Vec::new(),
        prediction: Ok(Box::new(prediction)),
        untold: Some(Text::new("before discovery")),
    };
    Fact::Order(id, OrderFact::Previewed(Box::new(preview)))
}

/// Does a set of bytes open the flagged destination?
pub fn opens_flagged(preview: &Preview) -> bool {
    preview.target.direction == Direction::Egress
        && preview.set.values().any(|policy| {
            policy.pinned().is_some_and(|pinned| pinned.role == Role::Allowlist)
                && opens_of(policy) & super::layout::FLAGGED != 0
        })
}
