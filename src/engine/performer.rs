//! Performs previews, applies and rollbacks: one task an order, so that a slow cluster never holds
//! up another. It obeys; `cockpit::decide` decided.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Reach,
    foresight::{self, Past},
};
use crate::{
    cockpit::{
        foresights::Question,
        gates,
        orders::{ApplyOrder, OrderId, Outcome, Preview, PreviewOrder, RollbackOrder, Target},
        plan::ClusterEntry,
        ports::{ClusterFact, Fact, OrderFact, Trouble},
        world::World,
    },
    domain::names::{ClusterName, Text},
    k8s::{connect::Access, write},
};

/// How long a rollback waits for the apply that it stopped. A write of the apply that is still on
/// its way cannot close the namespace afterwards: it is bound to the version of the open valve.
const ABORT_PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct Performer {
    sender: mpsc::Sender<Fact>,
    reach: Reach,
    running: BTreeMap<OrderId, Running>,
    /// Previews that wait for what was recorded of their rows.
    waiting: Vec<(Target, oneshot::Sender<Result<Past, Text>>)>,
    /// Applies that wait for the one before them.
    queued: Vec<Queued>,
}

/// One that is decided again when its turn comes, before its first write.
struct Queued {
    preview: Box<Preview>,
    before: watch::Receiver<Option<bool>>,
    tell: oneshot::Sender<Turn>,
}

/// An apply that can be stopped and waited for.
struct Running {
    abort: watch::Sender<bool>,
    /// `Some(true)`: it ended well.
    ended: watch::Receiver<Option<bool>>,
}

impl Performer {
    pub(super) fn new(sender: mpsc::Sender<Fact>, reach: Reach) -> Self {
        Self { sender, reach, running: BTreeMap::new(), waiting: Vec::new(), queued: Vec::new() }
    }

    pub(super) fn preview(&mut self, world: &World, order: PreviewOrder) {
        let Some((access, context)) = self.door(world, &order.target.cluster) else { return };
        let (sender, id) = (self.sender.clone(), order.id);
        let (tell, past) = oneshot::channel();
        self.waiting.push((order.target.clone(), tell));
        self.run(id, async move {
            match write::preview(&access, &order, &context).await {
                Ok(mut preview) => {
                    foresight::predict(&access, &mut preview, past).await;
                    let _ = sender.send(Fact::Order(id, OrderFact::Previewed(Box::new(preview)))).await;
                }
                Err(trouble) => end(&sender, id, Outcome::Failed(trouble)).await,
            }
        });
    }

    /// Looks at the cluster and holds the bytes against the week. Its answer is a fact of the cluster.
    pub(super) fn foresee(&mut self, world: &World, question: Question) {
        let target = question.order.target.clone();
        let Some((access, context)) = self.door(world, &target.cluster) else { return };
        let (tell, past) = oneshot::channel();
        self.waiting.push((target.clone(), tell));
        let stopped = foresight::failed(&question, Text::new("because of a fault of sluice"));
        let sender = self.sender.clone();
        let cluster = target.cluster.clone();
        let run = async move {
            let told = foresight::foretell(&access, question, &context, past).await;
            let fact = ClusterFact::Foretold(Box::new(told));
            let _ = sender.send(Fact::Cluster(target.cluster, fact)).await;
        };
        super::guard(run, cluster, ClusterFact::Foretold(Box::new(stopped)), self.sender.clone());
    }

    /// Tells previews what was recorded, once that is known, and applies whether their turn has come;
    /// answers whose edges are to be asked for.
    pub(super) fn follow(&mut self, world: &World) -> Vec<Target> {
        // One whose task was aborted has stopped to wait.
        let is_over = |queued: &mut Queued| {
            queued.tell.is_closed()
                || queued.before.borrow().is_some()
                || queued.before.has_changed().is_err()
        };
        for queued in self.queued.extract_if(.., is_over) {
            let ended_well = *queued.before.borrow() == Some(true);
            let turn = if ended_well { decided(world, &queued.preview) } else { Turn::WaveStopped };
            let _ = queued.tell.send(turn);
        }
        let settled = |(target, tell): &mut (Target, oneshot::Sender<_>)| {
            tell.is_closed() || foresight::is_settled(world, target)
        };
        for (target, tell) in self.waiting.extract_if(.., settled) {
            // One that was closed has stopped to wait.
            let _ = tell.send(foresight::told(world, &target));
        }
        let is_due = |target: &&Target| world.discoveries().is_due(&target.cluster, &target.ns, world.now());
        self.waiting.iter().map(|(target, _)| target).filter(is_due).cloned().collect()
    }

    pub(super) fn apply(&mut self, world: &World, order: ApplyOrder) {
        let Some((access, context)) = self.door(world, &order.preview.target.cluster) else { return };
        let (abort, aborted) = watch::channel(false);
        let (ending, ended) = watch::channel(None);
        let before = order.after.and_then(|id| self.running.get(&id)).map(|running| running.ended.clone());
        let turn = before.map(|before| {
            let (tell, turn) = oneshot::channel();
            self.queued.push(Queued { preview: order.preview.clone(), before, tell });
            turn
        });
        let (sender, id) = (self.sender.clone(), order.id);
        self.running.insert(id, Running { abort, ended });
        self.run(id, async move {
            let outcome = match wait_for(turn, aborted.clone()).await {
                Turn::Refused(why) => Outcome::Stopped { trouble: refused(&order, &why), isolation: None },
                Turn::Go => write::apply(&access, &order, &context, aborted, &sender).await,
                Turn::Aborted => Outcome::Aborted { isolation: None },
                Turn::WaveStopped => Outcome::Stopped { trouble: wave_stopped(&order), isolation: None },
            };
            let _ = ending.send(Some(matches!(outcome, Outcome::Done { .. })));
            end(&sender, id, outcome).await;
        });
    }

    pub(super) fn rollback(&self, world: &World, order: RollbackOrder) {
        let Some((access, context)) = self.door(world, &order.target.cluster) else { return };
        let stopping = order.aborts.and_then(|id| self.running.get(&id)).map(|running| {
            let _ = running.abort.send(true);
            running.ended.clone()
        });
        let (sender, id) = (self.sender.clone(), order.id);
        self.run(id, async move {
            if let Some(mut ended) = stopping {
                let _ = tokio::time::timeout(ABORT_PATIENCE, ended.wait_for(Option::is_some)).await;
            }
            let outcome = write::rollback(&access, &order, &context, &sender).await;
            end(&sender, id, outcome).await;
        });
    }

    pub(super) fn abort(&self, id: OrderId) {
        if let Some(running) = self.running.get(&id) {
            let _ = running.abort.send(true);
        }
    }

    pub(super) fn ended(&mut self, id: OrderId) {
        // A later order of the wave may still wait for this one: it holds its own receiver.
        self.running.remove(&id);
    }

    fn door(&self, world: &World, cluster: &ClusterName) -> Option<(Access, String)> {
        let entry: &ClusterEntry = world.plan().clusters.iter().find(|entry| entry.name == *cluster)?;
        Some(((self.reach)(entry), entry.context.as_str().to_owned()))
    }

    /// Spawns; a task that stops on a fault of ours still ends its order.
    fn run(&self, id: OrderId, task: impl Future<Output = ()> + Send + 'static) {
        let sender = self.sender.clone();
        let inner = tokio::spawn(task);
        tokio::spawn(async move {
            if let Err(stopped) = inner.await {
                tracing::error!(order = id.0, %stopped, "an order stopped");
                let trouble = Trouble::new(
                    &format!("order {id}"),
                    "it stopped on a fault of sluice",
                    "Read the row: the watch shows what is live. Roll back if in doubt.",
                );
                end(&sender, id, Outcome::Unsettled(trouble)).await;
            }
        });
    }
}

enum Turn {
    Go,
    Aborted,
    WaveStopped,
    /// By what came since it was confirmed.
    Refused(Text),
}

/// May it still be written, now that its turn has come?
fn decided(world: &World, preview: &Preview) -> Turn {
    let reasons = gates::turn_reasons(world, preview);
    let said: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    if said.is_empty() { Turn::Go } else { Turn::Refused(Text::from(said.join("; "))) }
}

/// Waits for its turn in its wave.
async fn wait_for(turn: Option<oneshot::Receiver<Turn>>, mut aborted: watch::Receiver<bool>) -> Turn {
    if *aborted.borrow() {
        return Turn::Aborted;
    }
    let Some(turn) = turn else { return Turn::Go };
    tokio::select! {
        biased;
        _ = aborted.wait_for(|stop| *stop) => Turn::Aborted,
        turn = turn => turn.unwrap_or(Turn::WaveStopped),
    }
}

fn wave_stopped(order: &ApplyOrder) -> Trouble {
    Trouble::new(
        &order.preview.target.to_string(),
        "not started, because a row before it in the wave did not end well",
        "Settle that row first, then apply this one.",
    )
}

fn refused(order: &ApplyOrder, why: &Text) -> Trouble {
    Trouble::new(
        &order.preview.target.to_string(),
        &format!("not started, because of what came since it was confirmed: {why}"),
        "Clear that, then preview and apply it again.",
    )
}

async fn end(sender: &mpsc::Sender<Fact>, id: OrderId, outcome: Outcome) {
    let _ = sender.send(Fact::Order(id, OrderFact::Ended(outcome))).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        cockpit::{
            orders::Origin,
            plan::FleetFile,
            ports::{Change, Link},
            shared::SharedFact,
        },
        domain::{
            fleet::{Environment, Isolation},
            flow::Direction,
            hold::{Hold, HoldKind, Scope},
            names::NsName,
            policy::PolicyDigest,
            rollout::{Kept, Stamp},
            time::Timestamp,
        },
        k8s::connect::{Contexts, Proxies},
    };

    fn target(ns: &str) -> Target {
        Target {
            cluster: ClusterName::parse("east").expect("a name"),
            ns: NsName::parse(ns).expect("a name"),
            direction: Direction::Egress,
        }
    }

    fn order(id: u64, ns: &str, after: Option<OrderId>) -> ApplyOrder {
        let preview = Preview {
            target: target(ns),
            origin: Origin::LastClean,
            digest: PolicyDigest::of([]),
            set: Default::default(),
            manifests: Default::default(),
            live: Default::default(),
            steps: Vec::new(),
            before: Isolation::default(),
            after: Isolation::default(),
            diff: Vec::new(),
            commands: Vec::new(),
            warnings: Vec::new(),
            refusals: Vec::new(),
            prediction: Err(Text::new("before discovery")),
            untold: None,
        };
        ApplyOrder { id: OrderId(id), preview: Box::new(preview), after }
    }

    /// Nothing is written of the second row: it was put on hold while the first one was applied.
    #[tokio::test(start_paused = true)]
    async fn a_row_that_was_put_on_hold_while_it_waited_for_its_turn_is_not_begun() {
        let entry = ClusterEntry {
            name: target("shop").cluster,
            context: Text::new("east"),
            environment: Environment::Staging,
            relay: None,
            flows: Default::default(),
            collector: None,
        };
        let mut world = World::new(Timestamp::default());
        world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
        world.absorb(Fact::Shared(SharedFact::Link(Link::Live)));
        let (sender, mut facts) = mpsc::channel(8);
        let contexts = Contexts::read(Vec::new(), Proxies::default()).expect("nothing to read");
        let nowhere = contexts.access("east");
        let mut performer = Performer::new(sender, Arc::new(move |_: &ClusterEntry| nowhere.clone()));
        let (first, ended) = watch::channel(None);
        performer.running.insert(OrderId(1), Running { abort: watch::channel(false).0, ended });
        performer.apply(&world, order(2, "pay", Some(OrderId(1))));
        let hold = Hold {
            scope: Scope::Namespace(target("pay").cluster, target("pay").ns),
            kind: HoldKind::Hold,
            reason: Text::new("the vendor is down"),
            stamp: Stamp { by: Text::new("ann"), at: Timestamp::default() },
            expires: None,
        };
        let created = Timestamp::default();
        let kept = Kept { name: Text::new("h1"), version: Text::new("1"), created, value: hold };
        world.absorb(Fact::Shared(SharedFact::Holds(Change::Put(kept))));
        performer.follow(&world);
        tokio::task::yield_now().await;
        assert!(facts.try_recv().is_err(), "the first one runs still");
        first.send(Some(true)).expect("it is waited for");
        performer.follow(&world);
        let told = facts.recv().await.expect("its end");
        let Fact::Order(OrderId(2), OrderFact::Ended(Outcome::Stopped { trouble, isolation: None })) = told
        else {
            panic!("{told:?}")
        };
        let said = trouble.to_string();
        assert!(said.contains("not started, because of what came since it was confirmed: "), "{said}");
        assert!(said.contains("held (east/pay) by ann: the vendor is down"), "{said}");
    }
}
