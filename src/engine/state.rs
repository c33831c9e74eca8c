//! The state cluster's adapter: starts the session that `sluice.yaml` asks for, hands writes to it
//! without ever waiting, and says at once where that cannot be. The only place where the plan meets
//! `k8s::shared`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
};

use super::Reach;
use crate::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        ports::{Fact, Link, Trouble},
        shared::{Share, ShareId, SharedFact},
    },
    domain::{
        fleet::Environment,
        names::{ClusterName, Text},
    },
    k8s::{
        lease::Claims,
        shared::session::{self, Asks, Place},
    },
};

/// Writes that may wait for their turn.
const SHARES: usize = 64;
/// Evidence of a fleet comes once a minute.
const EVIDENCE: usize = 1024;

pub(super) struct State {
    sender: mpsc::Sender<Fact>,
    running: Option<Running>,
    claims: watch::Sender<Claims>,
}

struct Running {
    place: Place,
    entry: ClusterEntry,
    shares: mpsc::Sender<(ShareId, Share)>,
    evidence: mpsc::Sender<(ShareId, Share)>,
    again: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    pub(super) fn new(sender: mpsc::Sender<Fact>) -> Self {
        Self { sender, running: None, claims: watch::Sender::new(Claims::default()) }
    }

    /// Follows what the plan says now.
    pub(super) fn follow(&mut self, plan: &FleetFile, reach: &Reach) {
        let Some(state) = &plan.settings.state else {
            if self.running.take().is_some() {
                self.say(SharedFact::Link(Link::None(Text::new("sluice.yaml names no state cluster"))));
            }
            return;
        };
        let place = Place {
            cluster: state.cluster.clone(),
            ns: state.ns.clone(),
            people: plan.settings.people.clone(),
        };
        let entry = entry(plan, &state.cluster);
        if self.running.as_ref().is_some_and(|running| running.place == place && running.entry == entry) {
            return;
        }
        self.running = Some(self.start(place, entry, reach));
    }

    fn start(&self, place: Place, entry: ClusterEntry, reach: &Reach) -> Running {
        let (shares, for_people) = mpsc::channel(SHARES);
        let (evidence, for_evidence) = mpsc::channel(EVIDENCE);
        let again = Arc::new(Notify::new());
        let asks = Asks {
            shares: for_people,
            evidence: for_evidence,
            again: again.clone(),
            claims: self.claims.subscribe(),
        };
        let session = session::run(place.clone(), reach(&entry), self.sender.clone(), asks);
        let inner = tokio::spawn(session);
        let task = inner.abort_handle();
        let (sender, cluster) = (self.sender.clone(), place.cluster.clone());
        tokio::spawn(async move {
            if let Err(stopped) = inner.await
                && stopped.is_panic()
            {
                tracing::error!(%cluster, %stopped, "the session with the state cluster stopped");
                let trouble = super::own_fault(&cluster, "the session with the state cluster");
                let _ = sender.send(Fact::Shared(SharedFact::Link(Link::Broken(trouble)))).await;
            }
        });
        Running { place, entry, shares, evidence, again, task }
    }

    /// Hands a write over. `Some`: it could not be, and this is the answer.
    pub(super) fn share(&self, id: ShareId, share: Share) -> Option<SharedFact> {
        let Some(running) = &self.running else {
            let next = "Name it under `state:` in sluice.yaml, and run `sluice install`.";
            return Some(refused(id, &share, Trouble::new("the state cluster", "none is named", next)));
        };
        let to = if matches!(share, Share::Evidence { .. } | Share::Forget { .. }) {
            &running.evidence
        } else {
            &running.shares
        };
        let (fact, share) = match to.try_send((id, share)) {
            Ok(()) => return None,
            Err(mpsc::error::TrySendError::Full((_, share))) => ("it still writes what came before", share),
            Err(mpsc::error::TrySendError::Closed((_, share))) => ("its session has ended", share),
        };
        let object = format!("state cluster {}", running.place.cluster);
        Some(refused(id, &share, Trouble::new(&object, fact, "Try again in a moment.")))
    }

    /// Skips its waiting time, if it is this cluster.
    pub(super) fn reconnect(&self, cluster: &ClusterName) {
        if let Some(running) = self.running.as_ref().filter(|running| running.place.cluster == *cluster) {
            running.again.notify_one();
        }
    }

    /// Whether this process observes, and as what.
    pub(super) fn claim(&self, claims: Claims) {
        self.claims.send_if_modified(|known| {
            let changed = *known != claims;
            *known = claims;
            changed
        });
    }

    pub(super) fn want(&self, wanted: BTreeSet<ClusterName>) {
        let claims = self.claims.borrow().clone();
        self.claim(Claims { wanted, ..claims });
    }

    /// What people were told, for whoever observes after us.
    pub(super) fn remember(&self, alerted: BTreeMap<ClusterName, Box<str>>) {
        let claims = self.claims.borrow().clone();
        self.claim(Claims { alerted, ..claims });
    }

    /// The Leases are given back.
    pub(super) fn leave(&self) {
        let claims = self.claims.borrow().clone();
        self.claim(Claims { leaving: true, ..claims });
    }

    fn say(&self, fact: SharedFact) {
        // The engine itself reads the inbox, so it must not wait here.
        let sender = self.sender.clone();
        tokio::spawn(async move { sender.send(Fact::Shared(fact)).await });
    }
}

fn refused(id: ShareId, share: &Share, trouble: Trouble) -> SharedFact {
    SharedFact::Wrote { id, what: Text::new(share.words()), result: Err(trouble) }
}

/// The state cluster may be one of the fleet, or a context of that name beside it.
pub(super) fn entry(plan: &FleetFile, cluster: &ClusterName) -> ClusterEntry {
    let mut all = plan.clusters.iter().chain(&plan.beside);
    let known = all.find(|entry| entry.name == *cluster);
    known.cloned().unwrap_or_else(|| ClusterEntry {
        name: cluster.clone(),
        context: Text::new(cluster.as_str()),
        environment: Environment::default(),
        relay: None,
        flows: Default::default(),
        collector: None,
    })
}
