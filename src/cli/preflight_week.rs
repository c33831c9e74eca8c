//! How far back the records of a cluster's flow source reach, measured on the records themselves: the
//! window of its collector, or else the oldest event that each node behind Hubble Relay still has.
//! Only reads; a collector that cannot be asked leaves the week unknown, with the reason.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use tokio::time::timeout;

use crate::{
    cockpit::{
        plan::ClusterEntry,
        ports::{CollectorState, Trouble},
        preflight,
    },
    domain::{
        names::Text,
        preflight::reading::{Known, Measured, Reading},
    },
    flows::{
        baseline::{read, serve},
        dial::dial_address,
        hubble,
        source::{BoxIo, Dial},
    },
    k8s::{
        connect::Access,
        forward::{self, Labelled},
    },
};

/// A source that does not answer within this leaves the week unknown.
const ANSWER: Duration = Duration::from_secs(8);

/// Asks the source that the reading names; `None`: it names none that could be asked.
pub async fn measure(
    entry: &ClusterEntry,
    access: &Access,
    reading: &Reading,
    patience: Duration,
) -> Option<Known<Measured>> {
    let patience = patience.min(ANSWER);
    if entry.collector.is_some() || has_collector(reading) {
        return Some(match timeout(patience, collector(entry, access)).await {
            Ok(Ok(measured)) => Known::Read(measured),
            Ok(Err(trouble)) => Known::Unknown(Text::from(trouble.to_string())),
            Err(_) => Known::Unknown(Text::from(format!("no answer within {} s", patience.as_secs()))),
        });
    }
    if entry.relay.is_none() && reading.workload("", "hubble-relay").is_none() {
        return None;
    }
    // Of what lies in the agents' memory the settings tell enough where nobody answers.
    let measured = timeout(patience, relay(entry, access)).await;
    measured.ok().and_then(Result::ok).map(Known::Read)
}

fn has_collector(reading: &Reading) -> bool {
    let is_label =
        |key: &String, value: &String| serve::LABEL.split_once('=') == Some((key.as_str(), value.as_str()));
    let mut all = reading.workloads.list().iter();
    all.any(|one| one.pod_labels.iter().any(|(key, value)| is_label(key, value)))
}

async fn collector(entry: &ClusterEntry, access: &Access) -> Result<Measured, Trouble> {
    let wanted = Labelled { label: serve::LABEL, port: serve::PORT, name: "collector", ns: "sluice" };
    let access = access.clone();
    let dial: Dial = match &entry.collector {
        Some(address) => dial_address(address.clone()),
        None => Arc::new(move || {
            let access = access.clone();
            async move { forward::labelled(&access, wanted).await.map(|stream| Box::pin(stream) as BoxIo) }
                .boxed()
        }),
    };
    let state: CollectorState = read::once("collector", &dial).await?;
    preflight::measured(&state)
        .ok_or_else(|| Trouble::new("collector", "it has gathered nothing yet", "Wait for its first flows."))
}

/// The node that forgets first decides.
async fn relay(entry: &ClusterEntry, access: &Access) -> Result<Measured, Trouble> {
    let access = access.clone();
    let dial: Dial = match &entry.relay {
        Some(relay) => dial_address(relay.clone()),
        None => Arc::new(move || {
            let access = access.clone();
            async move { forward::relay(&access).await.map(|stream| Box::pin(stream) as BoxIo) }.boxed()
        }),
    };
    let nodes = hubble::reach(&entry.name, &dial).await?;
    let shortest = nodes.iter().min_by_key(|(_, from, to)| *to - *from);
    let (node, from, to) = shortest.ok_or_else(|| {
        Trouble::new("Hubble Relay", "it has no event of any node", "Look at its nodes: `hubble list nodes`.")
    })?;
    let source = Text::from(format!("Hubble, node {} of {}", node.name, nodes.len()));
    Ok(Measured { source, from: *from, to: *to, empty_hours: 0 })
}
