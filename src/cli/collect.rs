//! `sluice collect`: gathers the flows and DNS answers of one cluster for days, without a screen, and
//! serves the edges read-only. Ends well when it is asked to; goes on where it stopped.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::TimeDelta;
use directories::ProjectDirs;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Duration, MissedTickBehavior, interval},
};

use super::{
    args::{Collect, DnstapDoor, FlowFile, Global},
    collect_sources::{self, Sources, never},
    exit::Exit,
    print::Printer,
    session::{self, NoStart},
};
use crate::{
    cockpit::ports::{CollectorState, Link, RelayAddress, SourceState, Trouble},
    domain::{
        names::{Text, plural},
        time,
    },
    engine::{self, Clock},
    flows::{
        baseline::{
            gather::{self, Now},
            read, serve,
            store::{Limits, Resume, Store},
        },
        records::Format,
    },
    k8s::connect::{self, Access},
};

/// Where a service keeps its data; systemd and the manifest make it.
pub const SERVICE_DATA: &str = "/var/lib/sluice";

/// Runs until it is asked to stop.
pub async fn run(global: &Global, args: &Collect, printer: &mut Printer<'_>) -> Result<Exit, NoStart> {
    let folder = data_folder(args.data.as_deref()).ok_or_else(no_folder)?;
    let keep = TimeDelta::from_std(args.keep).unwrap_or(TimeDelta::MAX);
    let (store, resume) = open(folder.clone(), Limits::new(keep)).await.map_err(failed)?;
    let (listener, address) = serve::bind(args.listen).await.map_err(|error| {
        let next = "Stop what listens there, or choose another address with --listen.";
        failed(Trouble::new(&format!("--listen {}", args.listen), &error.to_string(), next))
    })?;
    let access = access(global, args)?;
    let clock = Clock::system();
    let now: Now = Arc::new(move || clock.now());
    let (inputs, taken) = mpsc::channel(gather::INPUTS);
    let (state, states) = watch::channel(Arc::new(read::bare(Link::Connecting)));
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(never(serve::listen(listener, serve::Door::new(states.clone(), store.reader()))));
    let sources = Sources { inputs, now: now.clone(), resume: &resume, tasks: &mut tasks };
    start(sources, args, access).await?;
    printer.say(&format!(
        "sluice collect {}: {address} into {}\n",
        env!("CARGO_PKG_VERSION"),
        shown(&folder)
    ));
    let setup = gather::Setup {
        store,
        resume,
        now,
        version: env!("CARGO_PKG_VERSION"),
        inputs: taken,
        state,
        stop: stopped,
    };
    let ended = watch_over(tokio::spawn(gather::run(setup)), states, &stop, printer).await;
    tasks.shutdown().await;
    match ended {
        Ok(()) => {
            printer.say("Everything is committed.\n");
            Ok(Exit::Done)
        }
        Err(trouble) => Err(failed(trouble)),
    }
}

/// Starts every source that is asked for.
async fn start(mut sources: Sources<'_>, args: &Collect, access: Option<Access>) -> Result<(), NoStart> {
    sources.hubble(args, access.as_ref());
    let through = || access.as_ref().ok_or_else(no_server);
    if args.antrea {
        sources.antrea(through()?);
    }
    match (&args.goldmane, &args.goldmane_tls) {
        (None, _) => {}
        (Some(None), _) => sources.goldmane(engine::goldmane_of(through()?.clone())),
        (Some(Some(address)), Some(folder)) => {
            sources.goldmane(collect_sources::goldmane_at(address.clone(), folder.clone()));
        }
        (Some(Some(_)), None) => {
            let next = "Give its folder with --goldmane-tls, or leave the address out.";
            return Err(usage("--goldmane", "Goldmane talks only to holders of a certificate", next));
        }
    }
    for format in &args.logs {
        sources.printed(through()?, *format);
    }
    if let Some(access) = access.clone() {
        sources.owners(access);
    }
    for door in &args.dnstap {
        sources.dnstap(door).await.map_err(failed)?;
    }
    args.flows.iter().for_each(|file| sources.file(file));
    Ok(())
}

/// Tells what happens, until the gathering ends by itself or by a signal.
async fn watch_over(
    mut gathering: tokio::task::JoinHandle<Result<(), Trouble>>,
    mut states: watch::Receiver<Arc<CollectorState>>,
    stop: &watch::Sender<bool>,
    printer: &mut Printer<'_>,
) -> Result<(), Trouble> {
    let mut interrupted = std::pin::pin!(session::interrupted());
    let mut minute = interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    minute.tick().await;
    let mut teller = Teller::default();
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = &mut gathering => {
                return ended.unwrap_or_else(|_| {
                    let next = "Start it again: it goes on from the last commit; and report its log.";
                    Err(Trouble::new("sluice collect", "gathering stopped on a fault of sluice", next))
                });
            }
            () = &mut interrupted, if !stopping => {
                stopping = true;
                stop.send_replace(true);
            }
            _ = minute.tick() => printer.say(&summary(&states.borrow_and_update())),
            Ok(()) = states.changed() => {
                let state = states.borrow_and_update().clone();
                teller.events(&state).iter().for_each(|event| printer.say(event));
            }
        }
    }
}

/// A form of records that can stand in a log.
pub fn printed(raw: &str) -> Result<Format, String> {
    let lines = |format: &Format| !matches!(format, Format::Dnstap | Format::HubbleJson);
    Format::parse(raw).filter(lines).ok_or_else(|| {
        let names: Vec<_> = Format::ALL.iter().filter(|format| lines(format)).map(|it| it.as_str()).collect();
        format!("write one of {}", names.join(", "))
    })
}

async fn open(folder: PathBuf, limits: Limits) -> Result<(Store, Resume), Trouble> {
    let object = shown(&folder);
    let opened = tokio::task::spawn_blocking(move || Store::open(&folder, limits)).await;
    opened.unwrap_or_else(|_| {
        let next = "Bring back a copy of its file, or give another folder with --data.";
        Err(Trouble::new(&object, "the database is damaged beyond reading", next))
    })
}

/// The cluster's API server: around this pod, or by the kubeconfig. `None`: neither is there, and a
/// relay's address was given.
fn access(global: &Global, args: &Collect) -> Result<Option<Access>, NoStart> {
    let asked = global.kubeconfig.is_some() || !global.contexts.is_empty();
    if !asked && let Some(around) = connect::in_cluster() {
        return around.map(Some).map_err(failed);
    }
    let contexts = match session::contexts(global.kubeconfig.as_deref()) {
        Ok(contexts) => contexts,
        Err(_) if !asked && args.has_address() => return Ok(None),
        Err(trouble) => return Err(failed(trouble)),
    };
    let context = match global.contexts.as_slice() {
        [one] => one.clone(),
        [] => match &contexts.kubeconfig().current_context {
            Some(current) => current.clone(),
            None if args.has_address() => return Ok(None),
            None => {
                return Err(usage("--context", "no context is current", "Name the cluster with --context."));
            }
        },
        [_, _, ..] => {
            return Err(usage(
                "--context",
                "it is given more than once",
                "A collector gathers from one cluster.",
            ));
        }
    };
    Ok(Some(contexts.access(&context)))
}

/// Where the database stands: as told, else the service's folder if it can be written, else our own
/// of this user. `None`: there is no home either.
pub fn data_folder(told: Option<&Path>) -> Option<PathBuf> {
    if let Some(told) = told {
        return Some(told.to_owned());
    }
    let service = Path::new(SERVICE_DATA);
    if may_write(service) {
        return Some(service.to_owned());
    }
    ProjectDirs::from("", "", "sluice").map(|dirs| dirs.data_dir().join("collect"))
}

/// By owner, group and mode, without writing.
fn may_write(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(found) = std::fs::metadata(folder) else { return false };
    let user = rustix::process::geteuid().as_raw();
    let groups = rustix::process::getgroups().unwrap_or_default();
    let ours = rustix::process::getegid().as_raw() == found.gid()
        || groups.iter().any(|group| group.as_raw() == found.gid());
    let allowed = (found.uid() == user && found.mode() & 0o200 != 0)
        || (ours && found.mode() & 0o020 != 0)
        || found.mode() & 0o002 != 0;
    found.is_dir() && (user == 0 || allowed)
}

/// Says what changed since the last state, each thing once.
#[derive(Default)]
struct Teller {
    links: std::collections::BTreeMap<Text, Link>,
    troubles: Vec<Trouble>,
}

impl Teller {
    fn events(&mut self, state: &CollectorState) -> Vec<String> {
        let mut out = Vec::new();
        for source in &state.sources {
            let old = self.links.insert(source.name.clone(), source.link.clone());
            let is_news = old.as_ref().map(word) != Some(word(&source.link));
            if is_news && let Link::Broken(trouble) = &source.link {
                out.push(format!("{trouble}\n"));
            } else if is_news {
                out.push(format!("{}: {}\n", source.name, word(&source.link)));
            }
        }
        let told = |list: &[Trouble], one: &Trouble| list.iter().any(|other| other.object == one.object);
        let (new, gone): (Vec<_>, Vec<_>) = (
            state.troubles.iter().filter(|one| !told(&self.troubles, one)).collect(),
            self.troubles.iter().filter(|one| !told(&state.troubles, one)).collect(),
        );
        out.extend(new.iter().map(|trouble| format!("{trouble}\n")));
        out.extend(gone.iter().map(|trouble| format!("{}: well again\n", trouble.object)));
        self.troubles.clone_from(&state.troubles);
        out
    }
}

fn word(link: &Link) -> &'static str {
    match link {
        Link::None(_) => "none",
        Link::Connecting => "connecting",
        Link::Live => "live",
        Link::Broken(_) => "broken",
    }
}

/// How it goes, in one line.
fn summary(state: &CollectorState) -> String {
    let edges: u64 = state.edges.iter().map(|(_, tally)| tally.edges).sum();
    let edges = plural(usize::try_from(edges).unwrap_or(usize::MAX), "edge");
    let source = |source: &SourceState| match source.lag {
        Some(lag) => format!("{} {}, {} behind", source.name, word(&source.link), time::span(lag)),
        None => format!("{} {}", source.name, word(&source.link)),
    };
    let sources: Vec<_> = state.sources.iter().map(source).collect();
    let sources = if sources.is_empty() { "no source yet".to_owned() } else { sources.join("; ") };
    format!(
        "{edges} in {}; {}; {sources}\n",
        plural(state.edges.len(), "namespace"),
        plural(state.coverage.gaps.len(), "gap")
    )
}

fn shown(path: &Path) -> String {
    Text::new(&path.to_string_lossy()).to_string()
}

fn failed(trouble: Trouble) -> NoStart {
    NoStart { exit: Exit::Failed, troubles: vec![trouble] }
}

fn usage(object: &str, fact: &str, next: &str) -> NoStart {
    NoStart { exit: Exit::Usage, troubles: vec![Trouble::new(object, fact, next)] }
}

fn no_server() -> NoStart {
    usage("--context", "there is no API server to read through", "Name the cluster with --context.")
}

fn no_folder() -> NoStart {
    failed(Trouble::new("--data", "there is no home folder", "Give the folder of the database with --data."))
}

/// `unix:/path`, `tcp:ADDRESS:PORT`, `call:HOST:PORT` or `call:tls://HOST:PORT`.
pub fn dnstap_door(raw: &str) -> Result<DnstapDoor, String> {
    const NEXT: &str = "write unix:/path/to/socket, tcp:ADDRESS:PORT or call:HOST:PORT";
    match raw.split_once(':') {
        Some(("unix", path)) if path.starts_with('/') => Ok(DnstapDoor::Unix(PathBuf::from(path))),
        Some(("tcp", address)) => {
            address.parse::<SocketAddr>().map(DnstapDoor::Tcp).map_err(|_| NEXT.to_owned())
        }
        Some(("call", address)) => relay(address).map(DnstapDoor::Call).map_err(|_| NEXT.to_owned()),
        Some(_) | None => Err(NEXT.to_owned()),
    }
}

/// `hubble-json:/var/run/cilium/hubble/events.log`.
pub fn flow_file(raw: &str) -> Result<FlowFile, String> {
    let Some((word, path)) = raw.split_once(':').filter(|(_, path)| !path.is_empty()) else {
        return Err(next_flow_file());
    };
    let (word, logged) = super::records::logged(word)?;
    match Format::parse(word) {
        Some(Format::Dnstap) => Err("DNS servers send dnstap to a socket: use --dnstap".to_owned()),
        Some(format) => Ok(FlowFile { format, path: PathBuf::from(path), logged }),
        None => Err(next_flow_file()),
    }
}

fn next_flow_file() -> String {
    let known = Format::ALL.into_iter().filter(|format| *format != Format::Dnstap);
    let names: Vec<_> = known.map(|format| format.as_str()).collect();
    format!("write FORMAT:PATH, with one of {}", names.join(", "))
}

/// `host:port` or `tls://host:port`.
pub fn relay(raw: &str) -> Result<RelayAddress, String> {
    crate::workspace::relay_way::relay_address(raw, None)
        .ok_or_else(|| "write host:port, or tls://host:port".to_owned())
}
