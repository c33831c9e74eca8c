//! Hears what DNS servers send, over any byte stream: handshake with a deadline, then frames as fast as
//! they come into a queue that is bounded in number and bytes. What does not fit is dropped and told as
//! a gap, for a slow reader slows DNS itself (CoreDNS in listen mode writes while its client waits).
//! Reads no clock: times are those of the frames. The sockets are in `sockets`.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
};

use crate::{
    cockpit::ports::{Gap, Trouble},
    domain::{
        names::Text,
        sighting::Told,
        time::{Timestamp, age},
    },
    pb::dnstap::Dnstap,
};

use super::{
    conversation::Conversation,
    decode::{self, Malformed},
    senders::Senders,
};

pub use super::sockets::{Door, call};

/// What is told, in order for each connection.
#[derive(Debug)]
pub enum Heard {
    /// A DNS server speaks over a connection that is new. `again`: it had one before, and a gap follows.
    Connected {
        identity: Text,
        again: bool,
    },
    Answer(Frame),
    /// Answers are lost for good.
    Gap(Gap),
    /// A connection of this server is over. Comes it back, the gap is told then; a server that was
    /// replaced never does.
    Left {
        identity: Text,
        last: Option<Timestamp>,
        orderly: bool,
    },
}

/// The answer to a client, as it was sent. Holds its room in the queue until it is dropped.
#[derive(Debug)]
pub struct Frame {
    pub(super) event: Dnstap,
    pub(super) _room: OwnedSemaphorePermit,
}

impl Frame {
    pub fn tell(&self, tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
        decode::told(&self.event, tell)
    }
}

/// Bounds of all connections together, but for the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub handshake: Duration,
    /// A connection that says nothing for this long is taken for dead.
    pub idle: Duration,
    pub connections: usize,
    /// Answers that wait to be taken.
    pub answers: usize,
    pub bytes: u32,
}

impl Limits {
    /// For a few DNS servers of one cluster: 10 s of a thousand answers a second.
    pub const USUAL: Self = Self {
        handshake: Duration::from_secs(5),
        idle: Duration::from_secs(3_600),
        connections: 64,
        answers: 16_384,
        bytes: 16 * 1024 * 1024,
    };
}

/// How hearing goes, since start where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Now, with a finished handshake.
    pub connections: u32,
    /// Connections that were refused: too many, no handshake in time, something else than dnstap.
    pub turned_away: u64,
    /// Events of all kinds.
    pub frames: u64,
    /// Answers that the queue had no room for.
    pub dropped: u64,
    /// Frames that are no dnstap events, and streams that broke.
    pub malformed: u64,
    /// Time of the event that came last.
    pub latest: Option<Timestamp>,
    /// What went wrong last.
    pub trouble: Option<Trouble>,
}

impl Figures {
    pub fn lag(&self, now: Timestamp) -> Option<TimeDelta> {
        self.latest.map(|latest| age(latest, now))
    }
}

/// Who connected: it makes a difference where frames may be torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The DNS server came to us: a frame that is no dnstap is counted, and the next one read.
    Accepted,
    /// We went to the DNS server (`dnstap listen`): its writers share one buffer without a lock, so
    /// a frame that is no dnstap means that the stream is torn, and the connection is made anew.
    Called,
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its handshake was finished.
    pub opened: bool,
    pub trouble: Option<Trouble>,
}

/// Hears any number of connections, and hands on what it hears to one place.
#[derive(Clone, Debug)]
pub struct Ear {
    pub(super) limits: Limits,
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) room: Arc<Semaphore>,
    pub(super) slots: Arc<Semaphore>,
    figures: Arc<watch::Sender<Figures>>,
    senders: Arc<Mutex<Senders>>,
}

impl Ear {
    pub fn new(limits: Limits) -> (Self, mpsc::Receiver<Heard>) {
        let (heard, taken) = mpsc::channel(limits.answers);
        let ear = Self {
            limits,
            heard,
            room: Arc::new(Semaphore::new(limits.bytes as usize)),
            slots: Arc::new(Semaphore::new(limits.connections)),
            figures: Arc::new(watch::Sender::new(Figures::default())),
            senders: Arc::default(),
        };
        (ear, taken)
    }

    pub fn figures(&self) -> watch::Receiver<Figures> {
        self.figures.subscribe()
    }

    /// Hears one connection until it ends. `peer` names it in troubles.
    pub async fn hear(&self, io: impl AsyncRead + AsyncWrite + Send, peer: &str, manner: Manner) -> Ended {
        Conversation::new(self, Box::pin(io), manner).run(peer).await
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Figures)) {
        self.figures.send_modify(change);
    }

    pub(super) fn turn_away(&self, trouble: Trouble) {
        self.note(|figures| {
            figures.turned_away += 1;
            figures.trouble = Some(trouble);
        });
    }

    pub(super) fn senders(&self) -> MutexGuard<'_, Senders> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
