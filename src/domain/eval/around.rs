//! What stands around the pods of a cluster and no verdict rests on, but what people forget when they
//! write policies: the resolver, caches on the nodes, the API server and what it calls, meshes, tokens.
//! Filled beside the objects by `crate::manifest`; `None` is not known. Judges nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::domain::names::{NsName, PodName, Text};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The Service that serves lookups: its place among the cluster's.
    pub resolver: Option<usize>,
    /// Endpoints of `default/kubernetes`; empty: not known.
    pub api: BTreeSet<(IpAddr, u16)>,
    /// What the API server calls inside the cluster.
    pub hooks: Option<Vec<Hook>>,
    /// Of the nodes' `spec.providerID`: `gce`, `aws`, `azure`, …
    pub clouds: BTreeSet<Text>,
    /// Namespaces that ask for sidecars.
    pub injected: BTreeMap<NsName, Mesh>,
    /// Pods of which something is to be known.
    pub marks: BTreeMap<(NsName, PodName), Marks>,
}

/// A callback: a webhook, or an aggregated API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hook {
    /// `ValidatingWebhookConfiguration cert-manager-webhook`.
    pub object: Text,
    /// The webhook's own name, where the object has several.
    pub name: Text,
    pub ns: NsName,
    pub service: Text,
    pub port: u16,
    /// `failurePolicy: Ignore`: nobody notices that it is cut off.
    pub ignores_failure: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub mesh: Option<Mesh>,
    /// Its lookups do not go to the cluster's resolver (`dnsPolicy` Default or None).
    pub own_dns: bool,
    /// Where it fetches tokens, as its environment says.
    pub tokens: BTreeSet<(IpAddr, u16)>,
    /// It is a DNS cache that listens on these addresses of its node.
    pub listens: BTreeSet<IpAddr>,
}

impl Marks {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mesh {
    Istio,
    Linkerd,
}

impl Mesh {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Istio => "Istio",
            Self::Linkerd => "Linkerd",
        }
    }

    /// The container that it puts beside those of a pod.
    pub fn sidecar(self) -> &'static str {
        match self {
            Self::Istio => "istio-proxy",
            Self::Linkerd => "linkerd-proxy",
        }
    }

    /// Pods of the control plane that a sidecar must reach: label, value and ports (TCP). From the
    /// projects' own charts and port tables.
    pub fn control(self) -> &'static [(&'static str, &'static str, &'static [u16])] {
        match self {
            Self::Istio => &[("app", "istiod", &[15012])],
            Self::Linkerd => &[
                ("linkerd.io/control-plane-component", "destination", &[8086, 8090]),
                ("linkerd.io/control-plane-component", "identity", &[8080]),
            ],
        }
    }
}
