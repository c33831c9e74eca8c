//! The week as Antrea writes it: `antrea-flows.log` of the aggregator (release 2.7, one file for the
//! cluster, records of both ends) and `np.log` (a file for each node, the enforcing side only).
//! Written by hand after the documented form, with the truth of the records beside it.

use std::ops::Range;

use chrono::{DateTime, Datelike, Timelike};

use super::{
    event::{Connection, Event, Expect, Fate, Lookup, Place, What},
    hubble::{address, node_of},
    inventory::{Inventory, SECOND},
    script::Protocol,
    text::{number, padded, put},
    truth::{Note, Ref, Truth, Way},
};

/// A connection that goes on is written again after this.
const AGAIN: i64 = 60 * SECOND;

pub struct Antrea {
    /// The aggregator's lines since they were last taken.
    pub records: Vec<u8>,
    /// `np.log` of each node since they were last taken.
    pub logs: Vec<Vec<u8>>,
    /// Of the records.
    pub truth: Truth,
    /// Of the logs: the peer is an address there, and a pod where another line names the address.
    pub log_truth: Truth,
}

impl Antrea {
    pub fn new(inventory: &Inventory, window: Range<i64>) -> Self {
        Self {
            records: Vec::new(),
            logs: vec![Vec::new(); inventory.nodes.len()],
            truth: Truth::new(window.clone(), false),
            log_truth: Truth::new(window, false),
        }
    }

    pub fn write(&mut self, inventory: &Inventory, event: &Event) {
        match &event.what {
            What::Connection(it) => self.connection(inventory, event.at, it),
            What::Lookup(it) => self.lookup(inventory, event.at, it),
            // It has no words for what it lost.
            What::Lost { .. } => {}
        }
    }

    fn lookup(&mut self, inventory: &Inventory, at: i64, it: &Lookup) {
        let question = Connection {
            from: it.asker,
            to: Place::Pod(it.resolver),
            v6: false,
            source_port: it.source_port,
            port: 53,
            protocol: Protocol::Udp,
            fate: Fate::Passes,
            replies: false,
            expect: Expect::default(),
        };
        self.connection(inventory, at, &question);
    }

    fn connection(&mut self, inventory: &Inventory, at: i64, it: &Connection) {
        if it.fate == Fate::Unclear {
            return;
        }
        self.record(inventory, at, it);
        for way in [Way::Egress, Way::Ingress] {
            self.log(inventory, at, it, way);
        }
    }

    fn record(&mut self, inventory: &Inventory, at: i64, it: &Connection) {
        let pods = matches!(it.from, Place::Pod(_)) || matches!(it.to, Place::Pod(_));
        let (Some(node), true) = (node_of(inventory, it.from).or(node_of(inventory, it.to)), pods) else {
            return;
        };
        // A silent agent exports nothing; the half of the other end waits for it and is dropped.
        let ends = [node_of(inventory, it.from), node_of(inventory, it.to)];
        let silent = |node: &usize| {
            let silent = inventory.nodes[*node].silent.as_ref();
            silent.is_some_and(|silent| silent.contains(&at))
        };
        if it.protocol == Protocol::Icmp || ends.iter().flatten().any(silent) {
            return;
        }
        let from = (at + inventory.nodes[node].skew).div_euclid(SECOND) * SECOND;
        let mut until = from + 2 * SECOND;
        self.columns(inventory, (from, until), it);
        if it.replies {
            until += AGAIN;
            self.columns(inventory, (from, until), it);
        }
        let denied = [(Way::Egress, Fate::DeniedLeaving), (Way::Ingress, Fate::DeniedArriving)];
        for (way, fate) in denied {
            if way == Way::Egress || it.fate != Fate::DeniedLeaving {
                let note = note(inventory, way, it, it.fate == fate, (from, until));
                note.iter().for_each(|note| self.truth.note(note));
            }
        }
    }

    fn columns(&mut self, inventory: &Inventory, (from, until): (i64, i64), it: &Connection) {
        let out = &mut self.records;
        number(out, (from / SECOND) as u64);
        out.push(b',');
        number(out, (until / SECOND) as u64);
        let (source, destination) = (address(inventory, it.from, it.v6), address(inventory, it.to, it.v6));
        put(out, &format!(",{source},{destination},{},{},{}", it.source_port, it.port, it.protocol.as_str()));
        for place in [it.from, it.to] {
            match place {
                Place::Pod(pod) => {
                    let (it, node) = (&inventory.pods[pod], &inventory.nodes[inventory.pods[pod].node]);
                    put(out, &format!(",{},{},{}", it.name, inventory.workload_of(pod).ns, node.name));
                }
                Place::Node(_) | Place::Outside(_) => put(out, ",,,"),
            }
        }
        service(out, inventory, it.to);
        // Name, namespace, rule, action and type of the policy that judged; of both sides.
        put(out, if it.fate == Fate::DeniedArriving { ",,,,Drop,K8sNetworkPolicy" } else { ",,,,," });
        put(out, if it.fate == Fate::DeniedLeaving { ",,,,Drop,K8sNetworkPolicy" } else { ",,,,," });
        put(out, ",,,\n");
    }

    /// The line of the end that enforces.
    fn log(&mut self, inventory: &Inventory, at: i64, it: &Connection, way: Way) {
        let own = if way == Way::Egress { it.from } else { it.to };
        let Place::Pod(pod) = own else { return };
        if way == Way::Ingress && it.fate == Fate::DeniedLeaving {
            return;
        }
        let denied = matches!(
            (it.fate, way),
            (Fate::DeniedLeaving, Way::Egress) | (Fate::DeniedArriving, Way::Ingress)
        );
        let node = &inventory.nodes[inventory.pods[pod].node];
        if node.silent.as_ref().is_some_and(|silent| silent.contains(&at)) {
            return;
        }
        let at = (at + node.skew).div_euclid(1000) * 1000;
        let out = &mut self.logs[inventory.pods[pod].node];
        date(out, at);
        let ns = &inventory.workload_of(pod).ns;
        put(
            out,
            &match (way, denied) {
                (Way::Egress, true) => {
                    " EgressDefaultRule K8sNetworkPolicy <nil> Egress Drop <nil> ".to_owned()
                }
                (Way::Ingress, true) => {
                    " IngressDefaultRule K8sNetworkPolicy <nil> Ingress Drop <nil> ".to_owned()
                }
                (Way::Egress, false) => {
                    format!(" EgressRule K8sNetworkPolicy:{ns}/allow-known <nil> Egress Allow 190 ")
                }
                (Way::Ingress, false) => {
                    format!(" IngressRule K8sNetworkPolicy:{ns}/allow-known <nil> Ingress Allow 190 ")
                }
            },
        );
        let ported = matches!(it.protocol, Protocol::Tcp | Protocol::Udp);
        let port = |port: u16| if ported { port.to_string() } else { "<nil>".to_owned() };
        let (source, destination) = (address(inventory, it.from, it.v6), address(inventory, it.to, it.v6));
        let name = &inventory.pods[pod].name;
        put(
            out,
            &format!(
                "{ns}/{name} {source} {} {destination} {} {} 60 <nil>",
                port(it.source_port),
                port(it.port),
                it.protocol.as_str(),
            ),
        );
        put(out, if denied { " [3 packets in 1.5s]\n" } else { "\n" });
        let (from, flows) = if denied { (at - 3 * SECOND / 2, 3) } else { (at, 1) };
        let found = note(inventory, way, it, denied, (from, at));
        found.iter().for_each(|note| {
            self.log_truth.note(&Note { port: if ported { note.port } else { 0 }, flows, ..*note });
        });
    }
}

fn note(
    inventory: &Inventory,
    way: Way,
    it: &Connection,
    denied: bool,
    (from, until): (i64, i64),
) -> Option<Note> {
    let (own, peer) = match way {
        Way::Egress => (it.from, it.to),
        Way::Ingress => (it.to, it.from),
    };
    let Place::Pod(pod) = own else { return None };
    let named = way == Way::Egress && matches!(peer, Place::Outside(_));
    Some(Note {
        workload: inventory.pods[pod].workload,
        direction: way,
        peer: match peer {
            Place::Pod(pod) => Ref::Workload(inventory.pods[pod].workload),
            Place::Node(_) | Place::Outside(_) => Ref::Address(address(inventory, peer, it.v6)),
        },
        protocol: it.protocol,
        port: it.port,
        denied,
        flows: 1,
        from,
        until,
        expect: if named { it.expect } else { Expect::default() },
    })
}

/// Columns 14 to 17: cluster address, Service address (since 2.7), port, name.
fn service(out: &mut Vec<u8>, inventory: &Inventory, place: Place) {
    let found = match place {
        Place::Pod(pod) => Some(inventory.workload_of(pod)),
        Place::Node(_) | Place::Outside(_) => None,
    };
    match found.and_then(|it| Some((it, it.service?))) {
        Some((it, address)) => put(out, &format!(",{address},{address},80,{}/{}:http", it.ns, it.name)),
        None => put(out, ",,,0,"),
    }
}

/// `2026/03/02 09:15:05.120394`
fn date(out: &mut Vec<u8>, at: i64) {
    let it = DateTime::from_timestamp(at.div_euclid(SECOND), 0).unwrap_or_default();
    put(
        out,
        &format!(
            "{:04}/{:02}/{:02} {:02}:{:02}:{:02}.",
            it.year(),
            it.month(),
            it.day(),
            it.hour(),
            it.minute(),
            it.second()
        ),
    );
    padded(out, (at.rem_euclid(SECOND) / 1000) as u64, 6);
}
