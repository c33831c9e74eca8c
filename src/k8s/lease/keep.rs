//! Keeps the Leases of all clusters in one session: follows them, tells who holds which, and takes,
//! renews, gives back and asks as the rules say. All requests of a round go out together.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    cockpit::{
        ports::{Change, Fact, Trouble},
        shared::{Observer, SharedFact},
    },
    domain::{
        names::{ClusterName, NsName, Text},
        time::Timestamp,
    },
    k8s::{
        failure::Failure,
        follow::{Out, Watched, follow},
        shared::{names, object},
        wire::{self, Call, JSON, Server},
    },
};

use super::{Claims, Lease, Me, Move, Seat, decode, encode, path};

/// Between two looks at the Leases: how late a takeover may be.
const LOOK: Duration = Duration::from_secs(1);

/// One session's Leases.
pub struct Desk<'a> {
    pub server: &'a Server,
    pub ns: &'a NsName,
    pub cluster: &'a ClusterName,
    pub user: &'a Text,
    /// The server's clock, and ours when it was read.
    pub time: watch::Receiver<Option<(Timestamp, Instant)>>,
    pub inbox: &'a mpsc::Sender<Fact>,
    /// What we hold, for whoever writes evidence.
    pub held: &'a watch::Sender<Held>,
}

/// Up to when this process holds each Lease: asked at the moment of a write, because a process that
/// stood still for a while believes whatever it believed before.
pub type Held = BTreeMap<ClusterName, Instant>;

/// Who was told to hold which, over sessions.
pub type Observers = BTreeMap<ClusterName, Observer>;

/// Never ends by itself; when it is dropped, `told` holds what the world still believes.
pub async fn keep(desk: &Desk<'_>, claims: &mut watch::Receiver<Claims>, told_before: &mut Observers) {
    let (sender, mut told) = mpsc::channel(256);
    let out = Out { cluster: desk.cluster.clone(), inbox: sender };
    let following = follow(Leases(desk.ns.clone()), desk.server.clone(), out);
    let mut keeper =
        Keeper { desk, seats: BTreeMap::new(), told: told_before, alerted: BTreeMap::new(), is_read: false };
    let keeping = async {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(change) = told.recv() => keeper.see(change).await,
                _ = look.tick() => {}
            }
            while let Ok(change) = told.try_recv() {
                keeper.see(change).await;
            }
            let claims = claims.borrow_and_update().clone();
            keeper.round(&claims).await;
        }
    };
    tokio::select! {
        () = following => {}
        () = keeping => {}
    }
}

/// The session is over: nobody is known to hold anything, least of all we.
pub async fn leave(told: &mut Observers, inbox: &mpsc::Sender<Fact>) {
    for cluster in std::mem::take(told).into_keys() {
        let _ = inbox.send(Fact::Shared(SharedFact::Observer(cluster, None))).await;
    }
}

struct Keeper<'a> {
    desk: &'a Desk<'a>,
    seats: BTreeMap<ClusterName, Seat>,
    told: &'a mut Observers,
    /// What was told of alerts, as it was last passed on.
    alerted: BTreeMap<ClusterName, Box<str>>,
    /// Before the list is read nobody knows what is free.
    is_read: bool,
}

impl Keeper<'_> {
    async fn see(&mut self, told: Told) {
        let now = Instant::now();
        match told {
            Told::Change(Change::Reset(leases)) => {
                self.is_read = true;
                let mut gone: BTreeMap<_, _> =
                    self.seats.keys().map(|cluster| (cluster.clone(), None)).collect();
                gone.extend(leases.into_iter().flatten().map(|lease| (lease.cluster.clone(), Some(lease))));
                for (cluster, lease) in gone {
                    self.seats.entry(cluster).or_default().see(lease, now);
                }
            }
            Told::Change(Change::Put(Some(lease))) => {
                self.seats.entry(lease.cluster.clone()).or_default().see(Some(lease), now);
            }
            Told::Change(Change::Gone(name)) => {
                let is_its = |cluster: &&ClusterName| names::of_lease(cluster) == name;
                if let Some(cluster) = self.seats.keys().find(is_its).cloned() {
                    self.seats.entry(cluster).or_default().see(None, now);
                }
            }
            Told::Change(Change::Put(None)) => {}
            // Without the list nothing is taken; the link says why if more than this is missing.
            Told::Trouble(Some(trouble)) => self.notice(trouble).await,
            Told::Trouble(None) => {}
        }
    }

    async fn notice(&self, trouble: Trouble) {
        let _ = self.desk.inbox.send(Fact::Notice(trouble)).await;
    }

    async fn round(&mut self, claims: &Claims) {
        if !self.is_read {
            return;
        }
        let me = claims.me(self.desk.user);
        if let Some(me) = &me {
            self.act(claims, me).await;
        }
        let now = Instant::now();
        let held = self
            .seats
            .iter()
            .filter_map(|(cluster, seat)| Some((cluster.clone(), seat.held_until(me.as_ref()?, now)?)));
        let held: Held = held.collect();
        self.desk.held.send_if_modified(|known| std::mem::replace(known, held.clone()) != held);
        self.tell(me.as_ref()).await;
    }

    /// Does what each Lease asks for, all at once.
    async fn act(&mut self, claims: &Claims, me: &Me) {
        let began = Instant::now();
        for cluster in &claims.wanted {
            self.seats.entry(cluster.clone()).or_default();
        }
        let mut writes = Vec::new();
        for (cluster, seat) in &mut self.seats {
            seat.want(claims.wanted.contains(cluster), began);
            let step = match (claims.leaving, seat.is_held(me, began)) {
                (false, _) => seat.step(me, began),
                (true, true) => Move::Release,
                (true, false) => Move::Wait,
            };
            if step != Move::Wait {
                let mut lease = seat.written(&step, me, cluster, self.desk.now());
                if let Some(told) = claims.alerted.get(cluster).filter(|_| step != Move::Ask) {
                    lease.alerted = Some(told.clone());
                }
                let (desk, cluster) = (self.desk, cluster.clone());
                writes.push(async move {
                    let answer = desk.write(&lease).await;
                    (cluster, step, answer)
                });
            }
        }
        for (cluster, step, answer) in futures::future::join_all(writes).await {
            let seat = self.seats.entry(cluster).or_default();
            match answer {
                Ok(Some(lease)) => seat.wrote(&step, lease, began),
                Ok(None) => seat.failed(Instant::now(), false),
                Err(failure) => {
                    let forbidden = failure.code() == Some(403);
                    seat.failed(Instant::now(), forbidden);
                    // Somebody was faster: the list shows who.
                    if failure.code() != Some(409) {
                        tracing::info!(?failure, "a lease was not written");
                    }
                }
            }
        }
    }

    async fn tell(&mut self, me: Option<&Me>) {
        let now = Instant::now();
        let mut news = Vec::new();
        let mut alerted = Vec::new();
        for (cluster, seat) in &self.seats {
            // Before the news of a holder: who takes over knows what was told.
            let told = seat.alerted();
            if let Some(told) =
                told.filter(|told| self.alerted.get(cluster).map(AsRef::as_ref) != Some(*told))
            {
                alerted.push((cluster.clone(), Box::<str>::from(told)));
            }
            let observer = seat.holder(now).map(|lease| Observer {
                holder: lease.shown(),
                renewed: lease.renewed.unwrap_or_default(),
                is_us: me.is_some_and(|me| seat.is_held(me, now)),
            });
            if self.told.get(cluster) != observer.as_ref() {
                news.push((cluster.clone(), observer));
            }
        }
        for (cluster, told) in alerted {
            self.alerted.insert(cluster.clone(), told.clone());
            let fact = Fact::Shared(SharedFact::Alerted(cluster, told));
            let _ = self.desk.inbox.send(fact).await;
        }
        for (cluster, observer) in news {
            match &observer {
                Some(observer) => self.told.insert(cluster.clone(), observer.clone()),
                None => self.told.remove(&cluster),
            };
            let fact = Fact::Shared(SharedFact::Observer(cluster, observer));
            let _ = self.desk.inbox.send(fact).await;
        }
    }
}

impl Desk<'_> {
    fn now(&self) -> Timestamp {
        let clock = *self.time.borrow();
        clock.map_or_else(Timestamp::default, |(server, read)| server + read.elapsed())
    }

    /// Over the version that was seen, or as a new one; `None`: the answer is no Lease.
    async fn write(&self, lease: &Lease) -> Result<Option<Lease>, Failure> {
        let (method, path) = if lease.version.is_empty() {
            (Method::POST, path(self.ns))
        } else {
            (Method::PUT, format!("{}/{}", path(self.ns), names::of_lease(&lease.cluster)))
        };
        let path = format!("{path}?fieldManager={}", object::MANAGER);
        let call = Call::send(method, path, JSON, &encode(lease, self.ns));
        Ok(decode(&self.server.ask::<Value>(call).await?))
    }
}

/// The followed list; Leases of others are `None`.
struct Leases(NsName);

enum Told {
    Change(Change<Option<Lease>, String>),
    Trouble(Option<Trouble>),
}

impl Watched for Leases {
    type Wire = Value;
    type Seen = Option<Lease>;
    type Key = String;
    type Told = Told;
    fn name(&self) -> &'static str {
        "leases"
    }
    fn path(&self) -> String {
        path(&self.0)
    }
    fn accept(&self) -> (&'static str, &'static str) {
        (wire::JSON, wire::JSON)
    }
    fn head(wire: &Value) -> (String, Option<String>) {
        let text = |field: &str| wire["metadata"][field].as_str().map(str::to_owned);
        (text("name").unwrap_or_default(), text("resourceVersion"))
    }
    fn decode(&self, wire: &Value) -> Result<Option<Lease>, Text> {
        Ok(decode(wire))
    }
    fn key(&self, seen: Option<Lease>) -> String {
        seen.map_or_else(String::new, |lease| names::of_lease(&lease.cluster))
    }
    fn fact(&self, _cluster: &ClusterName, change: Change<Option<Lease>, String>) -> Told {
        Told::Change(change)
    }
    fn trouble(&self, _cluster: &ClusterName, trouble: Option<Trouble>) -> Told {
        Told::Trouble(trouble)
    }
}
