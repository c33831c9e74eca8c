//! Ends of connections that are known by less than an address: a pod by its place, a node, somebody
//! outside, the backends of a Service. For whoever replays what was recorded by workload. Pure.

use std::net::IpAddr;

use super::{
    cluster::Target,
    model::{Model, Owner, Party, PodId, Who, side},
    plugin::ServiceView,
    table::NONE,
};
use crate::domain::{
    flow::{Direction, Protocol},
    policy::Labels,
};

/// A node that is not the one of any pod asked about.
const ELSEWHERE: u32 = NONE - 1;

/// One way behind a Service's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    pub party: Party,
    /// Where the pod listens.
    pub port: u16,
    /// What egress rules see instead, where the plugin judges before the translation.
    pub through: Option<(IpAddr, u16)>,
}

impl Party {
    /// No pod and no node of the cluster; `None`: its address is not known.
    pub fn outside(address: Option<IpAddr>) -> Self {
        Self { who: Who::Outside, address: address.map(|address| address.to_canonical()) }
    }

    /// A host of the cluster by an address of its own, such as one of a cache on each node; on which
    /// node is not asked.
    pub fn host(address: IpAddr) -> Self {
        Self { who: Who::Host(ELSEWHERE), address: Some(address.to_canonical()) }
    }

    pub fn is_host(&self) -> bool {
        matches!(self.who, Who::Host(_))
    }

    /// A node on which the pod at the other end does not run.
    pub fn other_node() -> Self {
        Self { who: Who::Host(ELSEWHERE), address: None }
    }

    /// The same, with the address that the data plane sees; `None`: it is not known.
    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self { address: address.map(|address| address.to_canonical()), ..self }
    }
}

impl Model {
    /// The pod in this place of the cluster's list.
    pub fn pod_at(&self, place: usize) -> Option<PodId> {
        (place < self.pods.len()).then(|| PodId(super::compile::place(place)))
    }

    pub fn labels(&self, pod: PodId) -> &Labels {
        &self.pods[pod.0 as usize].labels
    }

    /// The node that a pod runs on.
    pub fn node_of(&self, pod: PodId) -> Party {
        Party { who: Who::Host(self.cells[pod.0 as usize].node), address: None }
    }

    /// The same policies select pods with the same number; `None`: none does.
    pub fn class_of(&self, pod: PodId, direction: Direction) -> Option<u32> {
        let class = self.cells[pod.0 as usize].class[side(direction)];
        (class != NONE).then_some(class)
    }

    /// Is the address this Service's?
    pub fn is_service(&self, address: IpAddr, ns: &str, name: &str) -> bool {
        let Some(Owner::Service(at)) = self.by_address.get(&address.to_canonical()) else { return false };
        let service = &self.services[*at as usize];
        service.ns.as_str() == ns && service.name.as_str() == name
    }

    /// What stands behind a Service's port; `None`: the address is no Service's. The error says why
    /// it is not known.
    pub fn behind(
        &self,
        address: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> Option<Result<Vec<Behind>, String>> {
        let Some(Owner::Service(at)) = self.by_address.get(&address.to_canonical()) else { return None };
        let service = &self.services[*at as usize];
        let named = format!("{address} is Service {}/{}", service.ns, service.name);
        let found = service.ports.iter().find(|one| one.protocol == protocol && one.port == port);
        let (Some(found), Some(selector)) = (found, &service.selector) else {
            return Some(Err(format!("{named}, and what stands behind its port {port} is not known")));
        };
        let views: &[Option<(IpAddr, u16)>] = match self.traits.service {
            ServiceView::Backend => &[None],
            ServiceView::Service => &[Some((address, port))],
            ServiceView::Unsure => &[None, Some((address, port))],
        };
        let mut out = Vec::new();
        for (id, ns, _, labels) in self.pods() {
            let cell = &self.cells[id.0 as usize];
            if *ns != service.ns || cell.finished || !selector.matches(labels) {
                continue;
            }
            let Some(port) = self.listens(id, protocol, &found.target) else { continue };
            let own = self.addresses(id).iter().find(|own| own.is_ipv4() == address.is_ipv4());
            let party = self.party_of(id, own.copied());
            out.extend(views.iter().map(|through| Behind { party, port, through: *through }));
        }
        if out.is_empty() {
            return Some(Err(format!("{named}, and no pod stands behind its port {port} now")));
        }
        Some(Ok(out))
    }

    fn listens(&self, pod: PodId, protocol: Protocol, target: &Target) -> Option<u16> {
        match target {
            Target::Number(number) => Some(*number),
            Target::Name(name) => {
                let mut named = self.pods[pod.0 as usize].named.iter();
                Some(named.find(|port| port.name == *name && port.protocol == protocol)?.port)
            }
        }
    }
}
