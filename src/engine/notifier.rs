//! Tells people: alerts go to a webhook, and to whoever drives this engine, for the bell. Never waits:
//! what does not fit into the queue is counted and said. One process tells of a cluster: its observer.

use std::{collections::VecDeque, sync::Arc};

use chrono::TimeDelta;
use tokio::sync::mpsc;

use self::post::{Connect, Message, Url};
use crate::{
    cockpit::{
        alerts::{Alert, Alerts},
        ports::{Fact, Link, Trouble},
        settings::Notify,
        world::World,
    },
    domain::{names::Text, time::Timestamp},
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
    /// The settings that `url` and the complaints were made from.
    read: Option<Option<Notify>>,
    url: Option<Arc<Url>>,
    fresh: VecDeque<Alert>,
}

impl Notifier {
    const QUEUE: usize = 64;
    /// Alerts kept for the screen until it takes them.
    const FRESH: usize = 64;
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
        let mut lost = 0;
        for alert in self.alerts.look(world) {
            if tells(world, &alert) {
                lost += usize::from(!self.send(&alert, &world.plan().settings.escalation));
            }
            if self.fresh.len() == Self::FRESH {
                self.fresh.pop_front();
            }
            self.fresh.push_back(alert);
        }
        if lost > 0 {
            troubles.push(Trouble::new(
                "notifications",
                &format!("{lost} were not sent: too many wait for the webhook"),
                "Look at the denials page; check that the receiver answers.",
            ));
        }
        troubles
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

/// The observer of a cluster tells of it. Where nobody observes, everybody does: the receiver joins
/// messages by their key.
fn tells(world: &World, alert: &Alert) -> bool {
    let shared = world.shared();
    if !matches!(shared.link(), Some(Link::Live)) {
        return true;
    }
    const STALE: TimeDelta = TimeDelta::minutes(5);
    let now = shared.now(world.now()).unwrap_or(world.now());
    match shared.observer(&alert.key.spot.cluster) {
        Some(observer) => observer.is_us || now - observer.renewed > STALE,
        None => true,
    }
}
