//! From what a record tells of a connection to a judged flow as the cockpit takes it. Pure; what the
//! record does not say stays unknown.

use crate::domain::{
    addresses::{AddressBook, Owner},
    flow::{Direction, End, Flow, FlowId, PolicyRef, Verdict},
    names::{NodeName, NsName, PodName, Text},
    sighting::{Outcome, Side, Sighting},
};

/// What the data plane itself said of a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Its own word, such as `Drop`.
    pub said: Text,
    pub by: Option<PolicyRef>,
}

/// Why a record is no judged flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjudged {
    /// It does not say which end judged.
    Direction,
    /// The namespace it was judged in is no valid name.
    Name,
}

/// A flow of what a record tells.
pub fn flow(sighting: &Sighting<'_>, id: FlowId, word: Word) -> Result<Flow, Unjudged> {
    let direction = sighting.direction.ok_or(Unjudged::Direction)?;
    let judged = match direction {
        Direction::Egress => &sighting.source,
        Direction::Ingress => &sighting.destination,
    };
    if judged.ns.is_some_and(|ns| NsName::parse(ns).is_err()) {
        return Err(Unjudged::Name);
    }
    let by = word.by.into_iter().collect();
    let names = sighting.names.iter().flatten().map(|name| Text::new(name)).collect();
    Ok(Flow {
        id,
        // Of packets that a record puts together: the newest.
        at: sighting.until,
        node: sighting.node.and_then(|node| NodeName::parse(node).ok()),
        direction,
        verdict: match sighting.outcome {
            Outcome::Allowed => Verdict::Allowed { by },
            Outcome::Denied => Verdict::Denied { said: word.said, by },
            Outcome::Audit => Verdict::Audit { said: word.said, by },
        },
        source: end(&sighting.source),
        destination: End { names, ..end(&sighting.destination) },
        protocol: sighting.protocol,
        source_port: sighting.source_port,
        port: sighting.port,
        reply: sighting.reply,
        closing: false,
    })
}

fn end(side: &Side<'_>) -> End {
    let ns = side.ns.and_then(|ns| NsName::parse(ns).ok());
    // A pod without its namespace is nobody's.
    let pod = side.pod.filter(|_| ns.is_some()).and_then(|pod| PodName::parse(pod).ok());
    End { address: side.address, ns, pod, entity: side.entity, ..End::default() }
}

/// Ends that a record gives by address alone, as whose the API says it was then.
pub fn attributed<'a>(sighting: &Sighting<'a>, book: &'a AddressBook) -> Sighting<'a> {
    let side = |side: Side<'a>| {
        let Some(address) = side.address.filter(|_| side.ns.is_none() && side.pod.is_none()) else {
            return side;
        };
        match book.owner(address, sighting.at) {
            Owner::Pod { ns, pod } => Side { ns: Some(ns), pod: Some(pod), ..side },
            Owner::Node | Owner::Nobody => side,
        }
    };
    Sighting { source: side(sighting.source), destination: side(sighting.destination), ..*sighting }
}
