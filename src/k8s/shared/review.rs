//! Reviews: what is asked for in `spec`, which nobody changes, and the decisions in `status`, which
//! only grow. Who asked and who decided is checked by admission; when, is what the API server
//! stamped on the write. Pure and total.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::{
    edge::DnsName,
    grant::{Decision, DecisionVerdict, Grant, Opening, PortSpan, Review},
    names::Text,
    rollout::{Kept, Stamp},
};

use super::{
    kind::REVIEW,
    object::{Seen, bounded, need_ns, need_time, stamp, strings, texts},
    parts::{RequirementWire, direction, protocol, read_selector, selector_wire},
};

/// Longest lists that are read. The definition has the same numbers.
const CLUSTERS: usize = 200;
const NETWORKS: usize = 500;
const PORTS: usize = 100;
const FINDINGS: usize = 50;
const ALIASES: usize = 20;
const DECISIONS: usize = 50;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpecWire {
    requested_by: String,
    #[serde(default)]
    aliases: Vec<String>,
    grant: GrantWire,
    #[serde(default)]
    findings: Vec<String>,
    purpose: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct GrantWire {
    clusters: Vec<String>,
    namespace: String,
    #[serde(default)]
    selector: Vec<RequirementWire>,
    direction: String,
    destination: DestinationWire,
    ports: Vec<PortWire>,
    expires: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct DestinationWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct PortWire {
    protocol: String,
    from: u16,
    to: u16,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct StatusWire {
    decisions: Vec<DecisionWire>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionWire {
    /// Counted from 1.
    number: u64,
    verdict: String,
    decided_by: String,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    clusters: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// Whoever asks.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub by: &'a str,
    pub aliases: &'a [Text],
    pub findings: &'a [Text],
    pub purpose: &'a Text,
}

pub fn spec(grant: &Grant, asked: &Asked<'_>) -> SpecWire {
    let (name, networks) = match &grant.destination {
        Opening::Name(name) => (Some(name.to_string()), Vec::new()),
        Opening::Networks(networks) => (None, networks.iter().map(ToString::to_string).collect()),
    };
    let port =
        |port: &PortSpan| PortWire { protocol: port.protocol.to_string(), from: port.from, to: port.to };
    SpecWire {
        requested_by: asked.by.to_owned(),
        aliases: strings(asked.aliases),
        grant: GrantWire {
            clusters: grant.clusters.iter().map(ToString::to_string).collect(),
            namespace: grant.ns.to_string(),
            selector: selector_wire(&grant.selector),
            direction: grant.direction.to_string(),
            destination: DestinationWire { name, networks },
            ports: grant.ports.iter().map(port).collect(),
            expires: stamp(grant.expires),
        },
        findings: strings(asked.findings),
        purpose: asked.purpose.to_string(),
    }
}

/// One decision, to be appended as this number.
pub fn decision(number: u64, by: &str, decision: &Decision) -> DecisionWire {
    DecisionWire {
        number,
        verdict: decision.verdict.as_str().to_owned(),
        decided_by: by.to_owned(),
        reason: decision.reason.to_string(),
        ticket: decision.ticket.as_ref().map(ToString::to_string),
        clusters: decision.clusters.iter().map(ToString::to_string).collect(),
        expires: decision.expires.map(stamp),
    }
}

pub fn status(appended: &DecisionWire) -> Value {
    json!({ "decisions": [appended] })
}

pub fn decode(value: &Value) -> Result<Kept<Review>, Text> {
    let seen = Seen::of(&REVIEW, value)?;
    let (spec, status): (SpecWire, StatusWire) = (seen.spec()?, seen.status()?);
    let review = read(&seen, &spec, &status.decisions).map_err(|why| seen.bad(why))?;
    Ok(seen.keep(review))
}

fn read(seen: &Seen<'_>, spec: &SpecWire, decisions: &[DecisionWire]) -> Result<Review, String> {
    bounded("findings", &spec.findings, FINDINGS)?;
    bounded("aliases", &spec.aliases, ALIASES)?;
    bounded("decisions", decisions, DECISIONS)?;
    Ok(Review {
        requested_by: Text::new(&spec.requested_by),
        aliases: texts(&spec.aliases),
        grant: read_grant(&spec.grant)?,
        findings: texts(&spec.findings),
        purpose: Text::new(&spec.purpose),
        decisions: read_decisions(seen, decisions)?,
    })
}

fn read_grant(grant: &GrantWire) -> Result<Grant, String> {
    bounded("grant.ports", &grant.ports, PORTS)?;
    if grant.ports.is_empty() {
        return Err("grant.ports is empty".to_owned());
    }
    let ports = grant.ports.iter().map(|port| {
        let span = PortSpan { protocol: protocol(&port.protocol)?, from: port.from, to: port.to };
        if span.from > span.to {
            return Err(format!("grant.ports has {}-{}", span.from, span.to));
        }
        Ok(span)
    });
    Ok(Grant {
        clusters: clusters("grant.clusters", &grant.clusters)?,
        ns: need_ns(&grant.namespace)?,
        selector: read_selector(&grant.selector)?,
        direction: direction(&grant.direction)?,
        destination: read_destination(&grant.destination)?,
        ports: ports.collect::<Result<_, String>>()?,
        expires: need_time("grant.expires", &grant.expires)?,
    })
}

fn read_destination(destination: &DestinationWire) -> Result<Opening, String> {
    bounded("grant.destination.networks", &destination.networks, NETWORKS)?;
    match (&destination.name, destination.networks.is_empty()) {
        (Some(name), true) => DnsName::parse(name)
            .map(Opening::Name)
            .ok_or_else(|| format!("grant.destination.name is none: {}", Text::new(name))),
        (None, false) => {
            let networks = destination.networks.iter().map(|raw| {
                raw.parse().map_err(|_| format!("grant.destination has no network: {}", Text::new(raw)))
            });
            let mut networks = networks.collect::<Result<Vec<_>, _>>()?;
            networks.sort_unstable();
            Ok(Opening::Networks(networks))
        }
        (Some(_), false) => Err("grant.destination has a name and networks".to_owned()),
        (None, true) => Err("grant.destination has neither a name nor networks".to_owned()),
    }
}

fn clusters(field: &str, raw: &[String]) -> Result<BTreeSet<Text>, String> {
    bounded(field, raw, CLUSTERS)?;
    if raw.is_empty() {
        return Err(format!("{field} is empty"));
    }
    Ok(raw.iter().map(|uid| Text::new(uid)).collect())
}

/// In the order of their numbers, which have no hole: else one was taken away.
fn read_decisions(seen: &Seen<'_>, wire: &[DecisionWire]) -> Result<Vec<Decision>, String> {
    let numbered = wire.iter().zip(1..).map(|(decision, number)| {
        if decision.number != number {
            return Err(format!("decision {number} is missing or out of order"));
        }
        let verdict = DecisionVerdict::parse(&decision.verdict)
            .ok_or_else(|| format!("decision {number} has the verdict {}", Text::new(&decision.verdict)))?;
        let key = format!("k:{{\"number\":{number}}}");
        let at = seen.written(|status| !status["f:decisions"][&key].is_null());
        let at = at.ok_or_else(|| {
            format!("when decision {number} was made is not known: its managedFields are gone")
        })?;
        Ok(Decision {
            verdict,
            stamp: Stamp { by: Text::new(&decision.decided_by), at },
            reason: Text::new(&decision.reason),
            ticket: decision.ticket.as_deref().map(Text::new),
            clusters: clusters("decision.clusters", &decision.clusters)?,
            expires: decision.expires.as_deref().map(|at| need_time("decision.expires", at)).transpose()?,
        })
    });
    numbered.collect()
}
