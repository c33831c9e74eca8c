//! Lines of Calico Enterprise's `flows.log` and `dns.log`, told apart by their members. A record is
//! one end's report of many connections; addresses, pods and ports that were merged away stay
//! unknown, and `pub`, `pvt` and network sets are told as what they are: a class.
//!
//! A record of `dns.log` gives an interval and no lifetime: its answers are told for the interval's
//! beginning, with the interval as their lifetime.

use std::net::IpAddr;

use compact_str::CompactString;

use crate::domain::{
    flow::Direction,
    names,
    sighting::{Answer, Client, Lost, Outcome, Side, Sighting, Told},
    time::Timestamp,
};

use super::{
    Malformed,
    json::{self, Code, Few, Many, Num, Str, object},
    words,
};

object! {
    /// A line of either file.
    Line {
        "start_time" => start: Code<'a>,
        "end_time" => end: Code<'a>,
        "host" => host: Str<'a>,
        "reporter" => reporter: Str<'a>,
        "action" => action: Str<'a>,
        "qname" => qname: Str<'a>,
        "type" => kind: Str<'a>,
        "count" => count: Num,
    }
}

object! {
    Flow {
        "source_ip" => source_ip: Str<'a>,
        "source_name" => source_name: Str<'a>,
        "source_name_aggr" => source_aggr: Str<'a>,
        "source_namespace" => source_ns: Str<'a>,
        "source_type" => source_type: Str<'a>,
        "source_port" => source_port: Num,
        "dest_ip" => dest_ip: Str<'a>,
        "dest_name" => dest_name: Str<'a>,
        "dest_name_aggr" => dest_aggr: Str<'a>,
        "dest_namespace" => dest_ns: Str<'a>,
        "dest_type" => dest_type: Str<'a>,
        "dest_port" => dest_port: Num,
        "dest_service_namespace" => service_ns: Str<'a>,
        "dest_service_name" => service_name: Str<'a>,
        "dest_domains" => domains: Few<Str<'a>, { Sighting::NAMES }>,
        "proto" => protocol: Code<'a>,
        "num_flows" => flows: Num,
        "num_flows_started" => started: Num,
    }
}

object! {
    Dns {
        "client_name" => client: Str<'a>,
        "client_name_aggr" => client_aggr: Str<'a>,
        "client_namespace" => client_ns: Str<'a>,
        "client_ip" => client_ip: Str<'a>,
        "rrsets" => sets: Many<RecordSet<'a>, 32>,
    }
}

object! {
    RecordSet { "name" => name: Str<'a>, "type" => kind: Str<'a>, "rdata" => data: Many<Str<'a>, 32>, }
}

#[derive(Debug)]
pub struct Decoder {
    node: Option<CompactString>,
}

/// What lines of both files have.
struct Frame<'a> {
    node: Option<&'a str>,
    at: Timestamp,
    until: Timestamp,
}

impl Decoder {
    pub fn new(node: Option<CompactString>) -> Self {
        Self { node }
    }

    pub fn decode(&mut self, line: &[u8], tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
        let head: Line<'_> = json::line(line)?;
        let is_dns = head.qname.said().is_some() || head.kind.as_str() == "UNLOGGED";
        if !is_dns && head.reporter.said().is_none() {
            return Err(Malformed::Content);
        }
        let at = time(&head.start).or_else(|| time(&head.end)).ok_or(Malformed::Time)?;
        let until = time(&head.end).unwrap_or(at).max(at);
        let frame = Frame { node: word(&head.host).or(self.node.as_deref()), at, until };
        if !is_dns {
            return flow(&json::line(line)?, &head, &frame, tell);
        }
        if head.kind.as_str() == "UNLOGGED" {
            let why = "more DNS answers than the node's limit for its log";
            tell(Told::Lost(Lost { node: frame.node, from: at, until, count: head.count.0, why }));
            return Ok(());
        }
        answer(&json::line(line)?, &head, &frame, tell)
    }
}

/// Unix seconds, as a number or a text, or RFC 3339.
fn time(code: &Code<'_>) -> Option<Timestamp> {
    match code {
        Code::Number(seconds) => words::moment(i64::try_from(*seconds).ok()?, 0),
        Code::Name(text) => {
            let seconds = text.as_str().parse().ok().and_then(|seconds| words::moment(seconds, 0));
            seconds.or_else(|| words::rfc3339(text.as_str()))
        }
        Code::Absent => None,
    }
}

/// `None` for `-`, which stands for nothing.
fn word<'a>(text: &'a Str<'_>) -> Option<&'a str> {
    text.said().filter(|text| *text != "-")
}

fn flow(
    flow: &Flow<'_>,
    head: &Line<'_>,
    frame: &Frame<'_>,
    tell: &mut impl FnMut(Told<'_>),
) -> Result<(), Malformed> {
    let direction = match head.reporter.as_str() {
        "src" => Direction::Egress,
        "dst" => Direction::Ingress,
        _ => return Err(Malformed::Direction),
    };
    let outcome = match head.action.as_str() {
        "allow" => Outcome::Allowed,
        "deny" => Outcome::Denied,
        _ => return Err(Malformed::Verdict),
    };
    let port = |number: Num| u16::try_from(number.0.unwrap_or(0)).map_err(|_| Malformed::Port);
    let protocol = match &flow.protocol {
        Code::Number(number) => words::protocol_number(*number),
        Code::Name(name) => words::protocol(name.as_str()),
        Code::Absent => words::protocol(""),
    };
    let mut names = [None; Sighting::NAMES];
    for (place, name) in names.iter_mut().zip(flow.domains.as_slice()) {
        *place = word(name).map(|name| name.trim_end_matches('.')).filter(|name| !name.is_empty());
    }
    let source = End {
        address: &flow.source_ip,
        name: &flow.source_name,
        aggr: &flow.source_aggr,
        ns: &flow.source_ns,
        kind: &flow.source_type,
    };
    let destination = End {
        address: &flow.dest_ip,
        name: &flow.dest_name,
        aggr: &flow.dest_aggr,
        ns: &flow.dest_ns,
        kind: &flow.dest_type,
    };
    let service = word(&flow.service_name).map(|name| (word(&flow.service_ns).unwrap_or(""), name));
    tell(Told::Flow(Sighting {
        at: frame.at,
        until: frame.until,
        node: frame.node,
        direction: Some(direction),
        outcome,
        protocol,
        source: source.side()?,
        destination: Side { service, ..destination.side()? },
        source_port: port(flow.source_port)?,
        port: port(flow.dest_port)?,
        // The source of a record is the end that opened the connection.
        reply: Some(false),
        flows: flow.started.0.or(flow.flows.0).unwrap_or(1).max(1),
        names,
    }));
    Ok(())
}

/// One end, as the record spreads it over its members.
struct End<'a, 'l> {
    address: &'a Str<'l>,
    name: &'a Str<'l>,
    aggr: &'a Str<'l>,
    ns: &'a Str<'l>,
    kind: &'a Str<'l>,
}

impl<'a> End<'a, '_> {
    fn side(&self) -> Result<Side<'a>, Malformed> {
        let address = words::address(word(self.address).unwrap_or(""))?;
        let (name, aggr) = (word(self.name), word(self.aggr));
        if self.kind.as_str() != "wep" {
            let class = aggr.or(name).filter(|_| address.is_none());
            return Ok(Side { address, class, ..Side::default() });
        }
        let (pod, workload) = match aggr.and_then(|aggr| aggr.strip_suffix("-*")) {
            Some(prefix) => (name, Some(("", names::workload_of_pods(prefix)))),
            // Nothing made this pod from a template: it was never merged with others.
            None => (name.or(aggr), None),
        };
        Ok(Side { address, ns: word(self.ns), pod, workload, ..Side::default() })
    }
}

fn answer(
    dns: &Dns<'_>,
    head: &Line<'_>,
    frame: &Frame<'_>,
    tell: &mut impl FnMut(Told<'_>),
) -> Result<(), Malformed> {
    let query = words::lower(head.qname.as_str().trim_end_matches('.'));
    let chain = Chain::follow(&query, dns.sets.as_slice());
    let (client, addresses) = (client(dns)?, chain.addresses(dns.sets.as_slice())?);
    let (Some(client), false) = (client, addresses.is_empty()) else {
        tell(Told::Other { node: frame.node, at: Some(frame.at) });
        return Ok(());
    };
    let seconds = (frame.until - frame.at).num_seconds();
    tell(Told::Answer(Answer {
        at: frame.at,
        client,
        query: &query,
        cnames: chain.names(),
        addresses: &addresses,
        ttl_secs: u32::try_from(seconds).unwrap_or(u32::MAX),
    }));
    Ok(())
}

fn client<'a>(dns: &'a Dns<'_>) -> Result<Option<Client<'a>>, Malformed> {
    let (ns, aggr) = (word(&dns.client_ns), word(&dns.client_aggr));
    let prefix = aggr.and_then(|aggr| aggr.strip_suffix("-*"));
    let pod = word(&dns.client).or(aggr.filter(|_| prefix.is_none()));
    if let (Some(ns), Some(pod)) = (ns, pod) {
        return Ok(Some(Client::Pod { ns, pod }));
    }
    if let Some(address) = words::address(word(&dns.client_ip).unwrap_or(""))? {
        return Ok(Some(Client::Address(address)));
    }
    Ok(ns.zip(prefix).map(|(ns, prefix)| Client::Workload { ns, name: names::workload_of_pods(prefix) }))
}

/// The question's name and the names that it stands for.
struct Chain<'a> {
    query: &'a str,
    names: [&'a str; 16],
    len: usize,
}

impl<'a> Chain<'a> {
    fn follow(query: &'a str, sets: &'a [RecordSet<'_>]) -> Self {
        let mut chain = Self { query, names: [""; 16], len: 0 };
        while chain.len < chain.names.len() {
            let Some(set) = sets.iter().find(|set| set.kind.as_str() == "CNAME" && chain.ends_at(set)) else {
                break;
            };
            let Some(next) = set.data.as_slice().first().map(|name| name.as_str().trim_end_matches('.'))
            else {
                break;
            };
            chain.names[chain.len] = next;
            chain.len += 1;
        }
        chain
    }

    fn names(&self) -> &[&'a str] {
        &self.names[..self.len]
    }

    fn ends_at(&self, set: &RecordSet<'_>) -> bool {
        let last = self.names().last().copied().unwrap_or(self.query);
        set.name.as_str().trim_end_matches('.').eq_ignore_ascii_case(last)
    }

    fn addresses(&self, sets: &[RecordSet<'_>]) -> Result<Vec<IpAddr>, Malformed> {
        let mut out = Vec::new();
        for set in sets.iter().filter(|set| matches!(set.kind.as_str(), "A" | "AAAA") && self.ends_at(set)) {
            for data in set.data.as_slice() {
                out.extend(words::address(data.as_str())?);
            }
        }
        Ok(out)
    }
}
