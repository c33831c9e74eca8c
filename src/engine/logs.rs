//! Where `k8s::logs` meets `flows::logs`: pods that print, as the readers of their logs take them, and
//! what is read of Antrea, which has a stream in some clusters and only logs in others.

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt, StreamExt, TryStreamExt, future::try_join, stream};
use tokio::{
    sync::{mpsc, watch},
    time::{Duration, sleep},
};

use crate::{
    cockpit::ports::{Fact, Link, Trouble},
    domain::{
        names::{ClusterName, NodeName, NsName, Text},
        preflight::reading::Measured,
        sighting::Outcome,
        source::SourceKind,
        time::Timestamp,
    },
    flows::{
        antrea,
        baseline::gather::Owner,
        logs::{Ended, Find, Logs, Open, Opened, Owned, Printer, Since, line, run},
        records::Format,
        source::{BoxIo, Dial},
    },
    k8s::{
        self,
        connect::Access,
        logs::{LogPod, Piece},
        owners,
    },
};

/// Between two looks whether there is something to read by now.
const AGAIN: Duration = Duration::from_secs(30);

/// Which forms of records stand for a kind of source, the best first.
fn formats(kind: SourceKind) -> Vec<(Format, SourceKind)> {
    match kind {
        SourceKind::AntreaFlows | SourceKind::AntreaLog => {
            vec![(Format::AntreaLog, SourceKind::AntreaLog), (Format::AntreaCsv, SourceKind::AntreaFlows)]
        }
        SourceKind::CalicoFiles => vec![(Format::CalicoJson, kind)],
        SourceKind::CalicoLog | SourceKind::KernelLog => vec![(Format::KernelLog, kind)],
        SourceKind::Hubble | SourceKind::Goldmane | SourceKind::Unknown => Vec::new(),
    }
}

/// The way to the logs of a cluster's pods.
pub fn logs(access: &Access, kind: SourceKind) -> Logs {
    let find: Find = {
        let access = access.clone();
        Arc::new(move || {
            let access = access.clone();
            async move { Ok(k8s::logs::printers(&access).await?.iter().filter_map(printer).collect()) }
                .boxed()
        })
    };
    let access = access.clone();
    let open: Open = Arc::new(move |printer: Printer, since| {
        let access = access.clone();
        async move {
            let from = match since {
                Since::Time(at) => k8s::logs::From::Time(at),
                Since::Last(lines) => k8s::logs::From::Last(lines),
            };
            let log = k8s::logs::open(&access, &pod(printer), from).await?;
            Ok(Opened { at: log.at, bytes: log.bytes.boxed() })
        }
        .boxed()
    });
    Logs { find, open, formats: formats(kind) }
}

/// `None`: it prints something that is not known here.
fn printer(pod: &k8s::logs::LogPod) -> Option<Printer> {
    Some(Printer {
        ns: pod.ns.clone(),
        pod: pod.pod.clone(),
        uid: pod.uid.clone(),
        container: pod.container.clone(),
        node: pod.node.clone(),
        format: Format::parse(pod.prints.as_str())?,
        logged: pod.logged.as_ref().and_then(|logged| Outcome::parse(logged.as_str())),
    })
}

fn pod(printer: Printer) -> k8s::logs::LogPod {
    let Printer { ns, pod, uid, container, node, format, .. } = printer;
    k8s::logs::LogPod { ns, pod, uid, container, node, prints: Text::new(format.as_str()), logged: None }
}

/// The stream of the flow aggregator, opened anew for each attempt.
pub fn stream(access: Access) -> Dial {
    Arc::new(move || {
        let access = access.clone();
        async move {
            let k8s::antrea::Opened { stream, authority } = k8s::antrea::open(&access).await?;
            antrea::tls::speak(stream, authority).await as Result<BoxIo, Trouble>
        }
        .boxed()
    })
}

/// What is read of one cluster, and whom it is told.
pub struct Reading {
    pub cluster: ClusterName,
    pub kind: SourceKind,
    pub access: Access,
    pub wanted: watch::Receiver<Vec<NsName>>,
    pub facts: mpsc::Sender<Fact>,
}

impl Reading {
    /// Reads what there is, for ever; where there is nothing, says what would be needed and looks again.
    pub async fn read(self) {
        loop {
            if self.kind == SourceKind::AntreaFlows {
                match k8s::antrea::serves_stream(&self.access).await {
                    Ok(true) => {
                        let (cluster, dial) = (self.cluster.clone(), stream(self.access.clone()));
                        return antrea::run(cluster, dial, self.wanted, self.facts).await;
                    }
                    Ok(false) => {}
                    Err(trouble) => {
                        if self.say(Link::Broken(trouble)).await.is_none() {
                            return;
                        }
                        sleep(AGAIN).await;
                        continue;
                    }
                }
            }
            let (owned, owners) = mpsc::channel(256);
            let owning = tokio::spawn(own(self.access.clone(), owned));
            let logs = logs(&self.access, self.kind);
            let ended =
                run(self.cluster.clone(), logs, self.wanted.clone(), owners, self.facts.clone()).await;
            owning.abort();
            if ended == Ended::Closed || self.say(Link::None(needed(self.kind))).await.is_none() {
                return;
            }
            sleep(AGAIN).await;
        }
    }

    async fn say(&self, link: Link) -> Option<()> {
        let fact = super::sources::bare("none", link);
        self.facts.send(Fact::Cluster(self.cluster.clone(), fact)).await.ok()
    }
}

/// Logs of which a piece is read at the same time.
const AT_ONCE: usize = 16;

/// How far back the records reach that pods print, on every node.
pub async fn reach(access: &Access, kind: SourceKind) -> Result<Measured, Trouble> {
    let pods = k8s::logs::printers(access).await?;
    let printing = |format: Format| {
        let ours = pods.iter().filter_map(|pod| Some((printer(pod)?, pod.clone())));
        ours.filter(|(printer, _)| printer.format == format).collect::<Vec<_>>()
    };
    let all = formats(kind).into_iter().map(|(format, _)| printing(format));
    match all.into_iter().find(|found| !found.is_empty()) {
        Some(found) => reach_of(access, found).await,
        None => Err(Trouble::new("pods that print flow records", "there are none", needed(kind).as_str())),
    }
}

/// The same of Cilium's agents, where Hubble exports to their own logs.
pub async fn reach_of_agents(access: &Access, ns: &Text) -> Result<Measured, Trouble> {
    let pods = k8s::logs::agents(access, ns.as_str()).await?;
    reach_of(access, pods.into_iter().filter_map(|pod| Some((printer(&pod)?, pod))).collect()).await
}

/// The node with the shortest span decides; one without a record leaves all of it unknown, save a control
/// plane, where no workload need run.
async fn reach_of(access: &Access, found: Vec<(Printer, LogPod)>) -> Result<Measured, Trouble> {
    let nobody = || Trouble::new("pods that print flow records", "there are none", "Start them again.");
    let format = found.first().ok_or_else(nobody)?.0.format;
    let spans = stream::iter(found).map(|(printer, pod)| span(access, printer, pod));
    let spans: Vec<Span> = spans.buffered(AT_ONCE).try_collect().await?;
    // Of several pods of one node the one that reaches back farthest counts.
    let mut nodes: BTreeMap<&NodeName, (Timestamp, Timestamp)> = BTreeMap::new();
    for (printer, from, to) in spans.iter().filter_map(|(printer, span)| Some((printer, span.0?, span.1?))) {
        let known = nodes.entry(&printer.node).or_insert((from, to));
        *known = (from.min(known.0), to.max(known.1));
    }
    // The flow aggregator's records are of all nodes.
    if format != Format::AntreaCsv {
        let all = k8s::logs::nodes(access).await?;
        let mut workers = all.iter().filter(|(_, is_control_plane)| !**is_control_plane);
        if let Some((bare, _)) = workers.find(|(node, _)| !nodes.contains_key(node)) {
            let next = "Look at the printers: kubectl get pods -A -l sluice.dev/prints -o wide";
            return Err(Trouble::new(&format!("node {bare}"), "no pod has printed a record of it", next));
        }
    }
    // Also one that has printed nothing for days: what the others print says nothing of it.
    let shortest = nodes.iter().min_by_key(|(_, (from, to))| *to - *from);
    let (node, (from, to)) = shortest.ok_or_else(nobody)?;
    let source = Text::from(format!("{}, node {node} of {}", format.called(), nodes.len()));
    Ok(Measured {
        source,
        from: *from,
        to: (*to).max(*from),
        empty_hours: 0,
        only_denials: format == Format::KernelLog,
    })
}

/// The first record of a pod's log, and its last.
async fn span(access: &Access, printer: Printer, pod: LogPod) -> Result<Span, Trouble> {
    let beginning = k8s::logs::piece(access, &pod, Piece::Beginning);
    let (beginning, end) = try_join(beginning, k8s::logs::piece(access, &pod, Piece::End)).await?;
    let span = (line::first(&beginning, &printer), line::last(&end, &printer));
    Ok((printer, span))
}

type Span = (Printer, (Option<Timestamp>, Option<Timestamp>));

/// Why nothing is read, and what would change that.
fn needed(kind: SourceKind) -> Text {
    Text::new(match kind {
        SourceKind::AntreaFlows | SourceKind::AntreaLog => {
            "the flow aggregator serves no FlowStreamService (Antrea 2.7, flowStreamService.enable), and no pod prints np.log: see assets/printers/sluice-printers.yaml"
        }
        SourceKind::CalicoFiles => {
            "no pod prints flows.log of its node: see assets/printers/sluice-printers.yaml"
        }
        _ => "no pod prints the kernel log of its node: see assets/printers/sluice-printers.yaml",
    })
}

/// Records that know addresses only are given to the pods that had them.
async fn own(access: Access, to: mpsc::Sender<Owned>) {
    let (said, mut heard) = mpsc::channel(256);
    let asking = tokio::spawn(owners::run(access, said));
    while let Some(said) = heard.recv().await {
        let owned = match said {
            owners::Said::Pod { address, ns, pod, from, until } => {
                Owned::Is(address, Owner::Pod { ns, pod, from, until })
            }
            owners::Said::Node(address) => Owned::Is(address, Owner::Node),
            owners::Said::Trouble("pods", None) => Owned::Complete,
            owners::Said::Trouble(about, Some(trouble)) => {
                tracing::warn!(about, %trouble, "owners of addresses are not known");
                continue;
            }
            owners::Said::Trouble(_, None) => continue,
        };
        if to.send(owned).await.is_err() {
            break;
        }
    }
    asking.abort();
}
