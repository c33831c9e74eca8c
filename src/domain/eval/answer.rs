//! A question as people ask it, by pod names, addresses or Services, and its answer with names: the
//! verdict, what decided at each end, and why it may be unknown. The same for screen and JSON.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    cluster::{Service, Target},
    judge::Question,
    model::{Model, Owner, Party, PodId, Who},
    plugin::{Holds, Plugin, ServiceView, Traits},
    verdict::{Decision, Doubt, Judged, Verdict},
};
use crate::domain::{
    flow::{Direction, Protocol},
    names::{NsName, PodName, Text},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Pod(NsName, PodName),
    Address(IpAddr),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub from: Endpoint,
    pub to: Endpoint,
    pub protocol: Protocol,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub verdict: Verdict,
    /// At least one of each direction, egress first.
    pub by: Vec<By>,
    /// Why it is unknown; empty where it is known.
    pub why: Vec<Text>,
    /// What else to know.
    pub notes: Vec<Text>,
}

/// What decided at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    pub direction: Direction,
    /// The end that is judged: `namespace/pod`, or an address.
    pub end: Text,
    pub decision: Decision,
    /// `namespace/name`; of several that deny together each has its own entry. `None`: no policy did.
    pub policy: Option<Text>,
    /// Counted from 1 among the rules of its direction.
    pub rule: Option<u32>,
    /// Why it is unknown, where it is.
    pub why: Option<Text>,
}

/// One way that the connection can take.
struct Way {
    /// `IPv4`, `backend shop/cart-0`; empty where there is only one.
    label: String,
    judged: Result<Question, Doubt>,
    ends: [Text; 2],
}

/// Of many things alike, so many are named.
const OTHERS: usize = 4;

impl Model {
    /// Answers a question. The error is a pod that is not known.
    pub fn answer(&self, ask: &Ask) -> Result<Answer, Text> {
        let from = self.end(&ask.from)?;
        if let Endpoint::Address(address) = &ask.to
            && let Some(Owner::Service(at)) = self.by_address.get(&address.to_canonical())
        {
            let service = &self.services[*at as usize];
            return Ok(self.to_service(ask, &from, service, address.to_canonical()));
        }
        let to = match &ask.to {
            Endpoint::Address(address) if address.to_canonical().is_loopback() => from.clone(),
            to => self.end(to)?,
        };
        let ways = self.ways(ask, &from, &to, None);
        let mut answer = self.sum_up(self.traits, &ways);
        if self.traits.plugin == Plugin::Reference {
            answer.notes.extend(self.elsewhere(&ways, answer.verdict));
        }
        Ok(answer)
    }

    /// All that an end can be: a pod by name may have an address of each family.
    fn end(&self, endpoint: &Endpoint) -> Result<Vec<Party>, Text> {
        match endpoint {
            Endpoint::Address(address) => Ok(vec![self.party(*address)]),
            Endpoint::Pod(ns, name) => {
                let pod = self.pod(ns, name).ok_or_else(|| self.no_pod(ns, name))?;
                Ok(self.parties(pod))
            }
        }
    }

    fn no_pod(&self, ns: &NsName, name: &PodName) -> Text {
        let mut there: Vec<&str> =
            self.pods.iter().filter(|pod| pod.ns == *ns).map(|pod| pod.name.as_str()).collect();
        there.sort_unstable();
        let more = there.len().saturating_sub(OTHERS);
        there.truncate(OTHERS);
        let known = match (there.is_empty(), more) {
            (true, _) => format!("namespace {ns} has none"),
            (false, 0) => format!("{ns} has {}", there.join(", ")),
            (false, more) => format!("{ns} has {} and {more} more", there.join(", ")),
        };
        Text::from(format!("there is no pod {ns}/{name} in what was read; {known}"))
    }

    fn parties(&self, pod: PodId) -> Vec<Party> {
        let addresses = self.addresses(pod);
        if addresses.is_empty() {
            return vec![self.party_of(pod, None)];
        }
        addresses.iter().map(|address| self.party_of(pod, Some(*address))).collect()
    }

    fn to_service(&self, ask: &Ask, from: &[Party], service: &Service, address: IpAddr) -> Answer {
        let named = format!("{address} is Service {}/{}", service.ns, service.name);
        let port = service.ports.iter().find(|port| port.protocol == ask.protocol && port.port == ask.port);
        let (Some(port), Some(selector)) = (port, &service.selector) else {
            let why = if port.is_none() {
                format!("{named}, which has no port {}/{}", ask.port, ask.protocol)
            } else {
                format!("{named}, and it has no selector: ask for the address that stands behind it")
            };
            return self.unknown(ask, why);
        };
        let views: &[bool] = match self.traits.service {
            ServiceView::Backend => &[false],
            ServiceView::Service => &[true],
            ServiceView::Unsure => &[false, true],
        };
        let mut all = Vec::new();
        let mut targets = Vec::new();
        for (id, ns, name, labels) in self.pods() {
            if *ns != service.ns || self.cells[id.0 as usize].finished || !selector.matches(labels) {
                continue;
            }
            let Some(target) = self.target(id, ask.protocol, &port.target) else { continue };
            targets.push(target);
            let ask = Ask { port: target, ..ask.clone() };
            let family: Vec<Party> = self
                .parties(id)
                .into_iter()
                .filter(|party| party.address.is_none_or(|own| own.is_ipv4() == address.is_ipv4()))
                .collect();
            for as_service in views {
                let through = as_service.then_some((address, port.port));
                all.extend(self.ways(&ask, from, &family, through).into_iter().map(|way| {
                    let view = if *as_service { " by the Service's address" } else { "" };
                    Way { label: format!("backend {ns}/{name}{view}"), ..way }
                }));
            }
        }
        if all.is_empty() {
            return self.unknown(ask, format!("{named}, and no pod stands behind that port"));
        }
        targets.sort_unstable();
        targets.dedup();
        let mut answer = self.sum_up(self.traits, &all);
        let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
        answer.notes.push(Text::from(format!("{named}; its pods listen on {}", targets.join(", "))));
        answer
    }

    fn target(&self, pod: PodId, protocol: Protocol, target: &Target) -> Option<u16> {
        match target {
            Target::Number(number) => Some(*number),
            Target::Name(name) => {
                let mut named = self.pods[pod.0 as usize].named.iter();
                Some(named.find(|port| port.name == *name && port.protocol == protocol)?.port)
            }
        }
    }

    /// Nothing was judged.
    fn unknown(&self, ask: &Ask, why: String) -> Answer {
        let by = Direction::ALL.map(|direction| {
            let end = match direction {
                Direction::Egress => &ask.from,
                Direction::Ingress => &ask.to,
            };
            By { direction, end: said(end), decision: Decision::NoPod, policy: None, rule: None, why: None }
        });
        Answer { verdict: Verdict::Unknown, by: by.into(), why: vec![Text::from(why)], notes: Vec::new() }
    }

    /// Every pair of addresses of one family. An end without an address goes with any.
    fn ways(&self, ask: &Ask, from: &[Party], to: &[Party], through: Option<(IpAddr, u16)>) -> Vec<Way> {
        let mut out = Vec::new();
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
            let (x, y) = (from.address, to.address);
            if x.zip(y).is_some_and(|(x, y)| x.is_ipv4() != y.is_ipv4()) {
                continue;
            }
            let label = match x.or(y) {
                Some(IpAddr::V4(_)) => "IPv4",
                Some(IpAddr::V6(_)) => "IPv6",
                None => "",
            };
            let (protocol, port) = (ask.protocol, ask.port);
            out.push(Way {
                label: label.to_owned(),
                judged: Ok(Question { from, to, protocol, port, through }),
                ends: [self.named(from, &ask.from), self.named(to, &ask.to)],
            });
        }
        if out.is_empty() {
            let ends = [said(&ask.from), said(&ask.to)];
            out.push(Way { label: String::new(), judged: Err(Doubt::Families), ends });
        }
        out
    }

    /// An end by its pod's name, where it is one.
    fn named(&self, party: Party, endpoint: &Endpoint) -> Text {
        match party.who {
            Who::Pod(pod) => {
                let pod = &self.pods[pod.0 as usize];
                Text::from(format!("{}/{}", pod.ns, pod.name))
            }
            Who::Host(_) | Who::Outside | Who::Shared => said(endpoint),
        }
    }

    fn judged(&self, traits: Traits, way: &Way) -> Judged {
        match &way.judged {
            Ok(question) => self.judge_as(traits, question),
            Err(doubt) => Judged::both(Decision::Unknown(*doubt)),
        }
    }

    /// All ways together: known only if they agree.
    fn sum_up(&self, traits: Traits, ways: &[Way]) -> Answer {
        let judged: Vec<Judged> = ways.iter().map(|way| self.judged(traits, way)).collect();
        let first = judged.first().map_or(Verdict::Unknown, |judged| judged.verdict());
        let agree = judged.iter().all(|judged| judged.verdict() == first);
        let verdict = if agree { first } else { Verdict::Unknown };
        let (mut by, mut why) = (Vec::new(), Vec::new());
        for direction in Direction::ALL {
            for (way, judged) in ways.iter().zip(&judged) {
                for one in self.by(direction, way, judged.of(direction)) {
                    if !by.contains(&one) {
                        by.push(one);
                    }
                }
                if let Decision::Unknown(doubt) = judged.of(direction)
                    && verdict == Verdict::Unknown
                {
                    let said = Text::from(self.doubt(doubt));
                    if !why.contains(&said) {
                        why.push(said);
                    }
                }
            }
        }
        if !agree {
            let each = ways.iter().zip(&judged);
            let mut said: Vec<_> =
                each.map(|(way, judged)| format!("{}: {}", way.label, judged.verdict().as_str())).collect();
            let more = said.len().saturating_sub(OTHERS);
            said.truncate(OTHERS);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            why.insert(0, Text::from(format!("it differs: {}{more}", said.join("; "))));
        }
        Answer { verdict, by, why, notes: Vec::new() }
    }

    fn by(&self, direction: Direction, way: &Way, decision: Decision) -> Vec<By> {
        let end = way.ends[super::model::side(direction)].clone();
        let one = |policy: Option<Text>, rule: Option<u32>| By {
            direction,
            end: end.clone(),
            decision,
            policy,
            rule,
            why: match decision {
                Decision::Unknown(doubt) => Some(Text::from(self.doubt(doubt))),
                _ => None,
            },
        };
        match decision {
            Decision::Allowed(rule) => {
                let (ns, name) = self.policy(rule);
                vec![one(Some(Text::from(format!("{ns}/{name}"))), Some(rule.rule))]
            }
            Decision::Denied => {
                let Ok(question) = &way.judged else { return Vec::new() };
                let subject = match direction {
                    Direction::Egress => question.from,
                    Direction::Ingress => question.to,
                };
                let Who::Pod(pod) = subject.who else { return Vec::new() };
                self.isolated_by(pod, direction)
                    .map(|(ns, name)| one(Some(Text::from(format!("{ns}/{name}"))), None))
                    .collect()
            }
            Decision::Unknown(Doubt::Foreign(at)) => vec![one(Some(Text::from(self.foreign_name(at))), None)],
            Decision::Unknown(doubt) => match doubt.rule() {
                Some(rule) => {
                    let (ns, name) = self.policy(rule);
                    vec![one(Some(Text::from(format!("{ns}/{name}"))), Some(rule.rule))]
                }
                None => vec![one(None, None)],
            },
            Decision::NoPod
            | Decision::HostNetwork
            | Decision::NotIsolated
            | Decision::Itself
            | Decision::OwnNode => vec![one(None, None)],
        }
    }

    /// A policy that is not evaluated, by kind and name.
    pub fn foreign_name(&self, at: u32) -> String {
        let foreign = &self.foreign[at as usize];
        match &foreign.ns {
            Some(ns) => format!("{} {ns}/{}", foreign.kind, foreign.name),
            None => format!("{} {}", foreign.kind, foreign.name),
        }
    }

    /// Plugins that enforce and would say something else.
    fn elsewhere(&self, ways: &[Way], verdict: Verdict) -> Option<Text> {
        let mut others: BTreeMap<Verdict, Vec<&str>> = BTreeMap::new();
        let enforcing = Plugin::ALL.into_iter().filter(|plugin| plugin.traits().enforces == Holds::Yes);
        for plugin in enforcing {
            let said = self.sum_up(plugin.traits(), ways).verdict;
            if said != verdict {
                others.entry(said).or_default().push(plugin.as_str());
            }
        }
        let said: Vec<_> = others
            .iter()
            .map(|(said, names)| format!("{} with {}", said.as_str(), names.join(", ")))
            .collect();
        let hint = "it hangs on the network plugin (--cni)";
        (!said.is_empty()).then(|| Text::from(format!("{hint}: {}", said.join("; "))))
    }

    /// A doubt as a sentence's part.
    pub fn doubt(&self, doubt: Doubt) -> String {
        let rule = doubt.rule().map_or_else(String::new, |rule| {
            let (ns, name) = self.policy(rule);
            format!("rule {} of {ns}/{name}", rule.rule)
        });
        let plugin = self.traits.word;
        match doubt {
            Doubt::Foreign(at) => {
                format!("{} may decide otherwise, and sluice does not evaluate it", self.foreign_name(at))
            }
            Doubt::Rule(_) => format!("{rule} is not understood"),
            Doubt::Protocol => "NetworkPolicies know TCP, UDP and SCTP only; what becomes of other \
                                protocols is the plugin's choice"
                .to_owned(),
            Doubt::Sctp => format!("it is not known whether the network plugin ({plugin}) judges SCTP"),
            Doubt::Enforcement => format!(
                "the policies deny it, but the network plugin ({plugin}) is not known to enforce them"
            ),
            Doubt::BlockHasPod(_) => format!(
                "{rule} has the address of a pod in an ipBlock, and it is not known whether the network \
                 plugin ({plugin}) looks at that"
            ),
            Doubt::BlockHasNode(_) => format!(
                "{rule} has the address of a node in an ipBlock, which counts with some settings of the \
                 network plugin ({plugin}) only"
            ),
            Doubt::EndPort(_) => {
                format!("{rule} has an endPort, which not every release of {plugin} understands")
            }
            Doubt::NamedPorts => {
                format!("a policy has a named port, and {plugin} may not apply such a policy at all")
            }
            Doubt::PortName(_) => {
                format!("{rule} names a port, and the containers of the destination are not known")
            }
            Doubt::NoAddress(_) => {
                format!("{rule} has an ipBlock, and the address of the other end is not known")
            }
            Doubt::NamespaceLabels(_) => format!(
                "{rule} asks for labels of the other end's namespace, and no Namespace object tells them"
            ),
            Doubt::HostsOfNamespaces(_) => {
                format!("{rule} selects all namespaces, which some plugins take to have the hosts in them")
            }
            Doubt::OwnNode => {
                "traffic from the pod's own node passes, and it is not known whether this is that node"
                    .to_owned()
            }
            Doubt::SharedAddress => "several pods have that address".to_owned(),
            Doubt::Finished(pod) => {
                let pod = &self.pods[pod.0 as usize];
                format!("pod {}/{} has finished: its address may be another's by now", pod.ns, pod.name)
            }
            Doubt::Families => "the two ends have no address of the same family".to_owned(),
        }
    }
}

/// An end as it was asked.
fn said(endpoint: &Endpoint) -> Text {
    Text::from(match endpoint {
        Endpoint::Pod(ns, pod) => format!("{ns}/{pod}"),
        Endpoint::Address(address) => address.to_string(),
    })
}

impl Doubt {
    /// The rule that it hangs on.
    pub fn rule(self) -> Option<super::verdict::RuleRef> {
        match self {
            Self::Rule(rule)
            | Self::BlockHasPod(rule)
            | Self::BlockHasNode(rule)
            | Self::EndPort(rule)
            | Self::PortName(rule)
            | Self::NoAddress(rule)
            | Self::NamespaceLabels(rule)
            | Self::HostsOfNamespaces(rule) => Some(rule),
            Self::Foreign(_)
            | Self::Protocol
            | Self::Sctp
            | Self::Enforcement
            | Self::NamedPorts
            | Self::OwnNode
            | Self::SharedAddress
            | Self::Finished(_)
            | Self::Families => None,
        }
    }
}
