//! Tells people: alerts go to a webhook, and to whoever drives this engine, for the bell. Never waits:
//! what does not fit into the queue is counted and said. One process tells of a cluster: its observer.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use chrono::TimeDelta;
use tokio::sync::mpsc;

use self::post::{Connect, Message, Url};
use crate::{
    cockpit::{
        alerts::{Alert, AlertKey, AlertState, Alerts},
        ports::{Fact, Link, Trouble},
        settings::Notify,
        world::World,
    },
    domain::{
        names::{ClusterName, Text},
        time::Timestamp,
    },
};

mod body;
mod post;

/// What is kept out of files: read from the environment, shown nowhere.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Instead of the URL in sluice.yaml, where the URL itself is the secret.
    pub url: Option<String>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

pub(super) struct Notifier {
    alerts: Alerts,
    secrets: Secrets,
    connect: Connect,
    /// Made with the first message.
    queue: Option<mpsc::Sender<Message>>,
    facts: mpsc::Sender<Fact>,
    looked: Option<Timestamp>,
    began: Option<Timestamp>,
    /// Clusters that we tell of, because we observe them.
    ours: BTreeSet<ClusterName>,
    /// Not told, because somebody else was to tell it: told by us if he did not.
    held_back: BTreeMap<AlertKey, Alert>,
    memory: Option<BTreeMap<ClusterName, Box<str>>>,
    /// The settings that `url` and the complaints were made from.
    read: Option<Option<Notify>>,
    url: Option<Arc<Url>>,
    fresh: VecDeque<Alert>,
}

impl Notifier {
    const QUEUE: usize = 64;
    /// Alerts kept for the screen until it takes them.
    const FRESH: usize = 64;
    /// Alerts held back at most.
    const HELD_BACK: usize = 1_000;
    /// Who observes, and what was told before, is known so long after the start.
    const SETTLES: TimeDelta = TimeDelta::seconds(60);
    /// Looks at the world at most this often.
    const EVERY: TimeDelta = TimeDelta::seconds(5);

    pub(super) fn new(secrets: Secrets, facts: mpsc::Sender<Fact>) -> Self {
        Self {
            alerts: Alerts::default(),
            secrets,
            connect: post::connect(),
            queue: None,
            facts,
            looked: None,
            began: None,
            ours: BTreeSet::new(),
            held_back: BTreeMap::new(),
            memory: None,
            read: None,
            url: None,
            fresh: VecDeque::new(),
        }
    }

    /// Looks at the world; answers what is wrong with the settings.
    pub(super) fn follow(&mut self, world: &World) -> Vec<Trouble> {
        if self.looked.is_some_and(|looked| world.now() - looked < Self::EVERY) {
            return Vec::new();
        }
        self.looked = Some(world.now());
        let mut troubles = self.read_settings(world.plan().settings.notify.as_ref());
        let began = *self.began.get_or_insert(world.now());
        let settles = world.now() - began < Self::SETTLES;
        if settles && is_connecting(world) {
            return troubles;
        }
        let mut due = self.take_over(world);
        for alert in self.alerts.look(world) {
            if self.fresh.len() == Self::FRESH {
                self.fresh.pop_front();
            }
            self.fresh.push_back(alert.clone());
            match (tells(world, &alert.key), settles && world.plan().settings.state.is_some()) {
                (Teller::We, _) | (Teller::Everybody, false) => due.push(alert),
                (Teller::Somebody, _) | (Teller::Everybody, true) => self.hold_back(alert),
            }
        }
        if !settles {
            due.extend(self.nobody_told(world));
        }
        let escalation = &world.plan().settings.escalation;
        let lost = due.iter().filter(|alert| !self.send(alert, escalation)).count();
        let memory = |name: &ClusterName| (name.clone(), self.alerts.memory(name, world.now()));
        self.memory = Some(self.ours.iter().map(memory).collect());
        if lost > 0 {
            troubles.push(Trouble::new(
                "notifications",
                &format!("{lost} were not sent: too many wait for the webhook"),
                "Look at the denials page; check that the receiver answers.",
            ));
        }
        troubles
    }

    /// Clusters that we observe since now: what our predecessor told is known, what he did not is told.
    fn take_over(&mut self, world: &World) -> Vec<Alert> {
        let is_us = |name: &ClusterName| world.shared().observer(name).is_some_and(|one| one.is_us);
        let now: BTreeSet<_> =
            world.clusters().map(|cluster| &cluster.name).filter(|name| is_us(name)).cloned().collect();
        let mut due = Vec::new();
        for cluster in now.difference(&self.ours) {
            let memory = world.shared().alerted(cluster).unwrap_or_default();
            let told = self.alerts.take_over(cluster, memory, world.now());
            let held = self.held_back.extract_if(.., |key, _| key.spot.cluster == *cluster);
            due.extend(held.filter(|(key, _)| !told.contains(key)).map(|(_, alert)| alert));
        }
        self.ours = now;
        due.retain(|alert| self.alerts.is_open(&alert.key));
        due
    }

    fn hold_back(&mut self, alert: Alert) {
        match alert.state {
            AlertState::Recovered => drop(self.held_back.remove(&alert.key)),
            AlertState::Raised | AlertState::Worse if self.held_back.len() < Self::HELD_BACK => {
                self.held_back.insert(alert.key.clone(), alert);
            }
            AlertState::Raised | AlertState::Worse => {}
        }
    }

    /// Held back for somebody who is not there.
    fn nobody_told(&mut self, world: &World) -> Vec<Alert> {
        let alone = |key: &AlertKey, _: &mut Alert| tells(world, key) == Teller::Everybody;
        self.held_back.extract_if(.., alone).map(|(_, alert)| alert).collect()
    }

    /// What was told of the clusters that we observe, for our successor; once a look.
    pub(super) fn take_memory(&mut self) -> Option<BTreeMap<ClusterName, Box<str>>> {
        self.memory.take()
    }

    /// What was not taken yet, oldest first, for a bell.
    pub(super) fn take_fresh(&mut self) -> Vec<Alert> {
        self.fresh.drain(..).collect()
    }

    fn read_settings(&mut self, notify: Option<&Notify>) -> Vec<Trouble> {
        if self.read.as_ref().is_some_and(|read| read.as_ref() == notify) {
            return Vec::new();
        }
        self.read = Some(notify.cloned());
        let mut troubles = Vec::new();
        let wrong = |fact: &str, next: &str| Trouble::new("notify in sluice.yaml", fact, next);
        let named = notify.and_then(|notify| notify.webhook.as_ref()).map(|url| url.as_str().to_owned());
        let raw = self.secrets.url.clone().or(named);
        self.url = None;
        match raw.map(|raw| Url::parse(&raw, self.secrets.token.as_deref())) {
            None => {}
            Some(Ok(url)) => self.url = Some(Arc::new(url)),
            Some(Err(why)) => troubles.push(wrong(
                &format!("the webhook cannot be used: {why}"),
                "Write http://… or https://…; a secret comes by SLUICE_NOTIFY_URL or SLUICE_NOTIFY_TOKEN.",
            )),
        }
        let template = notify.and_then(|notify| notify.body.as_ref());
        if let Some(complaint) = template.and_then(|template| body::complaint(template.as_str())) {
            let fact = format!("the body cannot be used: {complaint}");
            troubles.push(wrong(&fact, "Correct it; until then the built-in body is sent."));
        }
        troubles
    }

    /// False: there was no room.
    fn send(&mut self, alert: &Alert, escalation: &[Text]) -> bool {
        let Some(url) = &self.url else { return true };
        let template = self.read.iter().flatten().find_map(|notify| notify.body.as_ref());
        let body = body::render(template.map(|template| template.as_str()), alert, escalation);
        let queue = self.queue.get_or_insert_with(|| {
            let (queue, messages) = mpsc::channel(Self::QUEUE);
            tokio::spawn(post::run(messages, self.connect.clone(), self.facts.clone()));
            queue
        });
        queue.try_send(Message { url: url.clone(), body }).is_ok()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Teller {
    We,
    Somebody,
    Everybody,
}

/// The observer of a cluster tells of it. Where nobody observes, everybody does: the receiver joins
/// messages by their key.
fn tells(world: &World, key: &AlertKey) -> Teller {
    let shared = world.shared();
    if !matches!(shared.link(), Some(Link::Live)) {
        return Teller::Everybody;
    }
    const STALE: TimeDelta = TimeDelta::minutes(5);
    let now = shared.now(world.now()).unwrap_or(world.now());
    match shared.observer(&key.spot.cluster) {
        Some(observer) if observer.is_us => Teller::We,
        Some(observer) if now - observer.renewed <= STALE => Teller::Somebody,
        Some(_) | None => Teller::Everybody,
    }
}

/// The state cluster has not answered yet, for better or worse.
fn is_connecting(world: &World) -> bool {
    let named = world.plan().settings.state.is_some();
    named && matches!(world.shared().link(), None | Some(Link::Connecting))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cockpit::{ports::ClusterFact, shared::SharedFact},
        documents::{
            fixture::{team_world, tell},
            tests::{cluster, denial, now, source},
        },
        domain::flow::Flow,
    };

    /// A run of the program: its notifier, and what was sent.
    struct Run {
        notifier: Notifier,
        sent: mpsc::Receiver<Message>,
    }

    impl Run {
        fn start() -> Self {
            let secrets = Secrets { url: Some("http://127.0.0.1:9/".to_owned()), token: None };
            let mut notifier = Notifier::new(secrets, mpsc::channel(1).0);
            let (queue, sent) = mpsc::channel(Notifier::QUEUE);
            notifier.queue = Some(queue);
            Self { notifier, sent }
        }

        /// Looks every ten seconds up to this minute; what was sent of hurting denials, as state and key.
        fn to(&mut self, world: &mut World, minutes: std::ops::Range<i64>) -> Vec<String> {
            for second in (minutes.start * 60..minutes.end * 60).step_by(10) {
                world.absorb(Fact::Tick(now() + TimeDelta::seconds(second)));
                observe(world, true);
                world.settle();
                self.notifier.follow(world);
            }
            let all = std::iter::from_fn(|| self.sent.try_recv().ok());
            let words = |message: Message| {
                let body: serde_json::Value = serde_json::from_str(&message.body).expect("JSON");
                format!("{} {}", body["state"].as_str()?, body["key"].as_str()?).into()
            };
            all.filter_map(words).filter(|words: &String| words.contains(" hurting ")).collect()
        }
    }

    fn observe(world: &mut World, is_us: bool) {
        let mut observer = world.shared().observer(&cluster("prod-eu")).cloned().expect("one");
        (observer.is_us, observer.renewed) = (is_us, world.now());
        tell(world, SharedFact::Observer(cluster("prod-eu"), Some(observer)));
    }

    fn deny(world: &mut World, minute: i64) {
        let at = now() + TimeDelta::minutes(minute);
        world.absorb(Fact::Tick(at));
        let flow = Flow { port: 5432, ..denial(minute as u32, [192, 0, 2, 9], at) };
        world.absorb(Fact::Cluster(cluster("prod-eu"), ClusterFact::Flows(vec![flow])));
    }

    fn live(world: &mut World) {
        let state = source(Link::Live);
        world.absorb(Fact::Cluster(cluster("prod-eu"), ClusterFact::Source(state)));
    }

    #[test]
    fn a_restart_tells_nobody_twice_and_what_is_over_once() {
        let mut world = team_world();
        live(&mut world);
        deny(&mut world, 60);
        let mut first = Run::start();
        let raised = ["raised hurting prod-eu/shop/egress web 192.0.2.9:5432/TCP"];
        assert_eq!(first.to(&mut world, 60..62), raised);
        let memory = first.notifier.take_memory().expect("it looked");
        let kept = memory[&cluster("prod-eu")].clone();
        // Started again without a memory, it is told again.
        deny(&mut world, 62);
        assert_eq!(Run::start().to(&mut world, 62..64), raised);
        // With the one that the Lease keeps it is not, until it is over.
        tell(&mut world, SharedFact::Alerted(cluster("prod-eu"), kept));
        deny(&mut world, 64);
        let mut second = Run::start();
        assert_eq!(second.to(&mut world, 64..78), [""; 0]);
        let over = ["recovered hurting prod-eu/shop/egress web 192.0.2.9:5432/TCP"];
        assert_eq!(second.to(&mut world, 78..90), over);
    }

    /// Somebody else was to tell it, and went away before he did.
    #[test]
    fn what_was_left_to_somebody_who_is_gone_is_told_by_who_takes_over() {
        let mut world = team_world();
        live(&mut world);
        deny(&mut world, 60);
        let mut run = Run::start();
        for second in (3_600..3_660).step_by(10) {
            world.absorb(Fact::Tick(now() + TimeDelta::seconds(second)));
            observe(&mut world, false);
            world.settle();
            run.notifier.follow(&world);
        }
        assert!(run.sent.try_recv().is_err(), "the observer tells");
        let raised = ["raised hurting prod-eu/shop/egress web 192.0.2.9:5432/TCP"];
        assert_eq!(run.to(&mut world, 61..62), raised);
    }
}
