//! What the checks look at: the cluster as it would be, what was recorded, and one question that is
//! asked of every workload of the row: is this way open? Pure.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use foldhash::fast::FixedState;

use super::{
    prediction::Hit,
    replay::Wanted,
    stories::{Answer, Mark},
    weigh::{Scales, Weighed},
};
use crate::domain::{
    edge::{Edge, EdgeKey, Hours, Peer},
    eval::{
        around::Marks,
        cluster::{Cluster, Pod, Service, ServicePort, Target},
        isolation::Turned,
        verdict::Verdict,
    },
    flow::Protocol,
    names::{Text, Workload},
    sighting::Outcome,
    time::Timestamp,
};

pub(super) struct Scene<'s> {
    pub wanted: Wanted<'s>,
    /// With the wanted set in place of the live one.
    pub cluster: &'s Cluster,
    pub scales: &'s Scales<'s>,
    /// Of the row, without ICMP.
    pub edges: &'s [(&'s EdgeKey, &'s Edge)],
    /// Of the namespace, both directions.
    pub turned: &'s [Turned],
    pub denied: &'s [Hit],
    /// The row's own workloads that policies can select, with their pods.
    pub own: Vec<(&'s Workload, Vec<&'s Pod>)>,
    /// Pods that run, by namespace.
    pub by_ns: HashMap<&'s str, Vec<&'s Pod>, FixedState>,
}

/// A way that has to be open.
pub(super) struct Way {
    pub peer: Peer,
    pub protocol: Protocol,
    pub port: u16,
    /// `lookups by UDP to kube-system/kube-dns (10.96.0.10:53)`.
    pub what: String,
}

impl<'s> Scene<'s> {
    /// The row's own workloads that policies can select, with their pods.
    pub fn own(cluster: &'s Cluster, wanted: Wanted<'_>) -> Vec<(&'s Workload, Vec<&'s Pod>)> {
        let mut own: BTreeMap<&Workload, Vec<&Pod>> = BTreeMap::new();
        let is_subject = |pod: &&Pod| pod.ns == *wanted.ns && !pod.finished && !pod.host_network;
        for pod in cluster.pods.iter().filter(is_subject) {
            let Some(workload) = &pod.workload else { continue };
            own.entry(workload).or_default().push(pod);
        }
        own.into_iter().collect()
    }

    pub fn by_ns(cluster: &'s Cluster) -> HashMap<&'s str, Vec<&'s Pod>, FixedState> {
        let mut out: HashMap<_, Vec<_>, FixedState> = HashMap::default();
        for pod in cluster.pods.iter().filter(|pod| !pod.finished) {
            out.entry(pod.ns.as_str()).or_default().push(pod);
        }
        out
    }

    pub fn marks(&self, pod: &Pod) -> Option<&'s Marks> {
        self.cluster.around.marks.get(&(pod.ns.clone(), pod.name.clone()))
    }

    /// Workloads with a pod of which this holds.
    pub fn those(&self, is_meant: impl Fn(&Pod) -> bool) -> Vec<&'s Workload> {
        let meant = self.own.iter().filter(|(_, pods)| pods.iter().any(|pod| is_meant(pod)));
        meant.map(|(workload, _)| *workload).collect()
    }

    /// Asks each workload for the way; what is not open becomes findings, workloads with the same put
    /// together. `denied`: what a denied one counts as, and what to do.
    pub fn require(&self, who: &[&Workload], way: &Way, denied: (Mark, &str), answer: &mut Answer) {
        for ((mark, fact), who) in self.closed(who, way, denied.0) {
            answer.say(mark, &self.named(&who), Text::from(fact), denied.1);
        }
    }

    /// The same, told of another object.
    pub fn require_of(
        &self,
        object: &str,
        who: &[&Workload],
        way: &Way,
        denied: (Mark, &str),
        answer: &mut Answer,
    ) {
        for ((mark, fact), who) in self.closed(who, way, denied.0) {
            answer.say(mark, object, Text::from(format!("{fact} ({})", self.named(&who))), denied.1);
        }
    }

    fn closed<'w>(
        &self,
        who: &[&'w Workload],
        way: &Way,
        denied: Mark,
    ) -> BTreeMap<(Mark, String), Vec<&'w Workload>> {
        let mut found: BTreeMap<(Mark, String), Vec<&Workload>> = BTreeMap::new();
        // Where every pod is selected alike, the first speaks for all.
        let asked = if self.scales.is_uniform() { &who[..who.len().min(1)] } else { who };
        for workload in asked {
            for weighed in self.ask(workload, &way.peer, way.protocol, way.port) {
                let part = if weighed.is_part { " for some of the pods" } else { "" };
                let (mark, fact) = match weighed.verdict {
                    Verdict::Allowed => continue,
                    Verdict::Denied => (denied, format!("{} would be denied{part}", way.what)),
                    Verdict::Unknown => {
                        let why = weighed.why.map(|why| why.words(self.scales.model));
                        let why = why.unwrap_or_else(|| Text::new("it is not known"));
                        (Mark::Unknown, format!("{}: {why}", way.what))
                    }
                };
                let all = found.entry((mark, fact)).or_default();
                if asked.len() < who.len() { all.extend(who) } else { all.push(workload) }
            }
        }
        found.values_mut().for_each(Vec::dedup);
        found
    }

    pub fn ask(&self, workload: &Workload, peer: &Peer, protocol: Protocol, port: u16) -> Vec<Weighed> {
        let key = EdgeKey {
            ns: self.wanted.ns.clone(),
            workload: workload.clone(),
            direction: self.wanted.direction,
            peer: peer.clone(),
            name: None,
            protocol,
            port,
            outcome: Outcome::Allowed,
        };
        self.scales.weigh(&key, &never())
    }

    /// `cart, web and 3 more of shop`.
    pub fn named(&self, who: &[&Workload]) -> String {
        const NAMED: usize = 4;
        let shown: Vec<&str> = who.iter().take(NAMED).map(|one| one.name.as_str()).collect();
        let more = who.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more} of {}", shown.join(", "), self.wanted.ns)
    }

    /// Pods behind a Service's port, with the port on which each listens.
    pub fn behind(&self, service: &Service, port: &ServicePort) -> Vec<(&'s Pod, u16)> {
        let Some(selector) = &service.selector else { return Vec::new() };
        let pods = self.by_ns.get(service.ns.as_str()).into_iter().flatten();
        let pods = pods.filter(|pod| selector.matches(&pod.labels)).copied();
        pods.filter_map(|pod| Some((pod, listens(pod, port)?))).collect()
    }
}

/// Where a pod listens for a Service's port.
fn listens(pod: &Pod, port: &ServicePort) -> Option<u16> {
    match &port.target {
        Target::Number(number) => Some(*number),
        Target::Name(name) => {
            let mut named = pod.ports.iter().flatten();
            Some(named.find(|one| one.name == *name && one.protocol == port.protocol)?.port)
        }
    }
}

/// The evidence of a way that nobody has recorded.
fn never() -> Edge {
    Edge {
        flows: 0,
        first: Timestamp::default(),
        last: Timestamp::default(),
        hours: Hours::default(),
        fresh: 0,
        stale: 0,
        ambiguous: 0,
        also: Vec::new(),
        chain: Vec::new(),
        ttl_secs: None,
    }
}

/// `10.96.0.10:53`, `[fd00::a]:53`.
pub(super) fn place(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::from((address, port)).to_string()
}
