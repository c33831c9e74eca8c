//! Where a source's records go: to the cockpit as judged flows, or to the collector as what edges are
//! made of. Drops repeats, collects, tells. What to read and when is each source's own affair.

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    cockpit::ports::{ClusterFact, Fact, Trouble},
    domain::{
        addresses::AddressBook,
        flow::{Flow, FlowId, Verdict},
        names::{ClusterName, NsName, Text},
        sighting::{Sighting, Told},
        time::Timestamp,
    },
};

use super::{
    baseline::{
        gather::Input,
        owned::Heard,
        store::{Id, Position},
    },
    batch::{Batch, Pushed},
    judged::{self, Word},
    memory::Memory,
    source::{Closed, Dial, Inbox},
};

/// Where the collector reads a source, and what it has read of it before.
pub struct Gathering {
    pub cluster: ClusterName,
    /// What the source is called in positions and ids.
    pub source: Text,
    pub dial: Dial,
    /// From where on reading begins again: before what was committed, by as much as the source may repeat,
    /// so that ids are kept of all that is read twice.
    pub position: Option<Timestamp>,
    /// Committed ids that reading from the position could repeat, oldest first.
    pub known: Vec<Id>,
}

pub struct Outlet {
    cluster: ClusterName,
    to: To,
}

enum To {
    Denials { inbox: Inbox, wanted: watch::Receiver<Vec<NsName>>, batch: Batch },
    Edges(Edges),
}

struct Edges {
    source: Text,
    to: mpsc::Sender<Input>,
    told: Vec<(Heard, Option<u64>)>,
    opened: Option<Instant>,
    newest: Option<Timestamp>,
    memory: Memory,
}

impl Edges {
    /// Ids remembered, to drop what is read twice: 12 MB.
    const REMEMBERED: usize = 1 << 19;
    const TOLD: usize = 512;
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    Fresh,
    Repeat,
    /// Nothing that this outlet takes.
    Left,
    /// A name in it is none.
    Malformed,
}

impl Outlet {
    /// To the cockpit: denials, and allowed flows of the namespaces that are wanted.
    pub fn denials(
        cluster: ClusterName,
        wanted: watch::Receiver<Vec<NsName>>,
        inbox: mpsc::Sender<Fact>,
    ) -> Self {
        let inbox = Inbox::new(cluster.clone(), inbox);
        Self { cluster, to: To::Denials { inbox, wanted, batch: Batch::default() } }
    }

    /// To the collector. `known`: what was committed and could be read again, oldest first.
    pub fn edges(cluster: ClusterName, source: Text, to: mpsc::Sender<Input>, known: &[Id]) -> Self {
        let mut memory = Memory::new(Edges::REMEMBERED);
        let known = &known[known.len().saturating_sub(Edges::REMEMBERED)..];
        for (id, at) in known {
            memory.note(*id, *at);
        }
        let edges = Edges { source, to, told: Vec::new(), opened: None, newest: None, memory };
        Self { cluster, to: To::Edges(edges) }
    }

    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Nobody listens any more.
    pub async fn closed(&self) {
        match &self.to {
            To::Denials { inbox, .. } => inbox.closed().await,
            To::Edges(edges) => edges.to.closed().await,
        }
    }

    /// `id`: what a repeat of it would be known by.
    pub fn push(
        &mut self,
        sighting: &Sighting<'_>,
        id: FlowId,
        word: impl FnOnce() -> Word,
        book: &AddressBook,
    ) -> Took {
        match &mut self.to {
            To::Edges(edges) => edges.push(&Told::Flow(*sighting), Memory::hash(&id), sighting.until),
            To::Denials { wanted, batch, .. } => {
                match judged::flow(&judged::attributed(sighting, book), id, word()) {
                    Ok(flow) if is_asked_for(&flow, wanted) => take(batch, flow),
                    Ok(_) | Err(judged::Unjudged::Direction) => Took::Left,
                    Err(judged::Unjudged::Name) => Took::Malformed,
                }
            }
        }
    }

    /// What its source has judged already, and the same as edges are made of it.
    pub fn push_judged(&mut self, sighting: &Sighting<'_>, flow: &Flow) -> Took {
        match &mut self.to {
            To::Edges(edges) => edges.push(&Told::Flow(*sighting), Memory::hash(&flow.id), sighting.until),
            To::Denials { wanted, batch, .. } if is_asked_for(flow, wanted) => take(batch, flow.clone()),
            To::Denials { .. } => Took::Left,
        }
    }

    /// Something else than a flow. The cockpit takes losses by another way, and no DNS answers.
    pub fn push_other(&mut self, told: &Told<'_>, id: &FlowId, at: Timestamp) -> Took {
        match &mut self.to {
            To::Denials { .. } => Took::Left,
            To::Edges(edges) => edges.push(told, Memory::hash(id), at),
        }
    }

    /// When what waits here is due to be told.
    pub fn due(&self) -> Option<Instant> {
        match &self.to {
            To::Denials { batch, .. } => batch.due(),
            To::Edges(edges) => edges.opened.map(|opened| opened + Batch::OPEN),
        }
    }

    pub fn is_full(&self) -> bool {
        match &self.to {
            To::Denials { batch, .. } => batch.is_full(),
            To::Edges(edges) => edges.told.len() >= Edges::TOLD,
        }
    }

    /// Tells what waits; the time of the newest of it.
    pub async fn flush(&mut self) -> Result<Option<Timestamp>, Closed> {
        match &mut self.to {
            To::Denials { inbox, batch, .. } => {
                let flows = batch.close();
                let Some(newest) = flows.last().map(|flow| flow.at) else { return Ok(None) };
                inbox.send(ClusterFact::Flows(flows)).await?;
                Ok(Some(newest))
            }
            To::Edges(edges) => {
                edges.opened = None;
                let told = std::mem::take(&mut edges.told);
                if !told.is_empty() {
                    edges.send(Input::Told { source: edges.source.clone(), told, position: None }).await?;
                }
                Ok(edges.newest.take())
            }
        }
    }

    /// The source was alive up to here, and cannot name nodes. The cockpit's clock takes no such sign.
    pub async fn alive(&self, until: Timestamp) -> Result<(), Closed> {
        match &self.to {
            To::Denials { .. } => Ok(()),
            To::Edges(edges) => edges.send(Input::Sign(None, until)).await,
        }
    }

    /// All that was told is from before `read`, or known by its id.
    pub async fn position(&self, read: Timestamp) -> Result<(), Closed> {
        match &self.to {
            To::Denials { .. } => Ok(()),
            To::Edges(edges) => edges.send(Input::Position(edges.source.clone(), Position::Time(read))).await,
        }
    }

    /// The collector understands fewer facts than the cockpit.
    pub async fn send(&self, fact: ClusterFact) -> Result<(), Closed> {
        match (&self.to, fact) {
            (To::Denials { inbox, .. }, fact) => inbox.send(fact).await,
            (To::Edges(edges), ClusterFact::Heard { node, until, .. }) => {
                edges.send(Input::Sign(Some(node), until)).await
            }
            (To::Edges(edges), ClusterFact::Gap(gap)) => edges.send(Input::Gap(gap)).await,
            (To::Edges(edges), ClusterFact::Source(state)) => {
                edges.send(Input::State(edges.source.clone(), Box::new(state))).await
            }
            (To::Edges(_), _) => Ok(()),
        }
    }

    pub async fn send_all(&self, facts: impl IntoIterator<Item = ClusterFact>) -> Result<(), Closed> {
        for fact in facts {
            self.send(fact).await?;
        }
        Ok(())
    }

    pub async fn notice(&self, trouble: Trouble) -> Result<(), Closed> {
        match &self.to {
            To::Denials { inbox, .. } => inbox.notice(trouble).await,
            To::Edges(edges) => edges.send(Input::Trouble(trouble.object.clone(), Some(trouble))).await,
        }
    }
}

/// Allowed ones only of namespaces with something of ours: the rest is most of what there is.
fn is_asked_for(flow: &Flow, wanted: &watch::Receiver<Vec<NsName>>) -> bool {
    !matches!(flow.verdict, Verdict::Allowed { .. })
        || flow.judged().ns.as_ref().is_some_and(|ns| wanted.borrow().contains(ns))
}

fn take(batch: &mut Batch, flow: Flow) -> Took {
    match batch.push_alone(flow, Instant::now()) {
        Pushed::Repeat => Took::Repeat,
        Pushed::Fresh | Pushed::Twin => Took::Fresh,
    }
}

impl Edges {
    fn push(&mut self, told: &Told<'_>, id: u64, at: Timestamp) -> Took {
        if !self.memory.note(id, at) {
            return Took::Repeat;
        }
        self.opened.get_or_insert_with(Instant::now);
        self.newest = self.newest.max(Some(at));
        self.told.push((Heard::of(told), Some(id)));
        Took::Fresh
    }

    async fn send(&self, input: Input) -> Result<(), Closed> {
        self.to.send(input).await.map_err(|_| Closed)
    }
}
