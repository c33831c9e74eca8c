//! One Lease a cluster says who writes its evidence: held for 30 s, renewed every 10, taken over when
//! nobody renewed it for that long by our own clock. A `sluice watch` goes before a cockpit: it asks,
//! and the cockpit gives back. All of it in runtime time. The rules here are pure; `keep` obeys.

mod keep;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::domain::{
    names::{ClusterName, NsName, Text},
    time::Timestamp,
};

use super::shared::names;

pub use keep::{Desk, Held, Observers, keep, leave};

pub const DURATION: Duration = Duration::from_secs(30);
pub const RENEW: Duration = Duration::from_secs(10);
/// After a renewal that failed.
const RETRY: Duration = Duration::from_secs(2);
/// A source that was away for less does not cost the Lease.
const UNWANTED: Duration = Duration::from_secs(30);

/// What a process wants of the Leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    pub role: Option<Role>,
    /// This machine, for people.
    pub host: Text,
    /// Tells two processes of one person on one machine apart.
    pub nonce: Text,
    /// Clusters whose telemetry reaches us now.
    pub wanted: BTreeSet<ClusterName>,
    /// What people were told of the clusters that we observe: written with the next renewal, so that a
    /// successor does not tell it twice.
    pub alerted: BTreeMap<ClusterName, Box<str>>,
    /// The program ends: what is held is given back at once.
    pub leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Cockpit,
    Watch,
}

/// Who we are on a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    pub identity: Text,
    pub role: Role,
}

impl Claims {
    /// `None`: this process only looks.
    pub fn me(&self, user: &Text) -> Option<Me> {
        let role = self.role?;
        let who = match role {
            Role::Cockpit => user.as_str(),
            Role::Watch => WATCH,
        };
        let identity = Text::from(format!("{who} on {} [{}]", self.host, self.nonce));
        Some(Me { identity, role })
    }
}

const WATCH: &str = "watch";
/// On a Lease that a cockpit holds: the watch that wants it.
const WANTED_BY: &str = "sluice.dev/wanted-by";
const CLUSTER: &str = "sluice.dev/cluster";
/// What its holder has told people, in the words of `cockpit::alerts`.
const ALERTED: &str = "sluice.dev/alerted";
/// All annotations of an object together may have 256 KiB.
const ALERTED_BYTES: usize = 64 * 1024;

/// A Lease as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub cluster: ClusterName,
    pub version: String,
    /// Empty: given back.
    pub holder: Text,
    pub renewed: Option<Timestamp>,
    pub acquired: Option<Timestamp>,
    pub transitions: u64,
    pub wanted_by: Option<Text>,
    /// `None`: its holder never said.
    pub alerted: Option<Box<str>>,
}

impl Lease {
    /// The holder without what only tells processes apart.
    pub fn shown(&self) -> Text {
        let holder = self.holder.as_str();
        Text::new(holder.rsplit_once(" [").map_or(holder, |(shown, _)| shown))
    }

    fn is_watch(&self) -> bool {
        self.holder.as_str().strip_prefix(WATCH).is_some_and(|rest| rest.starts_with(" on "))
    }

    /// Where it stands in the order of its own writes.
    fn order(&self) -> (u64, Option<Timestamp>) {
        (self.transitions, self.renewed)
    }
}

/// One cluster's Lease as this process knows it.
#[derive(Clone, Debug, Default)]
pub struct Seat {
    lease: Option<Lease>,
    /// Since when the Lease stands as it does.
    since: Option<Instant>,
    /// We hold it up to here, and not a moment longer without a renewal.
    held_until: Option<Instant>,
    /// Not before this.
    next: Option<Instant>,
    /// Since when its telemetry does not reach us.
    unwanted: Option<Instant>,
}

/// What to do with a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    Wait,
    /// It is free, or its holder is gone.
    Take,
    Renew,
    /// Give it back.
    Release,
    /// Ask the cockpit that holds it.
    Ask,
}

impl Seat {
    /// The watch or an answer showed it. An older state than the one known is left out.
    pub fn see(&mut self, lease: Option<Lease>, now: Instant) {
        if let (Some(known), Some(seen)) = (&self.lease, &lease)
            && seen.order() < known.order()
        {
            return;
        }
        let stands = |lease: &Option<Lease>| {
            lease.as_ref().map(|lease| (lease.holder.clone(), lease.transitions, lease.renewed))
        };
        if stands(&self.lease) != stands(&lease) || self.since.is_none() {
            self.since = Some(now);
        }
        self.lease = lease;
    }

    /// Nobody renewed it for its duration, by our own clock since we saw it so.
    fn is_over(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) >= DURATION)
    }

    pub fn is_held(&self, me: &Me, now: Instant) -> bool {
        let ours = self.lease.as_ref().is_some_and(|lease| lease.holder == me.identity);
        ours && self.held_until.is_some_and(|until| now < until)
    }

    /// Up to when we hold it, if we do: whoever writes later than that writes for another.
    pub fn held_until(&self, me: &Me, now: Instant) -> Option<Instant> {
        self.held_until.filter(|_| self.is_held(me, now))
    }

    /// Who holds it now, if anybody.
    pub fn holder(&self, now: Instant) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| !lease.holder.is_empty() && !self.is_over(now))
    }

    /// What its holder told people.
    pub fn alerted(&self) -> Option<&str> {
        self.lease.as_ref()?.alerted.as_deref()
    }

    pub fn want(&mut self, wanted: bool, now: Instant) {
        self.unwanted = (!wanted).then(|| self.unwanted.unwrap_or(now));
    }

    pub fn step(&self, me: &Me, now: Instant) -> Move {
        if self.next.is_some_and(|next| now < next) {
            return Move::Wait;
        }
        let wanted = self.unwanted.is_none();
        let Some(lease) = &self.lease else {
            return if wanted { Move::Take } else { Move::Wait };
        };
        let asked = lease.wanted_by.as_ref().is_some_and(|by| *by != me.identity);
        if lease.holder == me.identity {
            let long = self.unwanted.is_some_and(|since| now.duration_since(since) >= UNWANTED);
            let gives = long || (asked && me.role == Role::Cockpit);
            return if gives { Move::Release } else { Move::Renew };
        }
        if !wanted {
            return Move::Wait;
        }
        if self.is_over(now) {
            return Move::Take;
        }
        match (lease.holder.is_empty(), me.role) {
            // It was given back to a watch, which has its chance until the time is over.
            (true, Role::Cockpit) if asked => Move::Wait,
            (true, _) => Move::Take,
            (false, Role::Watch) if !lease.is_watch() && lease.wanted_by.is_none() => Move::Ask,
            (false, _) => Move::Wait,
        }
    }

    /// A write of ours landed; `began` is before it was sent.
    pub fn wrote(&mut self, done: &Move, lease: Lease, began: Instant) {
        let holds = matches!(done, Move::Take | Move::Renew);
        self.held_until = holds.then(|| began + DURATION);
        self.next = holds.then(|| began + RENEW);
        self.see(Some(lease), began);
    }

    /// It did not, or we do not know: again in a moment, or later where we may not.
    pub fn failed(&mut self, now: Instant, forbidden: bool) {
        self.next = Some(now + if forbidden { Duration::from_secs(300) } else { RETRY });
    }

    /// What a move writes.
    pub fn written(&self, done: &Move, me: &Me, cluster: &ClusterName, at: Timestamp) -> Lease {
        let known = self.lease.clone();
        let fresh = || Lease {
            cluster: cluster.clone(),
            version: String::new(),
            holder: Text::default(),
            renewed: None,
            acquired: None,
            transitions: 0,
            wanted_by: None,
            alerted: None,
        };
        let mut lease = known.unwrap_or_else(fresh);
        match done {
            Move::Take => {
                // A new holder's time begins after the old one's, also by a clock that is behind.
                lease.transitions += 1;
                lease.holder = me.identity.clone();
                (lease.acquired, lease.renewed, lease.wanted_by) = (Some(at), Some(at), None);
            }
            Move::Renew => lease.renewed = Some(lease.renewed.map_or(at, |before| before.max(at))),
            Move::Release => {
                lease.holder = Text::default();
                lease.transitions += 1;
                lease.renewed = Some(at);
            }
            Move::Ask => lease.wanted_by = Some(me.identity.clone()),
            Move::Wait => {}
        }
        lease
    }
}

/// Where Leases stand.
pub fn path(ns: &NsName) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{ns}/leases")
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecWire {
    holder_identity: Option<String>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    lease_transitions: Option<u64>,
}

/// `None`: a Lease that is not ours, or of a form that we do not write.
pub fn decode(value: &Value) -> Option<Lease> {
    let metadata = &value["metadata"];
    let annotation = |name: &str| metadata["annotations"][name].as_str();
    let cluster = ClusterName::parse(annotation(CLUSTER)?).ok()?;
    if metadata["name"].as_str() != Some(names::of_lease(&cluster).as_str()) {
        return None;
    }
    let spec = SpecWire::deserialize(&value["spec"]).ok()?;
    let time = |raw: Option<String>| raw.as_deref().and_then(super::decode::time);
    Some(Lease {
        version: metadata["resourceVersion"].as_str()?.to_owned(),
        holder: Text::from(spec.holder_identity.unwrap_or_default()),
        renewed: time(spec.renew_time),
        acquired: time(spec.acquire_time),
        transitions: spec.lease_transitions.unwrap_or_default(),
        wanted_by: annotation(WANTED_BY).map(Text::new),
        alerted: annotation(ALERTED).filter(|told| told.len() <= ALERTED_BYTES).map(Into::into),
        cluster,
    })
}

/// Ready to send: over the version that was seen, or new.
pub fn encode(lease: &Lease, ns: &NsName) -> Value {
    // The API takes exactly six digits.
    let time = |at: Option<Timestamp>| at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true));
    let mut value = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": names::of_lease(&lease.cluster), "namespace": ns.as_str(),
            "labels": { "app.kubernetes.io/part-of": "sluice" },
            "annotations": { CLUSTER: lease.cluster.as_str() },
        },
        "spec": {
            "holderIdentity": lease.holder.as_str(),
            "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": time(lease.acquired),
            "renewTime": time(lease.renewed),
            "leaseTransitions": lease.transitions,
        },
    });
    if let Some(by) = &lease.wanted_by {
        value["metadata"]["annotations"][WANTED_BY] = by.as_str().into();
    }
    if let Some(told) = lease.alerted.as_ref().filter(|told| told.len() <= ALERTED_BYTES) {
        value["metadata"]["annotations"][ALERTED] = told.as_ref().into();
    }
    if !lease.version.is_empty() {
        value["metadata"]["resourceVersion"] = lease.version.as_str().into();
    }
    value
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    fn me(role: Role, nonce: &str) -> Me {
        let claims =
            Claims { role: Some(role), host: "host".into(), nonce: nonce.into(), ..Claims::default() };
        claims.me(&Text::new("ann")).expect("a role")
    }

    fn cluster() -> ClusterName {
        ClusterName::parse("one").expect("a name")
    }

    fn at(second: u32) -> Timestamp {
        chrono::Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, second).single().expect("a time")
    }

    /// The seat of somebody who sees what was written, from this moment on.
    fn after(seat: &Seat, done: &Move, who: &Me, now: Instant) -> Seat {
        let mut other = seat.clone();
        other.see(Some(seat.written(done, who, &cluster(), at(1))), now);
        other
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_taken_renewed_and_taken_over_when_nobody_renews_it() {
        let (ann, ben) = (me(Role::Cockpit, "1"), me(Role::Cockpit, "2"));
        let now = Instant::now();
        let secs = Duration::from_secs;
        let mut mine = Seat::default();
        assert_eq!(mine.step(&ann, now), Move::Take);
        let lease = mine.written(&Move::Take, &ann, &cluster(), at(0));
        assert_eq!(lease.shown().as_str(), "ann on host");
        let mut theirs = Seat::default();
        theirs.see(Some(lease.clone()), now);
        mine.wrote(&Move::Take, lease, now);
        assert!(mine.is_held(&ann, now) && !theirs.is_held(&ben, now));
        for (second, mine_does, theirs_does) in [
            (0, Move::Wait, Move::Wait),
            (9, Move::Wait, Move::Wait),
            (10, Move::Renew, Move::Wait),
            (29, Move::Renew, Move::Wait),
            (30, Move::Renew, Move::Take),
        ] {
            let now = now + secs(second);
            assert_eq!((mine.step(&ann, now), theirs.step(&ben, now)), (mine_does, theirs_does), "{second}");
        }
        // Whoever could not renew stops at the moment at which the other may begin.
        assert!(mine.is_held(&ann, now + secs(29)) && !mine.is_held(&ann, now + secs(30)));
        assert!(theirs.holder(now + secs(29)).is_some() && theirs.holder(now + secs(30)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cockpit_gives_back_when_a_watch_asks() {
        let (ann, watch, other) = (me(Role::Cockpit, "1"), me(Role::Watch, "2"), me(Role::Watch, "3"));
        let now = Instant::now();
        let held = after(&Seat::default(), &Move::Take, &ann, now);
        assert_eq!(held.step(&watch, now), Move::Ask);
        let asked = after(&held, &Move::Ask, &watch, now);
        assert_eq!(asked.step(&ann, now), Move::Release);
        assert_eq!(asked.step(&watch, now), Move::Wait, "it asks once");
        let free = after(&asked, &Move::Release, &ann, now);
        assert_eq!(free.step(&watch, now), Move::Take);
        assert_eq!(free.step(&ann, now), Move::Wait, "the watch has its chance");
        assert_eq!(free.step(&ann, now + DURATION), Move::Take, "but not for ever");
        let taken = after(&free, &Move::Take, &watch, now);
        assert_eq!(taken.step(&ann, now), Move::Wait);
        assert_eq!(taken.step(&other, now), Move::Wait, "a watch does not ask a watch");
        assert_eq!(taken.lease.as_ref().map(|lease| lease.wanted_by.clone()), Some(None));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_see_the_cluster_does_not_hold_it() {
        let ann = me(Role::Cockpit, "1");
        let now = Instant::now();
        let mut seat = Seat::default();
        seat.want(false, now);
        assert_eq!(seat.step(&ann, now), Move::Wait);
        let mut held = after(&Seat::default(), &Move::Take, &ann, now);
        held.want(false, now);
        held.want(false, now + Duration::from_secs(20));
        assert_eq!(held.step(&ann, now + Duration::from_secs(29)), Move::Renew);
        assert_eq!(held.step(&ann, now + Duration::from_secs(30)), Move::Release);
        held.want(true, now + Duration::from_secs(30));
        assert_eq!(held.step(&ann, now + Duration::from_secs(30)), Move::Renew);
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_state_does_not_undo_a_newer_one() {
        let (ann, ben) = (me(Role::Cockpit, "1"), me(Role::Cockpit, "2"));
        let now = Instant::now();
        let first = after(&Seat::default(), &Move::Take, &ann, now);
        let mut second = after(&first, &Move::Take, &ben, now);
        second.see(first.lease, now);
        assert_eq!(second.lease.map(|lease| lease.holder), Some(ben.identity));
    }

    #[test]
    fn a_lease_goes_out_and_comes_back() {
        let ns = NsName::parse("sluice").expect("a name");
        let lease = Lease {
            cluster: ClusterName::parse("arn:aws:one").expect("a name"),
            version: "7".to_owned(),
            holder: "watch on node-1 [ab]".into(),
            renewed: Some(at(3)),
            acquired: Some(at(1)),
            transitions: 4,
            wanted_by: Some("watch on node-2 [cd]".into()),
            alerted: Some("hurting\t1".into()),
        };
        let sent = encode(&lease, &ns);
        assert_eq!(sent["spec"]["renewTime"], "2026-03-02T09:00:03.000000Z");
        assert_eq!(decode(&sent), Some(lease));
        for hostile in [
            json!({}),
            json!({"metadata": {"name": "sluice-observer-x", "resourceVersion": "1",
            "annotations": {CLUSTER: "y"}}}),
            json!({"metadata": 7, "spec": []}),
        ] {
            assert_eq!(decode(&hostile), None);
        }
    }
}
