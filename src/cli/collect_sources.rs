//! The tasks of `sluice collect`: one for each source that is asked for, all telling one gathering.
//! Where each goes on is what an earlier run committed.

use std::{path::PathBuf, sync::Arc};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Duration, sleep},
};

use super::args::{Collect, DnstapDoor, FlowFile};
use crate::{
    cockpit::{
        plan::{RelayWay, TlsFiles},
        ports::{Link, RelayAddress, SourceState, Trouble},
    },
    domain::{
        names::{ClusterName, Text},
        source::SourceKind,
        time::Timestamp,
    },
    engine,
    flows::{
        Gathering, antrea,
        baseline::{
            dns, files,
            gather::{Input, Now, Owner},
            store::{Id, Resume},
        },
        dnstap::listen::{Door, Ear, Limits as EarLimits, call},
        goldmane::{
            self,
            tls::{Pem, Shown},
        },
        hubble, logs,
        records::Format,
        source::{Dial, dial_address},
    },
    k8s::{connect::Access, owners},
};

/// Hubble Relay's Service, as pods of the cluster reach it: on 443 with TLS, else on 80.
const RELAY_SERVICE: &str = "hubble-relay.kube-system.svc";

/// The tasks that tell the gathering.
pub(super) struct Sources<'a> {
    pub inputs: mpsc::Sender<Input>,
    pub now: Now,
    pub resume: &'a Resume,
    pub tasks: &'a mut JoinSet<()>,
}

impl Sources<'_> {
    /// Where a source goes on, and the ids that it could tell again.
    fn place(&self, source: &Text) -> (Option<Timestamp>, Vec<Id>) {
        let position = self.resume.positions.get(source).and_then(|position| position.time());
        (position, self.resume.ids.get(source).cloned().unwrap_or_default())
    }

    pub fn hubble(&mut self, args: &Collect, access: Option<&Access>) {
        let source = Text::new("hubble");
        let tls = args.hubble_tls();
        let dial = match (&args.hubble, access) {
            _ if args.no_hubble => return,
            (None, _) if args.reads_another() => return,
            (Some(address), _) => {
                dial_address(RelayAddress { tls: tls.or(address.tls.clone()), ..address.clone() })
            }
            (None, Some(Access::Client(_))) => dial_address(relay_service(tls)),
            (None, Some(access)) => {
                let way = tls.map(|files| RelayWay::Forward(Some(files)));
                engine::relay_of(way.as_ref(), access.clone())
            }
            (None, None) => return,
        };
        let (position, known) = self.place(&source);
        let gathering =
            hubble::Gathering { cluster: here(), position, known, now: (self.now)(), source, dial };
        self.tasks.spawn(hubble::gather(gathering, self.inputs.clone()));
    }

    pub fn antrea(&mut self, access: &Access) {
        let source = Text::new("antrea");
        let (position, known) = self.place(&source);
        let dial = engine::logs::stream(access.clone());
        let gathering = Gathering { cluster: here(), position, known, source, dial };
        self.tasks.spawn(antrea::gather(gathering, self.inputs.clone()));
    }

    pub fn goldmane(&mut self, dial: Dial) {
        let source = Text::new("goldmane");
        let (position, known) = self.place(&source);
        let gathering = Gathering { cluster: here(), position, known, source, dial };
        self.tasks.spawn(goldmane::gather(gathering, self.inputs.clone()));
    }

    /// Records of one form out of pods' logs; while nobody prints them, it is looked for them again.
    pub fn printed(&mut self, access: &Access, format: Format) {
        let source = Text::from(format!("{format} of pods"));
        let mut ways = engine::logs::logs(access, SourceKind::Unknown);
        ways.formats = vec![(format, kind_of(format))];
        let (position, known) = self.place(&source);
        let inputs = self.inputs.clone();
        self.tasks.spawn(async move {
            loop {
                let (known, source, logs) = (known.clone(), source.clone(), ways.clone());
                let state =
                    logs::Gathering { cluster: here(), source: source.clone(), logs, position, known };
                if logs::gather(state, inputs.clone()).await == logs::Ended::Closed {
                    return;
                }
                let why =
                    Text::from(format!("no pod prints {format}: see assets/printers/sluice-printers.yaml"));
                let state = SourceState {
                    kind: kind_of(format),
                    name: source.clone(),
                    link: Link::None(why),
                    history_from: None,
                    lag: None,
                    nodes_connected: None,
                    nodes_unavailable: None,
                    malformed: 0,
                    repeats: 0,
                };
                if inputs.send(Input::State(source, Box::new(state))).await.is_err() {
                    return;
                }
                sleep(Duration::from_secs(30)).await;
            }
        });
    }

    pub fn file(&mut self, file: &FlowFile) {
        let source = Text::new(&format!("{}:{}", file.format, file.path.display()));
        let position = self.resume.positions.get(&source).cloned();
        let (path, logged) = (file.path.clone(), file.logged);
        let file = files::File { source, format: file.format, path, logged, position };
        self.tasks.spawn(files::run(file, self.now.clone(), self.inputs.clone()));
    }

    /// Whose an address is, from the API.
    pub fn owners(&mut self, access: Access) {
        let (said, mut heard) = mpsc::channel(256);
        self.tasks.spawn(owners::run(access, said));
        let inputs = self.inputs.clone();
        self.tasks.spawn(async move {
            while let Some(said) = heard.recv().await {
                if inputs.send(of_api(said)).await.is_err() {
                    return;
                }
            }
        });
    }

    pub async fn dnstap(&mut self, door: &DnstapDoor) -> Result<(), Trouble> {
        let (ear, heard) = Ear::new(EarLimits::USUAL);
        let figures = ear.figures();
        let name = match door {
            DnstapDoor::Unix(path) => {
                self.tasks.spawn(never(Door::unix(path, 0o660).await?.serve(ear)));
                format!("dnstap unix:{}", path.display())
            }
            DnstapDoor::Tcp(address) => {
                self.tasks.spawn(never(Door::tcp(*address).await?.serve(ear)));
                format!("dnstap tcp:{address}")
            }
            DnstapDoor::Call(address) => {
                let peer = format!("{}:{}", address.host, address.port);
                self.tasks.spawn(never(call(ear, dial_dns(address.clone()), peer.clone())));
                format!("dnstap call:{peer}")
            }
        };
        let listened = dns::Listened {
            source: Text::new(&name),
            heard,
            figures,
            now: self.now.clone(),
            before: self.resume.window.map(|(_, last)| last),
        };
        self.tasks.spawn(dns::run(listened, self.inputs.clone()));
        Ok(())
    }
}

/// What the one cluster is called in sentences.
fn here() -> ClusterName {
    ClusterName::parse("this cluster").expect("a free name without control characters")
}

fn kind_of(format: Format) -> SourceKind {
    match format {
        Format::HubbleJson => SourceKind::Hubble,
        Format::CalicoJson => SourceKind::CalicoFiles,
        Format::AntreaCsv => SourceKind::AntreaFlows,
        Format::AntreaLog => SourceKind::AntreaLog,
        Format::KernelLog => SourceKind::KernelLog,
        Format::Dnstap => SourceKind::Unknown,
    }
}

fn of_api(said: owners::Said) -> Input {
    match said {
        owners::Said::Pod { address, ns, pod, from, until } => {
            Input::Owns { address, owner: Owner::Pod { ns, pod, from, until } }
        }
        owners::Said::Node(address) => Input::Owns { address, owner: Owner::Node },
        owners::Said::Trouble(about, trouble) => Input::Trouble(Text::new(about), trouble),
    }
}

pub(super) async fn never(task: impl Future<Output = std::convert::Infallible>) {
    match task.await {}
}

fn relay_service(tls: Option<TlsFiles>) -> RelayAddress {
    let port = if tls.is_some() { 443 } else { 80 };
    RelayAddress { host: Text::new(RELAY_SERVICE), port, tls }
}

/// The dial's words for an address are those for a relay.
fn dial_dns(address: RelayAddress) -> Dial {
    let object = format!("dnstap of {}:{}", address.host, address.port);
    let dial = dial_address(address);
    Arc::new(move || {
        let (dialled, object) = (dial(), object.clone());
        let next = "Check that `dnstap listen` of CoreDNS stands there and that the network lets us through.";
        Box::pin(async move {
            dialled.await.map_err(|trouble| Trouble::new(&object, trouble.fact.as_str(), next))
        })
    })
}

/// Goldmane where it listens, with the certificate of a folder as a Secret is mounted: ca.crt, tls.crt
/// and tls.key, read at each attempt, so that renewed ones need no restart.
pub(super) fn goldmane_at(address: RelayAddress, folder: PathBuf) -> Dial {
    let dial = dial_address(RelayAddress { tls: None, ..address });
    let folder = Arc::new(folder);
    Arc::new(move || {
        let (dialled, folder) = (dial(), Arc::clone(&folder));
        Box::pin(async move {
            let read = async |name: &str| {
                let path = folder.join(name);
                tokio::fs::read(&path).await.map_err(|error| {
                    let next = "Give a folder with ca.crt, tls.crt and tls.key as --goldmane-tls.";
                    Trouble::new(&path.to_string_lossy(), &error.to_string(), next)
                })
            };
            let authorities = Some(read("ca.crt").await?);
            let shown = Shown { certificate: read("tls.crt").await?, key: read("tls.key").await? };
            let pem = Pem { authorities, shown: Some(shown) };
            goldmane::tls::speak(dialled.await?, &pem).await
        })
    })
}
