//! What is worth waking somebody for, and no more: each thing once, again only if it got worse or came
//! back an hour later, and once when it is over. What cannot be seen at the moment is neither raised
//! nor called over. Pure: reads the world, time is the world's.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::domain::{names::Text, time::Timestamp};

use super::{spot::Spot, world::World};

mod memory;
mod watched;

/// The kinds of things that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// A group of denials that hurts in a row whose set is live.
    Hurting,
    /// What is live is not what was applied.
    Incident,
    /// A soak whose clock stands still.
    Paused,
    /// A rollback after which it is not well again.
    NotRecovered,
    /// A live policy opens what its grant no longer covers.
    GrantExpired,
    /// Nobody writes the evidence of a cluster with live rows.
    ObserverGone,
}

impl AlertKind {
    const ALL: [Self; 6] = [
        Self::Hurting,
        Self::Incident,
        Self::Paused,
        Self::NotRecovered,
        Self::GrantExpired,
        Self::ObserverGone,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hurting => "hurting",
            Self::Incident => "incident",
            Self::Paused => "soak-paused",
            Self::NotRecovered => "not-recovered",
            Self::GrantExpired => "grant-expired",
            Self::ObserverGone => "observer-gone",
        }
    }

    /// 0 is the worst: what breaks workloads now, then what may, then what only stands still.
    pub fn severity(self) -> u8 {
        match self {
            Self::Hurting | Self::NotRecovered => 0,
            Self::Incident => 1,
            Self::GrantExpired => 2,
            Self::Paused | Self::ObserverGone => 3,
        }
    }

    /// It has to last so long before it counts; a change of observers takes a while.
    fn patience(self) -> TimeDelta {
        match self {
            Self::ObserverGone => TimeDelta::minutes(5),
            // A watch may show an apply object by object.
            Self::Incident => TimeDelta::seconds(30),
            Self::Hurting | Self::Paused | Self::NotRecovered | Self::GrantExpired => TimeDelta::zero(),
        }
    }
}

/// One thing, the same for as long as it lasts; receivers may join messages by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertKey {
    pub kind: AlertKind,
    pub spot: Spot,
    /// What tells it from others in the same row.
    pub detail: Text,
}

/// What is so at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    key: AlertKey,
    /// Grows as it gets worse.
    level: u32,
    words: Text,
}

/// What changed about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    Raised,
    Worse,
    Recovered,
}

impl AlertState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Worse => "worse",
            Self::Recovered => "recovered",
        }
    }
}

/// A message for whoever is on call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub key: AlertKey,
    pub state: AlertState,
    pub at: Timestamp,
    pub since: Timestamp,
    pub words: Text,
}

impl Alert {
    /// Where and what, in a few words.
    pub fn title(&self) -> String {
        let kind = match self.key.kind {
            AlertKind::Hurting => "denials hurt",
            AlertKind::Incident => "incident",
            AlertKind::Paused => "soak paused",
            AlertKind::NotRecovered => "rollback not recovered",
            AlertKind::GrantExpired => "grant expired",
            AlertKind::ObserverGone => "nobody observes",
        };
        let state = match self.state {
            AlertState::Raised => "",
            AlertState::Worse => " (worse)",
            AlertState::Recovered => " (over)",
        };
        format!("{}: {kind}{state}", self.key.spot)
    }

    /// One line for a terminal.
    pub fn line(&self) -> String {
        format!("{}: {}", self.title(), self.words)
    }

    /// The command that opens the row.
    pub fn command(&self) -> String {
        self.key.spot.command()
    }
}

/// What was said, so that it is not said again.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    things: BTreeMap<AlertKey, Thing>,
    /// What costs more to find out, and when it was.
    slow: (Option<Timestamp>, Vec<Condition>),
}

#[derive(Clone, Debug)]
struct Thing {
    since: Timestamp,
    /// The newest message that raised it, and the level it was raised at.
    told: Option<(Timestamp, u32)>,
    /// It was raised, and its end was not told.
    is_open: bool,
    /// Since when it is not so any more.
    absent: Option<Timestamp>,
    /// As last told.
    words: Text,
}

impl Alerts {
    /// The same thing is not raised again within this time, unless it got worse.
    const AGAIN: TimeDelta = TimeDelta::hours(1);
    /// It has to be gone so long before it is called over.
    const CALM: TimeDelta = TimeDelta::minutes(5);
    /// Soaks and grants are judged anew this often.
    const SLOW: TimeDelta = TimeDelta::minutes(1);
    /// Things remembered; beyond, new ones are told once more rather than never.
    const THINGS: usize = 5_000;
    /// Messages of one look: a fleet that breaks at once must not flood a phone.
    pub const AT_ONCE: usize = 10;

    /// Everything that is to be said now. Called at least once a minute.
    pub fn look(&mut self, world: &World) -> Vec<Alert> {
        let now = world.now();
        let mut out = Vec::new();
        let mut present = BTreeSet::new();
        if self.slow.0.is_none_or(|at| now - at >= Self::SLOW) {
            self.slow = (Some(now), watched::slow(world));
        }
        for condition in watched::conditions(world).into_iter().chain(self.slow.1.clone()) {
            out.extend(self.is_so(&condition, now));
            present.insert(condition.key);
        }
        for (key, thing) in self.things.iter_mut().filter(|(key, _)| !present.contains(*key)) {
            if watched::is_hidden(world, key) {
                thing.absent = None;
            } else {
                out.extend(is_gone(key, thing, now));
            }
        }
        let is_remembered = |thing: &Thing| {
            let told_lately = thing.told.is_some_and(|(at, _)| now - at < Self::AGAIN);
            thing.is_open || thing.absent.is_none() || told_lately
        };
        self.things.retain(|_, thing| is_remembered(thing));
        few(out)
    }

    fn is_so(&mut self, condition: &Condition, now: Timestamp) -> Option<Alert> {
        let key = &condition.key;
        if self.things.len() >= Self::THINGS && !self.things.contains_key(key) {
            self.things.pop_first();
        }
        let thing = self.things.entry(key.clone()).or_insert_with(|| Thing {
            since: now,
            told: None,
            is_open: false,
            absent: None,
            words: condition.words.clone(),
        });
        if thing.absent.take().is_some() && !thing.is_open {
            thing.since = now;
        }
        if now - thing.since < key.kind.patience() {
            return None;
        }
        let state = match thing.told {
            Some((_, level)) if condition.level > level => AlertState::Worse,
            Some(_) if thing.is_open => return None,
            Some((at, _)) if now - at < Self::AGAIN => return None,
            Some(_) | None => AlertState::Raised,
        };
        // What was over is raised anew, however bad it was before.
        let state = if thing.is_open { state } else { AlertState::Raised };
        thing.told = Some((now, condition.level));
        thing.words.clone_from(&condition.words);
        thing.is_open = true;
        Some(Alert { key: key.clone(), state, at: now, since: thing.since, words: thing.words.clone() })
    }
}

fn is_gone(key: &AlertKey, thing: &mut Thing, now: Timestamp) -> Option<Alert> {
    let absent = *thing.absent.get_or_insert(now);
    if !thing.is_open || now - absent < Alerts::CALM {
        return None;
    }
    thing.is_open = false;
    let words = Text::from(format!("it is over; it was: {}", thing.words));
    Some(Alert { key: key.clone(), state: AlertState::Recovered, at: now, since: thing.since, words })
}

/// New and worse ones before what is over; of too many, the last message counts the rest.
fn few(mut alerts: Vec<Alert>) -> Vec<Alert> {
    alerts.sort_by(|a, b| (a.state, &a.key).cmp(&(b.state, &b.key)));
    let more = alerts.len().saturating_sub(Alerts::AT_ONCE);
    if more > 0 {
        alerts.truncate(Alerts::AT_ONCE);
        if let Some(last) = alerts.last_mut() {
            last.words = Text::from(format!("{} (and {more} more at the same time)", last.words));
        }
    }
    alerts
}

#[cfg(test)]
mod tests {
    //! Alerts over hours of domain time, as a person on call gets them: each line is the minute, then the message.

    use chrono::TimeDelta;

    use super::*;
    use crate::{
        cockpit::{
            ports::{Change, ClusterFact, Fact, Link, SourceState, Trouble},
            shared::{Observer, SharedFact},
        },
        documents::{
            fixture::{by, kept, live_digest, record, review, rolled_back, team_world, tell},
            tests::{cluster, now, ns, pod, policy, target},
        },
        domain::{
            fleet::Pod,
            flow::{Direction, End, Flow, FlowId, Protocol, Verdict},
            names::{NodeName, Workload},
            policy::{PolicyKey, PolicyKind},
            rollout::{Applied, Record},
        },
    };

    /// A world, alerts, and what was said so far.
    struct Night {
        world: World,
        alerts: Alerts,
        minute: i64,
        said: Vec<String>,
        denied: u32,
        /// The API server does not answer.
        away: bool,
    }

    impl Night {
        /// The small fleet with its set live and nothing wrong: the rollback recovered long ago, and the
        /// denials of the fixture are old news.
        fn new() -> Self {
            let mut world = team_world();
            let mut recovered = rolled_back(9);
            if let Some(back) = &mut recovered.rolled_back {
                back.recovered = Some(now());
            }
            tell(&mut world, SharedFact::Records(Change::Put(kept("pay", 14, recovered))));
            let mut night = Self {
                world,
                alerts: Alerts::default(),
                minute: 0,
                said: Vec::new(),
                denied: 0,
                away: false,
            };
            night.to(30);
            night.said.clear();
            night
        }

        fn fact(&mut self, fact: Fact) {
            self.world.absorb(fact);
            self.world.settle();
        }

        fn cluster(&mut self, fact: ClusterFact) {
            self.fact(Fact::Cluster(cluster("prod-eu"), fact));
        }

        fn shared(&mut self, fact: SharedFact) {
            self.fact(Fact::Shared(fact));
        }

        /// Looks every minute; the observer renews its Lease.
        fn to(&mut self, minute: i64) {
            while self.minute < minute {
                self.minute += 1;
                let now = now() + TimeDelta::minutes(self.minute);
                self.fact(Fact::Tick(now));
                self.shared(SharedFact::Clock(now));
                if !self.away {
                    self.cluster(ClusterFact::Answered);
                }
                if let Some(observer) = self.world.shared().observer(&cluster("prod-eu")).cloned() {
                    let renewed = Observer { renewed: now, ..observer };
                    self.shared(SharedFact::Observer(cluster("prod-eu"), Some(renewed)));
                }
                self.look();
            }
        }

        fn look(&mut self) {
            for alert in self.alerts.look(&self.world) {
                self.said.push(format!("{:>3}  {}  {}", self.minute, alert.state.as_str(), alert.line()));
            }
        }

        fn deny(&mut self, port: u16, times: u32) {
            self.deny_in("shop", port, times);
        }

        fn deny_in(&mut self, space: &str, port: u16, times: u32) {
            let at = self.world.now();
            let flow = |n: u32| Flow {
                id: FlowId(format!("n{n}").into()),
                at,
                node: None,
                direction: Direction::Egress,
                verdict: Verdict::Denied { said: Text::new("POLICY_DENIED"), by: Vec::new() },
                source: End {
                    ns: Some(ns(space)),
                    workload: Some(Workload::new("Deployment", "web")),
                    ..End::default()
                },
                destination: End { address: "192.0.2.9".parse().ok(), ..End::default() },
                protocol: Protocol::Tcp,
                source_port: 40_000,
                port,
                reply: Some(false),
                closing: false,
            };
            let flows = (self.denied..self.denied + times).map(flow).collect();
            self.denied += times;
            self.cluster(ClusterFact::Flows(flows));
        }

        fn source(&mut self, link: Link) {
            self.cluster(ClusterFact::Source(SourceState {
                kind: crate::domain::source::SourceKind::Hubble,
                name: Text::new("Hubble Relay"),
                link,
                history_from: None,
                lag: None,
                nodes_connected: None,
                nodes_unavailable: None,
                malformed: 0,
                repeats: 0,
            }));
        }

        fn said(self) -> String {
            self.said.join("\n")
        }
    }

    fn broken() -> Link {
        Link::Broken(Trouble::new("relay", "connection refused", "Check it."))
    }

    #[test]
    fn a_group_that_hurts_is_told_once_then_worse_then_over() {
        let mut night = Night::new();
        night.to(40);
        night.deny(5432, 1);
        night.to(42);
        night.deny(5432, 1);
        night.to(45);
        night.deny(5432, 40);
        night.to(90);
        insta::assert_snapshot!("hurting.txt", night.said());
    }

    /// It comes and goes every twenty minutes: that is one message an hour, not one each time.
    #[test]
    fn what_comes_and_goes_does_not_page_each_time() {
        let mut night = Night::new();
        for minute in (40..170).step_by(25) {
            night.to(minute);
            night.deny(5432, 1);
        }
        night.to(250);
        insta::assert_snapshot!("flapping.txt", night.said());
    }

    /// Law: silence is never safety. A source that broke does not make denials stop.
    #[test]
    fn what_cannot_be_seen_is_neither_raised_nor_over() {
        let mut night = Night::new();
        night.deny(5432, 1);
        night.to(31);
        night.source(broken());
        night.to(120);
        assert_eq!(night.said.len(), 1, "{:?}", night.said);
        night.source(Link::Live);
        night.to(130);
        insta::assert_snapshot!("unseen.txt", night.said());
    }

    #[test]
    fn a_set_that_is_not_as_applied_is_told_at_once_and_when_it_grew() {
        let mut night = Night::new();
        let key = |name: &str| PolicyKey {
            ns: Some(ns("shop")),
            kind: PolicyKind::NetworkPolicy,
            name: crate::domain::names::PolicyName::parse(name).expect("valid"),
        };
        let gone = |name: &str| ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Gone(key(name)));
        night.cluster(gone("egress-allowlist"));
        night.to(33);
        night.cluster(gone("egress-baseline-allow"));
        night.to(35);
        // A cluster that went away says nothing.
        let away = Trouble::new("prod-eu", "connection refused", "Check it.");
        night.cluster(ClusterFact::Away(away));
        night.away = true;
        night.to(60);
        night.away = false;
        let back = ["egress-allowlist", "egress-baseline-allow", "default-deny-egress"].map(policy);
        night.cluster(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(back.to_vec())));
        night.to(70);
        let mut foreign = policy("egress-allowlist");
        foreign.canonical = "{\"other\":1}".into();
        foreign.managers = vec![Text::new("kubectl-edit")];
        night.cluster(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(foreign)));
        night.to(140);
        insta::assert_snapshot!("incident.txt", night.said());
    }

    #[test]
    fn a_rollback_after_which_it_is_not_well_is_told_after_ten_minutes() {
        let mut night = Night::new();
        let mut back = rolled_back(9);
        let stamp = crate::domain::rollout::Stamp { at: night.world.now(), ..by("oncall@example.net", 0) };
        back.rolled_back.as_mut().expect("it was").stamp = stamp;
        night.shared(SharedFact::Records(Change::Put(kept("pay", 14, back.clone()))));
        for minute in 31..=60 {
            night.deny_in("pay", 5432, 1);
            night.to(minute);
        }
        back.rolled_back.as_mut().expect("it was").recovered = Some(night.world.now());
        night.shared(SharedFact::Records(Change::Put(kept("pay", 14, back))));
        night.to(70);
        insta::assert_snapshot!("not-recovered.txt", night.said());
    }

    #[test]
    fn nobody_observing_is_told_only_if_it_lasts_and_only_where_a_set_is_live() {
        let mut night = Night::new();
        let observer = night.world.shared().observer(&cluster("prod-eu")).cloned().expect("one");
        night.shared(SharedFact::Observer(cluster("prod-eu"), None));
        night.to(33);
        night.shared(SharedFact::Observer(cluster("prod-eu"), Some(observer.clone())));
        night.to(50);
        assert_eq!(night.said, Vec::<String>::new());
        night.shared(SharedFact::Observer(cluster("prod-eu"), None));
        night.to(60);
        // While the state cluster is away nobody knows.
        night.shared(SharedFact::Link(broken()));
        night.to(100);
        night.shared(SharedFact::Link(Link::Live));
        night.shared(SharedFact::Observer(cluster("prod-eu"), Some(observer)));
        night.to(110);
        insta::assert_snapshot!("observer.txt", night.said());
    }

    /// Pods on a node of which nothing is heard: the clock stands still, and says so once.
    #[test]
    fn a_soak_that_stands_still_for_half_an_hour_is_told() {
        let mut night = Night::new();
        let node = NodeName::parse("node-1").expect("valid");
        let pods = ["web-1", "web-2"].map(|name| Pod { node: Some(node.clone()), ..pod(name) });
        night.cluster(ClusterFact::Pods(Change::Reset(pods.to_vec())));
        night.to(100);
        let until = night.world.now();
        night.cluster(ClusterFact::Heard { node: node.clone(), from: until, until });
        for minute in 101..112 {
            night.to(minute);
            let until = night.world.now();
            let from = until - TimeDelta::minutes(1);
            night.cluster(ClusterFact::Heard { node: node.clone(), from, until });
        }
        insta::assert_snapshot!("paused.txt", night.said());
    }

    /// The grant of a live policy runs out: nothing changes in the cluster, and somebody is told.
    #[test]
    fn a_grant_that_runs_out_while_its_policy_is_live_is_told() {
        let mut night = Night::new();
        let (rules, troubles) = crate::workspace::rules_of(&Default::default(), None);
        assert_eq!(troubles, []);
        night.fact(Fact::Rules(std::sync::Arc::new(rules)));
        let metadata = serde_json::json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "egress-allowlist", "namespace": "shop", "resourceVersion": "9"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{
                "to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 80, "protocol": "TCP"}]
            }]},
        });
        let mut review = review();
        review.grant.destination =
            crate::domain::grant::Opening::Networks(vec!["169.254.169.254/32".parse().expect("a network")]);
        review.grant.ports[0] = crate::domain::grant::PortSpan { from: 80, to: 80, ..review.grant.ports[0] };
        review.decisions[0].expires = Some(now() + TimeDelta::minutes(60));
        night.shared(SharedFact::Reviews(Change::Reset(vec![kept("review-1", 60, review)])));
        let policy = crate::manifest::policy(&metadata).expect("a policy");
        night.cluster(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(policy)));
        let applied = Applied { digest: live_digest(&night.world), stamp: by("lead@example.net", 1) };
        let record = Record { applied: Some(applied), ..record(&night.world) };
        night.shared(SharedFact::Records(Change::Put(kept("shop", 30, record))));
        night.to(59);
        let expired = |said: &String| said.contains("grant expired");
        assert!(!night.said.iter().any(expired));
        night.to(70);
        // The other policies of the small fleet open more than any grant: those are told as incidents.
        night.said.retain(expired);
        insta::assert_snapshot!("grant-expired.txt", night.said());
    }

    #[test]
    fn a_fleet_that_breaks_at_once_is_a_few_messages() {
        let mut night = Night::new();
        for port in 1..=40 {
            night.deny(port, 1);
        }
        night.to(31);
        assert_eq!(night.said.len(), Alerts::AT_ONCE);
        assert!(night.said[9].ends_with("(and 30 more at the same time)"), "{}", night.said[9]);
        night.to(34);
        assert_eq!(night.said.len(), Alerts::AT_ONCE, "the rest was counted, not kept for later");
    }

    /// Before the first apply, and after a rollback, denials are of somebody else's policies.
    #[test]
    fn denials_of_a_row_that_is_not_live_wake_nobody() {
        let mut night = Night::new();
        let mut taken_back = record(&night.world);
        taken_back.applied = None::<Applied>;
        night.shared(SharedFact::Records(Change::Put(kept("shop", 30, taken_back))));
        night.cluster(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new())));
        night.deny(5432, 100);
        night.to(60);
        assert_eq!(night.said, Vec::<String>::new());
    }

    #[test]
    fn a_message_opens_its_row_and_carries_nothing_that_moves_a_cursor() {
        let mut night = Night::new();
        night.deny(5432, 1);
        night.fact(Fact::Tick(now() + TimeDelta::minutes(31)));
        let alert = night.alerts.look(&night.world).remove(0);
        assert_eq!(alert.command(), "sluice --open prod-eu/shop/egress");
        assert_eq!(alert.key.spot, (&target()).into());
        assert!(!alert.line().chars().any(crate::domain::names::is_hostile));
    }
}
