//! What a source tells, kept as it comes.

use std::sync::{Arc, Mutex};

use sluice::{
    cockpit::ports::{ClusterFact, Fact, SourceState},
    domain::flow::Flow,
};
use tokio::sync::mpsc;

#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<Fact>>>);

impl Told {
    /// A channel whose facts are kept.
    pub fn channel() -> (Self, mpsc::Sender<Fact>) {
        let (sender, mut receiver) = mpsc::channel(64);
        let told = Self::default();
        let kept = told.clone();
        tokio::spawn(async move {
            while let Some(fact) = receiver.recv().await {
                kept.0.lock().expect("no panic").push(fact);
            }
        });
        (told, sender)
    }

    fn all<T>(&self, pick: impl Fn(&ClusterFact) -> Option<T>) -> Vec<T> {
        let facts = self.0.lock().expect("no panic");
        let of = |fact: &Fact| match fact {
            Fact::Cluster(_, fact) => pick(fact),
            _ => None,
        };
        facts.iter().filter_map(of).collect()
    }

    pub fn flows(&self) -> Vec<Flow> {
        let batches = self.all(|fact| match fact {
            ClusterFact::Flows(flows) => Some(flows.clone()),
            _ => None,
        });
        batches.into_iter().flatten().collect()
    }

    /// Node, cause, how far it reaches and why, in seconds since the fleets of the tests begin.
    pub fn gaps(&self) -> Vec<String> {
        let since = |at: chrono::DateTime<chrono::Utc>| (at - crate::support::start()).num_seconds();
        self.all(|fact| match fact {
            ClusterFact::Gap(gap) => Some(format!(
                "{} {} {}..{} {}",
                gap.node.as_ref().map_or("all", |node| node.as_str()),
                gap.cause.as_str(),
                since(gap.from),
                gap.until.map(|until| since(until).to_string()).unwrap_or_default(),
                gap.why
            )),
            _ => None,
        })
    }

    pub fn signs(&self) -> Vec<(String, i64, i64)> {
        let since = |at: chrono::DateTime<chrono::Utc>| (at - crate::support::start()).num_seconds();
        self.all(|fact| match fact {
            ClusterFact::Heard { node, from, until } => Some((node.to_string(), since(*from), since(*until))),
            _ => None,
        })
    }

    pub fn state(&self) -> SourceState {
        let states = self.all(|fact| match fact {
            ClusterFact::Source(state) => Some(state.clone()),
            _ => None,
        });
        states.last().expect("a state").clone()
    }
}
