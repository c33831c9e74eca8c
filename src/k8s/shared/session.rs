//! The state cluster, for ever: is it there, are the definitions in it, what may we do, then its
//! lists and our writes. Away is a fact: writes are answered at once and everything else goes on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep},
};

use crate::{
    cockpit::{
        ports::{Change, Fact, Link, Trouble},
        shared::{Share, ShareId, SharedFact, SharedRights},
    },
    domain::{
        hold::Hold,
        names::{ClusterName, NsName, Text},
        rollout::Kept,
        time::Timestamp,
    },
    k8s::{
        connect::Access,
        follow::{Backoff, Out, follow},
        identity,
        lease::{self, Claims},
        wire::{Call, Server},
    },
};

use super::{
    kind::{self, GROUP, Kind, VERSION},
    lists::{self, Told, What},
    write::Desk,
};

/// Between signs of life; each brings the server's clock.
const LIVENESS: Duration = Duration::from_secs(15);
/// Rights are looked at again after this.
const REFRESH: Duration = Duration::from_secs(300);
/// A session that lived this long was a good one: waiting times start anew.
const GOOD: Duration = Duration::from_secs(60);
const TOLD: usize = 256;

/// Where the shared objects are, and who writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub cluster: ClusterName,
    pub ns: NsName,
    /// Names of one person, as sluice.yaml has them.
    pub people: Vec<Vec<Text>>,
}

/// What the session is asked from outside.
pub struct Asks {
    pub shares: mpsc::Receiver<(ShareId, Share)>,
    /// Evidence, which never waits behind a person's write nor holds one up.
    pub evidence: mpsc::Receiver<(ShareId, Share)>,
    /// Skips a waiting time.
    pub again: Arc<Notify>,
    /// Clusters whose Lease we want.
    pub claims: watch::Receiver<Claims>,
}

/// Follows the state cluster until nobody listens to `inbox`.
pub async fn run(place: Place, access: Access, inbox: mpsc::Sender<Fact>, mut asks: Asks) {
    let closed = inbox.clone();
    tokio::select! {
        () = closed.closed() => {}
        () = for_ever(&place, &access, &inbox, &mut asks) => {}
    }
}

async fn for_ever(place: &Place, access: &Access, inbox: &mpsc::Sender<Fact>, asks: &mut Asks) {
    let mut backoff = Backoff::new(&format!("state {}", place.cluster));
    let mut kept = KeptOver::default();
    tell(inbox, SharedFact::Link(Link::Connecting)).await;
    loop {
        let began = Instant::now();
        let trouble = session(place, access, inbox, asks, &mut kept).await;
        if began.elapsed() > GOOD {
            backoff.reset();
        }
        tell(inbox, SharedFact::Link(Link::Broken(trouble.clone()))).await;
        lease::leave(&mut kept.observers, inbox).await;
        let again = asks.again.clone();
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = again.notified() => backoff.reset(),
            () = refuse(inbox, &mut asks.shares, &trouble) => {}
            () = refuse(inbox, &mut asks.evidence, &trouble) => {}
        }
    }
}

/// What outlives a session.
#[derive(Default)]
struct KeptOver {
    held: Held,
    observers: lease::Observers,
}

/// Answers every write at once while the state cluster is away.
async fn refuse(
    inbox: &mpsc::Sender<Fact>,
    shares: &mut mpsc::Receiver<(ShareId, Share)>,
    trouble: &Trouble,
) {
    while let Some((id, share)) = shares.recv().await {
        let what = Text::new(share.words());
        tell(inbox, SharedFact::Wrote { id, what, result: Err(trouble.clone()) }).await;
    }
    std::future::pending::<()>().await;
}

/// Waits for room. When nobody listens any more, waits for ever: the task is about to be dropped.
async fn tell(inbox: &mpsc::Sender<Fact>, fact: SharedFact) {
    if inbox.send(Fact::Shared(fact)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// One session, until it is over; answers why.
async fn session(
    place: &Place,
    access: &Access,
    inbox: &mpsc::Sender<Fact>,
    asks: &mut Asks,
    kept: &mut KeptOver,
) -> Trouble {
    let server = match access.server().await {
        Ok(server) => server,
        Err(trouble) => return trouble,
    };
    let (clock, time) = watch::channel(None);
    let open = Open { place, server: &server, inbox, clock };
    let user = match open.begin().await {
        Ok(user) => user,
        Err(trouble) => return trouble,
    };
    let (sender, mut told) = mpsc::channel(TOLD);
    let out = Out { cluster: place.cluster.clone(), inbox: sender };
    let Asks { shares, evidence, again, claims } = asks;
    let (holding, holds) = watch::channel(lease::Held::new());
    let leases = lease::Desk {
        server: &server,
        ns: &place.ns,
        cluster: &place.cluster,
        user: &user,
        time: time.clone(),
        inbox,
        held: &holding,
    };
    let (desk, for_evidence) = (open.desk(&user, &time, None), open.desk(&user, &time, Some(&holds)));
    tokio::select! {
        trouble = open.alive(again) => trouble,
        () = open.listen(&mut told, &mut kept.held) => never(place),
        _ = futures::future::join_all(open.lists(&out)) => never(place),
        () = desk.serve(shares) => never(place),
        () = for_evidence.serve(evidence) => never(place),
        () = lease::keep(&leases, claims, &mut kept.observers) => never(place),
    }
}

/// None of these ends by itself.
fn never(place: &Place) -> Trouble {
    Trouble::new(&words(&place.cluster), "a part of its session ended", "It is begun anew.")
}

fn words(cluster: &ClusterName) -> String {
    format!("state cluster {cluster}")
}

struct Open<'a> {
    place: &'a Place,
    server: &'a Server,
    inbox: &'a mpsc::Sender<Fact>,
    /// The server's clock, and ours when it was read.
    clock: watch::Sender<Option<(Timestamp, Instant)>>,
}

impl<'a> Open<'a> {
    /// Are the definitions there, and who are we?
    async fn begin(&self) -> Result<Text, Trouble> {
        self.look().await?;
        let object = words(&self.place.cluster);
        let who = identity::who(self.server).await.map_err(|failure| failure.trouble(&object))?;
        self.rights().await;
        who.map(|identity| identity.user).ok_or_else(|| {
            let next = "Use a cluster of Kubernetes 1.30 or later for the shared state.";
            Trouble::new(&object, "it does not say who we are", next)
        })
    }

    /// Reads which kinds are served, and the clock beside.
    async fn look(&self) -> Result<(), Trouble> {
        let object = words(&self.place.cluster);
        let install = "Run `sluice install`.";
        let (body, date) = match self.server.dated(Call::get(format!("/apis/{GROUP}/{VERSION}"))).await {
            Ok(answer) => answer,
            Err(failure) if failure.code() == Some(404) => {
                let fact = format!("nothing of {GROUP}/{VERSION} is installed there");
                return Err(Trouble::new(&object, &fact, install));
            }
            Err(failure) => return Err(failure.trouble(&object)),
        };
        let served: Value = serde_json::from_slice(&body).unwrap_or_default();
        let served = served["resources"].as_array().map_or(&[][..], Vec::as_slice);
        let is_served = |kind: &&&Kind| served.iter().any(|it| it["name"].as_str() == Some(kind.plural));
        if let Some(kind) = kind::ALL.iter().find(|kind| !is_served(kind)) {
            let fact = format!("what is installed there is older than this sluice: it has no {}", kind.words);
            return Err(Trouble::new(&object, &fact, install));
        }
        self.read_clock(date).await;
        Ok(())
    }

    async fn read_clock(&self, date: Option<Timestamp>) {
        if let Some(date) = date {
            self.clock.send_replace(Some((date, Instant::now())));
            tell(self.inbox, SharedFact::Clock(date)).await;
        }
    }

    async fn rights(&self) {
        let ns = self.place.ns.as_str();
        let may = |verb, resource, subresource| {
            identity::may_in(self.server, ns, verb, (GROUP, resource, subresource))
        };
        let answers = futures::future::join_all([
            may("create", "reviews", ""),
            may("patch", "reviews", "status"),
            may("create", "holds", ""),
            may("create", "exclusions", ""),
            may("create", "waivers", ""),
            may("create", "overrides", ""),
            may("patch", "overrides", "status"),
            may("update", "rollouts", "status"),
        ])
        .await;
        let known: Vec<Option<bool>> = answers.into_iter().map(Result::ok).collect();
        let rights = SharedRights {
            ask_review: known[0],
            decide_review: known[1],
            hold: known[2],
            exclude: known[3],
            waive: known[4],
            overrule: known[5],
            confirm: known[6],
            record: known[7],
        };
        tell(self.inbox, SharedFact::Rights(rights)).await;
    }

    /// Signs of life and the clock, until one is missing or somebody wants a new session.
    async fn alive(&self, again: &Notify) -> Trouble {
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = sleep(LIVENESS) => {}
                () = again.notified() => {
                    return Trouble::new(&words(&self.place.cluster), "its session is begun anew", "Wait a moment.");
                }
            }
            match self.server.dated(Call::get("/version")).await {
                Ok((_, date)) => self.read_clock(date).await,
                // Not let in by rights, or turned away for a moment: it is there.
                Err(failure) if failure.is_busy() || failure.code() == Some(403) => {}
                Err(failure) => return failure.trouble(&words(&self.place.cluster)),
            }
            if looked.elapsed() > REFRESH {
                looked = Instant::now();
                self.rights().await;
            }
        }
    }

    fn lists(&self, out: &Out<Told>) -> Vec<BoxFuture<'a, ()>> {
        let (ns, server) = (&self.place.ns, self.server);
        vec![
            Box::pin(follow(lists::records(ns), server.clone(), out.clone())),
            Box::pin(follow(lists::evidence(ns), server.clone(), out.clone())),
            Box::pin(follow(lists::reviews(ns), server.clone(), out.clone())),
            Box::pin(follow(lists::holds(ns), server.clone(), out.clone())),
            Box::pin(follow(lists::exclusions(ns), server.clone(), out.clone())),
            Box::pin(follow(lists::waivers(ns), server.clone(), out.clone())),
            Box::pin(follow(lists::overrides(ns), server.clone(), out.clone())),
            Box::pin(follow(lists::entries(ns), server.clone(), out.clone())),
        ]
    }

    async fn listen(&self, told: &mut mpsc::Receiver<Told>, held: &mut Held) {
        let mut progress = Progress::default();
        while let Some(Told { kind, what }) = told.recv().await {
            match what {
                What::Fact { fact, whole } => {
                    tell(self.inbox, *fact).await;
                    progress.read(kind, whole);
                }
                What::Held(change) => {
                    progress.read(kind, matches!(change, Change::Reset(_)));
                    tell(self.inbox, SharedFact::Holds(held.join(kind, change))).await;
                }
                What::Trouble(trouble) => progress.trouble(kind, trouble),
                What::Unreadable(why) => {
                    let next = "It is left out; look at it with kubectl.";
                    let notice = Trouble::new(&words(&self.place.cluster), why.as_str(), next);
                    let _ = self.inbox.send(Fact::Notice(notice)).await;
                }
            }
            if let Some(link) = progress.news() {
                tell(self.inbox, SharedFact::Link(link)).await;
            }
        }
    }

    fn desk<'d>(
        &'d self,
        user: &'d Text,
        time: &'d watch::Receiver<Option<(Timestamp, Instant)>>,
        holds: Option<&'d watch::Receiver<lease::Held>>,
    ) -> Counter<'d> {
        Counter { open: self, user, time, holds }
    }
}

/// Where writes are handed in: one after the other.
struct Counter<'a> {
    open: &'a Open<'a>,
    user: &'a Text,
    time: &'a watch::Receiver<Option<(Timestamp, Instant)>>,
    /// The Leases that evidence needs.
    holds: Option<&'a watch::Receiver<lease::Held>>,
}

impl Counter<'_> {
    async fn serve(&self, shares: &mut mpsc::Receiver<(ShareId, Share)>) {
        while let Some((id, share)) = shares.recv().await {
            let open = self.open;
            let desk = Desk {
                server: open.server,
                ns: &open.place.ns,
                user: self.user.as_str(),
                people: &open.place.people,
                now: self.now(),
            };
            let result = match self.against(&share) {
                Some(trouble) => Err(trouble),
                None => Box::pin(desk.write(&share)).await,
            };
            tell(open.inbox, SharedFact::Wrote { id, what: Text::new(share.words()), result }).await;
        }
        std::future::pending::<()>().await;
    }

    /// Evidence of a cluster whose Lease ran out, perhaps while this process stood still.
    fn against(&self, share: &Share) -> Option<Trouble> {
        let (Some(holds), Share::Evidence { evidence, .. }) = (self.holds, share) else { return None };
        let cluster = &evidence.target.cluster;
        let until = holds.borrow().get(cluster).copied();
        let is_held = until.is_some_and(|until| Instant::now() < until);
        (!is_held).then(|| {
            let next = "Whoever holds it now writes what it saw; what nobody wrote is a gap.";
            Trouble::new(&format!("evidence of {cluster}"), "its Lease is no longer ours", next)
        })
    }

    fn now(&self) -> Timestamp {
        let clock = *self.time.borrow();
        clock.map_or_else(Timestamp::default, |(server, read)| server + read.elapsed())
    }
}

/// What of the lists is here: the link is live once all are.
#[derive(Default)]
struct Progress {
    read: Vec<&'static str>,
    troubles: BTreeMap<&'static str, Trouble>,
    told: Option<Link>,
}

impl Progress {
    fn read(&mut self, kind: &Kind, whole: bool) {
        if whole && !self.read.contains(&kind.plural) {
            self.read.push(kind.plural);
        }
    }

    fn trouble(&mut self, kind: &Kind, trouble: Option<Trouble>) {
        match trouble {
            Some(trouble) => self.troubles.insert(kind.plural, trouble),
            None => self.troubles.remove(kind.plural),
        };
    }

    /// The link, if it is another than was told.
    fn news(&mut self) -> Option<Link> {
        let link = match self.troubles.values().next() {
            Some(trouble) => Link::Broken(trouble.clone()),
            None if self.read.len() == kind::ALL.len() => Link::Live,
            None => return None,
        };
        (self.told.as_ref() != Some(&link)).then(|| self.told.insert(link).clone())
    }
}

/// Holds and exclusions as they were last seen, so that a list that is read anew does not take the
/// other's away.
#[derive(Default)]
struct Held(BTreeMap<&'static str, BTreeMap<Text, Kept<Hold>>>);

impl Held {
    fn join(&mut self, kind: &'static Kind, change: Change<Kept<Hold>, Text>) -> Change<Kept<Hold>, Text> {
        let of_kind = self.0.entry(kind.plural).or_default();
        match &change {
            Change::Reset(kept) => {
                *of_kind = kept.iter().map(|kept| (kept.name.clone(), kept.clone())).collect();
                return Change::Reset(self.0.values().flat_map(BTreeMap::values).cloned().collect());
            }
            Change::Put(kept) => {
                of_kind.insert(kept.name.clone(), kept.clone());
            }
            Change::Gone(name) => {
                of_kind.remove(name);
            }
        }
        change
    }
}
