//! What tests share: the product's engine on a simulated fleet, in memory, under a paused clock.
#![allow(dead_code, reason = "each of the three programs uses its part")]

pub mod goldens;
pub mod player;
pub mod svg;
pub mod terminal;

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use chrono::{DateTime, FixedOffset, TimeDelta, TimeZone, Utc};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use sluice::{
    cockpit::{
        plan::{ClusterEntry, FleetFile, PolicyFiles},
        rows,
        settings::{WaveSettings, WaveSize},
        world::World,
    },
    domain::{
        fleet::Environment,
        names::{ClusterName, Text},
    },
    engine::{Clock, Engine, Setup},
    k8s::connect::Access,
    sim::fleet::{
        people::Person,
        running::{Fleet, Member, Options},
        scenario::{self, Scenario},
    },
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// When every simulated fleet of the tests begins.
pub fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, 0).single().expect("a valid time")
}

/// A kube client that speaks to a simulated API server in memory, as this person.
pub fn client(member: &Member, person: Person) -> kube::Client {
    let token = format!("Bearer {}", member.token(person));
    client_with(token, {
        let member = member.clone();
        move || member.connect()
    })
}

/// A kube client on streams that `connect` opens, with this Authorization header; empty: none.
pub fn client_with(
    authorization: String,
    connect: impl Fn() -> io::Result<DuplexStream> + Clone + Send + Sync + 'static,
) -> kube::Client {
    let connector = tower::service_fn(move |_: http::Uri| {
        std::future::ready(connect().map(|stream| TokioIo::new(InMemory(stream))))
    });
    let http = Client::builder(TokioExecutor::new()).build::<_, kube::client::Body>(connector);
    let service = tower::service_fn(move |mut request: http::Request<kube::client::Body>| {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = format!("http://simulated{path}").parse().expect("a path makes a URI");
        if !authorization.is_empty() {
            let value = authorization.parse().expect("a token is a header value");
            request.headers_mut().insert(http::header::AUTHORIZATION, value);
        }
        http.request(request)
    });
    kube::Client::new(service, "default")
}

/// An in-memory stream as hyper's client wants it.
pub struct InMemory(DuplexStream);

impl Connection for InMemory {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for InMemory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for InMemory {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A simulated fleet by the name of its scenario.
pub fn fleet(name: &str, seed: u64) -> Fleet {
    let scenario = Scenario::named(name).expect("a scenario of assets/scenarios");
    fleet_of(&scenario, seed)
}

pub fn fleet_of(scenario: &Scenario, seed: u64) -> Fleet {
    Fleet::new(scenario, Options { seed, speed: 1.0, start: start() })
}

/// Gates that are open where a test is not about them: the whole of an environment is one wave, no
/// week of evidence is asked for, and every namespace has a document without a flagged destination.
pub fn lenient(fleet: &mut FleetFile, files: &mut PolicyFiles) {
    let rest = || WaveSettings {
        staging: vec![WaveSize::Rest],
        production: vec![WaveSize::Rest],
        at_most_percent: 100,
    };
    fleet.settings.baseline = TimeDelta::zero();
    (fleet.settings.egress, fleet.settings.ingress) = (rest(), rest());
    files.flagged = Some(files.sets.keys().map(|(c, ns, _)| ((c.clone(), ns.clone()), Vec::new())).collect());
}

/// Takes a cluster out of its waves, as a lead would who does not want to wait for it.
pub fn exclude(fleet: &Fleet, cluster: &str) {
    let state = fleet.clusters().iter().find(|member| member.spec().state).expect("a state cluster");
    state.server().seed(serde_json::json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Exclusion",
        "metadata": { "name": "out", "namespace": "sluice" },
        "spec": {
            "cluster": cluster, "by": "lead", "reason": "the test is about the others",
            "expires": "2027-01-01T00:00:00Z",
        },
    }));
}

/// The fleet file that names all clusters of a simulated fleet.
pub fn fleet_file(fleet: &Fleet) -> FleetFile {
    let clusters = fleet.clusters().iter().map(|member| ClusterEntry {
        name: ClusterName::parse(member.name()).expect("scenarios have valid names"),
        context: Text::new(member.name()),
        environment: match member.spec().environment {
            scenario::Environment::Staging => Environment::Staging,
            scenario::Environment::Production => Environment::Production,
        },
        relay: None,
        flows: Default::default(),
        collector: None,
    });
    FleetFile { path: Some(Text::new("sluice.yaml")), clusters: clusters.collect(), ..FleetFile::default() }
}

/// The product on a simulated fleet, signed in as this person.
pub fn engine(fleet: &Fleet, person: Person, plan: FleetFile, files: PolicyFiles) -> Engine {
    let members = fleet.clone();
    Engine::start(Setup {
        fleet: plan,
        files,
        notices: Vec::new(),
        reach: Arc::new(move |entry: &ClusterEntry| {
            let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
            Access::Client(client(member, person))
        }),
        clock: Clock::simulated(start(), 1.0),
        zone: FixedOffset::east_opt(3600).expect("in range"),
        read_only: false,
        follow_flows: true,
        workspace: None,
        records: None,
        notify: None,
    })
}

/// The product on a simulated fleet with the workspace that the demo brings, written to `folder`.
pub fn engine_with_workspace(fleet: &Fleet, person: Person, folder: &std::path::Path) -> Engine {
    sluice::sim::fleet::workspace::write(fleet, folder).expect("the workspace is written");
    let place = sluice::workspace::root::Place { root: folder.to_owned(), only: Vec::new() };
    let read = sluice::workspace::root::read(&place).expect("the demo's workspace is valid");
    assert_eq!(read.notices, [], "the demo's workspace has no complaints");
    // The folder is a temporary one: screens must not show its name.
    let mut plan = FleetFile { path: Some(Text::new("sluice.yaml")), ..read.fleet };
    let mut files = read.files;
    lenient(&mut plan, &mut files);
    engine(fleet, person, plan, files)
}

pub fn person(name: &str) -> Person {
    match name {
        "lead" => Person::Lead,
        "on-call" => Person::OnCall,
        "security" => Person::Security,
        "viewer" => Person::Viewer,
        "admin" => Person::Admin,
        "shop-on-call" => Person::ShopOnCall,
        other => panic!("{other:?} is nobody of the simulated fleet"),
    }
}

/// Lets virtual time pass while the product runs.
pub async fn run_for(engine: &mut Engine, time: Duration) {
    let until = tokio::time::Instant::now() + time;
    while tokio::time::timeout_at(until, engine.turn()).await.is_ok() {}
    engine.tick();
}

/// Runs until something is so; fails after this much virtual time, saying what was awaited.
pub async fn run_until(engine: &mut Engine, what: &str, limit: Duration, so: impl Fn(&World) -> bool) {
    let until = tokio::time::Instant::now() + limit;
    while !so(engine.world()) {
        let turned = tokio::time::timeout_at(until, engine.turn()).await;
        let seen = || rows::clusters(engine.world()).map(|row| format!("\n{row:?}")).collect::<String>();
        assert!(turned.is_ok(), "after {limit:?} still not so: {what}; {}", seen());
    }
}

/// A printer's other end.
#[derive(Clone, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("one thread").clone()).expect("UTF-8")
    }
}
