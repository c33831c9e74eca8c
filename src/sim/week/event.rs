//! What happens in a generated week: connections, questions to the resolver, losses. Indices into
//! the inventory, no text. Each carries what must be made of it.

use std::net::IpAddr;

use super::script::Protocol;

#[derive(Clone, Debug)]
pub struct Event {
    /// True time, nanoseconds since 1970.
    pub at: i64,
    pub what: What,
}

impl Event {
    /// A lookup that got an address.
    pub fn is_answered(&self) -> bool {
        match &self.what {
            What::Lookup(it) => matches!(it.question, Question::Site { .. } | Question::Service { .. }),
            What::Connection(_) | What::Lost { .. } => false,
        }
    }
}

#[derive(Clone, Debug)]
pub enum What {
    Connection(Connection),
    Lookup(Lookup),
    /// A node's agent lost events.
    Lost {
        node: usize,
        count: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Pod(usize),
    Node(usize),
    Outside(IpAddr),
}

/// One connection, or a later packet of a long one.
#[derive(Clone, Debug)]
pub struct Connection {
    pub from: Place,
    pub to: Place,
    pub v6: bool,
    pub source_port: u16,
    pub port: u16,
    pub protocol: Protocol,
    pub fate: Fate,
    /// The answering packets are reported too.
    pub replies: bool,
    pub expect: Expect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Passes,
    /// Dropped where it leaves.
    DeniedLeaving,
    /// It leaves, and is dropped where it arrives.
    DeniedArriving,
    /// It passes, and the report does not say whether it is a reply.
    Unclear,
}

/// What a reader of the records must find out about the caller's name for the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Expect {
    pub grade: Grade,
    /// The site whose host is the name.
    pub site: Option<usize>,
    /// The other site that the caller asked for.
    pub also: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Grade {
    Fresh,
    Stale,
    Ambiguous,
    #[default]
    None,
}

#[derive(Clone, Debug)]
pub struct Lookup {
    /// A pod or a node.
    pub asker: Place,
    pub question: Question,
    /// The pod that answers.
    pub resolver: usize,
    pub source_port: u16,
    /// So much later than it should the answer is reported.
    pub late: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    Site {
        site: usize,
        v6: bool,
    },
    /// The name of a workload's Service, as the asker's search list makes it.
    Service {
        workload: usize,
    },
    /// A site's host with a suffix of the search list: there is no such name.
    Miss {
        site: usize,
        suffix: u8,
    },
    /// There is such a name, but it has no address of this family.
    Empty {
        site: usize,
    },
}
