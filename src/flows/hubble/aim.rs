//! What a relay's stream is read for: the denials that the cockpit shows, or the edges that the
//! collector keeps. It asks, understands, drops repeats and tells; when to read is `follow`'s.

use std::collections::HashSet;

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    cockpit::ports::{ClusterFact, Fact, Trouble},
    domain::{
        names::{ClusterName, NsName, Text},
        time::Timestamp,
    },
    flows::{
        baseline::{
            gather::Input,
            owned::Heard,
            store::{Id, Position},
        },
        batch::{Batch, Pushed},
        memory::Memory,
        source::{Closed, Inbox},
    },
    pb::observer::{GetFlowsRequest, GetFlowsResponse},
};

use super::{
    decode::{self, Malformed, Seen, Sighting},
    request::{self, From, Mask},
    sight::{self, Connections, Sight},
};

pub enum Aim {
    Denials(Denials),
    Edges(Edges),
}

/// For the cockpit.
pub struct Denials {
    inbox: Inbox,
    wanted: watch::Receiver<Vec<NsName>>,
    batch: Batch,
}

/// For the collector.
pub struct Edges {
    cluster: ClusterName,
    source: Text,
    to: mpsc::Sender<Input>,
    told: Vec<(Heard, Option<u64>)>,
    opened: Option<Instant>,
    newest: Option<Timestamp>,
    memory: Memory,
    /// Known from before a restart, and not counted: another event of their connection was.
    twins: HashSet<u64>,
    connections: Connections,
}

/// Set in the id of what was told and did not count.
const TWIN: u64 = 1;

impl Edges {
    /// Ids remembered, to drop what is read twice: 12 MB.
    const REMEMBERED: usize = 1 << 19;
    const TOLD: usize = 512;

    /// `known`: what was committed and a new stream could repeat, oldest first.
    pub fn new(cluster: ClusterName, source: Text, to: mpsc::Sender<Input>, known: &[Id]) -> Self {
        let mut memory = Memory::new(Self::REMEMBERED);
        let known = &known[known.len().saturating_sub(Self::REMEMBERED)..];
        for (id, at) in known {
            memory.note(*id & !TWIN, *at);
        }
        let twins = known.iter().filter(|(id, _)| id & TWIN != 0).map(|(id, _)| id & !TWIN).collect();
        Self {
            cluster,
            source,
            to,
            told: Vec::new(),
            opened: None,
            newest: None,
            memory,
            twins,
            connections: Connections::default(),
        }
    }

    fn push(&mut self, sight: Sight, here: Instant) -> Pushed {
        let id = sight.id & !TWIN;
        if !self.memory.note(id, sight.at) {
            // Counted before a restart: its twin may be read for the first time now.
            if let Some((key, kind)) = sight.connection.filter(|_| !self.twins.contains(&id)) {
                self.connections.mark(key, kind, sight.at);
            }
            return Pushed::Repeat;
        }
        let counts = sight.connection.is_none_or(|one| self.connections.counts(one, sight.at));
        self.opened.get_or_insert(here);
        self.newest = self.newest.max(Some(sight.at));
        // A twin's id is kept all the same, or it would count when it is read again without the other.
        let other = Heard::Other { node: None, at: Some(sight.at) };
        self.told.push(if counts { (sight.heard, Some(id)) } else { (other, Some(id | TWIN)) });
        if counts { Pushed::Fresh } else { Pushed::Twin }
    }

    async fn send(&self, input: Input) -> Result<(), Closed> {
        self.to.send(input).await.map_err(|_| Closed)
    }

    /// The collector understands fewer facts than the cockpit.
    async fn tell(&self, fact: ClusterFact) -> Result<(), Closed> {
        match fact {
            ClusterFact::Heard { node, until, .. } => self.send(Input::Sign(Some(node), until)).await,
            ClusterFact::Gap(gap) => self.send(Input::Gap(gap)).await,
            ClusterFact::Source(state) => self.send(Input::State(self.source.clone(), Box::new(state))).await,
            _ => Ok(()),
        }
    }
}

impl Aim {
    pub fn denials(
        cluster: ClusterName,
        wanted: watch::Receiver<Vec<NsName>>,
        inbox: mpsc::Sender<Fact>,
    ) -> Self {
        Self::Denials(Denials { inbox: Inbox::new(cluster, inbox), wanted, batch: Batch::default() })
    }

    pub fn cluster(&self) -> &ClusterName {
        match self {
            Self::Denials(denials) => denials.inbox.cluster(),
            Self::Edges(edges) => &edges.cluster,
        }
    }

    /// A stream that goes on.
    pub fn follow(&mut self, from: From, mask: Mask) -> GetFlowsRequest {
        match self {
            Self::Denials(denials) => request::follow(&denials.wanted.borrow_and_update(), from, mask),
            Self::Edges(_) => request::follow_edges(from, mask),
        }
    }

    /// A stream that ends.
    pub fn again(&self, since: Timestamp, nodes: &[String], mask: Mask) -> GetFlowsRequest {
        match self {
            Self::Denials(denials) => request::again(&denials.wanted.borrow(), since, nodes, mask),
            Self::Edges(_) => request::edges_again(since, nodes, mask),
        }
    }

    /// What is asked for changed. Never, once nobody can change it any more.
    pub async fn changed(&mut self) {
        let changed = match self {
            Self::Denials(denials) => denials.wanted.changed().await.is_ok(),
            Self::Edges(_) => false,
        };
        if !changed {
            std::future::pending::<()>().await;
        }
    }

    pub fn decode(&self, message: GetFlowsResponse) -> Result<Seen, Malformed> {
        match self {
            Self::Denials(_) => decode::decode(message),
            Self::Edges(_) => sight::sight(message),
        }
    }

    pub fn push_flow(&mut self, seen: Sighting, here: Instant) -> Pushed {
        match self {
            Self::Denials(denials) => {
                let asked = request::asked(&denials.wanted.borrow(), &seen);
                if asked { denials.batch.push(seen.flow, seen.event, here) } else { Pushed::Fresh }
            }
            Self::Edges(_) => Pushed::Fresh,
        }
    }

    pub fn push_edge(&mut self, sight: Sight, here: Instant) -> Pushed {
        match self {
            Self::Denials(_) => Pushed::Fresh,
            Self::Edges(edges) => edges.push(sight, here),
        }
    }

    /// When what waits here is due to be told.
    pub fn due(&self) -> Option<Instant> {
        match self {
            Self::Denials(denials) => denials.batch.due(),
            Self::Edges(edges) => edges.opened.map(|opened| opened + Batch::OPEN),
        }
    }

    pub fn is_full(&self) -> bool {
        match self {
            Self::Denials(denials) => denials.batch.is_full(),
            Self::Edges(edges) => edges.told.len() >= Edges::TOLD,
        }
    }

    /// Reading again from before this moment could count something twice.
    pub fn remembers_since(&self) -> Option<Timestamp> {
        match self {
            Self::Denials(denials) => denials.batch.remembers_since(),
            Self::Edges(edges) => edges.memory.forgotten_until(),
        }
    }

    /// Tells what waits; the time of the newest of it.
    pub async fn flush(&mut self) -> Result<Option<Timestamp>, Closed> {
        match self {
            Self::Denials(denials) => {
                let flows = denials.batch.close();
                let Some(newest) = flows.last().map(|flow| flow.at) else { return Ok(None) };
                denials.inbox.send(ClusterFact::Flows(flows)).await?;
                Ok(Some(newest))
            }
            Self::Edges(edges) => {
                edges.opened = None;
                let told = std::mem::take(&mut edges.told);
                if !told.is_empty() {
                    edges.send(Input::Told { source: edges.source.clone(), told, position: None }).await?;
                }
                Ok(edges.newest.take())
            }
        }
    }

    /// All that was told is from before `read`, or known by its id.
    pub async fn position(&self, read: Timestamp) -> Result<(), Closed> {
        match self {
            Self::Denials(_) => Ok(()),
            Self::Edges(edges) => {
                edges.send(Input::Position(edges.source.clone(), Position::Time(read))).await
            }
        }
    }

    pub async fn send(&self, fact: ClusterFact) -> Result<(), Closed> {
        match self {
            Self::Denials(denials) => denials.inbox.send(fact).await,
            Self::Edges(edges) => edges.tell(fact).await,
        }
    }

    pub async fn send_all(&self, facts: impl IntoIterator<Item = ClusterFact>) -> Result<(), Closed> {
        for fact in facts {
            self.send(fact).await?;
        }
        Ok(())
    }

    pub async fn notice(&self, trouble: Trouble) -> Result<(), Closed> {
        match self {
            Self::Denials(denials) => denials.inbox.notice(trouble).await,
            Self::Edges(edges) => edges.send(Input::Trouble(trouble.fact.clone(), Some(trouble))).await,
        }
    }
}
