//! The collectors of the demo's clusters: the product's own, in process, each with a database in the
//! demo's folder. The week before is read in the background, one cluster after the other, from files
//! that the simulation writes; then each goes on from its cluster's relay. Nothing waits for them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::TimeDelta;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    cockpit::ports::{Link, Trouble},
    domain::{
        edge::{Edge, EdgeKey, Peer, Window},
        names::{ClusterName, NodeName, Text},
        resolver::Askers,
        time::Timestamp,
    },
    engine::Clock,
    flows::{
        baseline::{
            gather::{self, Now},
            owned::{HeardAnswer, HeardClient},
            read,
            serve::{self, Door},
            store::{Batch, Limits, Resume, Store},
        },
        hubble,
        offline::{self, Input, Job},
        records::Format,
        source::{BoxIo, Dial},
    },
    sim::{
        fleet::{
            running::{Fleet, Listener, Member},
            scenario::{Answers, CollectorSpec},
            system::{COLLECTOR, COLLECTOR_NAMESPACE, COLLECTOR_PORT},
        },
        week::{
            files::{self, Form, Paths},
            history,
        },
    },
};

/// Bytes on their way between a reader and a collector.
const STREAM: usize = 64 * 1024;
/// A little more than a week, as the collector keeps it.
const KEEP: TimeDelta = TimeDelta::days(8);

/// Starts the collectors of a fleet. Dropping it ends them.
pub struct Collectors {
    _tasks: JoinSet<()>,
}

impl Collectors {
    /// `folder` is the demo's own; `clock` is the fleet's.
    pub fn start(fleet: &Fleet, folder: &Path, clock: Clock) -> Self {
        let now: Now = Arc::new(move || clock.now());
        let folder = folder.join("collect");
        let mut tasks = JoinSet::new();
        let mut waiting = Vec::new();
        for member in fleet.clusters() {
            let Some(spec) = member.spec().collector.clone() else { continue };
            let (door, opened) = watch::channel(None);
            answer_port(member, opened);
            waiting.push(Starting { member: member.clone(), spec, door, folder: folder.join(member.name()) });
        }
        tasks.spawn(start_each(waiting, now));
        Self { _tasks: tasks }
    }
}

/// A collector before it has read its history.
struct Starting {
    member: Member,
    spec: CollectorSpec,
    door: watch::Sender<Option<Door>>,
    folder: PathBuf,
}

/// Its pod's port takes connections at once; they are answered when there is something to say.
fn answer_port(member: &Member, opened: watch::Receiver<Option<Door>>) {
    let listener: Listener = Arc::new(move || {
        let (near, far) = tokio::io::duplex(STREAM);
        let mut opened = opened.clone();
        tokio::spawn(async move {
            let door = match opened.wait_for(Option::is_some).await {
                Ok(door) => door.clone(),
                Err(_) => None,
            };
            if let Some(door) = door {
                serve::connection(far, door).await;
            }
        });
        Some(near)
    });
    member.listen(COLLECTOR_NAMESPACE, COLLECTOR, COLLECTOR_PORT, &listener);
}

/// One history after the other: memory holds one, and the machine stays free for the screen.
async fn start_each(waiting: Vec<Starting>, now: Now) {
    let mut running = JoinSet::new();
    for starting in waiting {
        let Starting { member, spec, door, folder } = starting;
        let (filled, at) = (member.clone(), now());
        let filling = tokio::task::spawn_blocking(move || fill(&filled, &spec, &folder, at));
        match filling.await {
            Ok(Ok(filled)) => drop(running.spawn(collect(member, filled, door, now.clone()))),
            Ok(Err(trouble)) => tracing::warn!(%trouble, "the demo's collector has no history"),
            Err(_) => tracing::warn!(cluster = member.name(), "the demo's collector could not be started"),
        }
    }
    while running.join_next().await.is_some() {}
}

/// A collector that has read its history.
struct Filled {
    store: Store,
    resume: Resume,
    doubt: Option<Text>,
}

/// Writes the history, reads it as `sluice discover` would, and stores what was found.
fn fill(member: &Member, spec: &CollectorSpec, folder: &Path, now: Timestamp) -> Result<Filled, Trouble> {
    let (mut store, _) = Store::open(folder, Limits::new(KEEP))?;
    let files = folder.join("history");
    let week = history::week(member.plan(), spec, now);
    let at = chrono::DateTime::from_timestamp_nanos;
    let window = Window { from: at(week.window.start), to: now };
    let form = match spec.answers {
        Answers::Hubble => Form::Hubble,
        Answers::Dnstap | Answers::NodeCache => Form::HubbleAndDnstap,
    };
    let unwritten = |error: io::Error| {
        Trouble::new(&files.to_string_lossy(), &error.to_string(), "See `sluice demo --help`.")
    };
    fs::create_dir_all(&files).map_err(unwritten)?;
    let written = files::write(week, form, &files, member.plan().seed).map_err(unwritten)?;
    let job = Job {
        flows: inputs(&written.flows, Format::HubbleJson),
        dns: match form {
            Form::Hubble => inputs(&written.flows, Format::HubbleJson),
            _ => inputs(&written.dns, Format::Dnstap),
        },
        window: Some(window),
        now,
        threads: 1,
    };
    let found = offline::run(&job, &mut |_| {});
    // Read once: nobody looks at the files again.
    let _ = fs::remove_dir_all(&files);
    let doubt = doubt(found.counts);
    // As the first commit of a collector that began then.
    store.commit(&Batch { until: Some(window.from), ..Batch::default() })?;
    store.commit(&batch(found, window))?;
    let resume = store.reopen()?;
    Ok(Filled { store, resume, doubt })
}

fn inputs(paths: &Paths, format: Format) -> Vec<Input> {
    let node = |node: &Option<String>| node.as_deref().and_then(|node| NodeName::parse(node).ok());
    paths
        .iter()
        .map(|(path, of)| Input { format: Some(format), path: path.clone(), node: node(of), logged: None })
        .collect()
}

/// What a reader of the live stream would find out of the answers' clients by and by.
fn doubt(counts: offline::Counts) -> Option<Text> {
    let pods = counts.answers.saturating_sub(counts.from_nodes + counts.from_nobody);
    Askers { pods, nodes: counts.from_nodes, unknown: counts.from_nobody }.doubt()
}

fn batch(found: offline::Found, window: Window) -> Batch {
    let mut batch = Batch {
        coverage: Some(found.credit.coverage(window)),
        left_out: found.ledger.left_out().map(|(why, count)| (Text::new(why.as_str()), count)).collect(),
        until: Some(window.to),
        ..Batch::default()
    };
    let edges = found.ledger.into_edges();
    edges.iter().filter_map(answer_of).for_each(|answer| batch.learn(&answer));
    batch.edges = edges.into_iter().collect();
    batch
}

/// What the workload was told of this address, as a collector remembers it: pods that go on with an
/// answer from before the demo began have its name.
fn answer_of((key, edge): &(EdgeKey, Edge)) -> Option<HeardAnswer> {
    let Peer::Address(address) = key.peer else { return None };
    Some(HeardAnswer {
        at: edge.last,
        client: HeardClient::Workload { ns: key.ns.as_str().into(), name: key.workload.name.as_str().into() },
        query: key.name.as_ref()?.as_str().into(),
        cnames: edge.chain.iter().map(|name| name.as_str().into()).collect(),
        addresses: vec![address],
        ttl_secs: edge.ttl_secs?,
    })
}

/// The cluster's relay, read from here on; `None` where it has none.
fn relay_of(member: &Member, now: Timestamp) -> Option<hubble::Gathering> {
    let relay = member.relay()?.clone();
    let object = format!("relay of {}", member.name());
    let dial: Dial = Arc::new(move || {
        let stream = relay.connect().map(|stream| Box::pin(stream) as BoxIo);
        let away = || Trouble::new(&object, "it is away", "Wait: it is asked again.");
        Box::pin(std::future::ready(stream.ok_or_else(away)))
    });
    Some(hubble::Gathering {
        cluster: ClusterName::parse(member.name()).ok()?,
        source: Text::new("hubble"),
        dial,
        position: None,
        now,
        known: Vec::new(),
    })
}

/// Gathers for as long as the demo runs.
async fn collect(member: Member, filled: Filled, door: watch::Sender<Option<Door>>, now: Now) {
    let Filled { store, resume, doubt } = filled;
    let (inputs, taken) = mpsc::channel(gather::INPUTS);
    let (state, states) = watch::channel(Arc::new(read::bare(Link::Connecting)));
    let (_stop, stopped) = watch::channel(false);
    door.send_replace(Some(Door::new(states, store.reader())));
    let gathering = relay_of(&member, now());
    let setup = gather::Setup {
        store,
        resume,
        now,
        version: env!("CARGO_PKG_VERSION"),
        inputs: taken,
        state,
        stop: stopped,
    };
    let live = async move {
        if let Some(doubt) = doubt {
            // Gathering has not begun, so there is room; and if it ended, nobody needs it.
            let _ = inputs.send(gather::Input::Doubt(doubt)).await;
        }
        match gathering {
            Some(gathering) => hubble::gather(gathering, inputs).await,
            // The history is all there is; as long as somebody might tell more, the collector stays.
            None => inputs.closed().await,
        }
    };
    let (ended, ()) = tokio::join!(gather::run(setup), live);
    if let Err(trouble) = ended {
        tracing::warn!(%trouble, "the demo's collector lost its last edges");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fleet::{running::Options, scenario::Scenario};

    const FLEET: &str = r#"
        name = "collected"
        [[cluster]]
        name = "whole"
        environment = "staging"
        cni = "cilium"
        nodes = 3
        namespaces = ["support", "data"]
        collector = { days = 2, hole = { node = "worker-1", hours_ago = 20, hours = 5 } }
        [[cluster]]
        name = "cached"
        environment = "staging"
        cni = "cilium"
        nodes = 2
        namespaces = ["support", "data"]
        collector = { days = 1, answers = "node-cache" }
    "#;

    #[tokio::test]
    async fn a_collector_begins_with_what_its_scenario_says_it_has_seen() {
        let scenario = Scenario::parse("collected.toml", FLEET).expect("it parses");
        let start: Timestamp = "2026-03-10T12:20:00Z".parse().expect("a time");
        let fleet = Fleet::new(&scenario, Options { seed: 1, speed: 1.0, start });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let found: Vec<Filled> = fleet
            .clusters()
            .iter()
            .map(|member| {
                let spec = member.spec().collector.clone().expect("it has one");
                fill(member, &spec, &folder.path().join(member.name()), start).expect("it can be filled")
            })
            .collect();
        let [whole, cached] = &found[..] else { panic!("two clusters") };
        let resume = &whole.resume;
        let namespaces: Vec<String> = whole.store.counts().iter().map(|(ns, _)| ns.to_string()).collect();
        assert_eq!(namespaces, ["data", "kube-system", "support"]);
        let hours = |resume: &Resume, node: &str| {
            let node = NodeName::parse(node).expect("a node's name");
            resume.coverage.credited.get(&Some(node)).map_or(0, |hours| hours.len())
        };
        let (from, to) = whole.resume.window.expect("a window");
        assert!(from <= start - TimeDelta::days(2) + TimeDelta::hours(1), "{from}");
        assert_eq!(to, start);
        let named = whole.resume.answers.iter().find(|answer| !answer.query.ends_with(".local"));
        let named = named.expect("what the workloads were told of the world");
        assert!(matches!(named.client, HeardClient::Workload { .. }), "{named:?}");
        assert!((45..=48).contains(&hours(resume, "worker-2")), "{:?}", resume.coverage.credited);
        assert!(hours(resume, "worker-2") - hours(resume, "worker-1") >= 5);
        assert_eq!(whole.doubt, None);
        let doubt = cached.doubt.as_ref().map(Text::as_str).unwrap_or_default();
        assert!(doubt.starts_with("answers: the clients of"), "{doubt:?}");
    }
}
