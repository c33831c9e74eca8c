//! The week as Calico Enterprise's `flows.log` and `dns.log`: for each node two files of JSON lines,
//! records of five minutes each, not of single packets. Half of the nodes merge source ports. Written
//! by hand after the documented form, with the truth of these very lines beside it.

use std::{collections::BTreeMap, ops::Range};

use super::{
    event::{Connection, Event, Expect, Fate, Grade, Lookup, Place, Question, What},
    hubble::{address, answered, node_of},
    inventory::{Inventory, SECOND},
    script::Protocol,
    text::{self, Stamp, number, put},
    truth::{Note, Ref, Truth, Way},
};

/// `flowLogsFlushInterval`.
const INTERVAL: i64 = 300 * SECOND;

pub struct Calico {
    /// `flows.log` and `dns.log` of each node since they were last taken.
    pub flows: Vec<Vec<u8>>,
    pub dns: Vec<Vec<u8>>,
    pub truth: Truth,
    open: BTreeMap<Key, Counted>,
    asked: BTreeMap<Asked, u64>,
    stamp: Stamp,
}

/// What is merged into one record. The interval is first: records are written in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    interval: i64,
    node: usize,
    leaves: bool,
    source: Place,
    destination: Place,
    v6: bool,
    source_port: Option<u16>,
    port: u16,
    protocol: Protocol,
    denied: bool,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    flows: u64,
    started: u64,
    expect: Expect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    interval: i64,
    node: usize,
    asker: Place,
    question: Question,
    resolver: usize,
    /// When it was asked, where the answer changes with time.
    at: i64,
}

impl Calico {
    pub fn new(inventory: &Inventory, window: Range<i64>) -> Self {
        Self {
            flows: vec![Vec::new(); inventory.nodes.len()],
            dns: vec![Vec::new(); inventory.nodes.len()],
            truth: Truth::new(window, false),
            open: BTreeMap::new(),
            asked: BTreeMap::new(),
            stamp: Stamp::default(),
        }
    }

    pub fn write(&mut self, inventory: &Inventory, event: &Event) {
        match &event.what {
            What::Connection(it) => self.connection(inventory, event.at, it),
            What::Lookup(it) => self.lookup(inventory, event.at, it),
            // It has no words for what it lost.
            What::Lost { .. } => {}
        }
        // Clocks are off by seconds, so an interval that ended a minute ago is complete.
        self.flush(inventory, event.at - INTERVAL - 60 * SECOND);
    }

    /// What is still open.
    pub fn finish(&mut self, inventory: &Inventory) {
        self.flush(inventory, i64::MAX);
    }

    fn connection(&mut self, inventory: &Inventory, at: i64, it: &Connection) {
        if it.fate == Fate::Unclear {
            return;
        }
        if let Place::Pod(_) = it.from {
            self.count(inventory, at, it, true, it.fate == Fate::DeniedLeaving);
        }
        if let (Place::Pod(_), true) = (it.to, it.fate != Fate::DeniedLeaving) {
            self.count(inventory, at + SECOND / 1000, it, false, it.fate == Fate::DeniedArriving);
        }
    }

    fn count(&mut self, inventory: &Inventory, at: i64, it: &Connection, leaves: bool, denied: bool) {
        let Some(node) = node_of(inventory, if leaves { it.from } else { it.to }) else { return };
        let at_node = &inventory.nodes[node];
        if at_node.silent.as_ref().is_some_and(|silent| silent.contains(&at)) {
            return;
        }
        let merges = denied || node % 2 == 1;
        let named = leaves && matches!(it.to, Place::Outside(_));
        let key = Key {
            interval: (at + at_node.skew).div_euclid(INTERVAL) * INTERVAL,
            node,
            leaves,
            source: it.from,
            destination: it.to,
            v6: it.v6,
            source_port: (!merges).then_some(it.source_port),
            port: it.port,
            protocol: it.protocol,
            denied,
        };
        let expect = if named { it.expect } else { Expect::default() };
        let counted = self.open.entry(key).or_insert(Counted { flows: 0, started: 0, expect });
        counted.flows += 1;
        // Long connections were started in another interval.
        counted.started += u64::from(it.expect.grade != Grade::Stale);
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
        let Some(node) = node_of(inventory, it.asker) else { return };
        let at_node = &inventory.nodes[node];
        if at_node.silent.as_ref().is_some_and(|silent| silent.contains(&at)) {
            return;
        }
        let turn = match it.question {
            Question::Site { site, .. } => inventory.sites[site].turn.map_or(0, |turn| at / turn * turn),
            Question::Service { .. } | Question::Miss { .. } | Question::Empty { .. } => 0,
        };
        let interval = (at + at_node.skew).div_euclid(INTERVAL) * INTERVAL;
        let key =
            Asked { interval, node, asker: it.asker, question: it.question, resolver: it.resolver, at: turn };
        *self.asked.entry(key).or_default() += 1;
    }

    fn flush(&mut self, inventory: &Inventory, before: i64) {
        while let Some(entry) = self.open.first_entry().filter(|entry| entry.key().interval < before) {
            let (key, counted) = entry.remove_entry();
            self.flow(inventory, &key, counted);
        }
        while let Some(entry) = self.asked.first_entry().filter(|entry| entry.key().interval < before) {
            let (key, count) = entry.remove_entry();
            self.answer(inventory, &key, count);
        }
    }

    fn flow(&mut self, inventory: &Inventory, key: &Key, counted: Counted) {
        let (own, peer) =
            if key.leaves { (key.source, key.destination) } else { (key.destination, key.source) };
        let Place::Pod(pod) = own else { return };
        // A record of connections that all began before counts as one.
        let flows = counted.started.max(1);
        self.truth.sign(key.node, key.interval);
        self.truth.note(&Note {
            workload: inventory.pods[pod].workload,
            direction: if key.leaves { Way::Egress } else { Way::Ingress },
            peer: match peer {
                Place::Pod(pod) => Ref::Workload(inventory.pods[pod].workload),
                Place::Node(_) | Place::Outside(_) => Ref::Address(address(inventory, peer, key.v6)),
            },
            protocol: key.protocol,
            port: key.port,
            denied: key.denied,
            flows,
            from: key.interval,
            until: key.interval + INTERVAL,
            expect: counted.expect,
        });
        let out = &mut self.flows[key.node];
        put(out, "{\"start_time\":");
        number(out, (key.interval / SECOND) as u64);
        put(out, ",\"end_time\":");
        number(out, ((key.interval + INTERVAL) / SECOND) as u64);
        end(out, inventory, "source", key.source, key.v6);
        put(out, ",\"source_port\":");
        port(out, key.source_port.filter(|_| key.protocol != Protocol::Icmp));
        end(out, inventory, "dest", key.destination, key.v6);
        put(out, ",\"dest_port\":");
        port(out, Some(key.port).filter(|_| key.protocol != Protocol::Icmp));
        service(out, inventory, key.destination);
        put(out, ",\"dest_domains\":null,\"proto\":\"");
        put(out, &key.protocol.as_str().to_ascii_lowercase());
        put(out, if key.denied { "\",\"action\":\"deny\"" } else { "\",\"action\":\"allow\"" });
        put(out, if key.leaves { ",\"reporter\":\"src\"" } else { ",\"reporter\":\"dst\"" });
        put(out, ",\"policies\":null,\"bytes_in\":840,\"bytes_out\":610,\"num_flows\":");
        number(out, counted.flows);
        put(out, ",\"num_flows_started\":");
        number(out, counted.started);
        put(out, ",\"num_flows_completed\":");
        number(out, counted.flows);
        put(out, ",\"packets_in\":4,\"packets_out\":5}\n");
    }

    fn answer(&mut self, inventory: &Inventory, key: &Asked, count: u64) {
        let (addresses, _, chain) = answered(inventory, key.question, key.at);
        let ns = match key.asker {
            Place::Pod(pod) => inventory.workload_of(pod).ns.as_str(),
            Place::Node(_) | Place::Outside(_) => "-",
        };
        let name = text::question(inventory, ns, key.question);
        let out = &mut self.dns[key.node];
        put(out, "{\"start_time\":\"");
        self.stamp.rfc3339(out, key.interval);
        put(out, "\",\"end_time\":\"");
        self.stamp.rfc3339(out, key.interval + INTERVAL);
        put(out, "\",\"type\":\"LOG\",\"count\":");
        number(out, count);
        let (pod, aggr) = match key.asker {
            Place::Pod(pod) => (inventory.pods[pod].name.as_str(), aggregated(inventory, pod)),
            Place::Node(_) | Place::Outside(_) => ("-", "pvt".to_owned()),
        };
        let client = address(inventory, key.asker, false);
        let v6 = matches!(key.question, Question::Site { v6: true, .. } | Question::Empty { .. });
        let rcode = if matches!(key.question, Question::Miss { .. }) { "NXDomain" } else { "NoError" };
        let kind = if v6 { "AAAA" } else { "A" };
        put(
            out,
            &format!(
                ",\"client_name\":\"{pod}\",\"client_name_aggr\":\"{aggr}\",\"client_namespace\":\"{ns}\",\
                 \"client_ip\":\"{client}\",\"client_labels\":{{}},\"servers\":[{{\"name\":\"{}\",\"name_aggr\":\"{}\",\
                 \"namespace\":\"kube-system\",\"ip\":\"{}\"}}],\"qname\":\"{name}\",\"qclass\":\"IN\",\"qtype\":\"{kind}\",\
                 \"rcode\":\"{rcode}\",\"rrsets\":[",
                inventory.pods[key.resolver].name,
                aggregated(inventory, key.resolver),
                address(inventory, Place::Pod(key.resolver), false),
            ),
        );
        let mut owner = name.as_str();
        if !addresses.is_empty() {
            for target in chain {
                let set = format!(
                    "{{\"name\":\"{owner}\",\"class\":\"IN\",\"type\":\"CNAME\",\"rdata\":[\"{target}\"]}},"
                );
                put(out, &set);
                owner = target;
            }
            let data: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
            let data = data.join(",");
            put(
                out,
                &format!("{{\"name\":\"{owner}\",\"class\":\"IN\",\"type\":\"{kind}\",\"rdata\":[{data}]}}"),
            );
        }
        put(out, "]}\n");
    }
}

fn end(out: &mut Vec<u8>, inventory: &Inventory, side: &str, place: Place, v6: bool) {
    let ip = address(inventory, place, v6);
    let (name, aggr, ns, kind) = match place {
        Place::Pod(pod) => (
            inventory.pods[pod].name.as_str(),
            aggregated(inventory, pod),
            inventory.workload_of(pod).ns.as_str(),
            "wep",
        ),
        Place::Node(_) => ("-", "pvt".to_owned(), "-", "net"),
        Place::Outside(_) => ("-", "pub".to_owned(), "-", "net"),
    };
    put(
        out,
        &format!(
            ",\"{side}_ip\":\"{ip}\",\"{side}_name\":\"{name}\",\"{side}_name_aggr\":\"{aggr}\",\
             \"{side}_namespace\":\"{ns}\",\"{side}_type\":\"{kind}\",\"{side}_labels\":null"
        ),
    );
}

/// The name that stands for all pods of a template: what the controller added last is a star.
fn aggregated(inventory: &Inventory, pod: usize) -> String {
    let name = &inventory.pods[pod].name;
    name.rsplit_once('-').map_or_else(|| name.clone(), |(head, _)| format!("{head}-*"))
}

fn service(out: &mut Vec<u8>, inventory: &Inventory, place: Place) {
    let found = match place {
        Place::Pod(pod) => Some(inventory.workload_of(pod)).filter(|it| it.service.is_some()),
        Place::Node(_) | Place::Outside(_) => None,
    };
    let (ns, name) = found.map_or(("-", "-"), |it| (it.ns.as_str(), it.name.as_str()));
    put(out, ",\"dest_service_namespace\":\"");
    put(out, ns);
    put(out, "\",\"dest_service_name\":\"");
    put(out, name);
    put(out, "\",\"dest_service_port\":\"-\",\"dest_service_port_num\":null");
}

fn port(out: &mut Vec<u8>, port: Option<u16>) {
    match port {
        Some(port) => number(out, port.into()),
        None => put(out, "null"),
    }
}
