//! What was weighed, as hits: denied and unknown ones with their evidence, what everything hangs on
//! first. Pure.

use super::{
    prediction::{Essential, Hit},
    weigh::{Scales, Weighed},
};
use crate::domain::{
    edge::{Edge, EdgeKey, Peer},
    eval::verdict::Verdict,
    flow::{Entity, Protocol},
};

#[derive(Default)]
pub(super) struct Told {
    pub denied: Vec<Hit>,
    pub unknown: Vec<Hit>,
}

impl Told {
    pub fn sort(&mut self) {
        for hits in [&mut self.denied, &mut self.unknown] {
            hits.sort_by(|a, b| {
                let rank = |hit: &Hit| (hit.essential.is_none(), hit.essential, std::cmp::Reverse(hit.last));
                rank(a).cmp(&rank(b)).then_with(|| {
                    let rest = |hit: &Hit| (hit.workload.clone(), hit.peer.clone(), hit.name.clone());
                    let port = |hit: &Hit| (hit.protocol, hit.port, hit.family);
                    rest(a).cmp(&rest(b)).then_with(|| port(a).cmp(&port(b)))
                })
            });
        }
    }
}

pub(super) fn tell(
    told: &mut Told,
    after: &Scales<'_>,
    before: &Scales<'_>,
    (key, edge): (&EdgeKey, &Edge),
    found: &[Weighed],
) {
    for one in found.iter().filter(|one| one.verdict != Verdict::Allowed) {
        let was = before.weigh(key, edge);
        let was = was.iter().find(|other| other.family == one.family).or(was.first());
        let hit = Hit {
            workload: key.workload.clone(),
            peer: key.peer.clone(),
            name: key.name.clone(),
            protocol: key.protocol,
            port: key.port,
            family: one.family,
            flows: edge.flows,
            last: edge.last,
            hours: edge.hours.len(),
            is_part: one.is_part,
            essential: essential(key),
            now: was.map_or(Verdict::Unknown, |was| was.verdict),
            why: one.why.as_ref().map(|why| why.words(after.model)),
        };
        if one.verdict == Verdict::Denied { told.denied.push(hit) } else { told.unknown.push(hit) }
    }
}

/// What a baseline is there for, by port and peer.
fn essential(key: &EdgeKey) -> Option<Essential> {
    let is_named = |name: &str| key.name.as_ref().is_some_and(|own| own.as_str() == name);
    let is_service = is_named("kubernetes.default.svc") || is_named("kubernetes.default.svc.cluster.local");
    match (key.protocol, key.port, &key.peer) {
        (Protocol::Udp | Protocol::Tcp, 53, _) => Some(Essential::Dns),
        // OpenShift's resolver listens there.
        (Protocol::Udp | Protocol::Tcp, 5353, Peer::Pods { .. }) => Some(Essential::Dns),
        (Protocol::Udp, 123, _) => Some(Essential::Ntp),
        (_, _, Peer::Entity(Entity::KubeApiserver)) => Some(Essential::ApiServer),
        (Protocol::Tcp, 6443, Peer::Address(_) | Peer::Entity(_)) => Some(Essential::ApiServer),
        _ => is_service.then_some(Essential::ApiServer),
    }
}
