//! How far back the records of a cluster reach, measured on the records themselves: the window of its
//! collector, or else what the source that runs there still has. The one way to it, of the screen and
//! of `sluice preflight`. Only reads; a source that cannot be asked leaves the week unknown.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use tokio::time::timeout;

use super::{goldmane_of, logs, relay_of};
use crate::{
    cockpit::{
        plan::ClusterEntry,
        ports::{CollectorState, Trouble},
        preflight,
    },
    domain::{
        names::Text,
        preflight::{
            reading::{Known, Measured},
            report::Report,
        },
        source::SourceKind,
        time::Timestamp,
    },
    flows::{
        antrea,
        baseline::{read, serve},
        dial::dial_address,
        goldmane, hubble,
        source::{BoxIo, Dial},
    },
    k8s::{
        antrea::serves_stream,
        connect::Access,
        forward::{self, Labelled},
    },
};

/// A source that does not answer within this leaves the week unknown.
pub const ANSWER: Duration = Duration::from_secs(2);

/// By the collector.
pub async fn collector(entry: &ClusterEntry, access: &Access) -> Known<Measured> {
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
    let nothing = || Trouble::new("collector", "it has gathered nothing yet", "Wait for its first flows.");
    let asked = read::once("collector", &dial).await;
    known(asked.and_then(|state: CollectorState| preflight::measured(&state).ok_or_else(nothing)))
}

/// By the source that tells most of those that run in the cluster; `None`: none of them keeps records
/// that it can be asked for.
pub async fn source(
    entry: &ClusterEntry,
    access: &Access,
    report: &Report,
    patience: Duration,
) -> Option<Known<Measured>> {
    let kind = entry.relay.as_ref().map(|_| SourceKind::Hubble).or(report.offers.first().copied());
    let asked = async {
        Some(match (&report.printing, kind?) {
            (Some(ns), SourceKind::Hubble) => logs::reach_of_agents(access, ns).await,
            (None, SourceKind::Hubble) => relay(entry, access).await,
            (_, SourceKind::Goldmane) => {
                let reach = goldmane::reach(&entry.name, &goldmane_of(access.clone())).await;
                reach.and_then(|reach| of_one("Goldmane", reach))
            }
            (_, SourceKind::AntreaFlows) => aggregator(entry, access).await,
            (
                _,
                SourceKind::CalicoLog
                | SourceKind::CalicoFiles
                | SourceKind::AntreaLog
                | SourceKind::KernelLog,
            ) => logs::reach(access, kind?).await,
            (_, SourceKind::Unknown) => return None,
        })
    };
    let week = match timeout(patience, asked).await {
        Ok(asked) => known(asked?),
        Err(_) => late(kind.map_or("its source", SourceKind::as_str), patience),
    };
    // Of what lies in memory, and of lines that tell denials only, settings tell enough where nobody answers.
    let is_told = match kind {
        Some(SourceKind::Hubble) => report.printing.is_none(),
        Some(SourceKind::Goldmane | SourceKind::CalicoLog) => true,
        Some(
            SourceKind::CalicoFiles
            | SourceKind::AntreaFlows
            | SourceKind::AntreaLog
            | SourceKind::KernelLog
            | SourceKind::Unknown,
        )
        | None => false,
    };
    (!is_told || matches!(week, Known::Read(_))).then_some(week)
}

/// What it has in memory; where it serves no stream, what pods print of its records.
async fn aggregator(entry: &ClusterEntry, access: &Access) -> Result<Measured, Trouble> {
    if !serves_stream(access).await? {
        return logs::reach(access, SourceKind::AntreaFlows).await;
    }
    let reach = antrea::reach(&entry.name, &logs::stream(access.clone())).await;
    reach.and_then(|reach| of_one("Antrea flow aggregator", reach))
}

/// It did not answer.
pub fn late(who: &str, patience: Duration) -> Known<Measured> {
    Known::Unknown(Text::from(format!("{who} gave no answer within {} s", patience.as_secs())))
}

fn known(asked: Result<Measured, Trouble>) -> Known<Measured> {
    match asked {
        Ok(measured) => Known::Read(measured),
        Err(trouble) => Known::Unknown(Text::from(trouble.to_string())),
    }
}

/// The node that forgets first decides.
async fn relay(entry: &ClusterEntry, access: &Access) -> Result<Measured, Trouble> {
    let dial = relay_of(entry.relay.as_ref(), access.clone());
    let nodes = hubble::reach(&entry.name, &dial).await?;
    let shortest = nodes.iter().min_by_key(|(_, from, to)| *to - *from);
    let (node, from, to) = shortest.ok_or_else(|| {
        Trouble::new("Hubble Relay", "it has no event of any node", "Look at its nodes: `hubble list nodes`.")
    })?;
    let source = Text::from(format!("Hubble, node {} of {}", node.name, nodes.len()));
    Ok(Measured { source, from: *from, to: *to, empty_hours: 0, only_denials: false })
}

fn of_one(name: &str, reach: Option<(Timestamp, Timestamp)>) -> Result<Measured, Trouble> {
    let nothing = || Trouble::new(name, "it has no record yet", "Wait for its first flows.");
    let (from, to) = reach.ok_or_else(nothing)?;
    Ok(Measured { source: Text::new(name), from, to, empty_hours: 0, only_denials: false })
}
